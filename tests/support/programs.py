"""The real programs that check the renderers' output."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Literal

import pytest
import yaml

from local.images import tar_of
from local.paths import STACK_SETTINGS, VENV


def program(name: str) -> str:
    """The program's path. A missing program is a failure, since its check is missing."""
    found = shutil.which(name) or shutil.which(name, path=f"/usr/sbin:/sbin:{VENV / 'bin'}")
    if found is None:
        pytest.fail(f"{name} is missing: run `make install` once")
    return found


def program_of_image(key: str, path: str, folder: Path) -> str:
    """The stack's own program, extracted from the image in the settings."""
    settings = yaml.safe_load(STACK_SETTINGS.read_text())["config"]
    tar = tar_of(settings["campus-monitor:images"][key])
    if not tar.exists():
        pytest.fail(f"{tar.name} is not in the cache: run `make install` once")
    with tarfile.open(tar) as saved:
        for layer in _layers(saved):
            with tarfile.open(fileobj=saved.extractfile(layer)) as files:
                if path in files.getnames():
                    files.extract(path, folder, filter="data")
                    return str(folder / path)
    pytest.fail(f"{tar.name} has no {path}")


def _layers(saved: tarfile.TarFile) -> list[str]:
    manifest = saved.extractfile("manifest.json")
    assert manifest is not None
    return list(reversed(json.load(manifest)[0]["Layers"]))


def in_own_network(*command: str) -> list[str]:
    """The command in an empty network namespace, where it can't lock anybody out."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [program("unshare"), *user, "--net", *command]


def run(*command: str, cwd: Path | None = None, stream: Literal["stdout", "stderr"] = "stdout") -> str:
    """Run the command; its output. An AssertionError with its errors if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"
    return getattr(done, stream)


def nft_check(policy: str, folder: Path) -> None:
    """The real nft accepts the policy; nothing is loaded."""
    path = folder / "policy.nft"
    path.write_text(policy)
    run(*in_own_network(program("nft"), "-c", "-f", str(path)))
