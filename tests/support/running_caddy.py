"""The real Caddy with a rendered Caddyfile, in front of a fake Loki and Grafana."""

from __future__ import annotations

import base64
import http.client
import http.server
import itertools
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt

from components.edge.caddyfile import (
    GuardedRoute,
    render_allowed_address,
    render_caddyfile,
)
from components.edge.own_metrics import SOCKET_DIRECTORY
from components.edge.settings import EdgeSettings
from components.live.container_facts import ADMIN_SOCKET
from components.loki.push_paths import pushes
from components.loki.settings import LokiSettings
from tests.support.http_server import serving
from tests.support.loki import loki_instance
from tests.support.memory_limit import MemoryLimit
from tests.support.programs import program

SITE = EdgeSettings(domain="campus.localhost", tls="internal", email=None, http_port=18080, https_port=18443)
HASH = "$2b$04$" + "." * 21 + "u" + "." * 31
ONLY_LOKIS, WITH_OTLP = (pushes(loki_instance(otlp=otlp)) for otlp in (False, True))
AWS = GuardedRoute(name="aws", prefix="/lokiaws", upstream="loki-aws:3100", pushes=ONLY_LOKIS, allow_nat=True)
TEST = GuardedRoute(
    name="test",
    prefix="/lokitest",
    upstream="loki-test:3199",
    allow_nat=True,
    cidrs=("2001:db8::/64", "198.51.100.0/24"),
    pushes=WITH_OTLP,
    accounts=(("admin-1", HASH), ("admin-2", HASH)),
)
# Clients on one route's list, or on none.
LISTED, STRANGER = "127.0.0.1", "127.0.0.2"
PUSH = "/lokiaws/loki/api/v1/push"
GUARDED_PUSH = "/lokitest/loki/api/v1/push"


@dataclass
class Received:
    """The requests that reached the upstream."""

    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    # Health checks.
    checks: list[str] = field(default_factory=list)
    # The seconds before an answer to a POST, and the most that waited for one at once.
    answer_after: float = 0.0
    most_at_once: int = 0
    waiting: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self) -> None:
        """Wait before the answer, and count as waiting."""
        with self.lock:
            self.waiting += 1
            self.most_at_once = max(self.most_at_once, self.waiting)
        time.sleep(self.answer_after)
        with self.lock:
            self.waiting -= 1


@contextmanager
def upstream(ready: int = 200) -> Iterator[tuple[int, Received]]:
    """A server that records POSTs and answers with the requested status, or 204; to a GET, with `ready`."""
    received = Received()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # Unread bytes would reset the connection, and maybe lose the answer.
            ended = self._read()
            received.checks.append(self.path)
            if not ended:
                return
            self.send_response(ready)
            self.end_headers()

        def do_POST(self) -> None:
            if not self._read():
                return
            headers = {key.lower(): value for key, value in self.headers.items()}
            received.requests.append((self.path, headers))
            received.wait()
            self.send_response(int(headers.get("x-answer-with", 204)))
            self.end_headers()

        def _read(self) -> bool:
            """Read a body to its end; whether it has an end."""
            if self.headers["Transfer-Encoding"] is None:
                size = int(self.headers["Content-Length"] or 0)
                return len(self.rfile.read(size)) == size
            while True:
                line = self.rfile.readline()
                if not line.strip():
                    return False
                size = int(line, 16)
                self.rfile.read(size + 2)
                if size == 0:
                    return True

    with serving(Handler) as port:
        yield port, received


# Below the kernel's ports for clients (ip_local_port_range), on which nothing can listen for a minute after a
# client. pytest-xdist's processes, gw0 and so on, have a thousand each.
_PORTS = itertools.count(20_000 + 1000 * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 12))


def free_port() -> int:
    """A port that is free on every address, and that no other call returns."""
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
            return port
    raise AssertionError("the count has no end")


class Answer(NamedTuple):
    """An answer."""

    status_code: int
    text: str


class PlainAnswer(NamedTuple):
    """An answer over plain HTTP."""

    status_code: int
    headers: dict[str, str]


