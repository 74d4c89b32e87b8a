# pyright: strict
"""Renders an ECS task's container definitions: the team's containers and the FireLens log router. Pure.

Sources: the ECS API reference (ContainerDefinition, FirelensConfiguration) and `firelens`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from components.ecs.buffer_plan import FLUENT_BIT_TRY_SECONDS, GRAFANA_DEFAULTS, BufferPlan
from components.ecs.collector import (
    MetricsTarget,
    app_environment,
    collector_container,
    render_collector_config,
)
from components.ecs.collector_plan import CollectorPlan
from components.ecs.container_settings import AppContainer, HealthCheck
from components.ecs.firelens import LABEL_KEYS, OUTPUTS, output_name
from components.ecs.settings import BUFFER_VOLUME, COLLECTOR, LOG_ROUTER, ServiceSettings

# The mount point of the queue's volume.
BUFFER_DIRECTORY = "/log-buffer"

# FireLens' and Docker's fields for a line's task; Docker adds the last three to a piece of a line over
# 16 KiB.
_ORIGIN_KEYS = (
    "ecs_task_arn",
    "ecs_task_definition",
    "ec2_instance_id",
    "container_name",
    "partial_id",
    "partial_ordinal",
    "partial_last",
)
# Redundant: the container's name and the piece's number say the same.
_REMOVE_KEYS = ("container_id", "partial_message")


@dataclass(frozen=True, kw_only=True)
class PushTarget:
    """Where lines go, and with which account."""

    url: str
    # The account, and the parameter with its secret option: both or neither.
    user: str | None = None
    parameter_arn: str | None = None
    # Whether that Loki stores structured metadata.
    keeps_metadata: bool = True


@dataclass(frozen=True, kw_only=True)
class MetricsParts:
    """What the collector is made from."""

    image: str
    plan: CollectorPlan
    target: MetricsTarget
    log_group: str


def container_definitions(
    *,
    service_name: str,
    service: ServiceSettings,
    target: PushTarget,
    log_group: str,
    region: str,
    metrics: MetricsParts | None = None,
) -> list[dict[str, Any]]:
    """The task's containers for the ECS API: the log router, the collector if there is one, then by name."""
    plan = service.plan
    apps = [
        _app_container(name, container, service)
        | {"logConfiguration": log_configuration(service_name, name, service, target, plan)}
        for name, container in sorted(service.containers.items())
    ]
    sidecars = [_log_router(service, plan, log_group, region)]
    if metrics is not None:
        sidecars.append(_collector(service_name, service, metrics, region))
    return [*sidecars, *apps]


def _collector(
    service_name: str, service: ServiceSettings, metrics: MetricsParts, region: str
) -> dict[str, Any]:
    config = render_collector_config(service_name, service.launch, metrics.plan, metrics.target)
    return {
        **collector_container(config, _as_ecs_names(metrics.image), metrics.plan, metrics.target),
        **_restarts(True),
        "logConfiguration": _own_log(metrics.log_group, region, COLLECTOR),
    }


def _own_log(log_group: str, region: str, name: str) -> dict[str, Any]:
    """A sidecar's own log goes to CloudWatch, so that it tells of its losses without campus."""
    return {
        "logDriver": "awslogs",
        "options": {
            "awslogs-group": log_group,
            "awslogs-region": region,
            "awslogs-stream-prefix": name,
        },
    }


def log_configuration(
    service_name: str, container: str, service: ServiceSettings, target: PushTarget, plan: BufferPlan
) -> dict[str, Any]:
    """How one container's lines are shipped; the option with the password is apart from the others."""
    router = service.log_router
    labels = {"job": "firelens", "service": service_name, "container": container, **service.labels}
    if router.output == "grafana":
        options, secret = _grafana_options(container, labels, target, plan), "Url"
    else:
        options, secret = _fluent_bit_options(labels, target), "http_passwd"
    # The option's canonical spelling: with another it would be written twice.
    by_hand: dict[str, str] = {}
    for key, value in router.options.items():
        known = OUTPUTS[router.output].option(key)
        by_hand[known[0] if known else key] = value
    options |= {
        "Name": output_name(router.output, router.image_name),
        "log-driver-buffer-limit": str(plan.driver_lines),
        **by_hand,
    }
    found: dict[str, Any] = {"logDriver": "awsfirelens", "options": options}
    if target.parameter_arn is not None:
        found["secretOptions"] = [{"name": secret, "valueFrom": target.parameter_arn}]
    return found


def _grafana_options(
    container: str, labels: Mapping[str, str], target: PushTarget, plan: BufferPlan
) -> dict[str, str]:
    quoted = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return {
        **GRAFANA_DEFAULTS,
        "MaxRetries": str(plan.max_retries),
        "Labels": f"{{{quoted}}}",
        "LabelKeys": ",".join(LABEL_KEYS),
        "RemoveKeys": ",".join(_REMOVE_KEYS),
        # It knows no metadata. Its key_value format turns a backslash and an n into the end of a line.
        "LineFormat": "json",
        "Buffer": "true",
        "BufferType": "dque",
        "DqueDir": BUFFER_DIRECTORY,
        # One output per container, and one queue per output: two queues in one folder lock each other out.
        "DqueName": container,
        **({} if target.user is not None else {"Url": target.url}),
    }


