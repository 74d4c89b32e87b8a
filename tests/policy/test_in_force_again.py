"""The policy is in force again after restarts, and restored when somebody removes it."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from rig.inside import first_process
from rig.live_guard import LiveGuard
from rig.processes import wait_for
from tests.policy.differences import Differences
from tests.policy.faults import TELLING
from tests.policy.policies import rendered
from tests.policy.site import Site, open_containers
from tests.policy.stranger import knocked_at
from tests.policy.ufw import others_kept

pytestmark = pytest.mark.docker

# Only for a dead guard: a working guard has restored its table within a second.
SECONDS = 60.0
# Removals, which the guard finds by the event, or by its check every 5 s.
PUT_BACK_SECONDS = 15.0
PUT_BACK = "somebody removed the rules; they are in force again"

REMOVALS = {
    "the ruleset flushed": "flush ruleset",
    "the table flushed": "flush table inet campus_policy",
    "the table deleted": "delete table inet campus_policy",
    "the chain flushed": "flush chain inet campus_policy inbound",
    "the chain without its drop": "flush chain inet campus_policy inbound; "
    "add rule inet campus_policy inbound accept",
}


def restarted(guard: LiveGuard) -> None:
    guard.container.restart()


def crashed(guard: LiveGuard) -> None:
    signalled(guard, signal.SIGKILL)


def stopped_and_started(guard: LiveGuard) -> None:
    guard.container.stop()
    guard.container.start()


@pytest.fixture
def kept(guard: LiveGuard) -> LiveGuard:
    """A guard whose policy every probe can recognise."""
    guard.write(rendered(TELLING))
    return guard


def assert_in_force(guard: LiveGuard, differences: Differences) -> None:
    """The guard reports it, and all probes agree."""
    guard.wait_until_healthy()
    found = differences.under(TELLING)
    assert not found.differences, "\n".join(found.differences)


@pytest.mark.parametrize("restart", [restarted, crashed, stopped_and_started])
def test_a_restart_of_the_guard_leaves_no_gap(
    site: Site, kept: LiveGuard, differences: Differences, restart: Callable[[LiveGuard], None]
) -> None:
    with knocked_at(site) as witness:
        restart(kept)
        assert_in_force(kept, differences)
        assert witness.passed() == 0


def test_a_restart_of_docker_leaves_no_gap(site: Site, kept: LiveGuard, differences: Differences) -> None:
    with knocked_at(site) as witness:
        site.rig.engine.restart()
        open_containers(site)
        assert_in_force(kept, differences)
        assert witness.passed() == 0


def test_after_a_reboot_the_guard_comes_by_itself(
    site: Site, kept: LiveGuard, differences: Differences
) -> None:
    site.rig.engine.crash(meanwhile=lambda: site.campus.run("nft", "flush", "ruleset"))
    open_containers(site)
    assert_in_force(kept, differences)


@pytest.mark.parametrize("removal", REMOVALS.values(), ids=REMOVALS.keys())
def test_removed_rules_are_restored(
    site: Site, kept: LiveGuard, differences: Differences, removal: str
) -> None:
    ours = kept.sh("port-guard running")
    with others_kept(site.campus):
        with frozen(kept):
            site.campus.run("nft", removal)
            assert "not as the policy says" in kept.sh("port-guard healthy 2>&1 || true")
        wait_for(
            "the policy is put back",
            lambda: kept.sh("port-guard running || true") == ours,
            PUT_BACK_SECONDS,
        )
        wait_for("the guard says so", lambda: PUT_BACK in kept.log(), SECONDS)
    assert_in_force(kept, differences)


@contextmanager
def frozen(guard: LiveGuard) -> Iterator[None]:
    """The guard is suspended for the duration of the block."""
    signalled(guard, signal.SIGSTOP)
    try:
        yield
    finally:
        signalled(guard, signal.SIGCONT)


def signalled(guard: LiveGuard, number: signal.Signals) -> None:
    process = first_process(guard.container)
    assert process is not None
    os.kill(process, number)
