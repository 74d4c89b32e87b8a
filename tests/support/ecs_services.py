"""Generated services, and the requests for their task definitions."""

from __future__ import annotations

from string import ascii_lowercase, ascii_uppercase, digits
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from components.ecs.collector import MetricsTarget
from components.ecs.container_definitions import (
    MetricsParts,
    PushTarget,
    container_definitions,
    task_volumes,
)
from components.ecs.settings import (
    COLLECTOR,
    FARGATE_SIZES,
    LOG_ROUTER,
    OTLP_PORT,
    ROUTER_PORTS,
    ServiceSettings,
)

URL = "https://grafana.codedang.com/lokiaws/loki/api/v1/push"
METRICS_URL = "https://grafana.codedang.com/metrics/api/v1/otlp/v1/metrics"
PARAMETER = "arn:aws:ssm:ap-northeast-2:123456789012:parameter/push-aws-admin-push-url-1234567"
SECRET = "arn:aws:secretsmanager:ap-northeast-2:123456789012:secret:db-AbCdEf"

VPC = "10.0.0.0/16"

APP = {"image": "nginx:1.29.4", "port": 80, "memoryMib": 128}


def _words(first: str, others: str, longest: int) -> st.SearchStrategy[str]:
    # Over twice as fast as st.from_regex.
    return st.builds(str.__add__, st.sampled_from(first), st.text(first + others, max_size=longest - 1))


names = _words(ascii_lowercase, f"{digits}-", 11).filter(lambda name: name not in (LOG_ROUTER, COLLECTOR))
variables = _words(f"{ascii_uppercase}_", digits, 9)
environments = st.dictionaries(variables, st.text(max_size=8), max_size=2)
secrets = st.dictionaries(variables, st.sampled_from([PARAMETER, SECRET, f"{SECRET}:password::"]), max_size=2)
health_checks = st.none() | st.builds(
    lambda command, interval, retries: {
        "command": ["CMD", *command],
        "intervalSeconds": interval,
        "retries": retries,
    },
    st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=3),
    st.integers(5, 300),
    st.integers(1, 10),
)


@st.composite
def container_trees(draw: st.DrawFn, port: int | None) -> dict[str, Any]:
    """One container's settings."""
    plain, secret = draw(environments), draw(secrets)
    return {
        "image": draw(st.sampled_from(["app:1", "nginx:1.29.4", "ghcr.io/team/app:v2"])),
        "memoryMib": draw(st.integers(6, 64)),
        "essential": draw(st.booleans()),
        "environment": plain,
        "secrets": {key: arn for key, arn in secret.items() if key not in plain},
        **({"port": port} if port is not None else {}),
        **({"healthCheck": check} if (check := draw(health_checks)) else {}),
    }


@st.composite
def service_trees(draw: st.DrawFn) -> dict[str, Any]:
    """A service's valid settings."""
    launch = draw(st.sampled_from(["ec2", "fargate"]))
    containers = draw(st.lists(names, min_size=1, max_size=8, unique=True))
    every_port = st.integers(1, 65535).filter(lambda port: port not in (*ROUTER_PORTS, OTLP_PORT))
    ports = draw(st.lists(every_port, min_size=len(containers), max_size=len(containers), unique=True))
    tree: dict[str, Any] = {
        "launch": launch,
        "architecture": draw(st.sampled_from(["x86_64", "arm64"])),
        "cpuUnits": draw(st.sampled_from(list(FARGATE_SIZES) if launch == "fargate" else [128, 512, 10240])),
        "containers": {
            name: draw(container_trees(port if draw(st.booleans()) else None))
            for name, port in zip(containers, ports, strict=True)
        },
        "labels": draw(st.dictionaries(st.sampled_from(["team", "tier"]), st.sampled_from(["judge", "a.b"]))),
        "logRate": {
            "linesPerSecond": draw(st.sampled_from([1, 20, 250])),
            "bytesPerLine": draw(st.sampled_from([100, 512, 2048])),
            "outageMinutes": draw(st.integers(1, 60)),
        },
        "logRouter": {"output": draw(st.sampled_from(["grafana", "fluent-bit"]))},
        "metrics": draw(st.sampled_from([None, {"enabled": False}, {"enabled": True}])),
    }
    if tree["architecture"] == "arm64" and tree["logRouter"]["output"] == "grafana":
        # Grafana's own image exists only for amd64.
        tree["logRouter"]["image"] = "team/fluent-bit-plugin-loki:3.7.8-arm64"
    tree["memoryMib"] = _memory(tree)
    return tree


