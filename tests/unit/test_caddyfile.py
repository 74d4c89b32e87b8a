"""The Caddyfile: as agreed, taken by the real Caddy, and closed where it has to be."""

from __future__ import annotations

import base64
import http.client
import http.server
import json
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import bcrypt
import pytest

from components.campus.caddyfile import (
    ADMIN_SOCKET,
    CONFIG_DIRECTORY,
    TAKEN_LOGGED_ONE_IN,
    TAKEN_LOGGED_PER_SECOND,
    AcmeAuthority,
    GuardedRoute,
    Site,
    push_url,
    render_allowed_address,
    render_caddyfile,
    render_closed,
    site_url,
)
from tests.rig.processes import wait_for
from tests.support.certificates import made_authority
from tests.support.golden import assert_golden, assert_golden_variant
from tests.support.programs import program, run

SITE = Site(domain="campus.localhost", tls="internal", email=None, http_port=18080, https_port=18443)
HASH = "$2b$04$" + "." * 21 + "u" + "." * 31
AWS = GuardedRoute(name="aws", prefix="/lokiaws", upstream="loki-aws:3100", allow_nat=True)
TEST = GuardedRoute(
    name="test",
    prefix="/lokitest",
    upstream="loki-test:3199",
    allow_nat=True,
    cidrs=("2001:db8::/64", "198.51.100.0/24"),
    otlp=True,
    accounts=(("admin-1", HASH), ("admin-2", HASH)),
)
ACME = AcmeAuthority(directory="https://ca.example.org:9000/acme/directory", root="a root as PEM")
PAGES = {
    "caddyfile": render_caddyfile(SITE, [TEST, AWS], None),
    "caddyfile_grafana": render_caddyfile(
        Site(
            domain="grafana.codedang.com",
            tls="acme",
            email="operator@codedang.com",
            http_port=80,
            https_port=443,
            http3=True,
        ),
        [AWS],
        "grafana:3000",
    ),
    "caddyfile_replicas": render_caddyfile(
        SITE, [replace(AWS, more_upstreams=("loki-aws-2:3100", "loki-aws-3:3100")), TEST], None
    ),
    "caddyfile_acme": render_caddyfile(
        replace(SITE, tls="acme", email="a@example.com", acme=ACME), [AWS], "grafana:3000"
    ),
    "caddyfile_closed": render_closed(replace(SITE, tls="acme-staging", email="a@example.com")),
}


# Pages that differ little from another one, and which.
VARIANTS = {"caddyfile_replicas": "caddyfile", "caddyfile_acme": "caddyfile_grafana"}


@pytest.mark.parametrize("name", PAGES)
def test_the_caddyfile_is_the_agreed_one(name: str) -> None:
    if name in VARIANTS:
        assert_golden_variant(VARIANTS[name], f"{name}.diff", PAGES[name])
    else:
        assert_golden(name, PAGES[name])


@pytest.mark.parametrize("name", PAGES)
def test_caddy_takes_it_as_it_is_formatted(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / ACME.root_file).write_text(made_authority("ca.example.org").root)
    page = PAGES[name].replace(f"{CONFIG_DIRECTORY}/acme", f"{tmp_path}/acme")
    (tmp_path / "Caddyfile").write_text(page)
    caddy = program("caddy")
    run(caddy, "validate", "--config", "Caddyfile", "--adapter", "caddyfile", cwd=tmp_path)
    assert run(caddy, "fmt", "Caddyfile", cwd=tmp_path) == page


def remote_ip_ranges(folder: Path) -> list[list[str]]:
    """The ranges of each address gate in the folder's Caddyfile, as Caddy understands it."""
    adapted = run(program("caddy"), "adapt", "--config", "Caddyfile", cwd=folder)
    found: list[list[str]] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            if "remote_ip" in node:
                found.append(node["remote_ip"]["ranges"])
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(json.loads(adapted))
    return found


