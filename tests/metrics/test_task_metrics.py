"""A task's metrics on their whole path: the real Collector, as the task definition has it, to Prometheus."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from docker.models.containers import Container

from components.ecs.collector import COLLECTOR_UID, CONFIG_VARIABLE, LOGIN_VARIABLE
from components.ecs.collector_plan import MAX_PUSH_BYTES
from components.ecs.loss_signs import COLLECTOR_ALARM
from components.ecs.settings import COLLECTOR, OTLP_PORT
from components.grafana.alert_rules import render_alert_rules
from components.grafana.dashboards import render_dashboards
from components.grafana.provisioning import MetricsSource
from components.values.durations import DAY_SECONDS
from rig.deployment import Deployment
from rig.ecs_task import (
    CACHE,
    CPU_NANOSECONDS,
    MEMORY,
    READ,
    RECEIVED,
    TASK,
    Task,
    metadata_endpoint,
    registered_task,
)
from rig.emulator import Emulator
from rig.inside import inside
from rig.metrics import otlp_body, samples
from rig.namespaces import SERVER, Namespace
from rig.probe import Answer, Client, Login, ca_of
from rig.processes import die_with_parent, wait_for, with_hosts
from rig.stand_ins.stand_in_images import collector_program
from tests.metrics.conftest import SERVICES
from tests.support.alarms import counted
from tests.support.grafana import metric_queries, metrics_in, rule_queries
from tests.support.metric_doors import wait_for_sample

pytestmark = pytest.mark.docker

# What a task sends beside its application: the agreed names.
OF_TASKS = {"ecs_task_cpu_reserved", "ecs_task_memory_reserved_bytes"}
OF_FARGATE = {f"ecs_task_ephemeral_storage_{what}_bytes" for what in ("utilized", "reserved")}
OF_CONTAINERS = {
    "ecs_container_cpu_usage_seconds_total",
    *(f"ecs_container_memory_{what}_bytes" for what in ("usage", "utilized", "reserved")),
    *(f"ecs_container_storage_{what}_bytes_total" for what in ("read", "write")),
    *(
        f"ecs_container_network_io_usage_{way}_{what}_total"
        for way in ("rx", "tx")
        for what in ("bytes", "errors", "dropped")
    ),
}


@dataclass(frozen=True)
class Running:
    """A running collector."""

    process: subprocess.Popen[bytes]
    log_file: Path
    namespace: Namespace

    def log(self) -> str:
        """What it has printed."""
        return self.log_file.read_text()

    def push(self, body: bytes) -> Answer:
        """Push as the task's application."""
        return push_to_collector(self.namespace, body)


def push_to_collector(namespace: Namespace, body: bytes) -> Answer:
    """Push OpenTelemetry's metrics to the collector in a namespace."""
    client = Client(namespace, "127.0.0.1", ("127.0.0.1", OTLP_PORT), "127.0.0.1", None)
    return client.request("POST", "/v1/metrics", body, {"Content-Type": "application/json"})


def task_of(deployment: Deployment, emulator: Emulator, service: str) -> Task:
    """A task of the newest revision of a service."""
    return registered_task(deployment.outputs["task_definition_arns"][service], emulator)


@contextmanager
def collector_in_a_task(
    deployment: Deployment, task: Task, environment: Mapping[str, str], folder: Path
) -> Iterator[Running]:
    """The collector with its definition's command, variables and user, behind the NAT."""
    world, definition = deployment.rig.network.world, task.container(COLLECTOR)
    hosts, authority = folder / "hosts", folder / "root.crt"
    hosts.write_text(f"{SERVER} {deployment.settings['edge']['domain']}\n")
    authority.write_text(ca_of(deployment.caddy()))
    command = [
        *("nsenter", f"--net={world.path}", *with_hosts(hosts)),
        *("setpriv", f"--reuid={definition['user']}", "--clear-groups", "--bounding-set=-all"),
        *(str(collector_program()), *definition["command"]),
    ]
    # The rig's certificate is Caddy's own.
    variables = {**environment, "SSL_CERT_FILE": str(authority), "PATH": os.environ["PATH"]}
    for readable in (folder, *folder.parents):
        if readable.stat().st_uid == os.getuid() and readable != Path("/"):
            readable.chmod(readable.stat().st_mode | 0o055)
    log = folder / "log"
    with metadata_endpoint(task, world), log.open("w") as said:
        process = subprocess.Popen(
            command, env=variables, stdout=said, stderr=said, preexec_fn=die_with_parent
        )
        made = Running(process, log, world)
        try:
            wait_for("the collector listens", lambda: _listens(made), 60.0)
            yield made
        finally:
            process.terminate()
            process.wait(timeout=60)
            print(made.log())


