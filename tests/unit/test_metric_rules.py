"""The alert rules of metrics, run by the real promtool: each rings when it should, and doesn't otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.grafana.alert_rules import render_alert_rules
from components.grafana.metric_rules import (
    CERTIFICATE_ENDS,
    CERTIFICATE_OLD,
    CONTAINER_GONE,
    CONTAINER_RESTARTS,
    CPU_LONG_BUSY,
    DISK_FORECAST,
    DISK_USED_UP,
    HOST_LOGS_SILENT,
    HOST_SILENT,
    MEMORY_LOW,
    METRIC_RULES,
    METRICS_REFUSED,
    PROGRAM_AWAY,
    PROMETHEUS_AWAY,
    PROMETHEUS_FILLED,
    SAMPLES_LOST,
    SENDER_BEHIND,
    SERVICE_CHANGED,
    SERVICE_WITHOUT_TASKS,
    SITE_AWAY,
)
from components.grafana.provisioning import METRICS_UID
from tests.support.grafana import METRICS
from tests.support.programs import program_of_image, run

STEP = "30s"
Labels = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series, by promtool's notation with a sample each 30 seconds, and what rings at a minute."""

    uid: str
    what: str
    series: dict[str, str]
    minute: int
    rings: tuple[Labels, ...] = ()

    def __str__(self) -> str:
        return f"{self.uid}: {self.what}"


CAMPUS, STAGE = {"host_name": "campus"}, {"host_name": "stage"}
UP = "0+30x400"
HOSTS = {f'system_uptime_seconds{{host_name="{host}"}}': UP for host in METRICS.hosts}


def disk(mount: str, used: str, free: str, device: str = "/dev/vda", host: str = "campus") -> dict[str, str]:
    labels = f'host_name="{host}",device="{device}",mountpoint="/disks/{mount}",mode="ro",type="ext4"'
    return {
        f'system_filesystem_usage_bytes{{{labels},state="{state}"}}': values
        for state, values in (("used", used), ("free", free), ("reserved", "50x900"))
    }


def uptime(container: str, values: str, host: str = "campus") -> dict[str, str]:
    return {f'container_uptime_seconds{{host_name="{host}",container_name="{container}"}}': values}


def cpu(idle: str, user: str) -> dict[str, str]:
    name = 'system_cpu_time_seconds_total{host_name="campus",state='
    return {f'{name}"idle"}}': idle, f'{name}"user"}}': user, f'{name}"wait"}}': "0x400"}


def pushes(code: str, values: str) -> dict[str, str]:
    labels = f'job="prometheus",instance="127.0.0.1:9090",handler="/api/v1/write",code="{code}"'
    return {f"prometheus_http_requests_total{{{labels}}}": values}


def task(name: str, values: str) -> dict[str, str]:
    return {f'ecs_task_memory_reserved_bytes{{ecs_service="client-api",ecs_task="{name}"}}': values}


def certificate(days: float) -> dict[str, str]:
    """The end of a certificate, which has so many days left when the first sample is read."""
    return {f"probe_ssl_earliest_cert_expiry{{{PROBE}}}": f"{int(days * 86400)}x60"}


def site(answers: str, caddy: str) -> dict[str, str]:
    return {f"probe_success{{{PROBE}}}": answers, 'up{job="caddy",instance="caddy"}': caddy}


