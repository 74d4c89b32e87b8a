"""Configuration changes under load: over HTTP/2 nothing fails, over HTTP/1.1 no line is lost."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from rig.deployment import Deployment
from rig.edge_files import EdgeFiles, edge_files
from rig.figures import TARGETS, record
from rig.h2_load import CONNECTIONS, H2Load, Outcome
from rig.handover import WAITING, handed_over
from rig.namespaces import LATER_NAT, NAT, STRANGER
from rig.probe import trust_of
from rig.processes import wait_for
from rig.pusher import Found, Pusher, Tally, found_in_loki
from tests.support.counts import count

# The first test waits for all changes: about half a second each under this load.
pytestmark = [pytest.mark.docker, pytest.mark.alone, pytest.mark.timeout(count(test=900, soak=3600))]

CHANGES = count(test=26, soak=1000)
REQUESTS_PER_SECOND = 500.0
# In addition to the load over HTTP/2: as many lines, five per push.
SHIPPERS = 10
BATCH_WAIT_SECONDS = 0.1
# Generous: only a hanging load takes longer.
CONNECTED_SECONDS = 60.0
OPERATORS = ("198.51.100.77/32",)


@dataclass
class Changed:
    """The observations during the changes."""

    over_h2: Outcome
    over_h1: Tally
    found_h2: Found
    found_h1: Found
    caddy_before: tuple[str, str]
    caddy_after: tuple[str, str]


@pytest.fixture(scope="module")
def changed(edge: Deployment) -> Changed:
    """Many consecutive changes under both loads."""
    began, since = time.time_ns(), edge.caddy_since()
    tls = trust_of(edge.caddy())
    load = H2Load(edge.client(NAT), tls, "/lokiaws", "reload-h2", requests_per_second=REQUESTS_PER_SECOND)
    shippers = Pusher(
        edge.client(NAT),
        "/lokiaws",
        "reload-h1",
        lines_per_second=REQUESTS_PER_SECOND,
        shippers=SHIPPERS,
        batch_wait=BATCH_WAIT_SECONDS,
    )
    with ExitStack() as running, edge_files(edge) as live:
        running.enter_context(load.running())
        running.enter_context(shippers.running())
        started = time.monotonic()
        change(live, CHANGES, load)
        took = time.monotonic() - started
    campus, loki = edge.rig.network.campus, edge.loki("aws")
    seen = Changed(
        over_h2=load.outcome,
        over_h1=shippers.tally,
        found_h2=found_in_loki(campus, loki, "reload-h2", began),
        found_h1=found_in_loki(campus, loki, "reload-h1", began),
        caddy_before=since,
        caddy_after=edge.caddy_since(),
    )
    print(f"{CHANGES} changes in {took:.0f} s\n{seen.over_h2}\n{seen.over_h1}")
    return seen


def change(live: EdgeFiles, times: int, load: H2Load) -> None:
    """This many changes of every kind: the Caddyfile back and forth, an address allowed and disallowed.

    Each closes all connections of the load, so each waits until the load has reconnected.
    """
    other = live.rendered(cidrs=OPERATORS)
    kinds = [
        lambda: live.apply(other),
        lambda: live.allow(LATER_NAT),
        lambda: live.apply(live.deployed),
        lambda: live.disallow(LATER_NAT),
    ]
    for number in range(times):
        wait_for("the load has its connections", load.is_connected, CONNECTED_SECONDS)
        kinds[number % len(kinds)]()


def test_the_changes_are_of_the_deployed_configuration(edge: Deployment) -> None:
    with edge_files(edge) as live:
        assert live.rendered() == live.deployed
        assert live.rendered(cidrs=OPERATORS) != live.deployed


def test_connections_waiting_at_the_old_listener_reach_the_new_one(edge: Deployment) -> None:
    assert handed_over(edge.rig.network.campus) == WAITING


def test_no_request_over_http2_fails(changed: Changed) -> None:
    outcome = changed.over_h2
    # Each change closed every connection, so all of them took place under load.
    assert outcome.goaways >= CHANGES * CONNECTIONS
    versus = f"{CHANGES} changes under {REQUESTS_PER_SECOND:g}/s; {outcome.resent} unprocessed ones re-sent"
    record("reload_failed_requests", outcome.failed, "", outcome.sent, versus)
    assert TARGETS["reload_failed_requests"].met_by(outcome.failed), outcome.failures
    assert len(outcome.acknowledged) == outcome.sent


def test_repeated_requests_had_not_been_processed(changed: Changed) -> None:
    assert changed.found_h2.missing(changed.over_h2.acknowledged) == []
    assert changed.found_h2.duplicates == 0


def test_a_retrying_shipper_over_http1_loses_no_line(changed: Changed) -> None:
    tally = changed.over_h1
    missing = changed.found_h1.missing(range(tally.lines))
    errors = sum(tally.retried.values())
    versus = f"{CHANGES} changes, {tally.pushes} pushes, {errors} connection errors, each retried"
    record("reload_lines_missing", len(missing), "", tally.lines, versus)
    assert TARGETS["reload_lines_missing"].met_by(len(missing)), missing[:20]
    assert tally.lines > CHANGES
    assert not tally.drops
    # Only closed connections, and no wrong answer.
    assert not [said for said in tally.retried if said.isdigit()]


def test_caddy_is_never_restarted(changed: Changed) -> None:
    assert changed.caddy_after == changed.caddy_before


@pytest.mark.usefixtures("changed")
def test_the_stack_finds_no_change(edge: Deployment) -> None:
    edge.stack.run("preview", "--refresh", "--expect-no-changes")


def test_both_loads_count_refusals(edge: Deployment) -> None:
    began = time.time_ns()
    tls = trust_of(edge.caddy())
    load = H2Load(edge.client(STRANGER), tls, "/lokiaws", "refused", requests_per_second=100)
    shipper = Pusher(
        edge.client(STRANGER), "/lokiaws", "refused", lines_per_second=100, shippers=2, batch_wait=0.1
    )
    with load.running(), shipper.running():
        wait_for("both push", lambda: min(load.outcome.sent, len(shipper.tally.dropped)) > 10, 60.0)
    assert load.outcome.failures == {"status 403": load.outcome.sent}
    assert load.outcome.sent > 10
    tally = shipper.tally
    assert tally.drops == {"403": tally.lines}
    assert not tally.retried
    assert tally.lines > 10
    found = found_in_loki(edge.rig.network.campus, edge.loki("aws"), "refused", began)
    assert len(found.missing(range(tally.lines))) == tally.lines
