"""The rig's stacks: nothing is left if the session is terminated during an update."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rig.processes import die_with_parent, wait_for
from rig.stack import ROOT, write_project

pytestmark = pytest.mark.docker

# A program that reports its start and never ends.
ENDLESS = """
import pathlib, signal
pathlib.Path(__file__).with_name("running").touch()
signal.pause()
"""

SESSION = """
import pathlib, sys
from rig.rig import end_in_order_on_signals
from rig.stack import running_stack
end_in_order_on_signals()
with running_stack({}, root=pathlib.Path(sys.argv[1])) as stack:
    stack.up()
"""


def processes_in(folder: Path) -> list[str]:
    """The commands of the processes in this folder or with its name."""
    found: list[str] = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text(errors="replace").replace("\0", " ")
            place = (process / "cwd").readlink()
        except OSError:  # it ended meanwhile, or we may not read it
            continue
        if str(folder) in words or place.is_relative_to(folder):
            found.append(words)
    return found


def test_a_session_that_is_terminated_during_an_update_leaves_nothing(tmp_path: Path) -> None:
    root, temporary = tmp_path / "root", tmp_path / "tmp"
    root.mkdir()
    temporary.mkdir()
    write_project(root, ROOT, {"main": ".", "config": {}})
    (root / "__main__.py").write_text(ENDLESS)
    session = subprocess.Popen(
        [sys.executable, "-c", SESSION, str(root)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=die_with_parent,
    )
    try:
        wait_for(
            "the program runs, or its session ended",
            lambda: (root / "running").exists() or session.poll() is not None,
            60.0,
        )
        assert session.poll() is None
        assert processes_in(tmp_path) != []
    finally:
        session.terminate()
    assert session.wait(timeout=60) != 0
    assert processes_in(tmp_path) == []
    assert list(temporary.glob("campus-monitor-*")) == []
