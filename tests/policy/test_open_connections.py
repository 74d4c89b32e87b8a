"""A revoked source loses its open connections; all others keep theirs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from rig.live_guard import LiveGuard
from rig.namespaces import CAMPUS_CLIENT, NAT_6
from tests.policy.conversations import PORTS, WIDE, Conversations, opened
from tests.policy.policies import load_without_guard, rendered
from tests.policy.prober import ANSWER_SECONDS, family_of, fence
from tests.policy.rule_sets import RuleSet
from tests.policy.site import BOTH, Site

pytestmark = pytest.mark.docker

# Without the campus client; all others stay.
NARROW: RuleSet = [
    {"action": "deny", "port": port, "protocol": one, "from": [f"{CAMPUS_CLIENT}/32", f"{NAT_6}/128"]}
    for port in PORTS
    for one in BOTH
] + WIDE


def lost(site: Site, narrow: Callable[[], None]) -> tuple[set[str], set[str]]:
    """The sources that lose their connections when the rules are narrowed, and those that keep them."""
    conversations = {name: opened(site, name) for name in ("campus", "office", "neighbour")}
    with Conversations([one for some in conversations.values() for one in some]).going_on() as all_of_them:
        narrow()
        all_of_them.wait_for_more()
        ended = {name: {bool(one.ended) for one in some} for name, some in conversations.items()}
    return {name for name in ended if True in ended[name]}, {name for name in ended if False in ended[name]}


def test_only_a_revoked_source_loses_its_open_connections(site: Site, guard: LiveGuard) -> None:
    guard.write(rendered(WIDE))
    assert lost(site, lambda: guard.write(rendered(NARROW))) == ({"campus"}, {"office", "neighbour"})


def test_open_connections_are_judged_again_after_every_swap(site: Site, guard: LiveGuard) -> None:
    """Once revoked, a connection doesn't come back to life when its source is let in again."""
    guard.write(rendered(WIDE))
    with Conversations(opened(site, "campus")).going_on() as revoked:
        guard.write(rendered(NARROW))
        revoked.wait_for_more()
        guard.write(rendered(WIDE))
        revoked.wait_for_more()
    assert [one.ended for one in revoked.all] == ["[Errno 104] Connection reset by peer"] * len(revoked.all)


def datagrams(site: Site, narrow: Callable[[], None]) -> tuple[set[bytes], set[bytes]]:
    """The datagrams that arrive after the rules were narrowed: the revoked source's, and the others'."""
    with ExitStack() as kept:
        flows = {
            name: [kept.enter_context(one) for one in flowing(site, name)] for name in ("campus", "office")
        }
        narrow()
        for name, some in flows.items():
            for number, one in enumerate(some):
                one.send(f"{name} {number} after".encode())
        for one in flows["office"]:
            one.recv(100)
        everything = [probe for name in flows for probe in site.probes(site.source(name))]
        assert fence(everything, ANSWER_SECONDS) == []
        arrived = {one for one in site.services.datagrams.copy() if one.endswith(b" after")}
    site.services.datagrams.clear()
    return (
        {one for one in arrived if one.startswith(b"campus")},
        {one for one in arrived if one.startswith(b"office")},
    )


def flowing(site: Site, name: str) -> Iterator[socket.socket]:
    """Exchanges of datagrams over each family with a host's process, and with a published port."""
    source = site.source(name)
    for address, server in zip(source.addresses, source.servers[:2], strict=True):
        for port in PORTS:
            with source.namespace.entered():
                made = socket.socket(family_of(address), socket.SOCK_DGRAM)
            made.settimeout(ANSWER_SECONDS)
            made.bind((address, 0))
            made.connect((server, port))
            for _ in range(2):  # the kernel calls it established after the first answer
                made.send(b"before")
                assert made.recv(100) == b"before"
            yield made


def test_a_revoked_source_loses_its_exchanges_of_datagrams(site: Site, guard: LiveGuard) -> None:
    guard.write(rendered(WIDE))
    revoked, others = datagrams(site, lambda: guard.write(rendered(NARROW)))
    assert revoked == set()
    assert len(others) == 2 * len(PORTS)


@pytest.mark.usefixtures("no_guard")
def test_a_policy_under_which_the_revoked_keep_theirs_is_caught(site: Site) -> None:
    def narrow() -> None:
        load_without_guard(site, rendered(NARROW).replace("ct direction reply accept", "accept"))

    load_without_guard(site, rendered(WIDE))
    assert lost(site, narrow) == (set(), {"campus", "office", "neighbour"})
    load_without_guard(site, rendered(WIDE))
    revoked, _ = datagrams(site, narrow)
    assert len(revoked) == 2 * len(PORTS)