def _listens(collector: Running) -> bool:
    assert collector.process.poll() is None, collector.log()
    try:
        return collector.push(b"{}").status == 200
    except OSError:
        return False


def of_task(metric: str, service: str, **labels: str) -> str:
    """The query of a task's metric."""
    chosen = {"ecs_service": service, "ecs_task": TASK, **labels}
    return f"{metric}{{{','.join(f'{key}={json.dumps(text)}' for key, text in chosen.items())}}}"


@pytest.mark.parametrize("launch", SERVICES)
def test_a_tasks_metrics_arrive_under_the_agreed_names(
    deployment: Deployment, emulator: Emulator, grafana: Client, tmp_path: Path, launch: str
) -> None:
    service = SERVICES[launch]
    task = task_of(deployment, emulator, service)
    assert task.launch == launch
    with collector_in_a_task(deployment, task, task.environment(COLLECTOR, emulator), tmp_path) as running:
        assert running.push(otlp_body(f"from.the.app.{launch}", 7)).status == 200
        wait_for_sample(grafana, of_task("ecs_task_memory_reserved_bytes", service))
        wait_for_sample(grafana, of_task(f"from_the_app_{launch}", service))
    found = {one["__name__"]: one for one in series(grafana, of_task("", service))}
    wanted = OF_TASKS | OF_CONTAINERS | (OF_FARGATE if launch == "fargate" else set[str]())
    assert set(found) - {"target_info", f"from_the_app_{launch}"} == wanted
    assert asked_by_grafana(service) <= set(found) | OF_FARGATE
    own = {"ecs_service": service, "ecs_task": TASK, "instance": TASK}
    app = f"from_the_app_{launch}"
    assert found[app] == {"__name__": app, "job": "rig", **own}
    name = "ecs_container_memory_usage_bytes"
    one = found[name]
    assert one == {"__name__": name, "job": service, "container_name": one["container_name"], **own}
    for metric, expected in (
        ("ecs_container_cpu_usage_seconds_total", CPU_NANOSECONDS / 1e9),
        ("ecs_container_memory_usage_bytes", MEMORY),
        ("ecs_container_memory_utilized_bytes", MEMORY - CACHE),
        ("ecs_container_memory_reserved_bytes", task.container("app")["memory"] << 20),
        ("ecs_container_storage_read_bytes_total", READ),
    ):
        assert value(grafana, of_task(metric, service, container_name="app")) == expected
    assert value(grafana, of_task("ecs_task_cpu_reserved", service)) == int(task.definition["cpu"]) / 1024
    reserved = int(task.definition["memory"]) << 20
    assert value(grafana, of_task("ecs_task_memory_reserved_bytes", service)) == reserved
    # Fargate's containers all show the task's network.
    networks = len(task.definition["containerDefinitions"]) if launch == "ec2" else 1
    received = f"sum({of_task('ecs_container_network_io_usage_rx_bytes_total', service)})"
    assert value(grafana, received) == networks * RECEIVED
    running_tasks = "count by (ecs_service) (last_over_time(ecs_task_memory_reserved_bytes[2m]))"
    assert (
        value(grafana, f"{running_tasks} and on (ecs_service) {of_task('ecs_task_cpu_reserved', service)}")
        == 1
    )
    assert counted(COLLECTOR_ALARM, running.log()) == []


