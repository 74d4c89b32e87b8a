"""Echo servers of this process in other namespaces, which note the senders."""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from rig.namespaces import Namespace

# Linux's number (linux/in6.h); Python's socket lacks IPv4's.
IP_PKTINFO = 8
DATAGRAM = 4096
BACKLOG = 1024


class Services:
    """TCP and UDP servers on both families. `running` serves them from a thread."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._listening: set[int] = set()
        self._opened: dict[tuple[Namespace, int], list[socket.socket]] = {}
        self._lock = threading.Lock()
        # Every datagram that arrived anywhere; each has a unique text.
        self.datagrams: set[bytes] = set()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Serve for the duration of the block, and close everything at its end."""
        stop_reading, stop_writing = socket.socketpair()
        self._poll.register(stop_reading, select.EPOLLIN)
        thread = threading.Thread(target=self._serve, args=(stop_reading.fileno(),))
        thread.start()
        try:
            yield
        finally:
            stop_writing.close()
            thread.join()
            self._close(list(self._sockets.values()))
            self._poll.close()
            stop_reading.close()

    def open(self, namespace: Namespace, port: int) -> None:
        """Listen on all addresses of a namespace, replacing a former server there."""
        self._close(self._opened.pop((namespace, port), []))
        with namespace.entered():
            made = [
                socket.socket(family, kind)
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)
                for family in (socket.AF_INET, socket.AF_INET6)
            ]
        for one in made:
            one.setblocking(False)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if one.family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind(("::" if one.family == socket.AF_INET6 else "0.0.0.0", port))
            if one.type == socket.SOCK_STREAM:
                one.listen(BACKLOG)
                self._listening.add(one.fileno())
            else:
                _tell_destination(one)
            self._add(one)
        self._opened[namespace, port] = made

    def _close(self, some: Sequence[socket.socket]) -> None:
        with self._lock:
            for one in some:
                self._listening.discard(one.fileno())
                del self._sockets[one.fileno()]
                one.close()

    def _add(self, one: socket.socket) -> None:
        with self._lock:
            self._sockets[one.fileno()] = one
            self._poll.register(one, select.EPOLLIN)

    def _serve(self, stop: int) -> None:
        while True:
            for number, _ in self._poll.poll():
                if number == stop:
                    return
                with self._lock:
                    found = self._sockets.get(number)
                if found is not None:
                    self._answer(number, found)

    def _answer(self, number: int, found: socket.socket) -> None:
        # It may be closed by now, or have nothing to read.
        with suppress(OSError):
            if number in self._listening:
                connection, _ = found.accept()
                connection.setblocking(False)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._add(connection)
            elif found.type == socket.SOCK_DGRAM:
                self._echo_datagram(found)
            else:
                self._echo(number, found)

    def _echo(self, number: int, connection: socket.socket) -> None:
        try:
            data = connection.recv(65536)
            if data:
                connection.sendall(data)
                return
        except BlockingIOError:
            return
        except OSError:
            pass  # it was reset
        with self._lock:
            self._sockets.pop(number, None)
        connection.close()

    def _echo_datagram(self, server: socket.socket) -> None:
        data, about, _, sender = server.recvmsg(DATAGRAM, 128)
        self.datagrams.add(data)
        # From the address that it was sent to: the kernel might choose another.
        server.sendmsg([data], [_from(*one) for one in about], 0, sender)


def _tell_destination(server: socket.socket) -> None:
    if server.family == socket.AF_INET:
        server.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    else:
        server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)


def _from(level: int, kind: int, data: bytes) -> tuple[int, int, bytes]:
    """recvmsg's data about a datagram for sendmsg, without the interface, which the route decides."""
    if level == socket.IPPROTO_IPV6:
        return level, kind, data[:16] + struct.pack("i", 0)
    # in_pktinfo: interface, the address to answer from, the header's destination (ip(7)).
    return level, kind, struct.pack("i", 0) + data[8:12] + bytes(4)
