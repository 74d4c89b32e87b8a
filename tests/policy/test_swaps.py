"""Rule sets swapped under load: no open connection is dropped, and no stranger's packet comes in."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import cycle

import pytest

from rig import figures
from rig.live_guard import LiveGuard
from rig.namespaces import SERVER, SERVER_6, SERVER_ON_CAMPUS
from tests.policy.conversations import Conversation, Conversations
from tests.policy.policies import load_without_guard, rendered
from tests.policy.rule_sets import RuleSet, random_rules
from tests.policy.site import APPS, APPS_6, SERVER_TO_OFFICE, SERVER_TO_OFFICE_6, Site
from tests.policy.stranger import FORBIDDEN, knocked_at
from tests.support.counts import count

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

SWAPS = count(test=60, soak=2000)
# The number of swaps by a whole update; the others are by the guard alone.
WHOLE_UPDATES = count(test=10, soak=200)
FAULTY_SWAPS = 10
SEED = int(os.environ.get("CAMPUS_MONITOR_SEED") or random.SystemRandom().randrange(2**32))

# The first rules of every rule set of these tests.
KEPT: RuleSet = [
    {"action": "allow", "port": "6001-6002", "from": ["198.51.100.0/24", "2001:db8::7/128"]},
    {"action": "allow", "port": 7001, "from": ["198.51.100.5/32", "2001:db8::7/128"]},
    {"action": "allow", "port": 6002, "from": ["192.168.77.0/24", "2001:db8:77::/64"]},
    {"action": "limit", "port": 6001, "from": [APPS, APPS_6]},
]
CLOSED: RuleSet = [
    {"action": "deny", "port": port, "protocol": protocol}
    for port in FORBIDDEN
    for protocol in ("tcp", "udp")
]


@dataclass
class Seen:
    """The observations while rule sets were swapped."""

    swaps: int
    passed: int
    ended: list[str]
    exchanged: int


def random_policy(rng: random.Random) -> str:
    """A random policy with the rules that these tests need."""
    return rendered(KEPT + CLOSED + random_rules(rng))


def conversations(site: Site) -> Conversations:
    """Open connections from each source that stays allowed to each port that it may reach."""

    def begin(name: str, server: str, port: int) -> Conversation:
        source = site.source(name)
        return Conversation.begin(source, source.addresses[1 if ":" in server else 0], (server, port))

    return Conversations(
        [
            *(begin("campus", SERVER_ON_CAMPUS, port) for port in (6001, 6002, 7001)),
            *(begin("campus", SERVER_6, port) for port in (6001, 6002, 7001)),
            begin("office", SERVER_TO_OFFICE, 6002),
            begin("office", SERVER_TO_OFFICE_6, 6002),
            begin("neighbour", SERVER, 6001),
            begin("neighbour", SERVER_6, 6001),
        ]
    )


def swap(site: Site, times: int, rng: random.Random, apply: Callable[[str], None]) -> Seen:
    """This number of swaps under load, the first before it."""
    apply(random_policy(rng))
    with ExitStack() as running:
        open_ones = running.enter_context(conversations(site).going_on())
        witness = running.enter_context(knocked_at(site))
        for _ in range(times):
            apply(random_policy(rng))
            open_ones.wait_for_more()
        return Seen(
            times,
            witness.passed(),
            [f"{one.title}: {one.ended}" for one in open_ones.all if one.ended],
            sum(one.exchanged for one in open_ones.all),
        )


def test_no_connection_is_dropped_and_no_stranger_comes_in(site: Site, guard: LiveGuard) -> None:
    print(f"seed {SEED}")
    # In turns, by a whole update, and by the guard alone.
    ways = cycle([guard.write, *[guard.load] * (SWAPS // WHOLE_UPDATES - 1)])
    started = time.monotonic()
    seen = swap(site, SWAPS, random.Random(SEED), lambda policy: next(ways)(policy))
    print(f"{seen} in {time.monotonic() - started:.0f} s")
    versus = f"a stranger that probes without pause; {seen.exchanged} numbers exchanged on open connections"
    figures.record("swap_leaks", seen.passed, "", seen.swaps, versus)
    assert seen.ended == []
    assert seen.passed == 0


def flush_then_add(site: Site, policy: str) -> None:
    """In two transactions; the table, its sets and its chains stay."""
    site.campus.run("nft", "flush", "table", "inet", "campus_policy", check=False)
    load_without_guard(site, policy)


def delete_then_add(site: Site, policy: str) -> None:
    site.campus.run("nft", "delete", "table", "inet", "campus_policy", check=False)
    load_without_guard(site, policy)


def close_then_open(site: Site, policy: str) -> None:
    load_without_guard(site, rendered([]))
    load_without_guard(site, policy)


@pytest.mark.usefixtures("no_guard")
@pytest.mark.parametrize("careless", [flush_then_add, delete_then_add])
def test_a_swap_with_a_gap_is_caught(site: Site, careless: Callable[[Site, str], None]) -> None:
    seen = swap(site, FAULTY_SWAPS, random.Random(SEED), lambda policy: careless(site, policy))
    assert seen.passed > 0


@pytest.mark.usefixtures("no_guard")
def test_a_swap_that_closes_first_is_caught(site: Site) -> None:
    seen = swap(site, FAULTY_SWAPS, random.Random(SEED), lambda policy: close_then_open(site, policy))
    assert len(seen.ended) > 0
