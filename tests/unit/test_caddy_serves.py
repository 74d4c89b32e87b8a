"""The real Caddy with the Caddyfile: the gate's routes, its limits, and the other sites."""

from __future__ import annotations

import http.server
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from pathlib import Path

import pytest

from components.edge.own_metrics import SOCKET
from rig.processes import wait_for
from tests.support.http_server import serving
from tests.support.running_caddy import (
    GUARDED_PUSH,
    PUSH,
    WITH_OTLP,
    RunningCaddy,
    free_port,
    logged,
    running_caddy,
    upstream,
)

pytestmark = pytest.mark.programs

PUSH_BYTES, OTLP_BYTES = 5_000_000, 2_000_000
STRANGERS_BYTES, GRAFANA_BYTES = 256_000, 10_000_000


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCaddy]:
    """The real Caddy with the rendered file; no address is allowed yet."""
    with running_caddy(tmp_path_factory.mktemp("caddy"), has_grafana=False) as made:
        yield made


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


def test_loki_gets_the_constant_path_without_tenant_and_password(
    caddy: RunningCaddy,
) -> None:
    headers = {"X-Scope-OrgID": "other"}
    answer = caddy.post(GUARDED_PUSH, headers=headers, auth=("admin", "right"))
    assert answer.status_code == 204
    path, received = caddy.received.requests[-1]
    assert path == "/loki/api/v1/push"
    assert not {"x-scope-orgid", "authorization"} & set(received)


def test_open_telemetry_passes_only_if_the_settings_say_so(caddy: RunningCaddy) -> None:
    assert caddy.post("/lokitest/otlp/v1/logs", auth=("admin", "right")).status_code == 204
    assert caddy.received.requests[-1][0] == "/otlp/v1/logs"
    assert caddy.post("/lokitest/otlp/v1/logs").status_code == 401
    before = len(caddy.received.requests)
    for path in ("/lokitest/otlp/v1/logs/", "/lokitest/otlp/v1/traces", "/lokiaws/otlp/v1/logs"):
        assert caddy.post(path, auth=("admin", "right")).status_code == 403
    assert len(caddy.received.requests) == before


@pytest.mark.parametrize("auth", [None, ("admin", "wrong"), ("other", "right"), ("admin", "")])
def test_a_password_is_needed_besides_the_address(caddy: RunningCaddy, auth: tuple[str, str] | None) -> None:
    assert caddy.post(GUARDED_PUSH, auth=auth).status_code == 401


def test_a_route_gets_an_account_without_a_lost_line(tmp_path: Path) -> None:
    """While it is optional, requests without a password pass; a wrong one is refused."""
    with running_caddy(tmp_path, has_grafana=False, accounts_optional=True) as caddy:
        for path in (GUARDED_PUSH, "/lokitest/otlp/v1/logs"):
            answers = [
                caddy.post(path, auth=auth).status_code
                for auth in (None, ("admin", "right"), ("admin", "wrong"), ("admin", ""))
            ]
            assert answers == [204, 204, 401, 401]
            assert "authorization" not in caddy.received.requests[-1][1]
        strange = {"Authorization": "Bearer x"}
        assert caddy.post(GUARDED_PUSH, headers=strange).status_code == 401
    pushed = [entry for entry in logged(tmp_path) if entry["logger"].endswith("test_taken")]
    # The log shows who still pushes without an account.
    assert sorted(entry["user_id"] for entry in pushed) == ["", "", "admin", "admin"]


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


@pytest.mark.parametrize(
    ("path", "most"), [(GUARDED_PUSH, PUSH_BYTES), ("/lokitest/otlp/v1/logs", OTLP_BYTES)]
)
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_above_the_limit_is_refused(
    caddy: RunningCaddy, path: str, most: int, is_chunked: bool
) -> None:
    before = len(caddy.received.requests)
    for size, status in ((most, 204), (most + 1, 413)):
        content = in_chunks(size) if is_chunked else b"x" * size
        assert caddy.post(path, content=content, auth=("admin", "right")).status_code == status
    assert len(caddy.received.requests) == before + 1


# Bodies that Grafana reads before and after it checks the login.
BODIES_FOR_GRAFANA = {
    "/login": STRANGERS_BYTES,
    "/LOGIN": STRANGERS_BYTES,
    "//login": STRANGERS_BYTES,
    "/%6cogin": STRANGERS_BYTES,
    "/api/user/password/send-reset-email": STRANGERS_BYTES,
    "/api/user/invite/complete": STRANGERS_BYTES,
    "/api/public/dashboards/x/panels/1/query": STRANGERS_BYTES,
    "/api/dashboardsx": STRANGERS_BYTES,
    "/api/dashboards/../user/password/reset": STRANGERS_BYTES,
    "/api/dashboards/db": GRAFANA_BYTES,
    "/api/ds/query": GRAFANA_BYTES,
    "/apis/dashboard.grafana.app/v1/x": GRAFANA_BYTES,
}


@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_for_grafana_has_a_limit(tmp_path: Path, is_chunked: bool) -> None:
    with running_caddy(tmp_path, has_grafana=True) as caddy:
        for path, most in BODIES_FOR_GRAFANA.items():
            statuses = [
                caddy.post(path, content=in_chunks(size) if is_chunked else b"x" * size).status_code
                for size in (most, most + 1)
            ]
            assert statuses == [204, 413], path


