"""No HTTP/2 connection keeps an old configuration: each is closed gracefully after a while."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from rig.deployment import Deployment
from rig.edge_files import edge_files
from rig.h2_frames import ServerFrames
from rig.namespaces import LATER_NAT, NAT, STRANGER
from rig.probe import PUSH_PATH, Client, push_body, trust_of

pytestmark = pytest.mark.docker

# One request in 256 closes its connection: the chance of this many that don't is 3e-14.
MOST_REQUESTS = 8000
# HTTP/1.1 isn't closed: the chance of this many spared requests would be 0.003.
KEPT_REQUESTS = 1500
TAKEN, REFUSED = 204, 403
PATH = f"/lokiaws{PUSH_PATH}"
JSON = {"content-type": "application/json"}


class SlowClient:
    """One HTTP/2 connection whose TLS handshake ends on demand; one request at a time."""

    def __init__(self, client: Client, tls: ssl.SSLContext) -> None:
        self._host = client.domain
        self._plain = client.namespace.connect(client.server, client.source)
        self._plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls.wrap_bio(self._in, self._out, server_hostname=client.domain)
        self._h2 = H2Connection(H2Configuration(client_side=True))
        self._frames = ServerFrames()
        # All but the client's last message, which stays in `_out`: the server waits for it.
        while not self._has_shaken_hands():
            self._plain.sendall(self._out.read())
            self._in.write(self._plain.recv(64 << 10))
        self._h2.initiate_connection()

    def close(self) -> None:
        """Close the connection."""
        self._plain.close()

    def answers(self) -> Iterator[int]:
        """Push repeatedly; the statuses, until the server closes the connection gracefully."""
        while self._frames.last_stream is None:
            status = self._push()
            if status is None:
                break
            yield status
        assert self._frames.error_code == 0

    def _has_shaken_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def _push(self) -> int | None:
        """The status of one push; None if the server says that it won't process it."""
        stream = self._h2.get_next_available_stream_id()
        body = push_body("a line", {"job": "renewal"})
        pseudo = {":method": "POST", ":scheme": "https", ":authority": self._host, ":path": PATH}
        self._h2.send_headers(stream, [*pseudo.items(), *JSON.items(), ("content-length", str(len(body)))])
        self._h2.send_data(stream, body, end_stream=True)
        status = 0
        while True:
            self._tls.write(self._h2.data_to_send() or b"")
            self._plain.sendall(self._out.read())
            for event in self._h2.receive_data(self._frames.passed(self._read())):
                if isinstance(event, ResponseReceived) and event.headers is not None:
                    status = int(dict(event.headers)[b":status"])
                elif isinstance(event, DataReceived):
                    self._h2.acknowledge_received_data(event.flow_controlled_length, stream)
                elif isinstance(event, StreamEnded):
                    return status
            if self._frames.leaves_out(stream):
                return None

    def _read(self) -> bytes:
        while True:
            try:
                return self._tls.read(64 << 10)
            except ssl.SSLWantReadError:
                data = self._plain.recv(64 << 10)
                if not data:
                    raise ConnectionError("the server closed the connection") from None
                self._in.write(data)


@pytest.fixture(scope="module")
def tls(edge: Deployment) -> ssl.SSLContext:
    """A TLS context that trusts the deployed Caddy, for HTTP/2."""
    made = trust_of(edge.caddy())
    made.set_alpn_protocols(["h2"])
    return made


@contextmanager
def slow_client(edge: Deployment, tls: ssl.SSLContext, source: str) -> Iterator[SlowClient]:
    with closing(SlowClient(edge.client(source), tls)) as made:
        yield made


def counted(client: SlowClient, status: int) -> int:
    """The number of requests until the connection closes, at least one; each must get this status."""
    number = 0
    for answer in client.answers():
        number += 1
        assert answer == status
        assert number < MOST_REQUESTS
    assert number > 0
    return number


@pytest.mark.parametrize(("source", "status"), [(NAT, TAKEN), (STRANGER, REFUSED)])
def test_an_http2_connection_is_closed_gracefully(
    edge: Deployment, tls: ssl.SSLContext, source: str, status: int
) -> None:
    with slow_client(edge, tls, source) as client:
        counted(client, status)


def test_an_address_disallowed_during_its_handshake_stops_pushing(
    edge: Deployment, tls: ssl.SSLContext
) -> None:
    with edge_files(edge) as live:
        live.allow(LATER_NAT)
        with slow_client(edge, tls, LATER_NAT) as client:
            live.disallow(LATER_NAT)
            # Go gives such a connection to the old configuration; if this changes, the renewal can be
            # removed.
            lasted = counted(client, TAKEN)
        print(f"the connection lasted {lasted} requests")
        assert edge.push_status(LATER_NAT, "aws") == REFUSED


def test_an_address_allowed_during_its_handshake_is_not_refused_for_long(
    edge: Deployment, tls: ssl.SSLContext
) -> None:
    with edge_files(edge) as live, slow_client(edge, tls, LATER_NAT) as client:
        live.allow(LATER_NAT)
        counted(client, REFUSED)
        assert edge.push_status(LATER_NAT, "aws") == TAKEN


def test_an_http1_connection_is_kept(edge: Deployment) -> None:
    with edge.client(NAT).connected() as connection:
        connection.connect()
        kept = connection.sock
        for _ in range(KEPT_REQUESTS):
            body = push_body("a line", {"job": "renewal"})
            connection.request("POST", PATH, body=body, headers=JSON)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == TAKEN
            # http.client would reconnect silently.
            assert connection.sock is kept
