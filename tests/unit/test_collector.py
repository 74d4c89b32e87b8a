"""A task's metrics sidecar: its configuration, its container, and what it changes in the others."""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.ecs.collector import (
    CONFIG_VARIABLE,
    LOGIN_VARIABLE,
    MetricsTarget,
    basic_authorization,
    render_collector_config,
)
from components.ecs.collector_plan import MAX_PUSH_BYTES, collector_plan
from components.ecs.firelens import Launch
from components.ecs.metrics_settings import COLLECTOR_IMAGE
from components.ecs.settings import ServiceSettings
from components.prometheus.otlp_exporter import PUSH_BYTES
from local.paths import ROOT
from rig.stand_ins.stand_in_images import STAND_INS
from tests.support.ecs_rules import problems
from tests.support.ecs_services import APP, METRICS_URL, PARAMETER, request_for, service
from tests.support.golden import assert_golden
from tests.support.programs import program_of_image

LAUNCHES: tuple[Launch, ...] = ("ec2", "fargate")
ON = {"metrics": {"enabled": True}, "memoryMib": 1024}
TARGET = MetricsTarget(url=METRICS_URL, parameter_arn=PARAMETER)


def measured(launch: Launch, **changes: Any) -> ServiceSettings:
    """A service with metrics."""
    return service(**{"launch": launch, **ON, **changes})


def containers(of: ServiceSettings) -> dict[str, dict[str, Any]]:
    """The definitions by name."""
    return {one["name"]: one for one in request_for(of)["containerDefinitions"]}


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's plain variables."""
    return {one["name"]: one["value"] for one in container["environment"]}


@pytest.mark.parametrize("launch", LAUNCHES)
def test_the_configuration_is_the_agreed_one(launch: Launch) -> None:
    text = environment(containers(measured(launch))["collector"])[CONFIG_VARIABLE]
    assert_golden(f"collector_{launch}.yaml", json.dumps(json.loads(text), indent=2) + "\n")


def validated(folder: Path, text: str, login: str = "Basic eDp5") -> subprocess.CompletedProcess[str]:
    """What the real Collector says of a configuration."""
    program = program_of_image("otelCollector", "otelcol-contrib", folder)
    endpoint = {"ECS_CONTAINER_METADATA_URI_V4": "http://127.0.0.1:9/v4/x"}
    variables = {CONFIG_VARIABLE: text, LOGIN_VARIABLE: login, **endpoint}
    command = [program, "validate", f"--config=env:{CONFIG_VARIABLE}"]
    return subprocess.run(
        command, env={**os.environ, **variables}, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.programs
@pytest.mark.parametrize("launch", LAUNCHES)
def test_the_real_collector_accepts_it(launch: Launch, tmp_path: Path) -> None:
    plan = collector_plan(500, 10, 1)
    for target in (TARGET, MetricsTarget(url=METRICS_URL)):
        done = validated(tmp_path, render_collector_config("client-api", launch, plan, target))
        assert done.returncode == 0, done.stderr


@pytest.mark.programs
def test_the_real_collector_refuses_what_is_wrong(tmp_path: Path) -> None:
    text = render_collector_config("client-api", "ec2", collector_plan(500, 10, 1), TARGET)
    done = validated(tmp_path, text.replace("scale_metric", "scale_metrics"))
    assert done.returncode != 0
    assert "undefined function" in done.stderr


@pytest.mark.parametrize("password", ["p$a${env:HOME}$$", "a: b", "1e3", '"quoted"', " space ", "€"])
def test_a_login_has_nothing_that_the_collector_would_read_in_it(password: str) -> None:
    value = basic_authorization("aws", password)
    assert b64decode(value.removeprefix("Basic ")).decode() == f"aws:{password}"
    assert not set(value) & set("${}:\"'")


def test_without_metrics_a_definition_is_as_before() -> None:
    for changes in ({}, {"metrics": {}}, {"metrics": {"account": "aws"}}):
        assert request_for(service(**changes)) == request_for(service())


@pytest.mark.parametrize("launch", LAUNCHES)
def test_the_container_is_hardened_and_the_task_goes_on_without_it(launch: Launch) -> None:
    made = measured(launch)
    collector = containers(made)["collector"]
    assert problems(request_for(made)) == []
    assert collector["user"] == "10001"
    assert collector["readonlyRootFilesystem"] is True
    assert collector["linuxParameters"] == {"capabilities": {"drop": ["ALL"]}}
    assert collector["essential"] is False
    assert collector["restartPolicy"] == {"enabled": True, "restartAttemptPeriod": 60}
    assert collector["command"] == [f"--config=env:{CONFIG_VARIABLE}"]
    assert collector["memory"] == made.collector_plan.memory_mib  # type: ignore[union-attr]
    assert int(environment(collector)["GOMEMLIMIT"]) < collector["memory"] << 20
    assert not {"portMappings", "healthCheck", "cpu", "mountPoints"} & set(collector)
    assert collector["secrets"] == [{"name": LOGIN_VARIABLE, "valueFrom": PARAMETER}]
    assert collector["logConfiguration"]["options"] == {
        "awslogs-group": "/ecs/client-api/collector",
        "awslogs-region": "ap-northeast-2",
        "awslogs-stream-prefix": "collector",
    }


@pytest.mark.parametrize(("launch", "host"), [("ec2", "collector"), ("fargate", "127.0.0.1")])
def test_the_application_finds_the_collector_and_stops_before_it(launch: Launch, host: str) -> None:
    app = containers(measured(launch))["app"]
    assert environment(app) == {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://{host}:4318/v1/metrics",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
    }
    assert {"containerName": "collector", "condition": "START"} in app["dependsOn"]
    # Links are for bridge networking alone.
    assert app.get("links") == (["collector"] if launch == "ec2" else None)


def test_what_the_team_has_set_stays() -> None:
    endpoint = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"
    for kind, value in (("environment", "http://127.0.0.1:9/v1/metrics"), ("secrets", PARAMETER)):
        app = containers(measured("fargate", containers={"app": APP | {kind: {endpoint: value}}}))["app"]
        assert environment(app).get(endpoint) == (value if kind == "environment" else None)


@given(st.integers(0, 100_000), st.integers(1, 24 * 60), st.integers(1, 8))
def test_an_outage_fits_into_the_queue_and_the_queue_into_the_memory(
    samples: int, minutes: int, apps: int
) -> None:
    plan = collector_plan(samples, minutes, apps)
    assert plan.app_queue_bytes >= max(MAX_PUSH_BYTES, samples * minutes * 200)
    assert plan.task_queue_bytes >= max(2 * PUSH_BYTES, (apps + 3) * minutes * 2 * 1300)
    assert (plan.memory_mib - 192) << 20 >= 6 * (plan.app_queue_bytes + plan.task_queue_bytes)


def test_the_plan_is_the_documented_one() -> None:
    plan = collector_plan(500, 10, 1)
    assert (plan.task_queue_bytes, plan.app_queue_bytes, plan.memory_mib) == (104_000, 2_000_000, 205)
    assert plan.bytes_per_minute == 500 * 200 + 2 * 4 * 1300
    for document in ("metrics.md", "costs.md", "decisions/0027-task-metrics.md"):
        assert " 205 MiB" in (ROOT / "docs" / document).read_text(), document


def test_the_default_image_is_the_one_that_was_tried() -> None:
    assert COLLECTOR_IMAGE in STAND_INS
