"""Protocols without ports: a rule opens only its protocol to its sources. Needs no Docker."""

from __future__ import annotations

import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pytest

from rig.namespaces import LINK, NAT, NAT_6, SERVER, SERVER_6, STRANGER, STRANGER_6, Network, make_network
from rig.run import opened_run
from tests.policy.packets import Ends, hardware_address, packet, send, udp
from tests.policy.policies import rendered
from tests.policy.rule_sets import RuleSet
from tests.policy.witness import Witness

pytestmark = pytest.mark.docker

NUMBERS = {"ah": 51, "esp": 50, "gre": 47, "vrrp": 112}
UDP, OPEN = 17, 6001
SECONDS = 10.0
FROM_NAT = {"from": [f"{NAT}/32", f"{NAT_6}/128"]}
NATS, STRANGERS = (
    (Ends(four, SERVER), Ends(six, SERVER_6)) for four, six in ((NAT, NAT_6), (STRANGER, STRANGER_6))
)
# The groups for VRRP routers' advertisements.
GROUPS = (Ends(NAT, "224.0.0.18"), Ends(NAT_6, "ff02::12"))


@dataclass(frozen=True)
class Host:
    """The campus server; a sender knows when it has judged all packets."""

    network: Network
    fence: socket.socket

    def passed(self, rules: RuleSet, ends: Sequence[Ends]) -> dict[str, int]:
        """How many packets of each protocol pass the rules, with one packet for each pair of ends."""
        self._load([*rules, {"action": "allow", "port": OPEN, "protocol": "udp", "from": [f"{NAT}/32"]}])
        return {protocol: count for protocol in NUMBERS if (count := self._count(protocol, ends))}

    def _load(self, rules: RuleSet) -> None:
        command = ["nsenter", f"--net={self.network.campus.path}", "nft", "-f", "-"]
        subprocess.run(command, input=rendered(rules), text=True, check=True)

    def _count(self, protocol: str, ends: Sequence[Ends]) -> int:
        number, fence = NUMBERS[protocol], Ends(NAT, SERVER)
        witness = Witness(self.network.campus, [f"ip protocol {number}", f"ip6 nexthdr {number}"])
        frames = [*(message(one, protocol) for one in ends), packet(fence, UDP, udp(fence, OPEN))]
        with witness.watching():
            send(self.network.world, LINK, hardware_address(self.network.campus, LINK), frames)
            assert self.fence.recv(99) == b"hello"
            return witness.passed()


def message(ends: Ends, protocol: str) -> bytes:
    """A packet of the protocol. AH protects a datagram to a closed port."""
    guarded = struct.pack("!BBHII", UDP, 1, 0, 256, 1) + udp(ends, OPEN + 1)
    return packet(ends, NUMBERS[protocol], guarded if protocol == "ah" else bytes(40))


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """A host with a program in VRRP's groups."""
    with opened_run() as run:
        network = make_network(run)
        with network.campus.entered():
            fence = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            four = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            six = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
            index = socket.if_nametoindex(LINK)
        with fence, four, six:
            fence.bind((SERVER, OPEN))
            fence.settimeout(SECONDS)
            member = socket.inet_aton(GROUPS[0].destination) + struct.pack("=4si", bytes(4), index)
            four.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
            member = socket.inet_pton(socket.AF_INET6, GROUPS[1].destination) + struct.pack("=i", index)
            six.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, member)
            yield Host(network, fence)


def allowed(protocol: str) -> RuleSet:
    """A rule for the protocol, from one source of each family."""
    return [{"action": "allow", "protocol": protocol, **FROM_NAT}]


@pytest.mark.parametrize("protocol", NUMBERS)
def test_a_rule_opens_only_its_protocol_to_its_sources(host: Host, protocol: str) -> None:
    assert host.passed(allowed(protocol), NATS) == {protocol: 2}
    assert host.passed(allowed(protocol), STRANGERS) == {}


def test_without_a_rule_none_passes(host: Host) -> None:
    assert host.passed([{"action": "allow", "port": 6002, "protocol": "both"}], NATS) == {}
    assert host.passed([{"action": "allow", "port": 6002, "protocol": "both"}], GROUPS) == {}


@pytest.mark.parametrize("protocol", NUMBERS)
def test_the_first_matching_rule_decides(host: Host, protocol: str) -> None:
    denied = [{"action": "deny", "protocol": protocol, "from": [f"{NAT}/32"]}]
    assert host.passed([*denied, {"action": "allow", "protocol": protocol}], NATS) == {protocol: 1}
    assert host.passed([*denied, {"action": "allow", "protocol": protocol}], STRANGERS) == {protocol: 2}


def test_a_rule_for_vrrp_also_covers_its_groups_and_no_other(host: Host) -> None:
    assert host.passed(allowed("vrrp"), GROUPS) == {"vrrp": 2}
    others = [rule for protocol in ("ah", "esp", "gre") for rule in allowed(protocol)]
    assert host.passed(others, GROUPS) == {}
    all_hosts = (Ends(NAT, "224.0.0.1"), Ends(NAT_6, "ff02::1"))
    assert host.passed(allowed("vrrp"), all_hosts) == {}
