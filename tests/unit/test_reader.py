"""Queries through the reader and at a published port, with the real Caddy."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest

from components.edge.caddyfile import NOBODY, render_caddyfile
from components.edge.query_route import QueryRoute
from components.edge.reader_caddyfile import Shipped, render_reader
from components.live.container_facts import ADMIN_SOCKET
from components.loki.push_paths import LOKIS_OWN
from components.loki.query_paths import LOOPS, QUERY_PATHS
from rig.processes import wait_for
from tests.support.golden import GOLDEN, assert_golden
from tests.support.programs import program
from tests.support.running_caddy import SITE, Received, free_port, upstream

AWS = QueryRoute(name="aws", port=3100, upstreams=("loki-aws:3100",), queries=QUERY_PATHS, refused=(LOOPS,))
TEST = QueryRoute(
    name="test",
    port=3199,
    upstreams=("loki-test:3199", "loki-test-2:3199"),
    queries=QUERY_PATHS,
    refused=(LOOPS,),
)
pytestmark = pytest.mark.programs

GRAFANA, SHIPPER, OTHER = "127.0.0.3", "127.0.0.4", "127.0.0.5"
SHIPPED = Shipped(to="test", path=LOKIS_OWN, source=SHIPPER)
PUSH = LOKIS_OWN.path

QUERIES = [
    f"/loki/api/v1/{path}"
    for path in (
        *("query_range?query=%7Ba%3D%22..%2F%22%7D&since=1h", "query?query=1", "labels", "series"),
        *("label/service/values", "index/stats", "index/volume", "index/volume_range?x=1", "tail?query=x"),
        *("patterns", "detected_labels", "detected_fields", "detected_field/a-b_c/values"),
        "format_query?query=x",
    )
]
# With these Loki stops, flushes, changes, deletes, accepts lines, or shows its configuration.
OTHERS = [
    *("/ingester/shutdown", "/ingester/prepare_shutdown", "/flush", "/log_level?log_level=debug", "/config"),
    *("/debug/pprof/heap", "/ring", "/memberlist", "/services", "/metrics", "/ready", "/", "//", "*"),
    *("/loki/api/v1/delete?query=x", PUSH, "/loki/api/v1/rules", "/otlp/v1/logs", "/api/prom/query?query=1"),
    *(
        "/loki/api/v1/drilldown-limits",
        "/loki/api/v1/status/buildinfo",
        "/loki/api/v1/index/shards",
        "/config/tenant/v1/limits",
    ),
    *("/loki/api/v1/query/../../../../config", "/loki/api/v1/label/a/../../../../../config/values"),
    *("/loki/api/v1/detected_field/../values", "/loki/api/v1/label/../values", "/loki/api/v1/label//values"),
    *("/loki/api/v1/query%2f..%2f..%2f..%2f..%2fconfig", "/loki/api/v1/label/..%2f..%2f..%2fflush/values"),
    *("/loki/api/v1/query%3f/../../../../flush", "/loki/api/v1/%71uery", "/loki//api/v1/query"),
    *("/loki/api/v1/query/", "/LOKI/api/v1/query", "/loki/api/v1/query;x", "/loki/api/v1/query\tx"),
    *(
        "/loki/api/v1/query#/../../flush",
        "http://x/flush",
        "/./loki/api/v1/query",
        "/flush?/loki/api/v1/query",
    ),
]


def test_the_readers_page_is_the_agreed_one() -> None:
    assert_golden("reader", render_reader([TEST, AWS], "172.30.0.3", [replace(SHIPPED, source="172.30.0.4")]))


def test_without_grafana_nobody_may_query() -> None:
    page = render_reader([AWS], None, [])
    assert [line.strip() for line in page.splitlines() if "remote_ip" in line] == [f"remote_ip {NOBODY}"]


class Asked(NamedTuple):
    """A running Caddy: each Loki's port for queries, and the requests that reached the Lokis."""

    ports: dict[str, int]
    received: Received

    def answer(
        self, loki: str, source: str, method: str, path: str, body: bytes = b"", **headers: str
    ) -> int:
        """The status for exactly this path; 0 if the connection ends without an answer."""
        connection = HTTPConnection("127.0.0.1", self.ports[loki], 10.0, source_address=(source, 0))
        try:
            connection.putrequest(method, "/", skip_host=True)
            connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()  # type: ignore[attr-defined]
            headers = {"Host": "127.0.0.1"} | headers
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            if body:
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            return connection.getresponse().status
        except ConnectionError:
            return 0
        finally:
            connection.close()


