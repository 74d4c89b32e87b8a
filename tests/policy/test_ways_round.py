"""Hand-made packets that try to get round the policy: none passes.

Each is also tried without a policy: a packet that the kernel itself drops proves nothing.
"""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import pytest

from components.live.container_facts import POLICY_TABLE
from components.port_policy.nftables import EMPTY_POLICY
from components.port_policy.nftables import OTHERS as OTHERS_COUNTER
from rig.namespaces import CAMPUS_CLIENT, NAT_6, SERVER
from rig.processes import wait_for
from tests.policy.oracle import Attempt, Oracle, Verdict, Way, Who
from tests.policy.packets import (
    ACK,
    DESTINATION,
    FIN,
    HOP_BY_HOP,
    PADDING,
    PSH,
    ROUTING,
    RST,
    SYN,
    Ends,
    extended,
    fragments,
    hardware_address,
    icmp,
    packet,
    send,
    tcp,
    udp,
)
from tests.policy.policies import load_without_guard, rendered
from tests.policy.prober import ANSWER_SECONDS, family_of, fence
from tests.policy.rule_sets import RuleSet
from tests.policy.site import (
    APP,
    APP_6,
    APPS_GATEWAY,
    APPS_GATEWAY_6,
    LOOPBACK_PORT,
    MATE,
    MATE_6,
    NEIGHBOUR,
    NEIGHBOUR_6,
    OFFICE,
    OTHER,
    OTHER_6,
    OTHERS,
    OTHERS_6,
    SECOND_LINK,
    SERVER_TO_MATE,
    SERVER_TO_MATE_6,
    Site,
    Source,
)
from tests.policy.stranger import knocked_at
from tests.policy.witness import Witness

pytestmark = [pytest.mark.docker, pytest.mark.usefixtures("no_guard")]

OPEN, CLOSED, PUBLISHED = 6002, 6001, 7001
RULES: RuleSet = [
    {"action": "allow", "port": OPEN, "protocol": "both"},
    {"action": "allow", "port": LOOPBACK_PORT, "protocol": "both"},
    {"action": "allow", "port": 6003, "protocol": "both", "from": ["198.51.100.0/24", "2001:db8::/64"]},
    {"action": "allow", "port": 6003, "protocol": "both", "from": [OTHERS, OTHERS_6]},
]
FOUR, SIX = Ends(MATE, SERVER_TO_MATE), Ends(MATE_6, SERVER_TO_MATE_6)
BOTH = (FOUR, SIX)
TCP, UDP, ICMP, ICMPV6 = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
# Their first bytes are like TCP's and UDP's: a source port, and an open port (RFC 3828, RFC 9260,
# RFC 4340). Then tunnels and routing, which have no ports.
WITH_PORTS = {"UDP-Lite": 136, "SCTP": 132, "DCCP": 33}
TO_OPEN = struct.pack("!H", OPEN) + bytes(28)
WITHOUT_PORTS = {"IP in IP": 4, "IPv6 in IP": 41, "GRE": 47, "ESP": 50, "AH": 51, "OSPF": 89, "PIM": 103}

# Above the prober's ports, so that no attack meets its connections.
FIRST_SOURCE_PORT = 40_000
LARGE = 1800
# Ethernet's broadcast address.
EVERYBODY = b"\xff" * 6

Make = Callable[[int], Iterable[bytes]]


@dataclass(frozen=True)
class Attack:
    """Packets, made with an unused source port."""

    name: str
    make: Make
    vlan: int | None = None


def _tcp(*ends: Ends, port: int = CLOSED, flags: int = SYN) -> Make:
    return lambda source: [packet(one, TCP, tcp(one, port, flags, source)) for one in ends]


def _udp(*ends: Ends, port: int = CLOSED, source_port: int | None = None) -> Make:
    return lambda source: [packet(one, UDP, udp(one, port, source_port or source)) for one in ends]


def _in_pieces(ends: Ends, port: int, size: int) -> Make:
    return lambda source: fragments(ends, UDP, udp(ends, port, source, bytes(64)), size)


def _tiny_segment(ends: Ends) -> Make:
    """A first fragment so small that the flags are in the second (RFC 1858, section 3)."""
    return lambda source: fragments(ends, TCP, tcp(ends, CLOSED, SYN, source), 8)