@dataclass
class RunningCaddy:
    """The test's own Caddy."""

    folder: Path
    site: EdgeSettings
    received: Received
    environment: dict[str, str]

    def post(
        self,
        path: str,
        *,
        method: str = "POST",
        content: bytes | Iterator[bytes] = b"{}",
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        source: str = LISTED,
    ) -> Answer:
        """A request, with exactly this path."""
        sent = {"Host": self.site.domain, **(headers or {})}
        if not isinstance(content, bytes):
            sent["Transfer-Encoding"] = "chunked"
        if auth:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        with self.connected(source) as connection:
            # A server that refuses a body may not read all of it.
            with suppress(BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
                connection.request(method, path, content, sent, encode_chunked=not isinstance(content, bytes))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode())

    @contextmanager
    def connected(self, source: str = LISTED) -> Iterator[http.client.HTTPConnection]:
        """A connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.site.https_port)
        with self.secured(["http/1.1"], source) as connection.sock, closing(connection):
            yield connection

    @contextmanager
    def secured(self, protocols: Sequence[str], source: str = LISTED) -> Iterator[ssl.SSLSocket]:
        """A socket for one of these protocols (ALPN)."""
        # Not the default context, which reads all of the machine's authorities: 20 ms per connection.
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        trusting.set_alpn_protocols(list(protocols))
        server = ("127.0.0.1", self.site.https_port)
        with socket.create_connection(server, timeout=20, source_address=(source, 0)) as plain:
            # Head and body are two writes: otherwise the second waits 40 ms for the first one's
            # acknowledgement.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with trusting.wrap_socket(plain, server_hostname=self.site.domain) as secured:
                yield secured

    def plainly(self, path: str, headers: dict[str, str] | None = None) -> PlainAnswer:
        """A GET over plain HTTP."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.site.http_port, timeout=20)) as connection:
            connection.request("GET", path, headers={"Host": self.site.domain, **(headers or {})})
            answer = connection.getresponse()
            return PlainAnswer(answer.status, {key.lower(): value for key, value in answer.getheaders()})

    def log_lines(self) -> int:
        """The number of its log lines, including all requests until now."""
        return len(self._lines())

    def new_log_lines(self, before: int) -> list[str]:
        """Its log lines after the first `before`."""
        # Caddy answers before it logs; a line that is missing after this won't come.
        time.sleep(0.3)
        return self._lines()[before:]

    def _lines(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()

    def allow(self, ip: str) -> None:
        """Add a fragment and reload, like LiveFiles."""
        fragments = self.folder / "allowed/nat"
        fragments.mkdir(parents=True, exist_ok=True)
        (fragments / f"{ip}.caddy").write_text(render_allowed_address(ip))
        subprocess.run(
            [
                *(program("caddy"), "reload", "--config", "Caddyfile", "--adapter", "caddyfile"),
                *("--address", f"unix/{self.folder}/admin.sock"),
            ],
            cwd=self.folder,
            env=self.environment,
            check=True,
            capture_output=True,
            timeout=30,
        )


@contextmanager
def running_caddy(
    folder: Path,
    *,
    has_grafana: bool,
    replicas: Sequence[int] = (),
    accounts_optional: bool = False,
    loki: tuple[LokiSettings, int] | None = None,
    grafana: int | None = None,
    limit: MemoryLimit | None = None,
    more: Sequence[GuardedRoute] = (),
    is_measured: bool = False,
) -> Iterator[RunningCaddy]:
    """The real Caddy, with the same upstream behind every route; one has replicas on these ports too.

    `loki` (with its port) and `grafana` (a port) replace the upstream. Caddy's memory is limited to `limit`.
    `more` are further routes. With `is_measured` it serves its own metrics, on a socket in the folder.
    """
    site = SITE.model_copy(update={"http_port": free_port(), "https_port": free_port()})
    password = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    with upstream() as (port, received):
        aws = replace(AWS, upstream=f"127.0.0.1:{port}")
        test = replace(
            TEST,
            upstream=aws.upstream if loki is None else f"127.0.0.1:{loki[1]}",
            more_upstreams=tuple(f"127.0.0.1:{replica}" for replica in replicas),
            cidrs=(f"{LISTED}/32",),
            accounts=(("admin", password),),
            accounts_optional=accounts_optional,
            # Each of a route's paths checks the replicas separately.
            pushes=pushes(loki[0]) if loki else ONLY_LOKIS if replicas else WITH_OTLP,
        )
        behind = aws.upstream if grafana is None else f"127.0.0.1:{grafana}"
        shown = behind if has_grafana else None
        page = render_caddyfile(site, [aws, test, *more], shown, [], is_measured=is_measured)
        page = page.replace(ADMIN_SOCKET, f"{folder}/admin.sock").replace(SOCKET_DIRECTORY, str(folder))
        (folder / "Caddyfile").write_text(page)
        environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        log = (folder / "log").open("w")
        process = subprocess.Popen(
            [program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
            preexec_fn=limit.enter if limit else None,
        )
        made = RunningCaddy(folder, site, received, environment)
        try:
            _wait_until_it_answers(made, process)
            yield made
        finally:
            process.terminate()
            process.wait(timeout=30)
            log.close()


def _wait_until_it_answers(caddy: RunningCaddy, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            caddy.post(PUSH, method="GET", source=STRANGER)
        except OSError:
            said = (caddy.folder / "log").read_text()[-2000:]
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)  # Caddy doesn't report when it has its certificate
        else:
            return


def logged(folder: Path) -> list[dict[str, Any]]:
    """Caddy's access log."""
    entries = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return [entry for entry in entries if entry.get("logger", "").startswith("http.log.access")]
