"""A load over HTTP/2: a rate of numbered lines, one push each, while answers come.

It handles a GOAWAY like every HTTP/2 client (RFC 9113, 6.8): the streams that the server still answers end
on the old connection, and requests that the server hasn't processed are sent again.
"""

from __future__ import annotations

import selectors
import ssl
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, Event, ResponseReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

from rig.h2_frames import ServerFrames
from rig.probe import PUSH_PATH, Client
from rig.pusher import line_of, numbered_body

# Like a browser: few connections, many streams on each.
CONNECTIONS = 4
# Like a client: a limit on unanswered requests, for all its connections together. Otherwise Caddy would
# hold all that wait for a slow Loki, 250 on each connection that it gives up at a reload.
UNANSWERED = 1000
# How long the last answers may take: longer than Caddy waits for a Loki.
LAST_ANSWERS_SECONDS = 60.0


@dataclass
class Outcome:
    """The outcome of the load's requests."""

    sent: int = 0
    # Numbers with the answer 204.
    acknowledged: set[int] = field(default_factory=set, repr=False)
    # Failures by reason: another status, or the connection's failure.
    failures: Counter[str] = field(default_factory=Counter)
    # Sent again because the server said that it hadn't processed them.
    resent: int = 0
    connections: int = 0
    goaways: int = 0

    @property
    def failed(self) -> int:
        """How many requests failed."""
        return sum(self.failures.values())


@dataclass
class _Request:
    number: int
    status: int | None = None


class _GoneError(Exception):
    """The connection has ended; the text says how."""


class _Connection:
    """One connection. The h2 library speaks the protocol, except for GOAWAY."""

    def __init__(self, client: Client, tls: ssl.SSLContext, path: str) -> None:
        plain = client.namespace.connect(client.server, client.source)
        try:
            self.socket = tls.wrap_socket(plain, server_hostname=client.domain)
        except BaseException:
            plain.close()
            raise
        if self.socket.selected_alpn_protocol() != "h2":
            self.socket.close()
            raise OSError("the server doesn't speak HTTP/2")
        self.socket.setblocking(False)
        self._head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", client.domain),
            (":path", path),
            ("content-type", "application/json"),
        ]
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self._out = bytearray()
        self._frames = ServerFrames()
        self.open: dict[int, _Request] = {}

    @property
    def is_draining(self) -> bool:
        """Whether the server wants no more streams on this connection."""
        return self._frames.last_stream is not None

    def unprocessed(self) -> list[_Request]:
        """Remove and return the requests that the server says it hasn't processed."""
        return [self.open.pop(stream) for stream in list(self.open) if self._frames.leaves_out(stream)]

    def has_room(self, size: int) -> bool:
        """Whether another request of this size can be sent now."""
        if self.is_draining:
            return False
        h2 = self._h2
        return (
            h2.open_outbound_streams < h2.remote_settings.max_concurrent_streams
            and h2.outbound_flow_control_window >= size
        )

    def send(self, request: _Request, body: bytes) -> None:
        """Queue a request; `flush` sends it."""
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, [*self._head, ("content-length", str(len(body)))])
        self._h2.send_data(stream, body, end_stream=True)
        self.open[stream] = request

    def flush(self) -> None:
        """Write as much as the socket takes."""
        self._out += self._h2.data_to_send()
        while self._out:
            try:
                done = self.socket.send(self._out)
            except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                return
            except OSError:
                # `receive` finds out how it ended: the server's last bytes may be unread yet.
                self._out.clear()
                return
            del self._out[:done]

    def receive(self) -> Iterator[Event]:
        """The events since the last call."""
        data, ended = self._read()
        try:
            yield from self._h2.receive_data(self._frames.passed(data))
        except ProtocolError as error:
            raise _GoneError(f"protocol: {error}") from None
        if ended:
            raise _GoneError(ended)

    def _read(self) -> tuple[bytes, str]:
        """Read all available bytes; also how the connection ended, empty if it hasn't."""
        data = bytearray()
        while True:
            try:
                read = self.socket.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                return bytes(data), ""
            except OSError as error:
                return bytes(data), f"receive: {type(error).__name__}"
            if not read:
                return bytes(data), "closed by the server"
            data += read

    def acknowledge(self, event: DataReceived) -> None:
        """Let the server send more."""
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)


