"""The gate: only allowed pushes get through, and the suite catches broken gates.

With the real Caddy and Lokis; the connections to a Loki show what reaches it. Every run prints its seed:
CAMPUS_MONITOR_SEED=<seed> repeats it.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice

import pytest

from rig import figures
from rig.deployment import Deployment
from rig.edge_files import EdgeFiles, edge_files
from rig.namespaces import NAT, STRANGER
from rig.processes import wait_for
from tests.edge.gate import Result, run
from tests.edge.gate_cases import Case, Cases
from tests.edge.gate_faults import FAULTS, Fault
from tests.edge.gate_oracle import MAX_BODY, Policy, Verdict
from tests.edge.gate_routes import deployed_policy, many_routes, many_routes_policy
from tests.edge.gate_wire import Wire
from tests.edge.relay import Relay
from tests.support.counts import count

pytestmark = pytest.mark.docker

CASES = count(test=10_000, soak=100_000)
# Random cases in addition to the essential ones, to test the suite itself.
CASES_PER_FAULT = 300
SEED = int(os.environ.get("CAMPUS_MONITOR_SEED") or random.SystemRandom().randrange(2**32))
# Passwords that Caddy hashes at the deployment's full cost, over a second each.
GUESSES = 6
# Bytes of a line that compresses to a thousandth: without a limit it kills a Loki of 1 GiB.
UNPACKED = 256 << 20
# Loki uses the job as a stream's service if it has none; OpenTelemetry's has no job.
LINES = '{service_name="gate"}'


@dataclass
class Gate:
    """The deployed stack, and the relay in front of its Lokis."""

    deployment: Deployment
    files: EdgeFiles
    relay: Relay

    def run(self, policy: Policy, cases: Iterable[Case]) -> Result:
        """Run cases over their own connections."""
        wire = Wire(self.deployment)
        with wire.open():
            result = run(policy, wire, self.relay, cases)
        print(f"seed {SEED}: {result.summary()}")
        return result

    def lines(self) -> Counter[str]:
        """The number of the suite's lines in each Loki."""
        return Counter({name: self.relay.lines(name, LINES) for name in ("aws", "test")})


@pytest.fixture(scope="module")
def gate(edge: Deployment) -> Iterator[Gate]:
    """The relay in front of the Lokis, and Caddy with the deployed configuration."""
    relay = Relay(edge.rig.network.campus, {name: edge.loki(name) for name in ("aws", "test")})
    with relay.running(), edge_files(edge) as files:
        yield Gate(edge, files, relay)


def cases_for(policy: Policy) -> Cases:
    """This session's cases."""
    return Cases(policy, SEED, time.time_ns())


def test_the_deployed_gate_lets_through_who_may_push_and_nobody_else(gate: Gate) -> None:
    policy = deployed_policy(gate.deployment)
    core = list(cases_for(policy).core())
    guesses = [case for case in core if case.guesses]
    result = gate.run(policy, [case for case in core if not case.guesses] + guesses[:GUESSES])
    assert not result.bypasses, result.report()
    assert not result.wrong_refusals, result.report()


@pytest.mark.timeout(3600)  # in a soak
def test_generated_cases_agree_with_the_oracle(gate: Gate) -> None:
    policy = many_routes_policy(gate.deployment)
    maker = cases_for(policy)
    with many_routes(gate.deployment, gate.files):
        gate.relay.take()  # leftovers of the test before
        before = gate.lines()
        result = gate.run(policy, islice(chain(maker.core(), maker.generated(CASES)), CASES))
    versus = f"the oracle, {result.summary()}"
    figures.record("gate_bypasses", len(result.bypasses), "", result.cases, versus)
    figures.record("gate_wrong_refusals", len(result.wrong_refusals), "", result.cases, versus)
    assert result.cases == CASES
    assert not result.bypasses, result.report()
    assert not result.wrong_refusals, result.report()

    def all_is_accounted_for() -> bool:
        # A cut stream may arrive after its round.
        result.count(gate.relay.take()[0])
        return result.taken <= gate.lines() - before <= result.taken + result.cut_off

    wait_for("the Lokis have all that the relay saw accepted", all_is_accounted_for, 30.0)
    assert result.cut_off.total() < CASES / 50
    # The oracle judged many cases each way.
    assert result.verdicts[Verdict.PASS] > CASES / 16
    assert result.verdicts[Verdict.NEVER] > CASES / 4


def test_a_body_above_the_limit_never_reaches_loki_whole(gate: Gate) -> None:
    policy = deployed_policy(gate.deployment)
    door, maker = policy.doors[0], cases_for(policy)
    fitting, larger = (list(maker.large(door, NAT, size)) for size in (MAX_BODY, MAX_BODY + 1))
    strange = list(maker.large(door, STRANGER, MAX_BODY + 1))
    result = gate.run(policy, [*fitting, *larger, *strange])
    assert not result.bypasses, result.report()
    assert not result.wrong_refusals, result.report()
    # The second status is that of the request behind it, which HTTP/1 may omit.
    assert [result.replies[case.number].statuses[0] for case in larger] == [413] * 3
    assert [result.replies[case.number].statuses[0] for case in strange] == [403] * 3


def test_a_small_body_that_unpacks_to_a_large_one_does_not_kill_loki(gate: Gate) -> None:
    policy = deployed_policy(gate.deployment)
    before = gate.deployment.running_since("loki-aws")
    result = gate.run(policy, [cases_for(policy).packed(policy.doors[0], NAT, UNPACKED)])
    assert [reply.statuses for reply in result.replies.values()] == [(400,)]
    assert gate.deployment.running_since("loki-aws") == before
    assert not result.wrong_refusals, result.report()


def test_the_access_log_is_json_and_shows_no_login(gate: Gate) -> None:
    login, agent = gate.deployment.login(), f"agent-{time.time_ns()}"
    headers = {"User-Agent": agent, "Authorization": login.header(), "Cookie": f"grafana_session={agent}"}
    path = f"/lokitest/{time.time_ns()}"
    assert gate.deployment.client(NAT).request("GET", path, headers=headers).status == 403

    def logged() -> str | None:
        lines = gate.deployment.caddy().logs(tail=100).decode().splitlines()
        return next((line for line in lines if path in line), None)

    line = wait_for("Caddy has logged the request", logged, 10.0)
    entry = json.loads(line)
    assert (entry["remote_ip"], entry["uri"]) == (NAT, path)
    for secret in (login.password, login.header().removeprefix("Basic "), agent):
        assert secret not in line


def test_nothing_listens_for_http_3(gate: Gate) -> None:
    sockets = gate.deployment.rig.network.campus.run("ss", "-Hlun", "sport = :443 or sport = :80").stdout
    assert sockets == ""


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_a_broken_gate_is_caught(gate: Gate, fault: Fault) -> None:
    policy = many_routes_policy(gate.deployment)
    policy = Policy(policy.host, policy.doors[slice(*fault.doors)])
    maker = cases_for(policy)
    with many_routes(gate.deployment, gate.files) as sound:
        gate.files.apply(fault.seeded(sound))
        found = gate.run(policy, chain(maker.essential(), maker.generated(CASES_PER_FAULT)))
        gate.files.apply(sound)
        restored = gate.run(policy, maker.essential())
    assert getattr(found, fault.finds), f"{fault.name} wasn't noticed in {found.summary()}"
    assert not restored.bypasses, restored.report()
    assert not restored.wrong_refusals, restored.report()