PROBE = 'job="certificate-probe",instance="logs.example.org"'
PROBED = {"job": "certificate-probe", "instance": "logs.example.org"}
AGENT = 'job="agent",instance="a"'
RESTARTS = 'container_restarts_total{host_name="campus",container_name="app"}'
CONTAINER = {"container_name": "app"} | CAMPUS
SERVICE = {"ecs_service": "client-api"}
CASES = [
    Case(
        PROGRAM_AWAY,
        "it is away",
        {'up{job="loki",instance="a"}': "1x10 0x20"},
        10,
        ({"job": "loki", "instance": "a"},),
    ),
    Case(PROGRAM_AWAY, "it restarts", {'up{job="loki",instance="a"}': "1x10 0x3 1x20"}, 7),
    Case(SITE_AWAY, "no handshake", site("1x10 0x20", "1x60"), 12, (PROBED,)),
    Case(SITE_AWAY, "a new container", site("1x10 0x6 1x20", "1x60"), 12),
    Case(SITE_AWAY, "Caddy is stopped, which another rule says", site("1x10 0x20", "1x10 0x20"), 12),
    Case(CERTIFICATE_OLD, "13 days", certificate(13.9), 15, (PROBED,)),
    Case(CERTIFICATE_OLD, "3 days", certificate(3.5), 15, (PROBED,)),
    Case(CERTIFICATE_OLD, "14 days", certificate(14.5), 15),
    Case(CERTIFICATE_OLD, "the other rule rings", certificate(2.9), 15),
    Case(CERTIFICATE_ENDS, "2 days", certificate(2.9), 15, (PROBED,)),
    Case(CERTIFICATE_ENDS, "it has expired", certificate(-1), 15, (PROBED,)),
    Case(CERTIFICATE_ENDS, "3 days", certificate(3.5), 15),
    Case(
        PROMETHEUS_FILLED,
        "filled",
        {'go_memstats_next_gc_bytes{job="prometheus"}': "1400000000x60"},
        15,
        ({"job": "prometheus"},),
    ),
    Case(PROMETHEUS_FILLED, "half", {'go_memstats_next_gc_bytes{job="prometheus"}': "700000000x60"}, 15),
    Case(PROMETHEUS_FILLED, "others", {'go_memstats_next_gc_bytes{job="loki"}': "1400000000x60"}, 15),
    Case(
        METRICS_REFUSED,
        "refused",
        pushes("400", "0+1x60"),
        15,
        ({"handler": "/api/v1/write", "code": "400"},),
    ),
    Case(METRICS_REFUSED, "one is refused", pushes("400", "0x20 1x40"), 25),
    Case(METRICS_REFUSED, "taken", pushes("204", "0+1x60"), 15),
    Case(
        SAMPLES_LOST,
        "too old",
        {"prometheus_tsdb_too_old_samples_total": "0+9x60"},
        15,
        ({"reason": "too old"},),
    ),
    Case(SAMPLES_LOST, "none", {"prometheus_tsdb_out_of_order_samples_total": "7x60"}, 15),
    Case(
        SENDER_BEHIND,
        "behind",
        {
            f"prometheus_remote_storage_highest_timestamp_in_seconds{{{AGENT}}}": "1000+30x60",
            f'prometheus_remote_storage_queue_highest_sent_timestamp_seconds{{{AGENT},url="u"}}': "800+30x60",
        },
        20,
        ({"job": "agent", "instance": "a"},),
    ),
    Case(
        SENDER_BEHIND,
        "in time",
        {
            f"prometheus_remote_storage_highest_timestamp_in_seconds{{{AGENT}}}": "1000+30x60",
            f'prometheus_remote_storage_queue_highest_sent_timestamp_seconds{{{AGENT},url="u"}}': "990+30x60",
        },
        20,
    ),
    Case(HOST_SILENT, "all send", HOSTS, 60),
    Case(HOST_SILENT, "one was never heard", {'system_uptime_seconds{host_name="campus"}': UP}, 10, (STAGE,)),
    Case(
        HOST_SILENT,
        "one falls silent",
        HOSTS | {'system_uptime_seconds{host_name="stage"}': "0+30x20"},
        20,
        (STAGE,),
    ),
    Case(HOST_SILENT, "Prometheus was away", dict.fromkeys(HOSTS, "0+30x20 _x9 900+30x40"), 14),
    Case(
        DISK_USED_UP,
        "one disk by two paths",
        disk("docker", "90x60", "10x60") | disk("system", "90x60", "10x60"),
        20,
        (CAMPUS | {"disk": "docker"},),
    ),
    Case(
        DISK_USED_UP,
        "another disk",
        disk("docker", "10x60", "90x60") | disk("data", "90x60", "10x60", "/dev/vdb"),
        20,
        (CAMPUS | {"disk": "data"},),
    ),
    Case(DISK_USED_UP, "not yet", disk("docker", "84x60", "16x60"), 20),
    Case(
        DISK_FORECAST,
        "it fills",
        disk("docker", "60+0.02x720", "40-0.02x720"),
        360,
        (CAMPUS | {"disk": "docker"},),
    ),
    Case(DISK_FORECAST, "it has much room", disk("docker", "20+0.05x720", "80-0.05x720"), 360),
    Case(DISK_FORECAST, "it stays", disk("docker", "80x720", "20x720"), 360),
    Case(
        MEMORY_LOW,
        "low on one",
        {
            f'system_{name}_bytes{{host_name="{host}"}}': values
            for host, left in (("campus", "3x60"), ("stage", "6x60"))
            for name, values in (("linux_memory_available", left), ("memory_limit", "100x60"))
        },
        20,
        (CAMPUS,),
    ),
    Case(CPU_LONG_BUSY, "busy", cpu("0+1x60", "0+29x60"), 28, (CAMPUS,)),
    Case(
        CPU_LONG_BUSY, "busy for ten minutes", cpu("0+30x20 600+1x20 620+30x20", "0x20 29+29x20 580x20"), 21
    ),
    Case(CPU_LONG_BUSY, "half busy", cpu("0+15x60", "0+15x60"), 28),
    Case(CONTAINER_RESTARTS, "it restarts", {RESTARTS: "0x20 1x20"}, 12, (CONTAINER,)),
    Case(CONTAINER_RESTARTS, "it was replaced", {RESTARTS: "3x20 0x20"}, 12),
    Case(CONTAINER_GONE, "it is gone", uptime("app", "600+30x60") | uptime("other", UP), 40, (CONTAINER,)),
    Case(CONTAINER_GONE, "it was replaced", uptime("app", "600+30x60 _x4 0+30x60") | uptime("other", UP), 40),
    Case(CONTAINER_GONE, "it was a short task", uptime("app", "0+30x10") | uptime("other", UP), 40),
    Case(CONTAINER_GONE, "its host is silent", uptime("app", "600+30x60") | uptime("other", UP, "stage"), 40),
    Case(CONTAINER_GONE, "long ago", uptime("app", "600+30x60") | uptime("other", UP), 120),
    Case(SERVICE_WITHOUT_TASKS, "none ever", {}, 10, (SERVICE,)),
    Case(SERVICE_WITHOUT_TASKS, "the last ends", task("a", "1x20"), 20, (SERVICE,)),
    Case(SERVICE_WITHOUT_TASKS, "one follows", task("a", "1x20") | task("b", "_x18 1x80"), 30),
    Case(SERVICE_CHANGED, "one less", task("a", "1x400") | task("b", "1x200"), 120, (SERVICE,)),
    Case(SERVICE_CHANGED, "one less, an hour ago", task("a", "1x400") | task("b", "1x200"), 175),
    Case(
        SERVICE_CHANGED,
        "a deployment",
        task("a", "1x200") | task("b", "1x200") | task("c", "_x180 1x200") | task("d", "_x180 1x200"),
        100,
    ),
]


