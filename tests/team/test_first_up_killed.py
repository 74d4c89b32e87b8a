"""The first `pulumi up` of a stack, killed at many moments: the next one finishes it."""

from __future__ import annotations

import pytest

from rig import figures
from rig.deployment import Deployment, configured
from rig.emulator import Emulator
from rig.killed import clear_up, spread, up
from rig.namespaces import NAT, STRANGER
from rig.rig import Rig
from tests.support.counts import count

FIGURE = "first_up_kill_points_converged"
KILLS = count(test=1, soak=20)


def first_up_killed(made: Deployment, emulator: Emulator, moment: str | None) -> list[str]:
    """Kill it at this moment, and finish it with another; its output."""
    said = up(made.stack, until=moment)
    if moment is not None:
        clear_up(made, emulator)
        made.stack.up()
    return list(dict.fromkeys(said))


def works(made: Deployment) -> bool:
    """Whether the gate works, and the next preview is empty."""
    pushed = [made.push_status(source, "aws") for source in (NAT, STRANGER)]
    return pushed == [204, 403] and made.stack.changes() == {}


@pytest.mark.docker
@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_a_killed_first_up_is_finished_by_the_next_one(rig: Rig, emulator: Emulator) -> None:
    with configured(rig, emulator) as made:
        said = first_up_killed(made, emulator, None)
        assert works(made)
    failed: list[str] = []
    moments = spread(said, KILLS)
    for moment in moments:
        print(f"killed when it says: {moment}")
        with configured(rig, emulator) as made:
            assert moment in first_up_killed(made, emulator, moment)
            if not works(made):
                failed.append(moment)
    value = 100 * (len(moments) - len(failed)) / len(moments)
    figures.record(FIGURE, value, "%", len(moments), "a first `pulumi up` killed")
    assert failed == []
    assert figures.TARGETS[FIGURE].met_by(value)
