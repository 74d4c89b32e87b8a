"""The Docker host's own metrics: what arrives, and what a collector that somebody has taken over can do."""

from __future__ import annotations

import gzip
import os
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container
from docker.types import Mount

from components.docker_hosts.docker_reader import SOCKET_DIRECTORY
from components.docker_hosts.push_destination import PASSWORD_FILE, Destination
from components.host_metrics.config import (
    CONFIG_FILE,
    DIRECTORY,
    render_collector_config,
)
from components.prometheus.settings import PORT
from rig.deployment import Deployment, on_readers_network
from rig.inside import inside
from rig.metrics import OTLP, REMOTE_WRITE, otlp_body, push_otlp, samples
from rig.namespaces import LINK, NAT
from rig.probe import Client, Login, can_connect
from rig.processes import wait_for
from tests.metrics.conftest import OUTSIDE
from tests.support.agent_outside import agent_outside, volume_at
from tests.support.engine_socket import socket_of, status
from tests.support.metric_doors import OTHERS, QUERY, wait_for_sample

pytestmark = pytest.mark.docker

COLLECTOR = "host-metrics-campus"
READER = (on_readers_network("reader"), PORT)
# Docker's API reference: what isn't needed for statistics.
REFUSED = [
    ("GET", "/version"),
    ("GET", "/info"),
    ("GET", "/networks"),
    ("GET", "/images/json"),
    ("GET", "/volumes"),
    ("GET", "/containers/{id}/logs?stdout=1"),
    ("GET", "/containers/{id}/top"),
    ("GET", "/containers/{id}/export"),
    ("GET", "/containers/{id}/archive?path=/etc/shadow"),
    ("GET", "/v1.41/containers/{id}/stats/../archive?path=/etc/shadow"),
    ("GET", "/containers/{id}/archive%3f/stats?path=/etc/shadow"),
    ("GET", "//events"),
    ("POST", "/containers/create"),
    ("POST", "/containers/{id}/exec"),
    ("POST", "/containers/{id}/kill"),
    ("DELETE", "/containers/{id}"),
    ("POST", "/events"),
]


def value(grafana: Client, query: str) -> float:
    """The only sample that a query finds, once it finds one."""
    wait_for_sample(grafana, query)
    [found] = samples(grafana, query)
    return float(found["value"][1])  # type: ignore[index]


def of_host(metric: str, host: str = "campus", **labels: str) -> str:
    """The query of a host's metric."""
    chosen = ",".join(f'{key}="{text}"' for key, text in {"host_name": host, **labels}.items())
    return f"{metric}{{{chosen}}}"


def test_the_hosts_memory_and_cpus_are_the_machines(grafana: Client) -> None:
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert value(grafana, of_host("system_memory_limit_bytes")) == total
    assert value(grafana, of_host("system_memory_usage_bytes", state="used")) > 0
    assert value(grafana, of_host("system_cpu_logical_count")) == os.cpu_count()
    assert value(grafana, of_host("system_cpu_time_seconds_total", state="idle")) > 0
    assert value(grafana, of_host("system_cpu_load_average_1m")) >= 0
    wait_for_sample(grafana, of_host("system_disk_operations_total"))


def test_the_network_is_the_hosts_and_not_the_collectors(grafana: Client) -> None:
    sent = of_host("system_network_io_bytes_total", device=LINK, direction="transmit")
    assert value(grafana, sent) > 0
    assert samples(grafana, of_host("system_network_io_bytes_total", device="eth0")) == []


@pytest.mark.parametrize("disk", ["system", "docker"])
def test_a_disks_size_is_the_hosts(deployment: Deployment, grafana: Client, disk: str) -> None:
    path = {"system": Path("/etc"), "docker": deployment.rig.run.folder}[disk]
    found = os.statvfs(path)
    used = of_host("system_filesystem_usage_bytes", mountpoint=f"/disks/{disk}", state="used")
    in_use = (found.f_blocks - found.f_bfree) * found.f_frsize
    assert value(grafana, used) == pytest.approx(in_use, rel=0.1)


@contextmanager
def another_container(deployment: Deployment) -> Iterator[Container]:
    """A container that isn't the stack's."""
    with closing(deployment.rig.engine.client()) as engine:
        command = ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"]
        made = engine.containers.run(deployment.settings["images"]["caddy"], command, detach=True)
        try:
            yield made
        finally:
            made.remove(force=True)


def test_each_containers_metrics_have_its_name(deployment: Deployment, grafana: Client) -> None:
    caddy = str(deployment.caddy().name)
    limit = of_host("container_memory_usage_limit_bytes", container_name=caddy)
    assert value(grafana, limit) == 512 << 20
    with another_container(deployment) as made:
        assert value(grafana, of_host("container_restarts_total", container_name=str(made.name))) == 0
        assert value(grafana, of_host("container_uptime_seconds", container_name=str(made.name))) > 0


@pytest.mark.parametrize(
    ("job", "instance"),
    [
        ("prometheus", f"127.0.0.1:{PORT}"),
        ("caddy", "caddy"),
        ("caddy", "reader"),
        ("loki", "loki-aws"),
        ("loki", "loki-test"),
    ],
)
def test_prometheus_reads_each_programs_own_metrics(grafana: Client, job: str, instance: str) -> None:
    wait_for_sample(grafana, f'up{{job="{job}",instance="{instance}"}} == 1')
    wait_for_sample(grafana, f'go_goroutines{{job="{job}",instance="{instance}"}}')


