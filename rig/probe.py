"""Real clients in the world: TLS requests from a chosen address, and lines read back."""

from __future__ import annotations

import base64
import http.client
import io
import json
import socket
import ssl
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from docker.models.containers import Container

from rig.namespaces import Namespace
from rig.processes import wait_for

CADDY_ROOT = "/data/caddy/pki/authorities/local/root.crt"
PUSH_PATH = "/loki/api/v1/push"


@dataclass(frozen=True)
class Answer:
    """A server's answer."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Login:
    """A user and password for basic auth."""

    user: str
    password: str

    def header(self) -> str:
        """The value of the Authorization header."""
        raw = f"{self.user}:{self.password}".encode()
        return "Basic " + base64.b64encode(raw).decode()


class Connection(http.client.HTTPConnection):
    """HTTP from inside a namespace, from an address, over TLS if there is a context."""

    def __init__(
        self,
        namespace: Namespace,
        server: tuple[str, int],
        host: str,
        source: str | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        super().__init__(host, server[1], timeout=30)
        self._namespace, self._server, self._tls = namespace, server, tls
        # The source of the next connection.
        self.source = source

    def connect(self) -> None:
        plain = self._namespace.connect(self._server, self.source)
        plain.settimeout(self.timeout)
        # As in http.client's own connect: otherwise a body waits for the acknowledgement of its headers.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is None:
            self.sock = plain
            return
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


@dataclass(frozen=True)
class Client:
    """A client in the world with an address, which trusts the campus server's certificate."""

    namespace: Namespace
    source: str
    server: tuple[str, int]
    domain: str
    # None means plain HTTP.
    tls: ssl.SSLContext | None

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request over a new connection."""
        with self.connected() as connection:
            return _exchange(connection, method, path, body, headers or {})

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection for many requests, without retries if it is closed."""
        connection = Connection(self.namespace, self.server, self.domain, source=self.source, tls=self.tls)
        try:
            yield connection
        finally:
            connection.close()

    def push(
        self,
        line: str,
        route: str,
        labels: Mapping[str, str] | None = None,
        login: Login | None = None,
    ) -> Answer:
        """Push one log line to a route, as a log shipper does."""
        headers = {"Content-Type": "application/json"}
        if login is not None:
            headers["Authorization"] = login.header()
        body = push_body(line, labels or {"job": "rig"})
        return self.request("POST", route + PUSH_PATH, body, headers)


def push_body(line: str, labels: Mapping[str, str]) -> bytes:
    """Loki's push request for one line, stamped with the time now."""
    stream = {"stream": dict(labels), "values": [[str(time.time_ns()), line]]}
    return json.dumps({"streams": [stream]}).encode()


def trust_of(caddy: Container) -> ssl.SSLContext:
    """A TLS context that trusts Caddy's own root certificate and nothing else."""
    return trust_in(ca_of(caddy))


def ca_of(caddy: Container) -> str:
    """Caddy's own root certificate, as PEM."""
    chunks, _ = caddy.get_archive(CADDY_ROOT)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        member = archive.extractfile("root.crt")
        if member is None:
            raise RuntimeError(f"{CADDY_ROOT} in the caddy container is not a file")
        return member.read().decode()


def trust_in(ca: str) -> ssl.SSLContext:
    """A TLS context that trusts this certificate authority and nothing else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cadata=ca)
    return context


def lines_in_loki(campus: Namespace, loki: tuple[str, int], query: str) -> list[str]:
    """The lines of the last hour that a query finds, queried from the campus server itself."""
    now = time.time_ns()
    asked = {"query": query, "start": now - 3600 * 10**9, "end": now + 10**9, "limit": 5000}
    connection = Connection(campus, loki, loki[0])
    try:
        answer = _exchange(connection, "GET", "/loki/api/v1/query_range?" + urlencode(asked), None, {})
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"Loki at {loki} answered {answer.status}: {answer.body[:200]!r}")
    streams = json.loads(answer.body)["data"]["result"]
    return [line for stream in streams for _, line in stream["values"]]


def wait_for_line(
    campus: Namespace, loki: tuple[str, int], line: str, job: str = "rig", seconds: float = 20.0
) -> None:
    """Return when Loki returns this line, or fail."""
    query = f'{{job="{job}"}}'
    wait_for(
        f"the line {line!r} is in Loki",
        lambda: line in lines_in_loki(campus, loki, query),
        seconds,
    )


def is_connected(one: socket.socket) -> bool:
    """Whether a connection is established."""
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def can_connect(namespace: Namespace, source: str | None, server: tuple[str, int]) -> bool:
    """Whether a TCP connection from this address is established within two seconds."""
    try:
        namespace.connect(server, source, timeout=2.0).close()
    except OSError:
        return False
    return True


def _exchange(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    body: bytes | None,
    headers: Mapping[str, str],
) -> Answer:
    connection.request(method, path, body=body, headers=dict(headers))
    response = connection.getresponse()
    return Answer(response.status, response.read())