def _extended(headers: Sequence[tuple[int, bytes]]) -> Make:
    return lambda source: [extended(SIX, headers, TCP, tcp(SIX, CLOSED, SYN, source))]


def _extended_in_pieces(source: int) -> Iterable[bytes]:
    """A first fragment that ends before the ports."""
    whole = extended(SIX, [(DESTINATION, PADDING)], UDP, udp(SIX, CLOSED, source))
    return fragments(SIX, DESTINATION, whole[40:], 8)


def _protocol(number: int, payload: bytes) -> Make:
    return lambda source: [packet(one, number, struct.pack("!H", source) + payload) for one in BOTH]


def _tunnelled(outer: Ends, protocol: int, inner: Ends) -> Make:
    return lambda source: [packet(outer, protocol, packet(inner, UDP, udp(inner, CLOSED, source)))]


def _icmp(ends: Ends, kind: int, code: int = 0, rest: bytes = bytes(12)) -> Make:
    protocol = ICMP if ends.version == 4 else ICMPV6
    return lambda _: [packet(ends, protocol, icmp(ends, kind, code, rest))]


# A routing header without segments left (RFC 8200, section 4.4), of the old type and of segment routing.
def _routing(kind: int) -> tuple[int, bytes]:
    return ROUTING, bytes([2, kind, 0, 0, 0, 0, 0]) + bytes(16)


ATTACKS = [
    Attack("a first segment", _tcp(*BOTH)),
    Attack("a first segment to a published port", _tcp(*BOTH, port=PUBLISHED)),
    *(
        Attack(f"a segment with the flags {flags:06b}", _tcp(*BOTH, flags=flags))
        for flags in (0, ACK, PSH | ACK, SYN | ACK, SYN | PSH, FIN | ACK, RST | ACK)
    ),
    Attack("a datagram from the name service's port", _udp(*BOTH, source_port=53)),
    Attack("a datagram from a DHCP server's port", _udp(FOUR, source_port=67)),
    Attack("a datagram from a DHCPv6 server's port", _udp(SIX, source_port=547)),
    Attack("a datagram in pieces", _in_pieces(FOUR, CLOSED, 16)),
    Attack("a datagram in pieces, IPv6", _in_pieces(SIX, CLOSED, 16)),
    Attack("a datagram in pieces to a published port", _in_pieces(FOUR, PUBLISHED, 8)),
    Attack("a datagram in pieces to a published port, IPv6", _in_pieces(SIX, PUBLISHED, 8)),
    Attack("a segment whose flags are in its second piece", _tiny_segment(FOUR)),
    Attack("a segment whose flags are in its second piece, IPv6", _tiny_segment(SIX)),
    Attack("a datagram whose ports are in its second piece, IPv6", _extended_in_pieces),
    Attack("hop-by-hop options", _extended([(HOP_BY_HOP, b"\0" + PADDING)])),
    Attack("destination options", _extended([(DESTINATION, b"\0" + PADDING)] * 3)),
    Attack("a routing header of the old type", _extended([_routing(0)])),
    Attack("a routing header that nobody knows", _extended([_routing(253)])),
    *(
        Attack(name, _protocol(number, struct.pack("!H", OPEN) + bytes(28)))
        for name, number in WITH_PORTS.items()
    ),
    *(Attack(name, _protocol(number, bytes(30))) for name, number in WITHOUT_PORTS.items()),
    Attack("a datagram in IPv4, in IPv4", _tunnelled(FOUR, 4, Ends(MATE, SERVER))),
    Attack("a datagram in IPv6, in IPv4", _tunnelled(FOUR, 41, SIX)),
    Attack("a datagram to all hosts on the link", _udp(Ends(MATE, "224.0.0.1"), Ends(MATE_6, "ff02::1"))),
    Attack("a datagram to an open port of all hosts", _udp(Ends(MATE, "224.0.0.1"), port=OPEN)),
    Attack("a broadcast", _udp(Ends(MATE, "255.255.255.255"), Ends(MATE, "192.0.2.255"))),
    Attack("a datagram to the link's own address", _udp(Ends(MATE_6, "2001:db8:2::"))),
    Attack("a container's own address", _udp(Ends(MATE, APP), Ends(MATE_6, APP_6), port=9001)),
    Attack("a container's own address, at a port that is open", _udp(Ends(MATE, APP), port=OPEN)),
    Attack("loopback", _udp(Ends(MATE, "127.0.0.1"), port=LOOPBACK_PORT)),
    Attack("another link's neighbour", _udp(Ends(MATE, OFFICE), port=OPEN)),
    Attack("a tag of no VLAN", _tcp(*BOTH), vlan=0),
    Attack("a redirect", _icmp(FOUR, 5, 1, socket.inet_aton(MATE) + bytes(28))),
    Attack("a redirect, IPv6", _icmp(SIX, 137, 0, bytes(36))),
    Attack("a request for the time", _icmp(FOUR, 13, 0, bytes(16))),
    Attack("an answer that nobody asked for", _icmp(FOUR, 0)),
    Attack("an answer that nobody asked for, IPv6", _icmp(SIX, 129)),
    Attack("an echo request to all hosts on the link", _icmp(Ends(MATE, "224.0.0.1"), 8)),
    Attack("an echo request to a container", _icmp(Ends(MATE, APP), 8)),
    Attack("an echo request to a container, IPv6", _icmp(Ends(MATE_6, APP_6), 128)),
]


