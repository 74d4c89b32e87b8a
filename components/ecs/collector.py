# pyright: strict
"""A task's metrics sidecar: the OpenTelemetry Collector's configuration and its container. Pure.

It reads the task's metadata endpoint, and takes what the application's SDK sends. Names and units follow from
the receiver's source (contrib 0.165, receiver/awsecscontainermetricsreceiver), which has units of its own and
counters that don't say so: without `_PROMETHEUS_NAMES`, Prometheus would have `container_memory_usage_Bytes`.

JSON is YAML, and needs none of YAML's quoting rules. A dollar sign may begin a variable, so each is doubled.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from components.ecs.collector_plan import INTERVAL_SECONDS, MAX_PUSH_BYTES, CollectorPlan
from components.ecs.firelens import Launch
from components.ecs.settings import COLLECTOR, OTLP_PORT
from components.prometheus.otlp_exporter import otlp_exporter

# The user in the Collector's image.
COLLECTOR_UID = 10001
CONFIG_VARIABLE = "COLLECTOR_CONFIG"
# The header with the login. A password by itself would be read as YAML, and `$` in it as a variable.
LOGIN_VARIABLE = "COLLECTOR_AUTHORIZATION"
# The gate keeps a push for 15 seconds while Prometheus restarts; then the collector asks again.
STOP_SECONDS = 30
# Go collects garbage more often from the first on, and the application's pushes are refused from the second.
_GO_SHARE, _REFUSE_SHARE = 0.8, 0.85
_MIB = 1 << 20
# ECS starts a container again only if it ran for its restartAttemptPeriod, a minute.
_STARTS_WITHIN_SECONDS = 120

_OF_TASKS = "cpu[.]reserved|memory[.]reserved"
_OF_FARGATE_TASKS = "ephemeral_storage[.](utilized|reserved)"
_OF_CONTAINERS = (
    "cpu[.]usage[.]total|memory[.](usage|utilized|reserved)|storage[.](read|write)_bytes|"
    "network[.]io[.]usage[.][rt]x_(bytes|errors|dropped)"
)
# On Fargate each container's statistics have the task's network, which would be counted several times.
_COUNTED_AGAIN = (
    f'IsMatch(metric.name, "[.]network[.]") and resource.attributes["container.name"] != "{COLLECTOR}"'
)
_PROMETHEUS_NAMES = (
    (
        "metric",
        (
            'set(metric.unit, "By") where metric.unit == "Bytes"',
            'set(metric.unit, "1") where metric.unit == "Count"',
            'scale_metric(1048576.0, "By") where metric.unit == "MiB"',
            # ECS' CPU units, of which a vCPU has 1024.
            'scale_metric(0.0009765625, "{cpu}") where metric.name == "ecs.task.cpu.reserved"',
            "set(metric.is_monotonic, true) where metric.type == METRIC_DATA_TYPE_SUM",
            # Containers on Docker hosts have metrics of these names.
            'set(metric.name, Concat(["ecs", metric.name], ".")) where IsMatch(metric.name, "^container[.]")',
        ),
    ),
    (
        "datapoint",
        (
            "set(datapoint.value_double, Double(datapoint.value_int) / 1000000000.0) "
            'where metric.unit == "Nanoseconds"',
        ),
    ),
    ("metric", ('set(metric.unit, "s") where metric.unit == "Nanoseconds"',)),
)
# An attribute that differs per start, such as a container's id, would make a series each time; the hosts'
# label `host_name` is for hosts of the stack.
_KEPT = (
    "service.name",
    "service.namespace",
    "service.version",
    "service.instance.id",
    "container.name",
    "ecs.service",
    "ecs.task",
)


@dataclass(frozen=True, kw_only=True)
class MetricsTarget:
    """Where metrics go, and the parameter with the login if it needs one."""

    url: str
    parameter_arn: str | None = None


def render_collector_config(service: str, launch: Launch, plan: CollectorPlan, target: MetricsTarget) -> str:
    """The configuration, in which the login is a variable's name."""
    login = {"headers": {"Authorization": _LOGIN}} if target.parameter_arn else {}
    config = {
        "receivers": _receivers(launch),
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_mib": int(plan.memory_mib * _REFUSE_SHARE)},
            "filter": {"metric_conditions": _dropped(launch)},
            # Without the task's id nobody could tell tasks apart: rather start again.
            "resource_detection": {
                "detectors": ["ecs"],
                "fail_on_missing_metadata": True,
                "timeout": "5s",
                "retry": {"max_elapsed_time": f"{_STARTS_WITHIN_SECONDS}s"},
            },
            "transform/names": _transform(_PROMETHEUS_NAMES),
            "transform/labels": _transform([("resource", _labels(service))]),
        },
        # Prometheus refuses a push as a whole: a sample of the application's mustn't take the task's with it.
        "exporters": {
            "otlp_http/task": otlp_exporter(target.url, plan.task_queue_bytes, login),
            "otlp_http/app": otlp_exporter(target.url, plan.app_queue_bytes, login),
        },
        "service": {
            # Its own page for metrics would be open to its network.
            "telemetry": {
                "metrics": {"level": "none"},
                "logs": {"level": "warn", "encoding": "json", "disable_stacktrace": True},
            },
            "pipelines": {
                "metrics/task": {
                    "receivers": ["awsecscontainermetrics"],
                    "processors": ["filter", "resource_detection", "transform/names", "transform/labels"],
                    "exporters": ["otlp_http/task"],
                },
                "metrics/app": {
                    "receivers": ["otlp"],
                    "processors": ["memory_limiter", "resource_detection", "transform/labels"],
                    "exporters": ["otlp_http/app"],
                },
            },
        },
    }
    text = json.dumps(config, separators=(",", ":"), sort_keys=True)
    return text.replace("$", "$$").replace(_LOGIN, f"${{env:{LOGIN_VARIABLE}}}")


