"""Rule sets that cut the operator off, which the static check would refuse: each is reverted by itself."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.live.docker_host import LiveError
from components.live.files import LiveFilesProvider
from rig import figures
from rig.live_guard import LiveGuard
from rig.namespaces import NAT, SERVER, Namespace
from rig.probe import can_connect
from rig.processes import die_with_parent, wait_for
from rig.ssh_server import USER, operators_home, ssh_server
from tests.policy.oracle import Attempt, Oracle, Verdict, Way, Who
from tests.policy.policies import rendered
from tests.policy.rule_sets import RuleSet, random_rules
from tests.policy.site import Site
from tests.support.counts import count

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

LOCKOUTS = count(test=6, soak=100)
SEED = int(os.environ.get("CAMPUS_MONITOR_SEED") or random.SystemRandom().randrange(2**32))
SSH = 21541
# The settings' minimum: every round waits for it.
CONFIRM_SECONDS = 1.0
# Only for a hanging update or guard.
SECONDS = 60.0

# The update's message; on a busy machine the trial is over before the update has compared the rules.
UNDONE = "were not confirmed within 1 s; those from before are in force|what runs is not what the files say"

# The trial of an update that is killed: long enough to kill it in the middle.
KILLED_SECONDS = 5.0

GOOD: RuleSet = [{"action": "allow", "port": SSH, "comment": "SSH"}, {"action": "allow", "port": 6001}]
# Typical wrong rules for SSH; the oracle says which rule sets lock the operator out.
MISTAKES: tuple[RuleSet, ...] = (
    [],
    [{"action": "allow", "port": 22}],
    [{"action": "allow", "port": SSH, "protocol": "udp"}],
    [{"action": "allow", "port": SSH, "from": ["198.51.100.0/24"]}],
    [{"action": "allow", "port": SSH, "from": ["2001:db8::/64"]}],
    [{"action": "limit", "port": SSH, "from": ["203.0.113.8/32"]}],
    [{"action": "deny", "port": SSH, "from": [f"{NAT}/32"]}, {"action": "allow", "port": SSH}],
    [{"action": "deny", "port": "1024-65535"}, {"action": "limit", "port": SSH}],
    [{"action": "allow", "port": "21542-21600"}, {"action": "allow", "port": "21000-21540"}],
)


def locking(rng: random.Random) -> RuleSet:
    """A rule set under which the operator's next connection is dropped."""
    operator = Attempt(Who.OUTSIDE, NAT, Way.HOST, "tcp", SSH)
    while True:
        rules = random_rules(rng)
        at = rng.randint(0, len(rules))
        made = [*rules[:at], *rng.choice(MISTAKES), *rules[at:]]
        if Oracle(made).judge(operator) is Verdict.DROP:
            return made


@pytest.fixture
def operated(
    site: Site, guard: LiveGuard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[LiveGuard]:
    """The guard of a host that the operator administers over SSH."""
    guard.write(rendered(GOOD))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    socket = guard.docker_host.removeprefix("unix://")
    with ssh_server(site.campus, (SERVER, SSH), socket) as server:
        operators_home(tmp_path, server)
        yield guard


def update(props: dict[str, Any], world: Namespace) -> None:
    """An update from the operator's machine."""
    with world.entered():
        LiveFilesProvider().create(props)


def update_alone(props: dict[str, Any], world: Namespace) -> None:
    """An update in its own process."""
    die_with_parent()
    update(props, world)


def fails(site: Site, props: dict[str, Any]) -> float:
    """The update runs to its end, and reports the failure; returns the seconds that it took."""
    began = time.monotonic()
    with pytest.raises(LiveError, match=UNDONE):
        update(props | over_ssh(CONFIRM_SECONDS), site.rig.network.world)
    return time.monotonic() - began


def is_killed(site: Site, props: dict[str, Any]) -> float:
    """The update is killed during the trial; returns the seconds until the guard has gone back."""
    before = table(site)
    context = multiprocessing.get_context("spawn")
    arguments = props | over_ssh(KILLED_SECONDS), site.rig.network.world
    process = context.Process(target=update_alone, args=arguments, daemon=True)
    process.start()
    try:
        wait_for("the new rules are in force", lambda: table(site) != before, SECONDS)
        began = time.monotonic()
    finally:
        process.kill()
        process.join()
    wait_for("the old rules are in force again", lambda: table(site) == before, SECONDS)
    return time.monotonic() - began


def over_ssh(seconds: float) -> dict[str, Any]:
    """The properties by which the operator's update reaches the host and confirms new rules."""
    confirmation = {"seconds": seconds, "ssh_port": float(SSH)}
    return {"confirmation": confirmation, "docker_host": f"ssh://{USER}@{SERVER}:{SSH}"}


def table(site: Site) -> str:
    """The kernel's rules."""
    return site.campus.run("nft", "-s", "-t", "list", "table", "inet", "campus_policy").stdout


def test_every_rule_set_that_locks_the_operator_out_is_undone(site: Site, operated: LiveGuard) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    before = operated.in_force()
    lost: list[str] = []
    slowest = {fails: 0.0, is_killed: 0.0}
    for number in range(LOCKOUTS):
        ends = is_killed if number % 5 == 4 else fails
        rules = locking(rng)
        slowest[ends] = max(slowest[ends], ends(site, operated.props(rendered(rules))))
        if operated.in_force() != before or not can_connect(site.rig.network.world, NAT, (SERVER, SSH)):
            lost.append(f"{number}: {rules}")
            operated.write(rendered(GOOD))
    recovered = 100 * (LOCKOUTS - len(lost)) / LOCKOUTS
    versus = (
        "generated, over a real SSH connection; at most "
        f"{slowest[fails]:.1f} s for an update with {CONFIRM_SECONDS:.0f} s to confirm, "
        f"{slowest[is_killed]:.1f} s to the old rules with {KILLED_SECONDS:.0f} s and a killed update"
    )
    figures.record("lockouts_recovered", recovered, "%", LOCKOUTS, versus)
    assert lost == []
    # The next change removes the leftovers of a killed update.
    operated.write(rendered(GOOD))
    assert operated.leftovers() == []