# A container's packets with a made-up source.
FROM_CONTAINER = [
    Attack(name, _udp(Ends(four, APPS_GATEWAY), Ends(six, APPS_GATEWAY_6), port=port))
    for name, four, six, port in (
        ("a source on campus", CAMPUS_CLIENT, NAT_6, 6003),
        ("a source in another network", OTHER, OTHER_6, 6003),
        ("its own source", NEIGHBOUR, NEIGHBOUR_6, CLOSED),
    )
]


@dataclass(frozen=True)
class Attacker:
    """A neighbour with a link to the host."""

    site: Site
    source: Source
    link: str
    # The host's end of it.
    host_link: str

    def try_out(self, attack: Attack, source_port: int) -> int:
        """How many packets of an attack passed everything."""
        there = hardware_address(self.site.campus, self.host_link)
        # By its card's address: late answers of others come over the same bridge.
        card = hardware_address(self.source.namespace, self.link).hex(":")
        sent = f'iifname "{self.host_link}" ether saddr {card}'
        witness = Witness(self.site.campus, [f"{sent} {match}" for match in NOT_USUAL])
        with witness.watching():
            send(self.source.namespace, self.link, there, attack.make(source_port), attack.vlan)
            assert fence(self.site.probes(self.source), ANSWER_SECONDS) == []
            return witness.passed()

    def get_past(self, attack: Attack, source_port: int) -> tuple[int, int]:
        """How many packets pass under the rules, and then without a policy."""
        load_without_guard(self.site, rendered(RULES))
        under_the_rules = self.try_out(attack, source_port)
        load_without_guard(self.site, EMPTY_POLICY)
        return under_the_rules, self.try_out(attack, source_port)


# All except neighbour discovery, and the echo requests of the fence.
NOT_USUAL = [
    "meta l4proto != { icmp, icmpv6 }",
    "icmp type != echo-request",
    "icmpv6 type != { echo-request, 130-136, 143 }",
    f"ip daddr {{ 224.0.0.1, {APP} }} icmp type echo-request",
    f"ip6 daddr {APP_6} icmpv6 type echo-request",
]


@pytest.fixture
def mate(site: Site) -> Attacker:
    """A neighbour on the second link."""
    return Attacker(site, site.source("mate"), SECOND_LINK, SECOND_LINK)


@pytest.fixture
def container(site: Site) -> Attacker:
    """A container under an attacker's control."""
    return Attacker(site, site.source("neighbour"), "eth0", site.bridges()[0])


def test_nothing_is_counted_where_nothing_is_sent(site: Site, mate: Attacker, container: Attacker) -> None:
    load_without_guard(site, EMPTY_POLICY)
    for attacker in (mate, container):
        assert attacker.try_out(Attack("nothing", lambda _: []), 0) == 0


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.name for attack in ATTACKS])
def test_no_packet_passes(mate: Attacker, attack: Attack) -> None:
    under_the_rules, without = mate.get_past(attack, FIRST_SOURCE_PORT + ATTACKS.index(attack))
    assert under_the_rules == 0
    assert without > 0