def test_the_edges_metrics_are_its_requests(deployment: Deployment, grafana: Client) -> None:
    assert deployment.push_status(NAT, "aws") == 204
    requests = 'caddy_http_requests_total{job="caddy",instance="caddy"}'
    assert value(grafana, f"sum({requests}) > 0") > 0


@pytest.fixture(scope="module")
def taken(deployment: Deployment) -> Iterator[Client]:
    """A collector that somebody has taken over, which asks the reader."""
    with inside(deployment.container(COLLECTOR)) as namespace:
        yield Client(namespace, on_readers_network("host-metrics"), READER, "prometheus", None)


def test_a_taken_collector_pushes_and_does_nothing_else(
    deployment: Deployment, grafana: Client, taken: Client
) -> None:
    assert push_otlp(taken, "", otlp_body("from.the.collector", 1), None).status == 200
    wait_for_sample(grafana, "from_the_collector")
    packed = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert taken.request("POST", OTLP, gzip.compress(b"{}"), packed).status == 415
    assert taken.request("POST", OTLP, b" " * 65_000, {"Content-Type": "application/json"}).status == 413
    since = deployment.running_since("prometheus")
    for method, path in [*OTHERS, ("GET", QUERY), ("GET", "/metrics/loki-aws"), ("GET", "/metrics/reader")]:
        if (method, path) != ("POST", OTLP):
            assert taken.request(method, path, b"").status == 403, (method, path)
    assert deployment.running_since("prometheus") == since


def test_a_taken_collector_reaches_no_backend_itself(deployment: Deployment, taken: Client) -> None:
    doors = [("172.29.35.130", PORT), *(deployment.loki(instance) for instance in ("aws", "test"))]
    assert all(can_connect(deployment.rig.network.campus, None, door) for door in doors)
    assert not any(can_connect(taken.namespace, None, door) for door in doors)
    for instance in ("aws", "test"):
        _, port = deployment.loki(instance)
        client = Client(taken.namespace, taken.source, (READER[0], port), "loki", None)
        for method, path in (("GET", "/metrics"), ("GET", "/loki/api/v1/labels"), ("POST", "/flush")):
            assert client.request(method, path, b"").status == 403


@pytest.mark.parametrize("name", ["caddy", "reader", "loki-aws", "grafana"])
def test_nobody_but_prometheus_reads_a_programs_metrics(grafana: Client, taken: Client, name: str) -> None:
    for client in (grafana, taken):
        assert client.request("GET", f"/metrics/{name}").status == 403
    push = {"Content-Type": "application/json"}
    assert grafana.request("POST", OTLP, otlp_body("no.metric", 1), push).status == 403
    assert grafana.request("POST", REMOTE_WRITE, b"").status == 403


@pytest.mark.parametrize(("method", "target"), REFUSED)
def test_the_engine_answers_nothing_but_statistics(
    deployment: Deployment, tmp_path: Path, method: str, target: str
) -> None:
    client = deployment.container(COLLECTOR)
    at, container = socket_of(client, tmp_path), str(client.id)
    assert status(at, "GET", f"/containers/{container}/stats?stream=0&one-shot=1") == 200
    assert status(at, method, target.format(id=container)) == 403


@contextmanager
def collector_outside(deployment: Deployment, host: str, login: Login) -> Iterator[None]:
    """A Collector as on another host."""
    destination = Destination(url=deployment.outputs["metrics_push_urls"]["otlp"], user=login.user)
    files = {
        CONFIG_FILE: render_collector_config(host, ["docker"], destination),
        PASSWORD_FILE: login.password,
    }
    campus = deployment.container(COLLECTOR)
    more = [
        Mount("/disks/docker", volume_at(campus, SOCKET_DIRECTORY), read_only=True),
        Mount("/host/proc/net/dev", "/proc/1/net/dev", type="bind", read_only=True),
    ]
    with agent_outside(deployment, campus, files, DIRECTORY, OUTSIDE, more):
        yield


def test_another_host_pushes_through_the_gate_with_its_password(
    deployment: Deployment, grafana: Client, login: Login
) -> None:
    with collector_outside(deployment, "outside", login):
        assert value(grafana, of_host("system_cpu_load_average_1m", "outside")) >= 0
        wait_for_sample(grafana, of_host("container_uptime_seconds", "outside"))


def test_nothing_is_lost_while_prometheus_is_away(deployment: Deployment, grafana: Client) -> None:
    load = of_host("system_cpu_load_average_1m")
    wait_for_sample(grafana, load)
    began = time.time()
    prometheus = deployment.container("prometheus")
    prometheus.stop()
    # Two of the collector's intervals, so that at least one sample is due meanwhile.
    wait_for("two intervals are over", lambda: time.time() > began + 65, 90.0)
    ended = time.time()
    prometheus.start()

    def measured_meanwhile() -> int:
        try:
            found = samples(grafana, f"{load}[5m]")
        except (OSError, RuntimeError):  # it isn't ready
            return 0
        values: Any = found[0]["values"] if found else []
        return sum(began < at < ended for at, _ in values)

    wait_for("the samples come in", lambda: measured_meanwhile() >= 2, 120.0)


def test_a_preview_shows_no_changes(deployment: Deployment) -> None:
    deployment.stack.run("preview", "--refresh", "--expect-no-changes")
