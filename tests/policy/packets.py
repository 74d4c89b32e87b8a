"""Packets that no normal network stack would send, byte for byte, and how to put them on a link."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from rig.namespaces import Namespace

ETHERTYPES = {4: 0x0800, 6: 0x86DD}
VLAN = 0x8100
# IPv6's extension headers (RFC 8200, section 4.1; RFC 4302).
HOP_BY_HOP, ROUTING, FRAGMENT, DESTINATION, AUTHENTICATION = 0, 43, 44, 60, 51
# An option that unknowing hosts skip: padding (RFC 8200, section 4.2).
PADDING = b"\x01\x04\0\0\0\0"
FIN, SYN, RST, PSH, ACK, URG = (1 << bit for bit in range(6))
MORE_FRAGMENTS = 0x2000


@dataclass(frozen=True)
class Ends:
    """Source and destination addresses."""

    source: str
    destination: str

    @property
    def version(self) -> int:
        """Which IP."""
        return ip_address(self.destination).version

    @property
    def packed(self) -> bytes:
        """Both addresses in the header's form."""
        return ip_address(self.source).packed + ip_address(self.destination).packed


def tcp(ends: Ends, port: int, flags: int = SYN, source_port: int = 4242, data: bytes = b"") -> bytes:
    """A segment with its checksum."""
    head = struct.pack("!HHIIBBHHH", source_port, port, 1, 1, 5 << 4, flags, 65535, 0, 0)
    return _with_sum(ends, socket.IPPROTO_TCP, head + data, 16)


def udp(ends: Ends, port: int, source_port: int = 4242, data: bytes = b"hello") -> bytes:
    """A datagram with its checksum."""
    head = struct.pack("!HHHH", source_port, port, 8 + len(data), 0)
    return _with_sum(ends, socket.IPPROTO_UDP, head + data, 6)


def icmp(ends: Ends, kind: int, code: int = 0, rest: bytes = bytes(4)) -> bytes:
    """A message of ICMP or ICMPv6 with its checksum."""
    message = bytes([kind, code, 0, 0]) + rest
    if ends.version == 6:
        return _with_sum(ends, socket.IPPROTO_ICMPV6, message, 2)
    return message[:2] + struct.pack("!H", _sum(message)) + message[4:]


def packet(ends: Ends, protocol: int, payload: bytes, options: bytes = b"") -> bytes:
    """A whole packet; the options are IPv4's."""
    if ends.version == 6:
        return _ipv6(ends, protocol, payload)
    return _ipv4(ends, protocol, payload, 0, options)


def extended(ends: Ends, headers: Sequence[tuple[int, bytes]], protocol: int, payload: bytes) -> bytes:
    """An IPv6 packet with extension headers: each header's number, and its content after its first byte."""
    following = [number for number, _ in headers[1:]] + [protocol]
    chain = b"".join(bytes([after]) + body for after, (_, body) in zip(following, headers, strict=True))
    return _ipv6(ends, headers[0][0], chain + payload)


def fragments(ends: Ends, protocol: int, payload: bytes, size: int = 8) -> list[bytes]:
    """A packet in fragments of this many bytes, a multiple of 8."""
    pieces = [(at, payload[at : at + size]) for at in range(0, len(payload), size)]
    last = pieces[-1][0]
    if ends.version == 4:
        return [
            _ipv4(ends, protocol, piece, (MORE_FRAGMENTS if at != last else 0) | at // 8, identity=77)
            for at, piece in pieces
        ]
    return [
        _ipv6(ends, FRAGMENT, struct.pack("!BBHI", protocol, 0, at | (at != last), 77) + piece)
        for at, piece in pieces
    ]


def _ipv4(
    ends: Ends, protocol: int, payload: bytes, where: int, options: bytes = b"", identity: int = 1
) -> bytes:
    words = 5 + len(options) // 4
    length = words * 4 + len(payload)
    head = struct.pack("!BBHHHBBH", 0x40 | words, 0, length, identity, where, 64, protocol, 0)
    head += ends.packed + options
    return head[:10] + struct.pack("!H", _sum(head)) + head[12:] + payload


def _ipv6(ends: Ends, following: int, payload: bytes) -> bytes:
    # Neighbours' messages, redirects included, have the highest hop limit (RFC 4861).
    return struct.pack("!IHBB", 6 << 28, len(payload), following, 255) + ends.packed + payload


def _with_sum(ends: Ends, protocol: int, segment: bytes, at: int) -> bytes:
    about = ends.packed + struct.pack("!II", len(segment), protocol)
    return segment[:at] + struct.pack("!H", _sum(about + segment)) + segment[at + 2 :]


def _sum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(
    namespace: Namespace, link: str, there: bytes, packets: Iterable[bytes], vlan: int | None = None
) -> None:
    """Put packets on a link, to this hardware address."""
    with namespace.entered():
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        wire.bind((link, 0))
    with wire:
        tag = b"" if vlan is None else struct.pack("!HH", VLAN, vlan)
        for one in packets:
            wire.send(there + wire.getsockname()[4] + tag + struct.pack("!H", ETHERTYPES[one[0] >> 4]) + one)


def hardware_address(namespace: Namespace, link: str) -> bytes:
    """The hardware address of a link's end in a namespace."""
    listed = namespace.run("ip", "-br", "link", "show", "dev", link).stdout.split()
    return bytes.fromhex(listed[2].replace(":", ""))
