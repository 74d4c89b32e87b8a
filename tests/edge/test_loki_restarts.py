"""A Loki stopped and killed under push load: shippers that retry like the plugin lose no line."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest
from docker.models.containers import Container

from components.loki.component import STOP_SECONDS
from rig.deployment import Deployment
from rig.figures import TARGETS, record
from rig.namespaces import NAT
from rig.processes import wait_for
from rig.pusher import Pusher, answers_ready, found_in_loki
from tests.support.counts import count

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1800)]

RESTARTS = count(test=3, soak=50)
LINES = count(test=50_000, soak=1_000_000)
LINES_PER_SECOND = 3000.0
SHIPPERS = 4
# Longer than ten retries take.
SECONDS_PER_PART = 600.0


@pytest.fixture
def loki(edge: Deployment) -> Iterator[Container]:
    """The pushed Loki's container; at the end it answers queries again."""
    client = edge.rig.engine.client()
    try:
        yield client.containers.get(edge.settings["campus"]["namePrefix"] + "loki-aws")
    finally:
        client.close()
        wait_until_ready(edge)


def wait_until_ready(edge: Deployment) -> None:
    """Loki accepts pushes at once, and queries some 16 s later."""
    campus, where = edge.rig.network.campus, edge.loki("aws")
    wait_for("Loki is ready", lambda: answers_ready(campus, where), 90.0)


def ended(loki: Container, *, by_force: bool) -> None:
    """Stop it gracefully, like an update, or kill it, like a power failure."""
    if by_force:
        loki.kill("KILL")
    else:
        loki.stop(timeout=STOP_SECONDS)
    loki.reload()
    assert loki.attrs["State"]["ExitCode"] == (128 + signal.SIGKILL if by_force else 0)


def test_no_line_is_missing_after_restarts_and_kills(edge: Deployment, loki: Container) -> None:
    began, started = time.time_ns(), set[str]()
    shippers = Pusher(
        edge.client(NAT), "/lokiaws", "restarts", lines_per_second=LINES_PER_SECOND, shippers=SHIPPERS
    )
    tally = shippers.tally
    with shippers.running():
        for number in range(RESTARTS + 1):
            wanted = LINES * (number + 1) // (RESTARTS + 1)
            wait_for(
                f"{wanted} lines are acknowledged",
                lambda wanted=wanted: len(tally.acknowledged) >= wanted,
                SECONDS_PER_PART,
            )
            if number < RESTARTS:
                # Killed first, so that three times cover both.
                ended(loki, by_force=number % 2 == 0)
                loki.start()
                loki.reload()
                started.add(loki.attrs["State"]["StartedAt"])
    wait_until_ready(edge)
    found = found_in_loki(edge.rig.network.campus, edge.loki("aws"), "restarts", began)
    missing = found.missing(range(tally.lines))
    print(f"{RESTARTS} times ended: {tally}, {found.duplicates} lines twice")
    retried = ", ".join(f"{times} times {said}" for said, times in sorted(tally.retried.items()))
    versus = (
        f"{RESTARTS} times ended, every other time by kill -9; {tally.pushes} pushes, "
        f"retried: {retried or 'none'}; {found.duplicates} lines twice"
    )
    record("loki_kill_lines_missing", len(missing), "", tally.lines, versus)
    assert TARGETS["loki_kill_lines_missing"].met_by(len(missing)), missing[:20]
    assert len(started) == RESTARTS
    assert tally.lines >= LINES
    assert not tally.drops
    # A stopping Loki closes its connections instead of leaving pushes unanswered.
    assert "TimeoutError" not in tally.retried
