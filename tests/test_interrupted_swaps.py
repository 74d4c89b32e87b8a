"""A program that reads its files from the directory alone: a change is killed at each of its steps."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.kill_points import steps_tried
from tests.support.live_directory import STUB, Live

# The program can't report its state: `running` is for this test alone.
SWAPPED = replace(STUB, wanted=":", running=":", swaps_first=True)
FIRST = {"a": "first\n", "sub/b": "b\n"}
SECOND = {"a": "second\n", "more": "more\n", "sub/b": "new\n"}
REFUSED = SECOND | {"a": "refused\n"}


def killed_once(first: Live, change: dict[str, str], step: int) -> bool:
    """Kill a change before one of its steps, and then make a good change; False if it had no such step."""
    live = Live(first.folder.with_name(str(step)), like=first)

    killed = live.apply(change, program=SWAPPED, kill_at=step).returncode == -signal.SIGKILL
    assert live.files() in (FIRST, FIRST | change), step

    # The same files as those that may be there now without a reload: they are reloaded in any case.
    assert live.apply(SECOND, program=SWAPPED).returncode == 0, step
    assert (live.files(), live.running(), live.leftovers()) == (FIRST | SECOND, "second\n", []), step
    return killed


@pytest.mark.parametrize("change", [SECOND, REFUSED], ids=["taken", "refused"])
def test_a_swap_that_is_killed_at_any_step_is_reloaded_by_the_next_run(
    change: dict[str, str], tmp_path: Path
) -> None:
    first = Live(tmp_path / "first")
    first.apply(FIRST, program=SWAPPED)
    assert first.running() == "first\n"
    # About as many steps as the script has commands: with far fewer, this test would have missed some.
    assert steps_tried(lambda step: killed_once(first, change, step)) > 80