def asked_by_grafana(service: str) -> set[str]:
    """The metrics of tasks in Grafana's dashboards and rules."""
    source = MetricsSource(url="http://unused", step_seconds=30, memory_limit_bytes=1, services=(service,))
    queries = metric_queries(render_dashboards([], None, source))
    queries |= rule_queries(render_alert_rules([], None, source))
    names = {name for query in queries.values() for name in metrics_in(query)}
    return {name for name in names if name.startswith("ecs_")}


def series(grafana: Client, query: str) -> list[dict[str, str]]:
    """The labels of all that a query finds."""
    found: list[Any] = samples(grafana, query)
    return [one["metric"] for one in found]


def value(grafana: Client, query: str) -> float:
    """The only sample that a query finds."""
    [found] = samples(grafana, query)
    return float(found["value"][1])  # type: ignore[index]


def test_an_outage_loses_no_sample(
    deployment: Deployment, emulator: Emulator, grafana: Client, tmp_path: Path
) -> None:
    service = SERVICES["fargate"]
    task = task_of(deployment, emulator, service)
    prometheus, pushed = deployment.container("prometheus"), 0
    with collector_in_a_task(deployment, task, task.environment(COLLECTOR, emulator), tmp_path) as running:
        wait_for_sample(grafana, of_task("ecs_task_cpu_reserved", service))
        began = time.time()
        prometheus.stop()
        while time.time() < began + 40:  # one of the collector's own intervals, too
            assert running.push(otlp_body("in.an.outage", pushed)).status == 200
            pushed += 1
            time.sleep(0.5)
        ended = time.time()
        prometheus.start()

        def found_meanwhile(metric: str) -> int:
            try:
                found = samples(grafana, f"{of_task(metric, service)}[5m]")
            except (OSError, RuntimeError):  # it isn't ready
                return 0
            return sum(began < at < ended for one in found for at, _ in one["values"])  # type: ignore[attr-defined]

        wait_for("the application's all come in", lambda: found_meanwhile("in_an_outage") >= pushed, 120.0)
        assert found_meanwhile("in_an_outage") == pushed > 20
        # The task's own wait in another queue, with pauses of its own.
        wait_for("the task's come in", lambda: found_meanwhile("ecs_task_cpu_reserved") >= 1, 120.0)
    assert counted(COLLECTOR_ALARM, running.log()) == []


@pytest.mark.parametrize(
    ("variable", "word", "other", "age_seconds", "status"),
    [
        (LOGIN_VARIABLE, "Basic ", "Basic d3Jvbmc6", 0, 401),
        (CONFIG_VARIABLE, "/otlp/v1/metrics", "/otlp/v1/others", 0, 403),
        # Older than Prometheus' `maxAge`.
        (LOGIN_VARIABLE, "", "", 2 * DAY_SECONDS, 400),
    ],
    ids=["the password", "the path", "a sample's age"],
)
def test_a_refused_push_is_a_line_that_rings_the_alarm(
    deployment: Deployment,
    emulator: Emulator,
    tmp_path: Path,
    variable: str,
    word: str,
    other: str,
    age_seconds: int,
    status: int,
) -> None:
    task = task_of(deployment, emulator, SERVICES["ec2"])
    environment = task.environment(COLLECTOR, emulator)
    environment[variable] = environment[variable].replace(word, other)
    sample = otlp_body("from.nobody", 1, time.time() - age_seconds)
    with collector_in_a_task(deployment, task, environment, tmp_path) as running:
        assert running.push(sample).status == 200
        wait_for("it is refused", lambda: counted(COLLECTOR_ALARM, running.log()), 60.0)
    assert f"HTTP Status Code {status}" in counted(COLLECTOR_ALARM, running.log())[0]
    assert environment[LOGIN_VARIABLE].removeprefix("Basic ") not in running.log()