@contextmanager
def running(folder: Path, render: Callable[[list[QueryRoute]], str]) -> Iterator[Asked]:
    """The real Caddy with both routes, in front of a fake for their Lokis."""
    with upstream() as (port, received):
        routes = [replace(one, port=free_port(), upstreams=(f"127.0.0.1:{port}",)) for one in (AWS, TEST)]
        (folder / "Caddyfile").write_text(render(routes).replace(f"unix/{ADMIN_SOCKET}|0600", "off"))
        command = [program("caddy"), "run", "--config", str(folder / "Caddyfile")]
        made = Asked({one.name: one.port for one in routes}, received)
        with (folder / "log").open("w") as log:
            running = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder)})
            try:
                wait_for("Caddy answers", lambda: made.answer("aws", OTHER, "GET", "/") == 403, 20.0)
                yield made
            finally:
                running.terminate()
                running.wait()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The reader."""
    folder = tmp_path_factory.mktemp("reader")
    with running(folder, lambda routes: render_reader(routes, GRAFANA, [SHIPPED])) as made:
        yield made


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    """The edge, with both Lokis published."""
    site = SITE.model_copy(update={"http_port": free_port(), "https_port": free_port()})
    folder = tmp_path_factory.mktemp("edge")
    with running(folder, lambda routes: render_caddyfile(site, [], None, routes, is_measured=False)) as made:
        yield made


@pytest.fixture(params=["reader", "published"])
def asked(request: pytest.FixtureRequest) -> Asked:
    """The reader, and the edge."""
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize("path", QUERIES)
def test_a_query_reaches_its_loki_unchanged(asked: Asked, path: str) -> None:
    asked.received.checks.clear()
    assert asked.answer("aws", GRAFANA, "GET", path, X_Scope_OrgID="other", Authorization="Basic x") == 200
    assert asked.received.checks == [path]


@pytest.mark.parametrize("path", OTHERS)
def test_nothing_else_of_a_loki_is_reached(asked: Asked, path: str) -> None:
    before = list(asked.received.checks), len(asked.received.requests)
    for source in (GRAFANA, SHIPPER, OTHER):
        assert asked.answer("aws", source, "GET", path) in (400, 403)
    assert (asked.received.checks, len(asked.received.requests)) == before


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", "CONNECT"])
def test_a_query_is_a_get(asked: Asked, method: str) -> None:
    before = len(asked.received.requests)
    for path in (*QUERIES[:3], PUSH, "/loki/api/v1/delete?query=x"):
        assert asked.answer("aws", GRAFANA, method, path) in (400, 403, 405)
    assert len(asked.received.requests) == before


def test_a_query_has_almost_no_body(asked: Asked) -> None:
    assert asked.answer("aws", GRAFANA, "GET", QUERIES[0], b"x" * 2000) == 413


def test_a_published_port_answers_any_source(published: Asked) -> None:
    assert published.answer("aws", OTHER, "GET", QUERIES[0]) == 200


@pytest.mark.parametrize("source", [SHIPPER, OTHER])
def test_the_reader_answers_queries_only_from_grafana(reader: Asked, source: str) -> None:
    for loki in ("aws", "test"):
        assert reader.answer(loki, source, "GET", QUERIES[0]) == 403


def test_the_reader_accepts_pushes_only_from_the_shipper_to_its_own_loki(reader: Asked) -> None:
    reader.received.requests.clear()
    pushed = {
        (loki, source): reader.answer(loki, source, "POST", PUSH, b"x" * 5000, X_Scope_OrgID="other")
        for loki in ("aws", "test")
        for source in (GRAFANA, SHIPPER, OTHER)
    }
    assert pushed.pop(("test", SHIPPER)) == 204
    assert set(pushed.values()) == {403}
    [(path, headers)] = reader.received.requests
    assert path == PUSH
    assert "x-scope-orgid" not in headers


@pytest.mark.parametrize(
    "path", [f"{PUSH}?x", f"{PUSH}/", "/loki/api/v1/%70ush", "//loki/api/v1/push", "/flush"]
)
def test_the_shipper_does_nothing_else(reader: Asked, path: str) -> None:
    assert reader.answer("test", SHIPPER, "POST", path) == 403


# Templates that never end, or that could hide one that doesn't.
ENDLESS = [
    "line_format `{{range 9000000000}}{{end}}`",
    "line_format `{{- range 9000000000}}{{end}}`",
    "line_format `{{ range $i := 9000000000 }}{{end}}`",
    "label_format a=`{{$n := 9000000000}}{{range $n}}{{end}}`",
    "line_format `{{range .}}{{end}}`",
    "line_format `{{range $a, $b := .}}{{range $c, $d := .}}{{end}}{{end}}`",
    "line_format `{{range $a, $b := .}}\n{{ range $c, $d := .}}{{end}}{{end}}`",
    'line_format "\\x7b{range 9}}{{end}}"',
    'line_format "\\173{range 9}}{{end}}"',
    'line_format "\\u007b{range 9}}{{end}}"',
    'line_format `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`',
    'line_format `{{block "x" .}}{{template "x"}}{{end}}`',
]


def expressions(value: Any) -> Iterator[str]:
    """Every query in a dashboard or in alert rules."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
        if key == "expr":
            yield inner
        elif isinstance(inner, dict | list):
            yield from expressions(inner)


