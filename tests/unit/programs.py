"""The real programs that the renderers' output is shown to, and the golden files."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from toolchain.paths import VENV, cache

GOLDEN = Path(__file__).parent / "golden"
# Set to any text, this writes the golden files anew; then read the difference.
WRITE = "CAMPUS_MONITOR_WRITE_GOLDEN"


def program(name: str) -> str:
    """Where the program is. A missing one is a failure: what it would show stays unproved."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found:
        return found
    for path in [*sorted(cache().glob(f"bin/*/{name}")), VENV / "bin" / name]:
        if os.access(path, os.X_OK):
            return str(path)
    pytest.fail(f"{name} is neither on PATH nor in {cache()}/bin: run `make test` once")


def in_own_network(*command: str) -> list[str]:
    """The command in an empty network namespace, where it can't cut anybody off."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return [program("unshare"), *user, "--net", *command]


def run(*command: str, cwd: Path | None = None) -> str:
    """Run the command; its standard output. An AssertionError with what it said if it fails."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, f"{command[0]}: {done.stderr or done.stdout}"
    return done.stdout


def assert_golden(name: str, text: str) -> None:
    """The text is what the golden file holds, byte for byte."""
    path = GOLDEN / name
    if os.environ.get(WRITE):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if that is wanted, run with {WRITE}=1"
