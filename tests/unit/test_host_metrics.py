"""The Docker hosts' own metrics: the Collector's configuration, the containers, and the password's file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.docker_hosts.push_destination import Destination
from components.host_metrics.config import HOST_ROOT, render_collector_config
from components.stack.measured_hosts import other_docker_hosts
from components.stack.other_hosts_metrics import OtherHostsMetrics, OtherHostsMetricsArgs
from components.stack.settings import parse
from tests.support.fake_engine import Engine, build, plain, running_engine
from tests.support.golden import assert_golden
from tests.support.programs import program_of_image, run
from tests.support.settings import HOST_METRICS, MEASURED_HOSTS, SECRET, SHIPPER, TREE, put

GATE = Destination(url="https://campus.example.org/metrics/api/v1/otlp/v1/metrics", user="hosts")
READER = Destination(url="http://172.30.0.2:9090/api/v1/otlp/v1/metrics")
CONFIGURATIONS = {
    "host_metrics_gate.yaml": render_collector_config("log2", ["system", "docker", "data"], GATE),
    "host_metrics_campus.yaml": render_collector_config("campus", ["system", "docker"], READER),
}
PROMETHEUS = {"route": "/metrics", "allow": ["nat"], "accounts": [{"user": "hosts"}]}
CHANGES: dict[str, Any] = {
    "images": TREE["images"]
    | {
        "prometheus": "prom/prometheus:v3.16.0",
        "otelCollector": "otel/opentelemetry-collector-contrib:0.165.1",
    },
    "prometheus": PROMETHEUS,
    "hostMetrics": {"enabled": True},
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_configuration_is_the_agreed_one(name: str) -> None:
    assert_golden(name, CONFIGURATIONS[name])


@pytest.fixture
def collector(tmp_path: Path) -> str:
    """The real Collector."""
    return program_of_image("otelCollector", "otelcol-contrib", tmp_path)


def validated(collector: str, text: str, folder: Path) -> None:
    """The Collector accepts a configuration; an AssertionError with its words if not."""
    (folder / "config.yaml").write_text(text.replace(f'"{HOST_ROOT}"', f'"{folder}"'))
    run(collector, "validate", f"--config={folder / 'config.yaml'}")


@pytest.mark.programs
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_real_collector_accepts_it(collector: str, tmp_path: Path, name: str) -> None:
    validated(collector, CONFIGURATIONS[name], tmp_path)


@pytest.mark.programs
def test_the_real_collector_refuses_what_is_wrong(collector: str, tmp_path: Path) -> None:
    text = CONFIGURATIONS["host_metrics_gate.yaml"]
    with pytest.raises(AssertionError, match="maximal_size"):
        validated(collector, text.replace('"max_size"', '"maximal_size"'), tmp_path)


def test_without_them_nothing_of_them_is_made(usual: Engine) -> None:
    assert not [name for name in usual.made if "metrics" in name or "collector" in name]


@pytest.fixture
def measured() -> Iterator[Engine]:
    """The campus server with its own metrics."""
    with running_engine() as made:
        build(**CHANGES)
        yield made


def test_the_containers_are_hardened(measured: Engine) -> None:
    containers = measured.containers()
    for name in ("t-host-metrics-campus", "t-host-metrics-campus-reader"):
        inputs = containers[name]
        assert inputs["readOnly"] is True
        adds = ["CAP_NET_BIND_SERVICE"] if name.endswith("-reader") else []
        assert inputs["capabilities"] == {"drops": ["ALL"], "adds": adds}
        assert inputs["securityOpts"] == ["no-new-privileges:true"]
        assert inputs["memory"] == inputs["memorySwap"] > 0
        assert not inputs.get("ports")
    assert containers["t-host-metrics-campus"]["user"] == "10001"


def test_the_collector_sees_two_files_of_the_host_and_no_socket_of_the_engine() -> None:
    with running_engine() as engine:
        build(**CHANGES | {"hostMetrics": {"enabled": True, "disks": {"campus": {"data": "/srv/data"}}}})
        collector = engine.containers()["t-host-metrics-campus"]
        reader = engine.containers()["t-host-metrics-campus-reader"]
    assert {(one["source"], one["target"]) for one in collector["mounts"]} == {
        ("/proc/1/net/dev", "/host/proc/net/dev"),
        ("/etc/hostname", "/disks/system"),
        ("/srv/data", "/disks/data"),
    }
    assert all(one["readOnly"] for one in (*collector["mounts"], *collector["volumes"]))
    assert not [one for one in collector["volumes"] if "hostPath" in one]
    assert [one["hostPath"] for one in reader["volumes"] if "hostPath" in one] == ["/nowhere.sock"]
    assert reader["networkMode"] == "none"


def test_the_campus_servers_own_go_by_the_reader(measured: Engine) -> None:
    files = plain(measured.made["campus-host-metrics-files"].inputs["files"])
    assert {name: one["content"] for name, one in files.items()} == {
        "config.yaml": CONFIGURATIONS["host_metrics_campus.yaml"]
    }
    collector = measured.containers()["t-host-metrics-campus"]
    assert collector["networksAdvanced"] == [{"name": "t-readers-network", "ipv4Address": "172.30.0.5"}]


def test_only_caddy_and_the_reader_have_the_socket_of_caddys_metrics(measured: Engine) -> None:
    having = {
        name: one["readOnly"]
        for name, inputs in measured.containers().items()
        for one in inputs.get("volumes", ())
        if one.get("volumeName") == "t-caddy-metrics"
    }
    assert having == {"t-caddy": False, "t-reader": True}


def test_grafana_has_metrics_only_for_prometheus(usual: Engine, measured: Engine) -> None:
    for engine, word in ((usual, "false"), (measured, "true")):
        assert f"GF_METRICS_ENABLED={word}" in engine.containers()["t-grafana"]["envs"]


def test_every_docker_host_is_measured_once() -> None:
    tree = put(HOST_METRICS, {"shippers.again": SHIPPER | {"dockerHost": MEASURED_HOSTS["log2"]}})
    settings = parse(tree)
    assert other_docker_hosts(settings.campus, settings.shippers) == MEASURED_HOSTS


def other_hosts(engine: Engine) -> dict[str, dict[str, Any]]:
    """The containers on the other hosts."""

    @pulumi.runtime.test
    def program() -> None:
        passwords = {"hosts": pulumi.Output.secret(SECRET)}
        args = OtherHostsMetricsArgs(settings=parse(HOST_METRICS), push_url=GATE.url, passwords=passwords)
        OtherHostsMetrics("host-metrics", args)

    program()
    return engine.containers()


def test_the_other_hosts_push_through_the_gate_with_a_password_in_a_file(engine: Engine) -> None:
    containers = other_hosts(engine)
    assert set(containers) == {
        f"campus-monitor-host-metrics-{name}{part}" for name in MEASURED_HOSTS for part in ("", "-reader")
    }
    files = plain(engine.made["host-metrics-log2-files"].inputs["files"])
    assert files["password"] == {"content": SECRET, "uid": 10001, "gid": 0, "mode": 0o400}
    assert files["config.yaml"]["content"] == CONFIGURATIONS["host_metrics_gate.yaml"]
    assert SECRET not in str(containers)
    hosts = {
        name: one.inputs["docker_host"] for name, one in engine.made.items() if "docker_host" in one.inputs
    }
    for name, url in MEASURED_HOSTS.items():
        assert hosts[f"host-metrics-{name}-files"] == hosts[f"host-metrics-{name}-reader-files"] == url
