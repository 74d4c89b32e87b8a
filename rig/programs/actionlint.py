"""actionlint from its Go module: the package of that name downloads a program when it is installed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from local import cache, go
from local.paths import ROOT, VENV
from local.paths import cache as cache_folder
from rig.paths import GO

MODULE = "actionlint"
SECONDS = 10
FOLDERS = (ROOT / ".github" / "workflows", ROOT / "docs" / "examples")


def run() -> int:
    """Check the workflows, the example too; its exit code. Shell goes to the virtualenv's shellcheck."""
    with cache.lock():
        program = _ensure()
    path = os.pathsep.join([str(VENV / "bin"), os.environ.get("PATH", os.defpath)])
    workflows = sorted(file for folder in FOLDERS for file in folder.glob("*.yml"))
    return subprocess.run([program, *workflows], env=os.environ | {"PATH": path}, check=False).returncode


def _ensure() -> Path:
    folder = cache_folder() / "bin" / MODULE
    key = cache.key_of(GO / MODULE)
    if not cache.is_whole(folder, key):
        with cache.new_folder(folder, key) as made:
            go.build(GO / MODULE, ["github.com/rhysd/actionlint/cmd/actionlint"], made, usual=SECONDS)
    return folder / "actionlint"
