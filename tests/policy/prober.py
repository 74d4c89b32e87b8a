"""Many parallel attempts from every namespace, and their outcomes."""

from __future__ import annotations

import errno
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address

from rig.namespaces import Namespace
from tests.policy.services import Services
from tests.policy.site import Probe

# How long a required answer may take; the kernel and the prober retry meanwhile.
ANSWER_SECONDS = 30.0
AGAIN_SECONDS = 1.0
# Below the kernel's own range of ports (ip_local_port_range), above all servers of this suite.
FIRST_SOURCE_PORT, LAST_SOURCE_PORT = 10_000, 30_000
ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}


class Outcome(Enum):
    """The outcome of an attempt."""

    OPEN = "open"
    # Answered by a reset or an ICMP error.
    REFUSED = "refused"
    # A datagram that reached its server, without its answer: Docker's proxy answers from an address that
    # the kernel chooses.
    ARRIVED = "arrived"
    SILENT = "silent"


@dataclass(frozen=True)
class Seen:
    """A round's observations."""

    outcomes: dict[Probe, Outcome]
    # The ways on which no echo request was answered.
    without_echo: list[str]


# What to wait for.
Wanted = Mapping[Probe, Collection[Outcome]]


@dataclass
class _Try:
    probe: Probe
    connection: socket.socket
    # A datagram's unique text.
    text: bytes
    outcome: Outcome = Outcome.SILENT

    @property
    def is_over(self) -> bool:
        """Whether the outcome is final."""
        return self.outcome in (Outcome.OPEN, Outcome.REFUSED)

    def begin(self, source_port: int) -> None:
        self.connection.setblocking(False)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.connection.bind((self.probe.address, source_port))
        if self.probe.protocol == "tcp":
            status = self.connection.connect_ex((self.probe.destination, self.probe.port))
            self._note(0 if status == errno.EINPROGRESS else status, Outcome.SILENT)
            return
        self.connection.connect((self.probe.destination, self.probe.port))
        self.send()

    def send(self) -> None:
        """Send the datagram again."""
        try:
            self.connection.send(self.text)
        except OSError as error:
            self._note(error.errno or 0, Outcome.SILENT)

    def look(self) -> None:
        """Read the answer."""
        status = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if status == 0 and self.probe.protocol == "udp":
            try:
                # Another socket's answer may have come in before this socket was connected.
                while self.connection.recv(2048) != self.text:
                    pass
            except BlockingIOError:
                return
            except OSError as error:
                status = error.errno or 0
        self._note(status, Outcome.OPEN)

    def _note(self, status: int, otherwise: Outcome) -> None:
        if status in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EACCES):
            self.outcome = Outcome.REFUSED
        elif status == 0:
            self.outcome = otherwise
        elif status != errno.ETIMEDOUT:
            raise OSError(status, f"{self.probe}: {os.strerror(status)}")