def test_a_stop_during_an_outage_rings_the_alarm(
    deployment: Deployment, emulator: Emulator, tmp_path: Path
) -> None:
    task = task_of(deployment, emulator, SERVICES["ec2"])
    environment = task.environment(COLLECTOR, emulator)
    # Nothing is there.
    gone = {
        key: text.replace(deployment.settings["edge"]["domain"], "127.0.0.1:9")
        for key, text in environment.items()
    }
    with collector_in_a_task(deployment, task, gone, tmp_path) as running:
        assert running.push(otlp_body("from.nobody", 1)).status == 200
    assert counted(COLLECTOR_ALARM, running.log())
    assert environment[LOGIN_VARIABLE] not in running.log()


def test_the_password_is_in_ssm_and_nowhere_else(
    deployment: Deployment, emulator: Emulator, login: Login
) -> None:
    task = task_of(deployment, emulator, SERVICES["fargate"])
    assert task.environment(COLLECTOR, emulator)[LOGIN_VARIABLE] == login.header()
    state = deployment.stack.run("stack", "export")
    for secret in (login.password, login.header().removeprefix("Basic ")):
        assert secret not in json.dumps(task.definition, default=str)
        assert secret not in state


@contextmanager
def collector_container(
    deployment: Deployment, task: Task, environment: Mapping[str, str]
) -> Iterator[tuple[Container, Namespace]]:
    """The collector's image with its definition's limits, alone in a network."""
    definition = task.container(COLLECTOR)
    with closing(deployment.rig.engine.client()) as engine:
        made = engine.containers.run(
            definition["image"],
            definition["command"],
            detach=True,
            environment=dict(environment),
            user=definition["user"],
            read_only=definition["readonlyRootFilesystem"],
            cap_drop=definition["linuxParameters"]["capabilities"]["drop"],
            mem_limit=f"{definition['memory']}m",
            memswap_limit=f"{definition['memory']}m",
            network_mode="none",
        )
        try:
            with inside(made) as namespace, metadata_endpoint(task, namespace):
                yield made, namespace
        finally:
            print(made.logs().decode()[-20_000:])
            made.remove(force=True)


def test_a_full_queue_is_within_its_containers_memory(deployment: Deployment, emulator: Emulator) -> None:
    task = task_of(deployment, emulator, SERVICES["fargate"])
    assert task.container(COLLECTOR)["user"] == str(COLLECTOR_UID)
    points = 1000
    with collector_container(deployment, task, task.environment(COLLECTOR, emulator)) as (made, namespace):

        def listens() -> bool:
            try:
                return push_to_collector(namespace, b"{}").status == 200
            except OSError:
                return False

        wait_for("the collector listens", listens, 60.0)
        statuses = [push_to_collector(namespace, app_push(points, at)).status for at in range(60)]
        too_large = push_to_collector(namespace, b" " * (MAX_PUSH_BYTES + 1)).status
        stats: Any = made.stats(stream=False)
        used = int(stats["memory_stats"]["usage"])
        made.reload()
        assert made.attrs["State"]["Running"]
        assert made.attrs["State"]["OOMKilled"] is False
        log = made.logs().decode()
    assert statuses[0] == 200
    assert statuses[-1] == 503
    assert too_large == 400
    assert [line for line in counted(COLLECTOR_ALARM, log) if "sending queue is full" in line]
    limit = task.container(COLLECTOR)["memory"] << 20
    print(f"{used >> 20} MiB of {limit >> 20}, {statuses.count(200) * points} samples")
    assert used < 0.75 * limit


def app_push(points: int, at: int) -> bytes:
    """An application's push with this many series."""
    found = [
        {
            "timeUnixNano": str(time.time_ns()),
            "asDouble": at * 1.1,
            "attributes": [
                {"key": "http.route", "value": {"stringValue": f"/api/contests/{point}"}},
                {"key": "http.request.method", "value": {"stringValue": "GET"}},
                {"key": "http.response.status_code", "value": {"stringValue": "200"}},
            ],
        }
        for point in range(points)
    ]
    metric = {"name": "http.requests", "sum": {"aggregationTemporality": 2, "dataPoints": found}}
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}).encode()