def _memory(tree: dict[str, Any]) -> int:
    """Enough for all containers; on Fargate the smallest size, or a smaller outage."""
    held = sum(one["memoryMib"] for one in tree["containers"].values())
    sizes = FARGATE_SIZES[tree["cpuUnits"]] if tree["launch"] == "fargate" else [1 << 20]
    made = ServiceSettings.model_validate(tree | {"launch": "ec2", "cpuUnits": 128, "memoryMib": 1 << 20})
    needed = held + made.plan.memory_mib + (made.collector_plan.memory_mib if made.collector_plan else 0)
    fitting = [size for size in sizes if size >= needed]
    if not fitting:
        tree["logRate"]["outageMinutes"] = tree["logRate"]["linesPerSecond"] = 1
        tree["metrics"] = None
        return sizes[-1]
    return fitting[0]


services = service_trees().map(ServiceSettings.model_validate)
# Generated services are slow.
some_services = settings(max_examples=30)


def target(service: ServiceSettings, *, with_password: bool) -> PushTarget:
    """The lines' destination, with or without an account."""
    del service
    if not with_password:
        return PushTarget(url=URL)
    return PushTarget(url=URL, user="admin", parameter_arn=PARAMETER)


def request_for(service: ServiceSettings, *, with_password: bool = False) -> dict[str, Any]:
    """The stack's RegisterTaskDefinition request for a service."""
    return {
        "family": "client-api",
        "networkMode": "bridge" if service.launch == "ec2" else "awsvpc",
        "requiresCompatibilities": [service.launch.upper()],
        "cpu": str(service.cpu_units),
        "memory": str(service.memory_mib),
        "runtimePlatform": {
            "cpuArchitecture": service.architecture.upper(),
            "operatingSystemFamily": "LINUX",
        },
        "volumes": [
            {"name": volume, **({"host": {"sourcePath": path}} if path else {})}
            for volume, path in task_volumes(service).items()
        ],
        "containerDefinitions": container_definitions(
            service_name="client-api",
            service=service,
            target=target(service, with_password=with_password),
            log_group="/ecs/client-api/log-router",
            region="ap-northeast-2",
            metrics=_metrics(service),
        ),
    }


def _metrics(service: ServiceSettings) -> MetricsParts | None:
    if service.collector is None or service.collector_plan is None:
        return None
    return MetricsParts(
        image=service.collector.image,
        plan=service.collector_plan,
        target=MetricsTarget(url=METRICS_URL, parameter_arn=PARAMETER),
        log_group="/ecs/client-api/collector",
    )


def service(**changes: Any) -> ServiceSettings:
    """A small service on EC2, with changes."""
    tree = {"cpuUnits": 512, "memoryMib": 512, "containers": {"app": APP}}
    return ServiceSettings.model_validate(tree | changes)


def ingress_rule(**changes: Any) -> dict[str, Any]:
    """A rule for the port of the local stack's service, with changes."""
    return {"action": "allow", "port": 80, "from": [VPC]} | changes


def options_of(of: ServiceSettings) -> dict[str, dict[str, str]]:
    """The options of each app container's output."""
    return {
        one["name"]: one["logConfiguration"]["options"]
        for one in request_for(of)["containerDefinitions"]
        if one["logConfiguration"]["logDriver"] == "awsfirelens"
    }
