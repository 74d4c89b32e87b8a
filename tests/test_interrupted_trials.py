"""New files on trial, killed at each step: the program goes back to the files on the disk."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.kill_points import steps_tried
from tests.support.live_directory import TRIED, Live

FIRST, SECOND, THIRD = ({"a": text} for text in ("first\n", "second\n", "third\n"))


def begin(live: Live, step: int) -> int:
    """Put new files on trial, killed at this step; returns the script's status."""
    status = live.apply(SECOND, seconds=7, program=TRIED, kill_at=step).returncode
    assert live.files() == FIRST, step
    assert live.running() == "first\n" or (live.folder / "trial").exists(), step
    live.over()
    assert live.running() == "first\n", step
    return status


def end(live: Live, step: int) -> int:
    """Confirm new files, killed at this step; returns the script's status."""
    status = live.end(live.begin("second\n"), "keep", kill_at=step)
    # As soon as the trial is over, the new files are in place.
    assert (live.folder / "trial").exists() or live.files() == SECOND, step
    live.over()
    assert live.running() == live.files()["a"], step
    return status


def killed_once(first: Live, change: Callable[[Live, int], int], step: int) -> bool:
    """Kill a change before one of its steps, and then make another; False if it had no such step."""
    live = Live(first.folder.with_name(str(step)), like=first)
    killed = change(live, step) == -signal.SIGKILL
    assert live.apply(THIRD, program=TRIED).returncode == 0, step
    assert (live.files(), live.running(), live.leftovers()) == (THIRD, "third\n", []), step
    return killed


@pytest.mark.parametrize("change", [begin, end])
def test_a_trial_that_is_killed_at_any_step_leaves_one_policy(
    change: Callable[[Live, int], int], tmp_path: Path
) -> None:
    first = Live(tmp_path / "first")
    first.apply(FIRST)
    # About as many steps as the script has commands: with far fewer, this test would have missed some.
    assert steps_tried(lambda step: killed_once(first, change, step)) > 30
