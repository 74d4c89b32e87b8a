"""Which of a Loki's paths Grafana's users reach through its data sources: tried on the real Caddy."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from components.edge.caddyfile import render_caddyfile
from components.edge.settings import EdgeSettings
from rig.processes import wait_for
from tests.support.programs import program

pytestmark = pytest.mark.programs

PROXY = "/api/datasources/proxy"
AWS = f"{PROXY}/uid/loki-aws"
QUESTIONS = [
    f"{AWS}/loki/api/v1/{path}"
    for path in (
        "query_range?query=%7Ba%3D%22..%2F%22%7D&since=1h",
        *(
            "query?query=1",
            "labels",
            "label/service/values",
            "series",
            "index/stats",
            "index/volume_range?x=1",
        ),
    )
]
# Paths that stop Loki, flush it, change it, delete from it, or show its internals.
OTHERS = [
    *("ingester/shutdown", "flush", "log_level?log_level=debug", "config", "debug/pprof/heap", "ring"),
    *("loki/api/v1/delete?query=x", "loki/api/v1/push", "loki/api/v1/rules", "metrics", "ready", ""),
    *("loki/api/v1/query/../../../../config", "loki/api/v1/label/a/../../../../../config/values"),
    *("loki/api/v1/query%2f..%2f..%2f..%2f..%2fconfig", "loki/api/v1/label/..%2f..%2f..%2fflush/values"),
    *(
        "loki/api/v1/query%3f/../../../../flush",
        "loki/api/v1/%71uery",
        "loki//api/v1/query",
        "loki/api/v1/query/",
    ),
]
REFUSED = [
    *(f"{AWS}/{path}" for path in OTHERS),
    *(f"{PROXY}/1/{path}" for path in ("ingester/shutdown", "loki/api/v1/query?query=1")),
    f"{AWS}/loki/api/v1/query\tx",
    *(
        f"{way}/uid/loki-aws/flush"
        for way in ("/API/datasources/proxy", "/api//datasources/proxy", "//api/datasources/proxy")
    ),
    *("/%61pi/datasources/proxy/uid/loki-aws/flush", "/api/datasources/%70roxy/uid/loki-aws/flush"),
    "/api/datasources/uid/loki-aws/resources/..%2f..%2f..%2fflush",
    "/api/datasources/uid/loki-aws/resources/label/%2e%2e/%2e%2e/%2e%2e/flush",
    "/api/datasources/uid/loki-aws/resources/label/..%5c..%5cflush",
    "//api/datasources/uid/x/resources/..%2fflush",
    "/%61pi//datasources/uid/x/resources/..%2fflush",
    *(f"{way}/datasources/uid/x/resources/..%2fflush" for way in ("//api", "/api/", "/api/.", "/%61pi")),
    "/api/datasources/uid/loki-aws/resources/label/%252e%252e/flush",
    "/apis/loki.datasource.grafana.app/v0alpha1/namespaces/default/datasources/x/resource/..%2fflush",
]
PASSED = [
    *QUESTIONS,
    "/api/datasources/uid/loki-aws/resources/labels?query=%7Ba%3D%22..%2F%22%7D",
    "/api/datasources/uid/loki-aws/resources/label/service/values",
    "/api/ds/query?ds_type=loki",
    "/api/datasources",
    "/d/campus-pipeline/a%2Fb?from=..",
    "/apis/folder.grafana.app/v1/namespaces/default/folders/a%2Fb",
    "/public/build/../x",
]


@pytest.fixture(scope="module")
def caddy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The real Caddy with the stack's own configuration, without TLS, and its port. 200 is Grafana."""
    folder: Path = tmp_path_factory.mktemp("caddy")
    with socket.socket() as free, socket.socket() as also:
        free.bind(("127.0.0.1", 0))
        also.bind(("127.0.0.1", 0))
        port, grafana = free.getsockname()[1], also.getsockname()[1]
    site = EdgeSettings(
        domain="campus.localhost", tls="internal", email=None, http_port=port, https_port=port + 1
    )
    page = render_caddyfile(site, [], f"127.0.0.1:{grafana}")
    page = re.sub(r"(?m)^campus\.localhost \{", f"http://campus.localhost:{port} {{", page)
    page = page.replace("\ttls internal\n", "").replace("admin unix//run/caddy/admin.sock|0600", "admin off")
    page += f'http://:{grafana} {{\n\trespond "grafana" 200\n}}\n'
    (folder / "Caddyfile").write_text(page)
    command = [program("caddy"), "run", "--config", str(folder / "Caddyfile")]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, env={"HOME": str(folder)})
        try:
            wait_for("Caddy answers", lambda: answer(port, "/") == 200, 20.0)
            yield port
        finally:
            running.terminate()
            running.wait()


def answer(port: int, path: str, method: str = "GET") -> int:
    """The status of an unchanged path; 0 if nothing listens."""
    connection = HTTPConnection("127.0.0.1", port, timeout=10.0)
    try:
        connection.putrequest(method, "/", skip_host=True)
        connection._buffer[0] = f"{method} {path} HTTP/1.1".encode()  # type: ignore[attr-defined]
        connection.putheader("Host", "campus.localhost")
        connection.endheaders()
        return connection.getresponse().status
    except ConnectionError:
        return 0
    finally:
        connection.close()


@pytest.mark.parametrize("path", PASSED)
def test_queries_reach_grafana(caddy: int, path: str) -> None:
    assert answer(caddy, path) == 200


@pytest.mark.parametrize("path", REFUSED)
def test_whatever_else_of_a_loki_is_refused_before_grafana(caddy: int, path: str) -> None:
    assert answer(caddy, path) in (400, 403)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "HEAD"])
def test_the_proxy_is_asked_by_get_alone(caddy: int, method: str) -> None:
    assert answer(caddy, QUESTIONS[1], method) == 403
