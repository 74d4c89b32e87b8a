"""A stranger's endless requests don't fill Caddy's memory."""

from __future__ import annotations

import resource
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, ResponseReceived

from components.edge.caddyfile import GRAFANA_AT_ONCE
from components.edge.connection_limit import CADDY_MEMORY_MIB
from rig.h2_frames import ServerFrames
from rig.processes import wait_for
from tests.support.memory_limit import memory_limit
from tests.support.running_caddy import PUSH, STRANGER, running_caddy

pytestmark = pytest.mark.docker  # as root: a control group

# More than would fill Caddy's memory: the most streams per connection (Go's http2, defaultMaxStreams).
CONNECTIONS, STREAMS = 40, 250
# Enough for a busy machine.
ANSWERED_SECONDS = 60.0


class Client:
    """Requests over one connection, each with an announced body that never comes."""

    def __init__(self, connection: ssl.SSLSocket, domain: str) -> None:
        self._connection, self._h2, self._frames = connection, H2Connection(H2Configuration()), ServerFrames()
        self._h2.initiate_connection()
        self.statuses: Counter[bytes] = Counter()
        head = {":method": "POST", ":scheme": "https", ":authority": domain, ":path": "/api/x"}
        for stream in range(1, 2 * STREAMS, 2):
            self._h2.send_headers(stream, [*head.items(), ("content-length", "1")])
        connection.sendall(self._h2.data_to_send())

    def read(self) -> None:
        """Read the answers until now."""
        self._connection.settimeout(0.01)
        try:
            while data := self._connection.recv(1 << 16):
                self._take(self._h2.receive_data(self._frames.passed(data)))
        except TimeoutError:
            return

    @property
    def looked_at(self) -> int:
        """The number of requests that Caddy accepted: it closes each connection gracefully at some time."""
        return sum(not self._frames.leaves_out(stream) for stream in range(1, 2 * STREAMS, 2))

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ResponseReceived):
                self.statuses[dict(event.headers)[b":status"]] += 1


@contextmanager
def never_answering() -> Iterator[int]:
    """The port of a server that accepts every connection and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as server, ExitStack() as kept:

        def accept() -> None:
            while True:
                try:
                    kept.enter_context(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Raise this process's limit of open files to the maximum."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_requests_that_wait_for_grafana_do_not_fill_caddys_memory(tmp_path: Path) -> None:
    with (
        never_answering() as port,
        memory_limit("waiting", CADDY_MEMORY_MIB << 20) as limit,
        running_caddy(tmp_path, has_grafana=True, grafana=port, limit=limit) as caddy,
        ExitStack() as kept,
    ):
        clients = [
            Client(kept.enter_context(caddy.secured(["h2"], STRANGER)), caddy.site.domain)
            for _ in range(CONNECTIONS)
        ]

        def refused() -> int:
            for one in clients:
                one.read()
            return sum((one.statuses for one in clients), Counter[bytes]())[b"503"]

        def surplus() -> int:
            return sum(one.looked_at for one in clients) - GRAFANA_AT_ONCE

        # A few more may get in: Caddy counts a request after it has found a slot.
        wait_for("all others are refused", lambda: refused() >= 0.95 * surplus(), ANSWERED_SECONDS)
        assert 0 < refused() <= surplus()
        assert caddy.post(PUSH).status_code == 403  # no address is allowed, but Caddy answers