def rules() -> dict[str, dict[str, Any]]:
    """The rules in use that ask Prometheus, by uid."""
    groups = json.loads(render_alert_rules([], None, METRICS))["groups"]
    return {
        rule["uid"]: rule
        for group in groups
        for rule in group["rules"]
        if not rule.get("isPaused") and rule["data"][0]["datasourceUid"] == METRICS_UID
    }


def as_prometheus(uid: str) -> dict[str, Any]:
    """A rule of Grafana's as one of Prometheus': the condition is a comparison of the query's value."""
    rule = rules()[uid]
    asked, condition = rule["data"]
    value, comparison = condition["model"]["expression"].split(" ", 1)
    assert value == f"${asked['refId']}"
    return {"alert": "rings", "expr": f"({asked['model']['expr']}) {comparison}", "for": rule["for"]}


def test_each_rule_has_a_case_in_which_it_rings_and_one_in_which_it_does_not() -> None:
    # Prometheus can't say that it is away, and the logs' silence is Loki's.
    of_prometheus = set(METRIC_RULES) - {PROMETHEUS_AWAY, HOST_LOGS_SILENT}
    assert {one.uid for one in CASES if one.rings} == of_prometheus
    several = {MEMORY_LOW}
    assert {one.uid for one in CASES if not one.rings} | several == of_prometheus


@pytest.mark.programs
def test_the_rules_ring_when_they_should(tmp_path: Path) -> None:
    promtool = program_of_image("prometheus", "bin/promtool", tmp_path)
    tests: list[str] = []
    for number, case in enumerate(CASES):
        rule, test = tmp_path / f"{number}.yml", tmp_path / f"{number}-test.yml"
        group = {"name": "g", "interval": "1m", "rules": [as_prometheus(case.uid)]}
        rule.write_text(json.dumps({"groups": [group]}))
        expected = [{"exp_labels": one} for one in case.rings]
        asked = {"eval_time": f"{case.minute}m", "alertname": "rings", "exp_alerts": expected}
        played = {
            "name": str(case),
            "interval": STEP,
            "input_series": [{"series": name, "values": values} for name, values in case.series.items()],
            "alert_rule_test": [asked],
        }
        page = {"rule_files": [rule.name], "evaluation_interval": "1m", "tests": [played]}
        test.write_text(json.dumps(page))
        tests.append(str(test))
    run(promtool, "test", "rules", *tests)