def _receivers(launch: Launch) -> dict[str, Any]:
    return {
        "awsecscontainermetrics": {"collection_interval": f"{INTERVAL_SECONDS}s"},
        "otlp": {
            "protocols": {
                "http": {
                    "endpoint": _listens_at(launch),
                    "max_request_body_size": MAX_PUSH_BYTES,
                }
            }
        },
    }


# What can't be in the rest of the configuration.
_LOGIN = "<the login>"


def _listens_at(launch: Launch) -> str:
    """On Fargate all containers have one loopback; with bridge networking each has its own."""
    return f"127.0.0.1:{OTLP_PORT}" if launch == "fargate" else f"0.0.0.0:{OTLP_PORT}"


def _dropped(launch: Launch) -> list[str]:
    of_tasks = f"{_OF_TASKS}|{_OF_FARGATE_TASKS}" if launch == "fargate" else _OF_TASKS
    others = f'not IsMatch(metric.name, "^(ecs[.]task[.]({of_tasks})|container[.]({_OF_CONTAINERS}))$")'
    return [others, _COUNTED_AGAIN] if launch == "fargate" else [others]


def _labels(service: str) -> list[str]:
    own, task = "resource.attributes", 'resource.attributes["aws.ecs.task.id"]'
    unnamed = f'{own}["service.name"] == nil or IsMatch({own}["service.name"], "^unknown_service")'
    kept = ", ".join(f'"{name}"' for name in _KEPT)
    return [
        f'set({own}["service.name"], "{service}") where {unnamed}',
        f'set({own}["service.instance.id"], {task}) where {own}["service.instance.id"] == nil',
        f'set({own}["ecs.service"], "{service}")',
        f'set({own}["ecs.task"], {task})',
        f"keep_keys({own}, [{kept}])",
    ]


def _transform(groups: Any) -> dict[str, Any]:
    statements = [{"context": context, "statements": list(each)} for context, each in groups]
    return {"error_mode": "ignore", "metric_statements": statements}


def collector_container(
    config: str, image: str, plan: CollectorPlan, target: MetricsTarget
) -> dict[str, Any]:
    """The collector, without its log. Its image has nothing to check its health with."""
    login = {"secrets": [{"name": LOGIN_VARIABLE, "valueFrom": target.parameter_arn}]}
    return {
        "name": COLLECTOR,
        "image": image,
        # The application goes on without it.
        "essential": False,
        "command": [f"--config=env:{CONFIG_VARIABLE}"],
        "user": str(COLLECTOR_UID),
        "readonlyRootFilesystem": True,
        "linuxParameters": {"capabilities": {"drop": ["ALL"]}},
        "memory": plan.memory_mib,
        "stopTimeout": STOP_SECONDS,
        "environment": [
            {"name": CONFIG_VARIABLE, "value": config},
            {"name": "GOMEMLIMIT", "value": str(int(plan.memory_mib * _GO_SHARE) * _MIB)},
        ],
        **(login if target.parameter_arn else {}),
    }


def app_environment(launch: Launch) -> dict[str, str]:
    """What tells an application's SDK where the collector is."""
    host = "127.0.0.1" if launch == "fargate" else COLLECTOR
    return {
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": f"http://{host}:{OTLP_PORT}/v1/metrics",
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL": "http/protobuf",
    }


def basic_authorization(user: str, password: str) -> str:
    """The header's value: letters and digits that neither YAML nor the Collector's variables change."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