class Prober:
    """Tries probes. Each round uses a new source port, so no round meets an older connection."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._rounds = itertools.cycle(range(FIRST_SOURCE_PORT, LAST_SOURCE_PORT))

    def run(self, probes: Sequence[Probe], wanted: Wanted, patience: float = ANSWER_SECONDS) -> Seen:
        """Try all probes in order; return when the wanted outcomes are reached, or out of patience.

        A probe without an answer by then, and by the time that an echo request has gone the same way and come
        back, is silent.
        """
        port = next(self._rounds)
        with _sockets(probes, port) as tries:
            # After this, neighbours know each other: no burst is lost during their discovery.
            without_echo = fence(probes, patience)
            for one in tries:
                one.begin(port)
            self._await(tries, wanted, patience)
            without_echo = without_echo or fence(probes, patience)
            self._look(tries, 0.0)
            return Seen({one.probe: one.outcome for one in tries}, without_echo)

    def _await(self, tries: Sequence[_Try], wanted: Wanted, patience: float) -> None:
        deadline = time.monotonic() + patience
        again = time.monotonic() + AGAIN_SECONDS
        while True:
            self._look(tries, 0.02)
            waiting = [one for one in tries if one.probe in wanted and one.outcome not in wanted[one.probe]]
            if not waiting or time.monotonic() > deadline:
                return
            if time.monotonic() > again:
                again += AGAIN_SECONDS
                for one in waiting:
                    if one.probe.protocol == "udp":
                        one.send()

    def _look(self, tries: Sequence[_Try], seconds: float) -> None:
        """Read all available answers."""
        waiting = {one.connection.fileno(): one for one in tries if not one.is_over}
        with select.epoll() as poll:
            for number, one in waiting.items():
                poll.register(number, select.EPOLLOUT if one.probe.protocol == "tcp" else select.EPOLLIN)
            while waiting and (events := poll.poll(seconds)):
                for number, _ in events:
                    waiting[number].look()
                    if waiting[number].is_over:
                        poll.unregister(number)
                        del waiting[number]
        for one in waiting.values():
            if one.text in self._services.datagrams:
                one.outcome = Outcome.ARRIVED


@contextmanager
def _sockets(probes: Sequence[Probe], port: int) -> Iterator[list[_Try]]:
    made: dict[Probe, socket.socket] = {}
    try:
        for namespace in {probe.source.namespace for probe in probes}:
            with namespace.entered():
                for probe in probes:
                    if probe.source.namespace == namespace:
                        kind = socket.SOCK_STREAM if probe.protocol == "tcp" else socket.SOCK_DGRAM
                        made[probe] = socket.socket(family_of(probe.destination), kind)
        yield [_Try(probe, made[probe], b"%d %d" % (port, at)) for at, probe in enumerate(probes)]
    finally:
        for one in made.values():
            if one.type == socket.SOCK_STREAM:
                # A reset: the address isn't kept for a minute.
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            one.close()


def family_of(address: str) -> socket.AddressFamily:
    """The family of an address."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def fence(probes: Sequence[Probe], patience: float) -> list[str]:
    """Return when an echo request has gone each way of these probes to the host, and has been answered.

    A link delivers in order, so earlier packets have been delivered, too. Returns the ways without an
    answer.
    """
    ways = {
        (probe.source.namespace, probe.address, probe.source.servers[1 if ":" in probe.address else 0])
        for probe in probes
    }
    with ThreadPoolExecutor(len(ways)) as pool:
        came = pool.map(lambda way: ping(way[0], way[1], way[2], patience), ways)
        return [f"{way[1]} to {way[2]}" for way, back in zip(ways, came, strict=True) if not back]


def ping(namespace: Namespace, address: str, server: str, seconds: float) -> bool:
    """Whether an echo request is answered."""
    version = ip_address(server).version
    protocol = socket.IPPROTO_ICMP if version == 4 else socket.IPPROTO_ICMPV6
    with namespace.entered():
        link = socket.socket(family_of(server), socket.SOCK_RAW, protocol)
    with link:
        link.bind((address, 0))
        link.settimeout(min(1.0, seconds))
        number = os.urandom(4)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            link.sendto(_echo_request(version, number), (server, 0))
            try:
                while True:
                    packet = link.recv(2048)
                    # A raw socket of IPv4 reads the header, too: 20 bytes without options.
                    found = packet[20:] if version == 4 else packet
                    if found[0] == ECHO_REPLY[version] and found[4:8] == number:
                        return True
            except TimeoutError:
                continue
        return False


def _echo_request(version: int, number: bytes) -> bytes:
    """An echo request with this identifier and sequence number; for IPv6 the kernel adds the sum."""
    head = bytes([ECHO_REQUEST[version], 0])
    words = struct.unpack("!HHHH", head + b"\0\0" + number)
    total = sum(words)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~(total + (total >> 16)) & 0xFFFF
    return head + struct.pack("!H", checksum if version == 4 else 0) + number