def test_without_a_fragment_a_gate_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(render_caddyfile(SITE, [AWS], None))
    assert remote_ip_ranges(tmp_path) == [["255.255.255.255/32"]]


def test_fragments_and_the_routes_own_list_are_a_union(tmp_path: Path) -> None:
    (tmp_path / "Caddyfile").write_text(
        render_caddyfile(SITE, [AWS, TEST, replace(TEST, name="own", allow_nat=False)], None)
    )
    fragments = tmp_path / "allowed/nat"
    fragments.mkdir(parents=True)
    for ip in ("203.0.113.7", "203.0.113.9"):
        (fragments / f"{ip}.caddy").write_text(render_allowed_address(ip))
    nat = ["203.0.113.7/32", "203.0.113.9/32"]
    own = ["255.255.255.255/32", "198.51.100.0/24", "2001:db8::/64"]
    both = [*own, *nat]
    # Push and OpenTelemetry have a gate each.
    assert remote_ip_ranges(tmp_path) == [["255.255.255.255/32", *nat], own, own, both, both]


def test_urls_name_the_port_only_where_it_is_not_the_usual_one() -> None:
    assert site_url(SITE) == "https://campus.localhost:18443"
    usual = replace(SITE, https_port=443)
    assert push_url(usual, "/lokiaws") == "https://campus.localhost/lokiaws/loki/api/v1/push"


def test_a_fragment_is_one_address() -> None:
    assert render_allowed_address("203.0.113.7") == "remote_ip 203.0.113.7/32\n"
    with pytest.raises(ValueError, match="does not appear to be"):
        render_allowed_address("203.0.113.7 0.0.0.0/0")


# --- the real Caddy in front of a stand-in for Loki ---


@dataclass
class Received:
    """What reached the upstream."""

    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    # What it was asked about itself.
    checks: list[str] = field(default_factory=list)


@contextmanager
def upstream(ready: int = 200) -> Iterator[tuple[int, Received]]:
    """A server that remembers every POST and answers as it asks for, or 204; to a GET, how ready it is."""
    received = Received()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # What stays unread has the connection reset, and maybe the answer lost.
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            received.checks.append(self.path)
            self.send_response(ready)
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            headers = {key.lower(): value for key, value in self.headers.items()}
            received.requests.append((self.path, headers))
            self.send_response(int(headers.get("x-answer-with", 204)))
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], received
    finally:
        server.shutdown()
        server.server_close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Answer(NamedTuple):
    """What came back."""

    status_code: int
    text: str


