"""`limit` allows a few tries of each host at once, and no more."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pytest

from rig.namespaces import Namespace
from rig.probe import is_connected
from tests.policy.conversations import Conversation, Conversations
from tests.policy.policies import load_without_guard, rendered
from tests.policy.prober import ANSWER_SECONDS, family_of, fence
from tests.policy.rule_sets import RuleSet
from tests.policy.site import SECOND_LINK, Site, Source

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("no_guard")]

PORT = 6001
RULES: RuleSet = [{"action": "limit", "port": PORT}]
# ufw(8): six within 30 seconds; enough more tries that even on a slow machine some are refused.
AT_ONCE = 6
TRIES = 40


def come_about(site: Site, source: Source, addresses: Sequence[str], server: str) -> int:
    """How many parallel connections, one from each address, are established."""
    with ExitStack() as kept:
        with source.namespace.entered():
            tries = [kept.enter_context(socket.socket(family_of(server))) for _ in addresses]
        for one, address in zip(tries, addresses, strict=True):
            one.setblocking(False)
            one.bind((address, 0))
            assert one.connect_ex((server, PORT)) == errno.EINPROGRESS
        assert fence(site.probes(source), ANSWER_SECONDS) == []
        return sum(is_connected(one) for one in tries)


@pytest.mark.parametrize("family", [0, 1], ids=["IPv4", "IPv6"])
def test_a_host_gets_a_few_tries_at_once_and_others_theirs(site: Site, family: int) -> None:
    load_without_guard(site, rendered(RULES))
    for name in ("mate", "office", "neighbour"):
        source = site.source(name)
        tries = [source.addresses[family]] * TRIES
        assert AT_ONCE <= come_about(site, source, tries, source.servers[family]) < TRIES


def test_all_addresses_of_a_network_of_ipv6_are_one_host(site: Site) -> None:
    load_without_guard(site, rendered(RULES))
    mate = site.source("mate")
    with more_addresses(mate.namespace, TRIES) as addresses:
        assert AT_ONCE <= come_about(site, mate, addresses, mate.servers[1]) < TRIES


@contextmanager
def more_addresses(namespace: Namespace, number: int) -> Iterator[list[str]]:
    """This number of additional addresses on the second link."""
    addresses = [f"2001:db8:2::{0x100 + one:x}" for one in range(number)]

    def each(*change: str) -> None:
        for address in addresses:
            namespace.run("ip", "addr", change[0], f"{address}/64", "dev", SECOND_LINK, *change[1:])

    each("add", "nodad")
    try:
        yield addresses
    finally:
        each("del")


def test_traffic_on_an_open_connection_is_no_try(site: Site) -> None:
    load_without_guard(site, rendered(RULES))
    mate = site.source("mate")
    conversation = Conversation.begin(mate, mate.addresses[0], (mate.servers[0], PORT))
    with Conversations([conversation]).going_on() as one:
        come_about(site, mate, [mate.addresses[0]] * TRIES, mate.servers[0])
        for _ in range(TRIES):
            one.wait_for_more()
        assert not conversation.ended
