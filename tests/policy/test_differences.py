"""Random rule sets, each tried in every way and compared with the oracle: no difference.

Real nft, Docker and kernel. Every run prints its seed: CAMPUS_MONITOR_SEED=<seed> repeats it.
"""

from __future__ import annotations

import os
import random

import pytest

from rig import figures
from rig.live_guard import LiveGuard, live_guard
from rig.rig import running_rig
from tests.policy.differences import Differences, Result
from tests.policy.engine_ways import of_this_run, way_of
from tests.policy.oracle import Way, Who
from tests.policy.policies import rendered
from tests.policy.prober import Outcome
from tests.policy.rule_sets import random_rules
from tests.policy.site import WITHOUT_PROXY, site_in
from tests.support.counts import count

pytestmark = [pytest.mark.docker, pytest.mark.timeout(3600)]

RULE_SETS = count(test=20, soak=200)
OTHER_RULE_SETS = count(test=3, soak=20)
# As in newer Dockers: DNAT for IPv6 like for IPv4 (ip6tables), and here without the proxy.
WITHOUT_PROXY_AT_ALL = (WITHOUT_PROXY, "--experimental", "--ip6tables")
# Closed ways aren't worth a longer wait.
PATIENCE = 3.0
SEED = int(os.environ.get("CAMPUS_MONITOR_SEED") or random.SystemRandom().randrange(2**32))


def test_without_a_policy_every_way_is_open(differences: Differences) -> None:
    """Otherwise a closed way under a policy would prove nothing."""
    ways = {outcome: set[str]() for outcome in Outcome}
    for probe, outcome in differences.without.items():
        ways[outcome].add(way_of(probe))
    silent = ways.pop(Outcome.SILENT)
    assert silent == of_this_run().closed
    assert silent.isdisjoint(set[str]().union(*ways.values()))


def test_random_rule_sets_agree_with_the_oracle(differences: Differences, guard: LiveGuard) -> None:
    total = compare(differences, guard, RULE_SETS)
    versus = f"{RULE_SETS} random rule sets, each against the oracle"
    figures.record("policy_differences", len(total.differences), "", total.probes, versus)
    assert not total.differences


def test_they_agree_where_docker_does_dnat_for_both_families_without_its_proxy() -> None:
    with running_rig(WITHOUT_PROXY_AT_ALL) as rig, site_in(rig) as site:
        differences = Differences(site, PATIENCE)
        outside = {
            (probe.way, outcome)
            for probe, outcome in differences.without.items()
            if probe.source.who is Who.OUTSIDE and probe.way is Way.PUBLISHED
        }
        assert outside == {(Way.PUBLISHED, Outcome.OPEN)}
        with live_guard(rig, guards_host=True) as guard:
            total = compare(differences, guard, OTHER_RULE_SETS)
    assert not total.differences


def compare(differences: Differences, guard: LiveGuard, number: int) -> Result:
    """Try this number of random rule sets; the first with a difference is reported and ends the test."""
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    total = Result()
    for at in range(number):
        rules = random_rules(rng)
        guard.write(rendered(rules))
        found = differences.under(rules)
        total += found
        if found.differences:
            print("\n".join([f"rule set {at}: {rules}", *found.differences[:20]]))
            break
    print(f"{number} rule sets, {total}")
    return total