@dataclass
class RunningCaddy:
    """A Caddy of the test's own."""

    folder: Path
    site: Site
    received: Received
    environment: dict[str, str]

    def post(
        self,
        path: str,
        *,
        method: str = "POST",
        content: bytes = b"{}",
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
    ) -> Answer:
        """A request from 127.0.0.1, with the path byte for byte as it is written here."""
        sent = {"Host": self.site.domain, **(headers or {})}
        if auth:
            sent["Authorization"] = "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        with self.connected() as connection:
            connection.request(method, path, content, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read().decode())

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection from 127.0.0.1."""
        # Not the default one, which reads every authority of the machine: 20 ms for each connection.
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        address = ("127.0.0.1", self.site.https_port)
        connection = http.client.HTTPConnection(*address)
        with socket.create_connection(address, timeout=20) as plain:
            # Head and body are two writes: without this, the second waits 40 ms for an answer to the first.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.sock = trusting.wrap_socket(plain, server_hostname=self.site.domain)
            with closing(connection):
                yield connection

    def allow(self, ip: str) -> None:
        """Add a fragment and reload, as LiveFiles does."""
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


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCaddy]:
    """The real Caddy with the rendered file; nobody is allowed yet."""
    with running_caddy(tmp_path_factory.mktemp("caddy"), has_grafana=False) as made:
        yield made


@contextmanager
def running_caddy(folder: Path, *, has_grafana: bool, replicas: Sequence[int] = ()) -> Iterator[RunningCaddy]:
    """The real Caddy, with the same upstream behind every route; one has replicas on these ports too."""
    site = replace(SITE, http_port=free_port(), https_port=free_port())
    password = bcrypt.hashpw(b"right", bcrypt.gensalt(4)).decode()
    with upstream() as (port, received):
        aws = replace(AWS, upstream=f"127.0.0.1:{port}")
        test = replace(
            TEST,
            upstream=aws.upstream,
            more_upstreams=tuple(f"127.0.0.1:{replica}" for replica in replicas),
            cidrs=("127.0.0.1/32",),
            accounts=(("admin", password),),
            # Each of a route's paths asks the replicas anew.
            otlp=not replicas,
        )
        page = render_caddyfile(site, [aws, test], aws.upstream if has_grafana else None)
        (folder / "Caddyfile").write_text(page.replace(ADMIN_SOCKET, f"{folder}/admin.sock"))
        environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
        log = (folder / "log").open("w")
        process = subprocess.Popen(
            [program("caddy"), "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
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
            caddy.post("/")
        except OSError:
            said = (caddy.folder / "log").read_text()[-2000:]
            assert process.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.05)  # Caddy tells nobody when its certificate is there
        else:
            return


PUSH = "/lokiaws/loki/api/v1/push"
GUARDED_PUSH = "/lokitest/loki/api/v1/push"


def test_a_route_is_closed_until_an_address_is_allowed(caddy: RunningCaddy) -> None:
    before = len(caddy.received.requests)
    spoofed = {"X-Forwarded-For": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
    assert caddy.post(PUSH).status_code == 403
    assert caddy.post(PUSH, headers=spoofed).status_code == 403
    caddy.allow("203.0.113.7")
    assert caddy.post(PUSH, headers=spoofed).status_code == 403
    assert len(caddy.received.requests) == before
    caddy.allow("127.0.0.1")
    assert caddy.post(PUSH).status_code == 204
    assert len(caddy.received.requests) == before + 1


def test_what_reaches_loki_is_the_constant_path_without_tenant_and_password(
    caddy: RunningCaddy,
) -> None:
    headers = {"X-Scope-OrgID": "other"}
    answer = caddy.post(GUARDED_PUSH, headers=headers, auth=("admin", "right"))
    assert answer.status_code == 204
    path, received = caddy.received.requests[-1]
    assert path == "/loki/api/v1/push"
    assert not {"x-scope-orgid", "authorization"} & set(received)


def test_open_telemetry_passes_only_where_it_is_asked_for(caddy: RunningCaddy) -> None:
    assert caddy.post("/lokitest/otlp/v1/logs", auth=("admin", "right")).status_code == 204
    assert caddy.received.requests[-1][0] == "/otlp/v1/logs"
    assert caddy.post("/lokitest/otlp/v1/logs").status_code == 401
    before = len(caddy.received.requests)
    for path in ("/lokitest/otlp/v1/logs/", "/lokitest/otlp/v1/traces", "/lokiaws/otlp/v1/logs"):
        assert caddy.post(path, auth=("admin", "right")).status_code == 403
    assert len(caddy.received.requests) == before


@pytest.mark.parametrize("auth", [None, ("admin", "wrong"), ("other", "right"), ("admin", "")])
def test_a_password_comes_on_top_of_the_address(caddy: RunningCaddy, auth: tuple[str, str] | None) -> None:
    assert caddy.post(GUARDED_PUSH, auth=auth).status_code == 401


@pytest.mark.parametrize(
    "path",
    [
        "/lokitest",
        "/lokitest/",
        "/lokitest/config",
        "/lokitest/loki/api/v1/push/",
        "/lokitest/loki/api/v1/push/x",
        "/lokitest/loki/api/v1/query",
        "/lokitest/ingester/shutdown",
        "/lokitest//loki/api/v1/push",
        "/lokitest/loki/../loki/api/v1/push",
        "//lokitest/loki/api/v1/push",
        "/LOKITEST/loki/api/v1/push",
        "/lokitest/loki/api/v1/PUSH",
        "/%6cokitest/ingester/shutdown",
        "/lokitest%2floki/api/v1/push",
        "/lokitest/loki/api/v1/%70ush",
        "/lokitest/loki/api/v1/push?",
        "/lokitest/loki/api/v1/push?tenant=x",
    ],
)
def test_anything_else_under_the_prefix_is_refused(caddy: RunningCaddy, path: str) -> None:
    before = len(caddy.received.requests)
    assert caddy.post(path, auth=("admin", "right")).status_code == 403
    assert len(caddy.received.requests) == before


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_any_other_method_is_refused(caddy: RunningCaddy, method: str) -> None:
    answer = caddy.post(GUARDED_PUSH, method=method, auth=("admin", "right"))
    assert answer.status_code == 403


def test_a_body_above_the_limit_is_refused(caddy: RunningCaddy) -> None:
    big = b"x" * 8_000_001
    assert caddy.post(GUARDED_PUSH, content=big, auth=("admin", "right")).status_code == 413


def test_without_grafana_everything_else_says_so(caddy: RunningCaddy) -> None:
    answer = caddy.post("/login", method="GET")
    assert (answer.status_code, answer.text) == (503, "Grafana is not part of this stack")


def test_grafana_sees_the_clients_own_address(tmp_path: Path) -> None:
    with running_caddy(tmp_path, has_grafana=True) as caddy:
        caddy.post("/login", headers={"X-Real-IP": "203.0.113.7", "X-Forwarded-For": "203.0.113.7"})
        path, received = caddy.received.requests[-1]
    assert path == "/login"
    assert received["x-forwarded-for"] == "127.0.0.1"
    assert "x-real-ip" not in received


def logged(folder: Path) -> list[dict[str, Any]]:
    """What Caddy logged of the requests to it."""
    entries = [json.loads(line) for line in (folder / "log").read_text().splitlines()]
    return [entry for entry in entries if entry.get("logger", "").startswith("http.log.access")]


def test_the_access_log_has_every_refusal_and_some_of_many_pushes(tmp_path: Path) -> None:
    """What is taken would wash out what is refused: Docker keeps so many bytes and no more."""
    pushes = 500
    credentials = base64.b64encode(b"admin:right").decode()
    headers = {"Host": SITE.domain, "Authorization": f"Basic {credentials}"}
    with running_caddy(tmp_path, has_grafana=True) as caddy, caddy.connected() as connection:
        begun = time.monotonic()
        for _ in range(pushes):
            connection.request("POST", GUARDED_PUSH, b"{}", headers)
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 204
        seconds = time.monotonic() - begun
        refusals = [
            (GUARDED_PUSH, ("admin", "wrong"), 401),
            (PUSH, None, 403),
            ("/lokitest/config", None, 403),
            # By Loki itself.
            (GUARDED_PUSH, ("admin", "right"), 429),
            (GUARDED_PUSH, ("admin", "right"), 500),
        ] * (TAKEN_LOGGED_PER_SECOND + 5)
        for path, auth, status in refusals:
            answer = caddy.post(path, auth=auth, headers={"X-Answer-With": str(status)})
            assert answer.status_code == status
        # On another route no push was taken until now.
        caddy.allow("127.0.0.1")
        assert caddy.post(PUSH).status_code == 204
    entries = [entry for entry in logged(tmp_path) if entry["request"]["method"] == "POST"]
    taken = [entry for entry in entries if entry["status"] == 204]
    by_route = {
        path: sum(1 for entry in taken if entry["request"]["uri"] == path) for path in (GUARDED_PUSH, PUSH)
    }
    # Whole seconds of the clock, and those at both ends.
    at_most = (int(seconds) + 2) * TAKEN_LOGGED_PER_SECOND + pushes // TAKEN_LOGGED_ONE_IN
    assert TAKEN_LOGGED_PER_SECOND <= by_route[GUARDED_PUSH] <= at_most < pushes
    assert by_route[PUSH] == 1
    assert {entry["user_id"] for entry in taken if entry["request"]["uri"] == GUARDED_PUSH} == {"admin"}
    refused = [entry["status"] for entry in entries if entry["status"] >= 400]
    assert sorted(refused) == sorted(status for _, _, status in refusals)


def test_the_access_log_holds_nothing_to_log_in_with(tmp_path: Path) -> None:
    code = "a-code-that-is-worth-a-password"
    reset = f"/user/password/reset?code={code}"
    headers = {
        "Cookie": f"grafana_session={code}",
        "Authorization": f"Bearer {code}",
        "Referer": f"https://{SITE.domain}{reset}",
    }
    with running_caddy(tmp_path, has_grafana=True) as caddy:
        for path in (reset, f"/invite/{code}?a=b", f"/api/user/invite/{code}"):
            caddy.post(path, method="GET", headers=headers)
    written = (tmp_path / "log").read_text()
    assert "/user/password/reset?code=REDACTED" in written
    assert "/invite/REDACTED?a=b" in written
    assert code not in written


def test_another_sites_name_is_refused(caddy: RunningCaddy) -> None:
    answer = caddy.post(GUARDED_PUSH, headers={"Host": "other.example"})
    assert answer.status_code == 421


# --- replicas ---


def test_pushes_go_to_the_replicas_that_are_ready(tmp_path: Path) -> None:
    """One answers that it isn't ready, one doesn't answer at all: a push that met it is dialled again."""
    with (
        upstream() as (second, other),
        upstream(ready=503) as (third, unready),
        running_caddy(tmp_path, has_grafana=False, replicas=(second, third, free_port())) as caddy,
    ):
        # Caddy has judged the first answer when it asks again.
        wait_for("Caddy has asked twice", lambda: len(unready.checks) >= 2, 60.0)
        before = len(caddy.received.requests), len(other.requests), len(unready.requests)
        statuses = [caddy.post(GUARDED_PUSH, auth=("admin", "right")).status_code for _ in range(10)]
        after = len(caddy.received.requests), len(other.requests), len(unready.requests)
    assert statuses == [204] * 10
    assert set(unready.checks) == {"/ready"}
    taken = [now - then for now, then in zip(after, before, strict=True)]
    assert sum(taken) == 10
    assert [bool(some) for some in taken] == [True, True, False]


def test_bodies_that_are_too_large_shut_no_replica_out(tmp_path: Path) -> None:
    big = b"x" * (9 * 1000 * 1000)
    with upstream() as (second, _), running_caddy(tmp_path, has_grafana=False, replicas=(second,)) as caddy:
        statuses = [
            caddy.post(GUARDED_PUSH, content=content, auth=("admin", "right")).status_code
            for content in (big, big, big, b"{}", b"{}")
        ]
    assert statuses == [413, 413, 413, 204, 204]


def test_a_push_whose_bytes_were_sent_is_the_shippers_to_repeat(tmp_path: Path) -> None:
    """A replica that breaks off may have taken the lines: the answer is 502 and not a second push."""
    with (
        breaking_off() as (port, met),
        running_caddy(tmp_path, has_grafana=False, replicas=(port,)) as caddy,
    ):
        statuses = [caddy.post(GUARDED_PUSH, auth=("admin", "right")).status_code for _ in range(2)]
    assert sorted(statuses) == [204, 502]
    assert len(met) == len(caddy.received.requests) == 1


@contextmanager
def breaking_off() -> Iterator[tuple[int, list[str]]]:
    """A server that is ready, and closes the connection where an answer to a push is due."""
    met: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            met.append(self.path)
            self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], met
    finally:
        server.shutdown()
        server.server_close()