class H2Load:
    """The load. Use `running`; afterwards `outcome` has the result."""

    def __init__(
        self, client: Client, tls: ssl.SSLContext, route: str, job: str, *, requests_per_second: float
    ) -> None:
        """`tls` is for this load alone: it is changed to speak HTTP/2."""
        tls.set_alpn_protocols(["h2"])
        self.outcome = Outcome()
        self._client, self._tls, self._job, self._rate = client, tls, job, requests_per_second
        self._path = route + PUSH_PATH
        self._waiting: deque[_Request] = deque()
        self._connections: list[_Connection] = []
        self._selector = selectors.DefaultSelector()
        self._stop = threading.Event()
        self._broken: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the load for the duration of the block, and until the last request is answered."""
        thread = threading.Thread(target=self._guarded_run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()
        if self._broken is not None:
            raise self._broken

    def is_connected(self) -> bool:
        """Whether it has all its connections, and none is draining."""
        return sum(not one.is_draining for one in list(self._connections)) >= CONNECTIONS

    def _guarded_run(self) -> None:
        try:
            self._run()
        except BaseException as error:
            self._broken = error
        finally:
            for connection in self._connections:
                connection.socket.close()
            self._selector.close()

    def _run(self) -> None:
        start = time.monotonic()
        deadline: float | None = None
        while True:
            now = time.monotonic()
            if not self._stop.is_set():
                self._make_due(start, now)
            elif deadline is None:
                deadline = now + LAST_ANSWERS_SECONDS
            self._send_waiting()
            left = self._unanswered()
            if deadline is not None and left == 0:
                return
            if deadline is not None and now > deadline:
                self.outcome.failures["no answer"] += left
                return
            next_due = start + self.outcome.sent / self._rate
            # Some requests at a time: waking up for each would cost more than the request.
            self._receive(max(0.002, min(next_due - time.monotonic(), 0.05)))

    def _make_due(self, start: float, now: float) -> None:
        room = UNANSWERED - self._unanswered()
        while room > 0 and start + self.outcome.sent / self._rate <= now:
            self._waiting.append(_Request(self.outcome.sent))
            self.outcome.sent += 1
            room -= 1

    def _unanswered(self) -> int:
        return len(self._waiting) + sum(len(one.open) for one in self._connections)

    def _send_waiting(self) -> None:
        while self._waiting:
            request = self._waiting[0]
            # A new stamp each time it is sent: Loki hides duplicates with the same stamp.
            body = numbered_body({"job": self._job}, [(time.time_ns(), line_of(request.number))])
            connection = self._connection_with_room(len(body))
            if connection is None:
                break
            self._waiting.popleft()
            connection.send(request, body)
        for connection in self._connections:
            connection.flush()

    def _connection_with_room(self, size: int) -> _Connection | None:
        alive = [one for one in self._connections if not one.is_draining]
        if len(alive) < CONNECTIONS:
            made = self._connect()
            if made is None:
                return None
            alive.append(made)
        best = min(alive, key=lambda one: len(one.open))
        return best if best.has_room(size) else None

    def _connect(self) -> _Connection | None:
        try:
            made = _Connection(self._client, self._tls, self._path)
        except OSError as error:
            # The request that needed it has failed.
            self._waiting.popleft()
            self.outcome.failures[f"connect: {type(error).__name__}"] += 1
            return None
        self.outcome.connections += 1
        self._connections.append(made)
        self._selector.register(made.socket, selectors.EVENT_READ, made)
        return made

    def _receive(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            connection: _Connection = key.data
            was_draining, ended = connection.is_draining, ""
            try:
                for event in connection.receive():
                    self._handle(connection, event)
            except _GoneError as gone:
                ended = str(gone)
            if connection.is_draining:
                self.outcome.goaways += not was_draining
                for request in connection.unprocessed():
                    self._again(request)
            if ended:
                self._end(connection, ended)
            elif connection.is_draining and not connection.open:
                self._drop(connection)

    def _handle(self, connection: _Connection, event: Event) -> None:
        if isinstance(event, DataReceived):
            connection.acknowledge(event)
        elif isinstance(event, ResponseReceived) and event.headers is not None:
            status = dict(event.headers)[b":status"]
            connection.open[event.stream_id or 0].status = int(status)
        elif isinstance(event, StreamEnded):
            self._answered(connection.open.pop(event.stream_id or 0))
        elif isinstance(event, StreamReset) and event.stream_id in connection.open:
            request = connection.open.pop(event.stream_id)
            if event.error_code == ErrorCodes.REFUSED_STREAM:
                self._again(request)
            else:
                self.outcome.failures[f"reset: {event.error_code}"] += 1

    def _answered(self, request: _Request) -> None:
        if request.status == 204:
            self.outcome.acknowledged.add(request.number)
        else:
            self.outcome.failures[f"status {request.status}"] += 1

    def _again(self, request: _Request) -> None:
        self.outcome.resent += 1
        self._waiting.appendleft(request)

    def _end(self, connection: _Connection, how: str) -> None:
        """A connection is gone, and its open requests have failed."""
        if connection.open:
            self.outcome.failures[how] += len(connection.open)
        self._drop(connection)

    def _drop(self, connection: _Connection) -> None:
        self._selector.unregister(connection.socket)
        connection.socket.close()
        self._connections.remove(connection)
