"""The suite detects broken policies: each fault is red, and the sound policy is green again."""

from __future__ import annotations

import pytest

from rig.engines import chosen
from tests.policy.differences import Differences
from tests.policy.faults import BEHIND_DNAT, FAULTS, TELLING, Fault
from tests.policy.policies import load_without_guard, rendered
from tests.policy.site import Site

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("no_guard")]

# No longer wait for packets that a fault blocks.
PATIENCE = 2.0


def test_the_sound_policy_is_found_sound(site: Site, differences: Differences) -> None:
    load_without_guard(site, rendered(TELLING))
    found = differences.under(TELLING)
    assert not found.differences, "\n".join(found.differences)


# Engines before Docker 29 don't turn a container's packets to another container.
SEEN = [*FAULTS, *([BEHIND_DNAT] if chosen().release == "29" else [])]


@pytest.mark.parametrize("fault", SEEN, ids=[fault.name for fault in SEEN])
def test_a_policy_that_does_not_hold_is_caught(site: Site, differences: Differences, fault: Fault) -> None:
    load_without_guard(site, fault.seeded(rendered(TELLING)))
    found = differences.under(TELLING, PATIENCE)
    assert getattr(found, fault.finds), f"{fault.name} wasn't noticed in {found}"