def in_chunks(size: int) -> Iterator[bytes]:
    """A body of this size without a Content-Length."""
    piece = b"x" * 64_000
    for sent in range(0, size, len(piece)):
        yield piece[: size - sent]


def test_without_grafana_all_other_paths_say_so(caddy: RunningCaddy) -> None:
    answer = caddy.post("/login", method="GET")
    assert (answer.status_code, answer.text) == (503, "Grafana is not part of this stack")


def test_grafana_sees_the_clients_own_address(tmp_path: Path) -> None:
    with running_caddy(tmp_path, has_grafana=True) as caddy:
        caddy.post("/login", headers={"X-Real-IP": "203.0.113.7", "X-Forwarded-For": "203.0.113.7"})
        path, received = caddy.received.requests[-1]
    assert path == "/login"
    assert received["x-forwarded-for"] == "127.0.0.1"
    assert "x-real-ip" not in received


def test_another_sites_name_is_refused(caddy: RunningCaddy) -> None:
    answer = caddy.post(GUARDED_PUSH, headers={"Host": "other.example"})
    assert answer.status_code == 421


def test_loki_gets_a_limited_number_of_pushes_at_once_over_all_paths(tmp_path: Path) -> None:
    """The others wait; each is answered."""
    with running_caddy(tmp_path, has_grafana=False) as caddy, ThreadPoolExecutor(8) as threads:
        caddy.received.answer_after = 0.3
        paths = [GUARDED_PUSH, "/lokitest/otlp/v1/logs"] * 4
        pushed = [threads.submit(caddy.post, path, auth=("admin", "right")) for path in paths]
        assert [one.result().status_code for one in pushed] == [204] * len(paths)
        assert caddy.received.most_at_once == WITH_OTLP.at_once


# --- replicas ---


def test_pushes_go_to_the_replicas_that_are_ready(tmp_path: Path) -> None:
    """One isn't ready, one doesn't answer at all: Caddy dials another for a push."""
    with (
        upstream() as (second, other),
        upstream(ready=503) as (third, unready),
        running_caddy(tmp_path, has_grafana=False, replicas=(second, third, free_port())) as caddy,
    ):
        # Caddy has evaluated the first answer when it asks again.
        wait_for("Caddy has asked twice", lambda: len(unready.checks) >= 2, 60.0)
        before = len(caddy.received.requests), len(other.requests), len(unready.requests)
        statuses = [caddy.post(GUARDED_PUSH, auth=("admin", "right")).status_code for _ in range(10)]
        after = len(caddy.received.requests), len(other.requests), len(unready.requests)
    assert statuses == [204] * 10
    assert set(unready.checks) == {"/ready"}
    taken = [now - then for now, then in zip(after, before, strict=True)]
    assert sum(taken) == 10
    assert [bool(some) for some in taken] == [True, True, False]


def test_too_large_bodies_shut_no_replica_out(tmp_path: Path) -> None:
    # So little too large that all of it is sent before the connection is closed.
    big = b"x" * (PUSH_BYTES + 1)
    with upstream() as (second, _), running_caddy(tmp_path, has_grafana=False, replicas=(second,)) as caddy:
        statuses = [
            caddy.post(GUARDED_PUSH, content=content, auth=("admin", "right")).status_code
            for content in (big, big, big, b"{}", b"{}")
        ]
    assert statuses == [413, 413, 413, 204, 204]


def test_a_push_that_was_sent_is_repeated_only_by_the_shipper(tmp_path: Path) -> None:
    """A replica that disconnects may have accepted the lines: the answer is 502, without a second push."""
    with (
        breaking_off() as (port, met),
        running_caddy(tmp_path, has_grafana=False, replicas=(port,)) as caddy,
    ):
        statuses = [caddy.post(GUARDED_PUSH, auth=("admin", "right")).status_code for _ in range(2)]
    assert sorted(statuses) == [204, 502]
    assert len(met) == len(caddy.received.requests) == 1


@contextmanager
def breaking_off() -> Iterator[tuple[int, list[str]]]:
    """A ready server that closes the connection instead of answering a push."""
    met: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"] or 0))
            met.append(self.path)
            self.close_connection = True

    with serving(Handler) as port:
        yield port, met


def test_grafanas_metrics_are_for_prometheus_alone(tmp_path: Path) -> None:
    with running_caddy(tmp_path, has_grafana=True, is_measured=True) as caddy:
        for path in ("/metrics", "/metrics?x=1", "/%6Detrics", "/METRICS", "//metrics", "/x/../metrics"):
            assert caddy.post(path, method="GET").status_code == 404, path
        assert caddy.received.requests == []
        assert caddy.post("/metrics/", method="GET").status_code == 200
        assert caddy.post("/login", method="GET").status_code == 200


def test_caddys_own_metrics_are_on_a_socket(tmp_path: Path) -> None:
    with running_caddy(tmp_path, has_grafana=True, is_measured=True) as caddy:
        assert caddy.post("/login", method="GET").status_code == 200
        with closing(HTTPConnection("caddy")) as connection:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.connect(str(tmp_path / Path(SOCKET).name))
            connection.request("GET", "/metrics")
            found = connection.getresponse().read().decode()
    assert re.search(r"^caddy_http_requests_total\{.*\} [1-9]", found, re.MULTILINE)