NO_LOOPS = [
    *(
        logql
        for name in ("grafana_logs.json", "grafana_pipeline.json", "grafana_rules.yaml")
        for logql in dict.fromkeys(expressions(json.loads((GOLDEN / name).read_text())))
    ),
    '{a="b"} |~ "range|template" != `range range` | line_format `{{.range}} {{ .message }}`',
    '{a="b"} |~ "\\\\d+"',
]


def query_of(logql: str, *more: tuple[str, str]) -> str:
    """The path that asks for it."""
    return f"/loki/api/v1/query_range?{urlencode([('query', logql), *more])}"


@pytest.mark.parametrize("stage", ENDLESS)
def test_a_template_that_may_never_end_is_refused(asked: Asked, stage: str) -> None:
    asked.received.checks.clear()
    for path in (
        query_of(f'{{a="b"}} | {stage}'),
        query_of(f'{{a="b"}} | {stage}', ("query", '{a="b"}')),
        query_of('{a="b"}', ("query", f'{{a="b"}} | {stage}')),
    ):
        assert asked.answer("aws", GRAFANA, "GET", path) == 400
    assert asked.received.checks == []


def test_what_our_dashboards_and_alerts_ask_passes(asked: Asked) -> None:
    assert len(NO_LOOPS) > 20
    for logql in NO_LOOPS:
        assert asked.answer("aws", GRAFANA, "GET", query_of(logql)) == 200, logql


def test_a_query_is_sent_on_once(asked: Asked) -> None:
    """Caddy would send a GET again that fails on its way, and to each replica."""
    asked.received.checks.clear()
    headers = "Host: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    caddy = ("127.0.0.1", asked.ports["aws"])
    with closing(socket.create_connection(caddy, 20.0, (GRAFANA, 0))) as connection:
        connection.sendall(f"GET {QUERIES[0]} HTTP/1.1\r\n{headers}zz\r\n".encode())
        assert connection.recv(65536).split()[1] in (b"400", b"502")
    assert len(asked.received.checks) <= 1


@pytest.mark.parametrize(
    ("host", "status"),
    [("127.0.0.1:3100", 200), ("[::1]:3100", 200), (SITE.domain, 200), ("evil.example", 403), ("", 400)],
)
def test_a_published_port_knows_its_names(published: Asked, host: str, status: int) -> None:
    """A page in a browser could have its own name lead here, and read what is answered."""
    assert published.answer("aws", OTHER, "GET", QUERIES[0], Host=host) == status


def test_no_port_for_queries_speaks_http2(asked: Asked) -> None:
    """One connection brings 250 requests over it."""
    with closing(socket.create_connection(("127.0.0.1", asked.ports["aws"]))) as one:
        one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000"))
        one.settimeout(20.0)
        assert one.recv(65536)[3:4] != b"\x04"  # SETTINGS (RFC 9113, section 3.4)
