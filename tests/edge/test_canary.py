"""Loki's own canaries on the password route: they get all their lines back, once and in order."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from rig.canary import Canary, Way, running_canary, running_relay
from rig.deployment import Deployment
from rig.figures import TARGETS, record
from rig.namespaces import NAT
from rig.probe import lines_in_loki
from rig.processes import wait_for

pytestmark = [pytest.mark.docker, pytest.mark.soak, pytest.mark.timeout(1800)]

CANARIES = 4
FIRST_PORT = 3500
# After ten times this wait a canary reopens its tail, and counts repeated lines as duplicates: long enough
# for a busy machine.
INTERVAL_SECONDS = 2
SECONDS = 600
# Including the lines at the beginning and at the end of those seconds.
LINES = SECONDS // INTERVAL_SECONDS + 1
# Findings that a canary mustn't report.
FAULTS = (
    "missing_entries_total",
    "spot_check_missing_entries_total",
    "duplicate_entries_total",
    "out_of_order_entries_total",
    "unexpected_entries_total",
)


@pytest.fixture
def canaries(edge: Deployment, tmp_path: Path) -> Iterator[list[Canary]]:
    """Canaries that push to the route with a password, each its own stream."""
    network, run = edge.rig.network, secrets.token_hex(4)
    route = edge.settings["loki"]["instances"]["test"]["route"]
    way = Way(edge.client(NAT), route, network.campus, edge.loki("test"))
    with ExitStack() as stack:
        relay = stack.enter_context(running_relay(way))
        yield [
            stack.enter_context(
                running_canary(
                    network.world,
                    relay,
                    f"canary-{run}-{number}",
                    FIRST_PORT + number,
                    edge.login(),
                    f"{INTERVAL_SECONDS}s",
                    tmp_path / f"canary-{number}.log",
                )
            )
            for number in range(CANARIES)
        ]


def test_no_line_of_a_canary_is_missing_doubled_or_out_of_order(
    edge: Deployment, canaries: list[Canary]
) -> None:
    for canary in canaries:
        wait_for(
            f"{canary.name} has written {LINES} lines",
            lambda canary=canary: _written(canary) >= LINES,
            SECONDS + 120.0,
        )
    with ThreadPoolExecutor(CANARIES) as threads:
        list(threads.map(Canary.stop_writing, canaries))
    counted = [canary.counts() for canary in canaries]
    written = sum(one["entries_total"] for one in counted)
    found: Counter[str] = Counter()

    def arrived() -> bool:
        # A line begins with its own time, so a canary's lines are all different.
        found.clear()
        for canary in canaries:
            lines = lines_in_loki(edge.rig.network.campus, edge.loki("test"), canary.selector)
            found.update(f"{canary.name} {line}" for line in lines)
        return len(found) >= written

    with suppress(TimeoutError):  # missing lines are counted below
        wait_for("all lines are in Loki", arrived, 60.0)
    missing = written - len(found)
    faults = {name: sum(one[name] for one in counted) for name in FAULTS}
    tailed = sum(one["response_latency_seconds_count"] for one in counted)
    versus = f"{CANARIES} canaries with a password for {SECONDS} s, {tailed} lines seen in order as they came"
    record("canary_missing", missing, "", written, versus)
    assert TARGETS["canary_missing"].met_by(missing)
    assert not any(faults.values()), faults
    assert set(found.values()) == {1}
    # A canary without any lines would see none out of order.
    assert tailed >= written // 2, (tailed, written)


def _written(canary: Canary) -> int:
    """The number of a canary's lines; none while it starts."""
    try:
        return canary.counts()["entries_total"]
    except (OSError, KeyError):
        return 0
