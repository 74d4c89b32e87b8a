"""docs/operations.md's two scripts: the backup of a Loki or Prometheus, and its restore."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from rig.rig import Rig
from tests.support.guide import blocks

SECTION = "Back up a Loki or Prometheus, and restore it"


def run_backup(rig: Rig, folder: Path, **values: str) -> str:
    """Run the first one with other values for its variables; its output."""
    return _run(rig, folder, blocks("operations.md", "sh")[SECTION][0], values)


def run_restore(rig: Rig, folder: Path, **values: str) -> str:
    """Run the second one in the same way."""
    return _run(rig, folder, blocks("operations.md", "sh")[SECTION][1], values)


def _run(rig: Rig, folder: Path, script: str, values: dict[str, str]) -> str:
    """Run a script in the campus server's shell."""
    for name, value in values.items():
        script, found = re.subn(rf"\b{name}=\S+", f"{name}={value}", script, count=1)
        assert found, f"the script doesn't set {name}"
    done = subprocess.run(
        ["bash", "-ec", script],
        cwd=folder,
        env={**os.environ, "DOCKER_HOST": rig.engine.url},
        capture_output=True,
        text=True,
        timeout=300,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stdout
