"""loki-canary: Loki's own client, which pushes with user and password and counts the lines that come back.

It knows only one Loki, without a path prefix. So a relay acts as that Loki: it forwards pushes to a route
of the gate, from an address of the world, with the canary's headers and body; queries, which the gate
refuses, go to Loki on the private network.
"""

from __future__ import annotations

import http.client
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from rig.namespaces import Namespace
from rig.probe import Client, Connection, Login
from rig.processes import die_with_parent
from rig.programs import loki_canary

LOOPBACK = "127.0.0.1"
CHUNK = 64 << 10
# Hop-by-hop headers, or written by the connection to the gate itself.
OWN_HEADERS = {"host", "connection", "content-length"}
METRIC = re.compile(r"^loki_canary_(\w+) (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class Way:
    """The targets of a canary's requests: pushes go to a route of the gate, queries to the Loki behind it."""

    client: Client
    route: str
    campus: Namespace
    loki: tuple[str, int]


class _Handler(BaseHTTPRequestHandler):
    """One connection of a canary's."""

    protocol_version = "HTTP/1.1"

    def __init__(
        self, way: Way, request: socket.socket, address: object, server: ThreadingHTTPServer
    ) -> None:
        self._way = way
        super().__init__(request, address, server)

    def do_POST(self) -> None:
        """Push through the gate. Without an answer, the canary gets none either, and tries again."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        sent = {name: value for name, value in self.headers.items() if name.lower() not in OWN_HEADERS}
        try:
            answer = self._way.client.request("POST", self._way.route + self.path, body, sent)
        except (OSError, http.client.HTTPException):
            self.close_connection = True
            return
        self.send_response(answer.status)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def do_GET(self) -> None:
        """Query Loki, and relay both sides' bytes until one side ends: a tail is a WebSocket."""
        self.close_connection = True
        asked = [f"{name}: {value}" for name, value in self.headers.items()]
        if "Upgrade" not in self.headers:
            asked = [*(line for line in asked if not line.startswith("Connection:")), "Connection: close"]
        with closing(self._way.campus.connect(self._way.loki)) as loki:
            loki.settimeout(None)
            loki.sendall("\r\n".join([self.requestline, *asked, "", ""]).encode())
            threading.Thread(target=self._pass_on_frames, args=(loki,), daemon=True).start()
            while data := loki.recv(CHUNK):
                self.wfile.write(data)

    def _pass_on_frames(self, loki: socket.socket) -> None:
        with suppress(OSError):
            while data := self.rfile.read1(CHUNK):
                loki.sendall(data)
            loki.shutdown(socket.SHUT_RDWR)

    def log_request(self, code: object = "-", size: object = "-") -> None:
        """Log nothing: the canary's own counts matter."""


@contextmanager
def running_relay(way: Way) -> Iterator[int]:
    """The relay, on a port of the world's loopback, for the duration of the block."""
    with way.client.namespace.entered():
        server = ThreadingHTTPServer((LOOPBACK, 0), partial(_Handler, way))
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, name="canary-relay", daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


@dataclass(frozen=True)
class Canary:
    """A running canary: its stream, and where it serves its counts."""

    namespace: Namespace
    name: str
    port: int

    @property
    def selector(self) -> str:
        """The selector of its own stream."""
        return f'{{name="{self.name}",stream="stdout"}}'

    def counts(self) -> dict[str, int]:
        """Its counts so far."""
        text = self._get("/metrics").decode()
        return {found[1]: int(float(found[2])) for found in METRIC.finditer(text)}

    def stop_writing(self) -> None:
        """Stop writing and reading; it still pushes what it has written."""
        self._get("/suspend")

    def _get(self, path: str) -> bytes:
        with closing(Connection(self.namespace, (LOOPBACK, self.port), LOOPBACK)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"{self.name} answered {answer.status} to {path}")
            return answer.read()


@contextmanager
def running_canary(
    namespace: Namespace, loki_port: int, name: str, port: int, login: Login, interval: str, log: Path
) -> Iterator[Canary]:
    """A canary that writes a line per `interval`, for the duration of the block."""
    program = loki_canary.program()
    if not program.exists():
        # A missing program fails the test: nothing would be proven.
        pytest.fail(f"{program.name} is missing: run `make install` once")
    command = [
        *("nsenter", f"--net={namespace.path}", str(program)),
        *("-push", f"-addr={LOOPBACK}:{loki_port}", f"-labelvalue={name}", f"-port={port}"),
        # It accepts a password only as an argument; this password guards a stack that ends with the test.
        *(f"-user={login.user}", f"-pass={login.password}", f"-interval={interval}"),
    ]
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=subprocess.STDOUT, preexec_fn=die_with_parent)
    try:
        yield Canary(namespace, name, port)
    finally:
        process.kill()
        process.wait()