def _fluent_bit_options(labels: Mapping[str, str], target: PushTarget) -> dict[str, str]:
    parts = urlsplit(target.url)
    return {
        "host": parts.hostname or "",
        "port": str(parts.port or 443),
        "uri": parts.path,
        "tls": "on",
        "tls.verify": "on",
        # Without this, any host's certificate is accepted.
        "tls.verify_hostname": "on",
        "net.connect_timeout": str(FLUENT_BIT_TRY_SECONDS),
        # The default is infinite: a server that never answers would block it silently.
        "net.io_timeout": str(FLUENT_BIT_TRY_SECONDS),
        # Otherwise it tries only the IPv6 address of a name with an AAAA record.
        "net.dns.prefer_ipv4": "on",
        "labels": ",".join(f"{name}={value}" for name, value in labels.items()),
        "label_keys": ",".join(f"${name}" for name in LABEL_KEYS),
        "remove_keys": ",".join(_REMOVE_KEYS),
        "line_format": "json",
        **(_ORIGIN_BESIDE_THE_LINE if target.keeps_metadata else {}),
        "retry_limit": "no_limits",
        **({} if target.user is None else {"http_user": target.user}),
    }


# The line is exactly as printed, so nothing in it can forge its origin.
_ORIGIN_BESIDE_THE_LINE = {
    "structured_metadata": ",".join(f"{name}=${name}" for name in _ORIGIN_KEYS),
    "drop_single_key": "raw",
}


def _log_router(service: ServiceSettings, plan: BufferPlan, log_group: str, region: str) -> dict[str, Any]:
    router = service.log_router
    options = {"enable-ecs-log-metadata": "true"}
    if router.config is not None:
        options |= {"config-file-type": router.config.type, "config-file-value": router.config.value}
    buffer = {"containerPath": BUFFER_DIRECTORY, "sourceVolume": BUFFER_VOLUME, "readOnly": False}
    return {
        "name": LOG_ROUTER,
        "image": _as_ecs_names(router.image_name),
        "essential": router.on_exit == "stop-task",
        **_restarts(router.on_exit == "restart"),
        # The plugin creates its queue's folder with a mode that lets only root in.
        "user": "0",
        "memoryReservation": plan.memory_mib,
        "stopTimeout": plan.stop_seconds,
        "firelensConfiguration": {"type": "fluentbit", "options": options},
        **({"mountPoints": [buffer]} if router.output == "grafana" else {}),
        **_health_check(router.health_check),
        "logConfiguration": _own_log(log_group, region, LOG_ROUTER),
    }


def _restarts(wanted: bool) -> dict[str, Any]:
    """As often as ECS lets it: after a minute of running (the ECS API reference, ContainerRestartPolicy)."""
    return {"restartPolicy": {"enabled": True, "restartAttemptPeriod": 60}} if wanted else {}


def _as_ecs_names(image: str) -> str:
    """With a tag or a digest: the ECS API takes only one of them (ContainerDefinition, image)."""
    name, _, digest = image.partition("@")
    return f"{name.rpartition(':')[0]}@{digest}" if digest else image


def task_volumes(service: ServiceSettings) -> dict[str, str | None]:
    """The task's volumes by name: a folder of the instance, or None for a volume that ends with the task."""
    buffer = {BUFFER_VOLUME: None} if service.log_router.output == "grafana" else {}
    return buffer | {name: volume.host_path for name, volume in sorted(service.volumes.items())}


def _app_container(name: str, container: AppContainer, service: ServiceSettings) -> dict[str, Any]:
    # Wait for a log router that has a health check.
    condition = "START" if service.log_router.health_check is None else "HEALTHY"
    sidecars = {LOG_ROUTER: condition} | ({COLLECTOR: "START"} if service.collector else {})
    return {
        "name": name,
        "image": _as_ecs_names(container.image),
        "essential": container.essential,
        "memory": container.memory_mib,
        "stopTimeout": container.stop_timeout_seconds,
        **({"command": list(container.command)} if container.command else {}),
        **_port_mappings(container, service),
        "environment": [
            {"name": key, "value": value} for key, value in sorted(_environment(container, service).items())
        ],
        **(
            {"secrets": [{"name": key, "valueFrom": arn} for key, arn in sorted(container.secrets.items())]}
            if container.secrets
            else {}
        ),
        **_mounts(container),
        **_health_check(container.health_check),
        # Containers stop in the opposite order: the log router last, so that it gets the last lines.
        "dependsOn": [
            {"containerName": other, "condition": how}
            for other, how in (sidecars | dict(sorted(container.depends_on.items()))).items()
        ],
        # With bridge networking each container has its own network: this is a name for the collector's.
        **({"links": [COLLECTOR]} if service.collector and service.launch == "ec2" else {}),
    }


def _environment(container: AppContainer, service: ServiceSettings) -> Mapping[str, str]:
    if service.collector is None:
        return container.environment
    own = app_environment(service.launch)
    return {key: value for key, value in own.items() if key not in container.secrets} | container.environment


def _mounts(container: AppContainer) -> dict[str, Any]:
    mounts = [
        {"sourceVolume": name, "containerPath": mount.path, "readOnly": mount.read_only}
        for name, mount in sorted(container.mounts.items())
    ]
    return {"mountPoints": mounts} if mounts else {}


def _port_mappings(container: AppContainer, service: ServiceSettings) -> dict[str, Any]:
    # With bridge networking host port 0 lets ECS pick a free port; with awsvpc both ports are the same.
    mappings = [
        {
            "containerPort": one.port,
            "hostPort": 0 if service.launch == "ec2" else one.port,
            "protocol": one.protocol,
        }
        for one in container.served
    ]
    return {"portMappings": mappings} if mappings else {}


def _health_check(check: HealthCheck | None) -> dict[str, Any]:
    if check is None:
        return {}
    return {
        "healthCheck": {
            "command": list(check.command),
            "interval": check.interval_seconds,
            "timeout": check.timeout_seconds,
            "retries": check.retries,
            "startPeriod": check.start_period_seconds,
        }
    }