@pytest.mark.parametrize("attack", FROM_CONTAINER, ids=[attack.name for attack in FROM_CONTAINER])
def test_no_packet_of_a_container_that_makes_up_its_source(container: Attacker, attack: Attack) -> None:
    under_the_rules, without = container.get_past(attack, FIRST_SOURCE_PORT + FROM_CONTAINER.index(attack))
    assert under_the_rules == 0
    assert without > 0


# A container's datagrams to all hosts on its link, as multicast and as both kinds of broadcast.
GROUPS = {
    "224.0.0.1": Ends(NEIGHBOUR, "224.0.0.1"),
    "ff02::1": Ends(NEIGHBOUR_6, "ff02::1"),
    "172.30.1.255": Ends(NEIGHBOUR, "172.30.1.255"),
    # A client without an address yet, like a DHCP client (RFC 2131, section 4.1).
    "nobody": Ends("0.0.0.0", "255.255.255.255"),
}
# Two ports of the host, and one of another container.
GROUP_PORTS = (OPEN, CLOSED, 9001)


@pytest.mark.parametrize("rules", [RULES, [], None], ids=["a rule for one port", "no rule", "no policy"])
def test_a_containers_datagram_to_all_comes_to_containers_and_by_a_rule_to_the_host(
    site: Site, rules: RuleSet | None
) -> None:
    """With br_netfilter, netfilter also sees packets between containers: no rule judges them."""
    load_without_guard(site, EMPTY_POLICY if rules is None else rendered(rules))
    site.services.datagrams.clear()
    send_to_all(site)
    containers = {f"{name} 9001" for name in GROUPS}
    wait_for("the containers have them", lambda: seen(site) >= containers, ANSWER_SECONDS)
    assert fence(site.probes(site.source("neighbour")), ANSWER_SECONDS) == []
    assert seen(site) == containers | {
        f"{name} {port}"
        for name, ends in GROUPS.items()
        for port in (OPEN, CLOSED)
        if rules is None or judged(rules, ends.source, port) is Verdict.PASS
    }
    if rules:
        # Each once.
        assert counted_by_rules(site) == len(GROUPS)


def send_to_all(site: Site) -> None:
    """Send the datagrams, whose text is their name and port."""
    for name, ends in GROUPS.items():
        frames = [
            packet(ends, UDP, udp(ends, port, FIRST_SOURCE_PORT, f"{name} {port}".encode()))
            for port in GROUP_PORTS
        ]
        send(site.container("neighbour"), "eth0", EVERYBODY, frames)


def judged(rules: RuleSet, source: str, port: int) -> Verdict:
    """The oracle's verdict on a container's datagram to all."""
    return Oracle(rules).judge(Attempt(Who.CONTAINER, source, Way.GROUP, "udp", port))


def counted_by_rules(site: Site) -> int:
    """How many packets the rules' rows have counted."""
    listed = json.loads(
        site.campus.run("nft", "-j", "list", "counters", "table", *POLICY_TABLE.split()).stdout
    )
    found = [one["counter"] for one in listed["nftables"] if "counter" in one]
    return sum(one["packets"] for one in found if one["name"] != OTHERS_COUNTER)


def seen(site: Site) -> set[str]:
    """The datagrams that arrived."""
    return {text.decode() for text in site.services.datagrams.copy()}


def test_what_is_open_is_open_for_a_datagram_in_pieces_too(site: Site) -> None:
    load_without_guard(site, rendered(RULES))
    mate = site.source("mate")
    for address, server in zip(mate.addresses, mate.servers, strict=True):
        with mate.namespace.entered():
            link = socket.socket(family_of(address), socket.SOCK_DGRAM)
        with link:
            link.settimeout(ANSWER_SECONDS)
            link.connect((server, OPEN))
            # More than fits into a frame.
            link.send(bytes(LARGE))
            assert len(link.recv(2 * LARGE)) == LARGE


def test_a_stranger_does_not_fill_the_connection_table(site: Site) -> None:
    """Otherwise the table would be full for allowed clients."""
    load_without_guard(site, rendered([]))

    def connections() -> int:
        return int(site.campus.run("sysctl", "-n", "net.netfilter.nf_conntrack_count").stdout)

    site.campus.run("nft", "list", "ruleset")
    before = connections()
    with knocked_at(site) as witness:
        assert witness.passed() == 0
    assert connections() <= before
