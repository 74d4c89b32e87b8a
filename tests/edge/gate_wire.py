"""Sends the gate's cases, byte for byte, and reads the replies."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import hpack

from rig.deployment import Deployment
from rig.h2_frames import ServerFrames
from rig.namespaces import PRIVATE_CLIENT, SERVER, SERVER_6, SERVER_IN_PRIVATE, Namespace
from rig.probe import trust_of
from tests.edge.gate_cases import Case
from tests.edge.gate_oracle import H2Request

HTTP, HTTPS = 80, 443
THREADS = 4
# The number of open HTTP/2 streams per connection.
STREAMS_AT_ONCE = 16
# A connection idle for longer isn't reused: Caddy closes it after two minutes.
KEPT_SECONDS = 60.0
# After this long a silence we close a connection, as the server waits for more.
SILENCE_SECONDS = 5.0
ANSWER_SECONDS = 60.0
WAITED = "the server waited for more"
UNPROCESSED = "the server has not looked at it"
_STATUS = re.compile(rb"HTTP/1\.[01] ([2-9]\d\d)")


@dataclass(frozen=True)
class Reply:
    """The final statuses of a case's replies, in order, and a note."""

    statuses: tuple[int, ...] = ()
    note: str = ""


class Wire:
    """Sends cases to a deployment from several threads, each with its own connections."""

    def __init__(self, deployment: Deployment) -> None:
        world, caddy = deployment.rig.network.world, deployment.caddy()
        trusts: dict[str, ssl.SSLContext] = {}
        for protocol in ("http/1.1", "h2"):
            trusts[protocol] = trust_of(caddy)
            # Some cases name another site in their handshake.
            trusts[protocol].check_hostname = False
            trusts[protocol].set_alpn_protocols([protocol])
        self._senders = [_Sender(world, trusts) for _ in range(THREADS)]

    @contextmanager
    def open(self) -> Iterator[None]:
        """Close all connections at the end of the block."""
        try:
            yield
        finally:
            for sender in self._senders:
                sender.close()

    def send(self, cases: Sequence[Case]) -> list[tuple[Case, Reply]]:
        """Send cases, and return the reply to each."""
        shares = [cases[at::THREADS] for at in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            answers = pool.map(lambda sender, share: list(sender.send(share)), self._senders, shares)
            return [one for share in answers for one in share]


class _Sender:
    """The connections of one thread, reused if possible."""

    def __init__(self, world: Namespace, trusts: dict[str, ssl.SSLContext]) -> None:
        self._world, self._trusts = world, trusts
        # With the time of its last answer.
        self._kept: dict[tuple[str, str | None], tuple[socket.socket, float]] = {}
        self._kept_h2: dict[str, _H2Connection] = {}

    def close(self) -> None:
        """Close all connections."""
        for connection, _ in self._kept.values():
            connection.close()
        for one in self._kept_h2.values():
            one.close()
        self._kept.clear()
        self._kept_h2.clear()

    def send(self, cases: Sequence[Case]) -> Iterator[tuple[Case, Reply]]:
        """The cases with their replies, in any order."""
        waiting: dict[str, list[Case]] = {}
        for case in cases:
            if not isinstance(case.sent, H2Request):
                yield case, self._send_alone(case) if case.is_alone else self._send_in_turn(case)
            elif case.is_alone:
                yield case, self._send_stream_alone(case)
            else:
                batch = waiting.setdefault(case.source, [])
                batch.append(case)
                if len(batch) == STREAMS_AT_ONCE:
                    yield from self._send_at_once(waiting.pop(case.source))
        for batch in waiting.values():
            yield from self._send_at_once(batch)

    def _connect(self, case: Case, protocol: str = "http/1.1") -> socket.socket:
        server = SERVER_6 if ":" in case.source else SERVER
        if case.source == PRIVATE_CLIENT:
            server = SERVER_IN_PRIVATE
        port = HTTP if case.site is None else HTTPS
        plain = self._world.connect((server, port), case.source, timeout=ANSWER_SECONDS)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if case.site is None:
            return plain
        try:
            plain.sendall(case.preface)
            return self._trusts[protocol].wrap_socket(plain, server_hostname=case.site or None)
        except BaseException:
            plain.close()
            raise

    def _send_in_turn(self, case: Case) -> Reply:
        """Send a single request whose reply has a clear end."""
        assert isinstance(case.sent, bytes)
        key = case.source, case.site
        try:
            connection = self._fresh(key) or self._connect(case)
            response = http.client.HTTPResponse(
                connection, method=case.sent.split(b" ", 1)[0].decode("latin-1")
            )
            try:
                connection.sendall(case.sent)
                response.begin()
                response.read()
            except BaseException:
                connection.close()
                raise
        except (OSError, http.client.HTTPException) as error:
            return Reply(note=repr(error))
        if response.will_close:
            connection.close()
        else:
            self._kept[key] = connection, time.monotonic()
        return Reply((response.status,))

    def _fresh(self, key: tuple[str, str | None]) -> socket.socket | None:
        """The kept connection, unless the server may be about to close it."""
        connection, since = self._kept.pop(key, (None, 0.0))
        if connection is None or time.monotonic() - since < KEPT_SECONDS:
            return connection
        connection.close()
        return None

    def _send_alone(self, case: Case) -> Reply:
        """Send anything, and read until the server closes the connection."""
        assert isinstance(case.sent, bytes)
        try:
            connection = self._connect(case)
        except OSError as error:
            return Reply(note=repr(error))
        with connection:
            with suppress(OSError):  # the server may not read to the end
                connection.sendall(case.sent)
            return _read_to_end(connection, case.ends_early)

    def _send_stream_alone(self, case: Case) -> Reply:
        assert isinstance(case.sent, H2Request)
        try:
            connection = _H2Connection(self._connect(case, "h2"))
        except OSError as error:
            return Reply(note=repr(error))
        try:
            return connection.exchange([case.sent])[0]
        finally:
            connection.close()

    def _send_at_once(self, cases: list[Case]) -> Iterator[tuple[Case, Reply]]:
        source = cases[0].source
        while cases:
            try:
                connection = self._kept_h2.pop(source, None) or _H2Connection(self._connect(cases[0], "h2"))
            except OSError as error:
                yield from ((case, Reply(note=repr(error))) for case in cases)
                return
            replies = connection.exchange([one.sent for one in cases if isinstance(one.sent, H2Request)])
            if connection.is_open:
                self._kept_h2[source] = connection
            else:
                connection.close()
            answered = list(zip(cases, replies, strict=True))
            yield from ((case, reply) for case, reply in answered if reply.note != UNPROCESSED)
            # The server has closed the connection gracefully: like any client, retry on a new one.
            cases = [case for case, reply in answered if reply.note == UNPROCESSED]


def _read_to_end(connection: socket.socket, closes_first: bool) -> Reply:
    data, note = b"", ""
    try:
        if closes_first:
            _close_our_side(connection)
        else:
            connection.settimeout(SILENCE_SECONDS)
        while True:
            try:
                got = connection.recv(64 << 10)
            except TimeoutError:
                if note:
                    raise
                note = WAITED
                _close_our_side(connection)
                continue
            if not got:
                break
            data += got
    except OSError as error:
        note = repr(error)
    return Reply(tuple(int(status) for status in _STATUS.findall(data)), note)


def _close_our_side(connection: socket.socket) -> None:
    # Only the TCP connection: after Python's own shutdown a TLS socket can't read.
    socket.socket.shutdown(connection, socket.SHUT_WR)
    connection.settimeout(ANSWER_SECONDS)


class _Encoder(hpack.Encoder):
    """An encoder without Huffman coding, which takes seconds for a long field."""

    def encode(self, headers: Any, huffman: bool = True) -> bytes:
        return super().encode(headers, huffman=False)


class _H2Connection:
    """An HTTP/2 connection that sends anything, however wrong."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        config = h2.config.H2Configuration(
            client_side=True,
            header_encoding=None,
            validate_outbound_headers=False,
            normalize_outbound_headers=False,
            validate_inbound_headers=False,
            normalize_inbound_headers=False,
        )
        self._protocol = h2.connection.H2Connection(config)
        self._protocol.encoder = _Encoder()
        self._protocol.initiate_connection()
        self._frames = ServerFrames()
        # Events that arrived while a body was sent.
        self._early: list[h2.events.Event] = []
        self._is_broken = False

    @property
    def is_open(self) -> bool:
        """Whether the server accepts more requests."""
        return not self._is_broken and self._frames.last_stream is None

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def exchange(self, requests: Sequence[H2Request]) -> list[Reply]:
        """Send requests at once, and wait until each is answered, reset or never will be."""
        streams = [self._begin(request) for request in requests]
        statuses: dict[int, int] = {}
        notes: dict[int, str] = {
            stream: "cut" for stream, sent in zip(streams, requests, strict=True) if sent.is_cut
        }
        waiting = set(streams) - set(notes)
        try:
            self._flush()
            while waiting:
                events, self._early = self._early or self._receive(), []
                for event in events:
                    if isinstance(event, h2.events.ResponseReceived):
                        statuses[event.stream_id] = int(dict(event.headers)[b":status"])
                    elif isinstance(event, h2.events.StreamEnded):
                        waiting.discard(event.stream_id)
                    elif isinstance(event, h2.events.StreamReset):
                        if event.stream_id in waiting:
                            notes[event.stream_id] = f"reset ({event.error_code})"
                        waiting.discard(event.stream_id)
                left_out = {stream for stream in waiting if self._is_left_out(stream)}
                waiting -= left_out
                error = self._frames.error_code
                notes |= dict.fromkeys(left_out, f"connection ended ({error})" if error else UNPROCESSED)
        except OSError as error:
            self._is_broken = True
            notes |= dict.fromkeys(waiting, repr(error))
        return [Reply((statuses[one],) if one in statuses else (), notes.get(one, "")) for one in streams]

    def _begin(self, request: H2Request) -> int:
        stream = self._protocol.get_next_available_stream_id()
        goes_on = bool(request.body or request.trailers or request.is_cut)
        self._protocol.send_headers(stream, request.headers, end_stream=not goes_on)
        if request.body:
            is_end = not request.trailers and not request.is_cut
            self._send_body(stream, request.body, is_end)
        if request.trailers:
            self._protocol.send_headers(stream, request.trailers, end_stream=True)
        if request.is_cut:
            self._protocol.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        return stream

    def _send_body(self, stream: int, body: bytes, is_end: bool) -> None:
        """Send a body as fast as the server accepts it, and stop once the stream is closed."""
        at = 0
        while at < len(body) and not self._is_at_end(stream):
            window = self._protocol.local_flow_control_window(stream)
            piece = body[at : at + min(window, self._protocol.max_outbound_frame_size)]
            at += len(piece)
            if piece:
                self._protocol.send_data(stream, piece, end_stream=is_end and at == len(body))
            else:
                self._flush()
                self._early += self._receive()

    def _is_at_end(self, stream: int) -> bool:
        """Whether the server accepts no more of a stream."""
        resets = (event.stream_id for event in self._early if isinstance(event, h2.events.StreamReset))
        return self._is_left_out(stream) or stream in resets

    def _is_left_out(self, stream: int) -> bool:
        """Whether a stream will never be answered: the connection ends before it, or with an error."""
        return bool(self._frames.error_code) or self._frames.leaves_out(stream)

    def _receive(self) -> list[h2.events.Event]:
        data = self._socket.recv(64 << 10)
        if not data:
            raise ConnectionError("the server closed the connection")
        events = self._protocol.receive_data(self._frames.passed(data))
        for event in events:
            if isinstance(event, h2.events.DataReceived):
                self._protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._flush()
        return events

    def _flush(self) -> None:
        if data := self._protocol.data_to_send():
            self._socket.sendall(data)
