"""The real ufw beside the policy: neither touches the other's rules. Also the gaps of ufw alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rig.live_guard import LiveGuard
from tests.policy.differences import Differences
from tests.policy.engine_ways import of_this_run, way_in
from tests.policy.faults import TELLING
from tests.policy.oracle import Way, Who
from tests.policy.policies import rendered
from tests.policy.prober import Outcome
from tests.policy.site import Probe, Site
from tests.policy.ufw import Ufw, others_rules, ufw_on

pytestmark = pytest.mark.docker

# ufw's rules for the policy's own defaults, so that only the policy refuses packets.
PERMISSIVE = (("default", "allow", "incoming"), ("default", "allow", "routed"))
# Several rounds under the same rules would exhaust a limit.
UNLIMITED = [rule for rule in TELLING if rule["action"] != "limit"]
COMMANDS = (
    ("--force", "enable"),
    ("allow", "6001/tcp"),
    ("limit", "21541/tcp"),
    ("reload",),
    ("disable",),
    ("--force", "enable"),
    ("--force", "reset"),
)


@pytest.fixture
def ufw(site: Site, differences: Differences) -> Iterator[Ufw]:
    """ufw, not yet enabled."""
    del differences
    with ufw_on(site.campus, site.rig.run) as made:
        yield made


def test_ufw_leaves_the_policy_alone(ufw: Ufw, guard: LiveGuard) -> None:
    guard.write(rendered(TELLING))
    ours = guard.sh("port-guard running")
    for command in COMMANDS:
        ufw(*command)
        assert guard.sh("port-guard running && port-guard healthy") == ours, command
    assert "put back" not in guard.log()


def test_the_policy_leaves_ufw_and_docker_alone(site: Site, ufw: Ufw, guard: LiveGuard) -> None:
    ufw("--force", "enable")
    theirs = others_rules(site.campus)
    assert any("ufw-user-input" in line for line in theirs)
    assert any(of_this_run().mark in line for line in theirs)
    guard.write(rendered(TELLING))
    guard.write(rendered([]))
    guard.container.restart()
    site.campus.run("nft", "flush", "table", "inet", "campus_policy")
    guard.wait_until_healthy()
    assert others_rules(site.campus) == theirs


def test_beside_ufw_the_policy_holds(ufw: Ufw, guard: LiveGuard, differences: Differences) -> None:
    for command in PERMISSIVE:
        ufw(*command)
    ufw("--force", "enable")
    guard.write(rendered(UNLIMITED))
    for command in (("reload",), ("disable",), ("--force", "enable")):
        ufw(*command)
        found = differences.under(UNLIMITED)
        assert not found.differences, "\n".join([str(command), *found.differences])


def test_what_ufw_alone_covers_and_what_docker_opens_behind_its_back(
    ufw: Ufw, differences: Differences
) -> None:
    """The table of docs/port-policy.md: ufw denies everything from outside, and allows nothing."""
    ufw("--force", "enable")
    reached = {way_in(probe) for probe, outcome in differences.try_all().items() if is_in(probe, outcome)}
    # If Docker has no rules for IPv6, its proxy listens like any process, and ufw covers it.
    assert reached == of_this_run().past_ufw


def is_in(probe: Probe, outcome: Outcome) -> bool:
    return probe.source.who is Who.OUTSIDE and probe.way is not Way.OUTBOUND and outcome is not Outcome.SILENT
