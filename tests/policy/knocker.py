"""A prober without pause: new TCP connections and datagrams, always from new ports."""

from __future__ import annotations

import os
import random
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.synchronize import Event

from rig.namespaces import Namespace
from rig.processes import die_with_parent

# linux/in6.h: the offset of the checksum that the kernel writes into a raw packet.
IPV6_CHECKSUM = 7
TCP_CHECKSUM_AT = 16
SYN = 0x02
# The number of prepared packets, each from another port.
PACKETS = 512


@dataclass(frozen=True)
class Knocker:
    """A prober, and its targets: pairs of an address and a port, over both protocols."""

    namespace: Namespace
    addresses: tuple[str, str]
    doors: Sequence[tuple[str, int]]

    @contextmanager
    def knocking(self) -> Iterator[None]:
        """Probe from another process for the duration of the block, which begins after the first probes.

        Raises RuntimeError if that process ended early.
        """
        context = get_context("spawn")
        begun, stop = context.Event(), context.Event()
        process = context.Process(target=_knock, args=(self, begun, stop), daemon=True)
        process.start()
        try:
            if not begun.wait(60):
                raise RuntimeError("nobody knocks")
            yield
            if process.exitcode is not None:
                raise RuntimeError(f"who knocked has ended ({process.exitcode})")
        finally:
            stop.set()
            process.join(60)


def _knock(knocker: Knocker, begun: Event, stop: Event) -> None:
    die_with_parent()
    os.nice(5)
    with ExitStack() as kept, knocker.namespace.entered():
        senders = [kept.enter_context(_sender(one, kind)) for one in knocker.addresses for kind in _KINDS]
        packets = list(_packets(knocker, senders))
        for number, (sender, packet, where) in enumerate(cycle(packets)):
            sender.sendto(packet, where)
            if number == len(packets):
                begun.set()
            if number % 64 == 0 and stop.is_set():
                return


_KINDS = (socket.IPPROTO_TCP, socket.IPPROTO_UDP)


def _sender(address: str, protocol: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, socket.SOCK_RAW, protocol)
    made.bind((address, 0))
    if family == socket.AF_INET6:
        at = TCP_CHECKSUM_AT if protocol == socket.IPPROTO_TCP else 6
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_CHECKSUM, at)
    return made


def _packets(
    knocker: Knocker, senders: Sequence[socket.socket]
) -> Iterator[tuple[socket.socket, bytes, tuple[str, int]]]:
    rng = random.Random(1)
    for _ in range(PACKETS):
        for server, port in knocker.doors:
            for sender in senders:
                if (sender.family == socket.AF_INET6) == (":" in server):
                    source = rng.randrange(10_000, 60_000)
                    made = _tcp if sender.proto == socket.IPPROTO_TCP else _udp
                    yield sender, made(sender.getsockname()[0], server, source, port), (server, 0)


def _tcp(source: str, server: str, source_port: int, port: int) -> bytes:
    """A first packet of a connection (RFC 9293, section 3.1)."""
    head = struct.pack("!HHIIBBHHH", source_port, port, source_port, 0, 5 << 4, SYN, 65535, 0, 0)
    if ":" in source:
        return head  # the kernel adds the sum
    return head[:16] + struct.pack("!H", _checksum(source, server, socket.IPPROTO_TCP, head)) + head[18:]


def _udp(source: str, server: str, source_port: int, port: int) -> bytes:
    """A datagram; over IPv4 it may lack a checksum (RFC 768)."""
    del source, server
    return struct.pack("!HHHH", source_port, port, 8, 0)


def _checksum(source: str, server: str, protocol: int, packet: bytes) -> int:
    about = socket.inet_aton(source) + socket.inet_aton(server) + struct.pack("!HH", protocol, len(packet))
    data = about + packet
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total & 0xFFFF) + (total >> 16)
    return ~(total + (total >> 16)) & 0xFFFF
