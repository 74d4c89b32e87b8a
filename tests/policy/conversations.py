"""Open connections on which numbers are exchanged without pause: no connection may be lost."""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.policy.rule_sets import RuleSet
from tests.policy.site import BOTH, Site, Source

# A port of a host's process, and a published port; with the rules that open them to everybody.
PORTS = (6001, 7001)
WIDE: RuleSet = [{"action": "allow", "port": port, "protocol": one} for port in PORTS for one in BOTH]

NUMBER = struct.Struct("!Q")
# The interval of the checks: connections have to go on, at any speed.
PAUSE_SECONDS = 0.002
# Only for a hanging conversation: others end, or go on, at once.
STUCK_SECONDS = 60.0


@dataclass
class Conversation:
    """A connection to an echo server."""

    title: str
    connection: socket.socket
    exchanged: int = 0
    # Why it ended; empty while it goes on.
    ended: str = ""
    _unread: bytes = field(default=b"", repr=False)

    @classmethod
    def begin(cls, source: Source, address: str, server: tuple[str, int]) -> Conversation:
        """Connect from this address, and exchange the first number."""
        connection = source.namespace.connect(server, address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made = cls(f"{source.name} {address} -> {server[0]} {server[1]}", connection)
        connection.sendall(NUMBER.pack(0))
        while not made.exchanged and not made.ended:
            made.read()
        return made

    def read(self) -> None:
        """Read the echo and send the next number; a closed connection or a wrong number ends it."""
        try:
            data = self.connection.recv(4096)
            self._unread += data
            while len(self._unread) >= NUMBER.size:
                [number] = NUMBER.unpack(self._unread[: NUMBER.size])
                self._unread = self._unread[NUMBER.size :]
                if number != self.exchanged:
                    self.ended = f"{number} came in place of {self.exchanged}"
                self.exchanged += 1
                self.connection.sendall(NUMBER.pack(self.exchanged))
        except OSError as error:
            self.ended = str(error)
            return
        if not data:
            self.ended = "closed"


class Conversations:
    """Many conversations, run by a thread."""

    def __init__(self, conversations: Sequence[Conversation]) -> None:
        self.all = conversations
        self._stop = threading.Event()

    @contextmanager
    def going_on(self) -> Iterator[Conversations]:
        """Run them for the duration of the block; they are closed at its end."""
        thread = threading.Thread(target=self._carry_on)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()
            for one in self.all:
                one.connection.close()

    def wait_for_more(self, among: Sequence[Conversation] | None = None) -> None:
        """Return when each has exchanged a number sent after this call, or has ended."""
        # The number in flight may have been sent before.
        before = [(one, one.exchanged) for one in (self.all if among is None else among)]
        deadline = time.monotonic() + STUCK_SECONDS
        while any(not one.ended and one.exchanged < count + 2 for one, count in before):
            if time.monotonic() > deadline:
                stuck = [one.title for one, count in before if not one.ended and one.exchanged < count + 2]
                raise TimeoutError(f"nothing comes back to {stuck}")
            time.sleep(0.001)

    def _carry_on(self) -> None:
        by_number = {one.connection.fileno(): one for one in self.all}
        with select.epoll() as poll:
            for number in by_number:
                poll.register(number, select.EPOLLIN)
            while not self._stop.is_set():
                time.sleep(PAUSE_SECONDS)
                for number, _ in poll.poll(0.1):
                    by_number[number].read()
                    if by_number[number].ended:
                        poll.unregister(number)


def opened(site: Site, name: str) -> list[Conversation]:
    """A connection over each family to each of those ports."""
    source = site.source(name)
    return [
        Conversation.begin(source, address, (server, port))
        for address, server in zip(source.addresses, source.servers[:2], strict=True)
        for port in PORTS
    ]
