"""ECS' rules for a task definition, from its API reference and not from our renderer.

Sources: ECS API reference (RegisterTaskDefinition, ContainerDefinition, HealthCheck, PortMapping,
LogConfiguration, ContainerDependency), developer guide ("Fargate task sizes", "Using FireLens").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

Request = Mapping[str, Any]

GIB = 1024
FARGATE = {
    "256": {512, 1 * GIB, 2 * GIB},
    "512": {n * GIB for n in (1, 2, 3, 4)},
    "1024": {n * GIB for n in range(2, 9)},
    "2048": {n * GIB for n in range(4, 17)},
    "4096": {n * GIB for n in range(8, 31)},
    "8192": {n * GIB for n in range(16, 61, 4)},
    "16384": {n * GIB for n in range(32, 121, 8)},
}


@cache
def _shape() -> Any:
    # Without a client, which would load every region's endpoints too.
    return (
        botocore.session.get_session()
        .get_service_model("ecs")
        .operation_model("RegisterTaskDefinition")
        .input_shape
    )


def problems(request: Request) -> list[str]:
    """ECS' objections to a RegisterTaskDefinition request."""
    report = ParamValidator().validate(dict(request), _shape())
    found = [report.generate_report()] if report.has_errors() else []
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", request["family"]):
        found.append("family")
    containers = request["containerDefinitions"]
    names = [one["name"] for one in containers]
    if not 1 <= len(containers) <= 10:
        found.append("1 to 10 containers")
    if len(set(names)) != len(names):
        found.append("container names are unique")
    if not any(one.get("essential", True) for one in containers):
        found.append("an essential container")
    if sum("firelensConfiguration" in one for one in containers) > 1:
        found.append("one log router")
    for one in containers:
        found += [f"{one['name']}: {problem}" for problem in _container(one, request)]
    return [*found, *_size(request), *_ports(request)]


def _container(one: Mapping[str, Any], request: Request) -> Iterator[str]:
    others = {other["name"]: other for other in request["containerDefinitions"]}
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", one["name"]):
        yield "name"
    if one.get("memory") is None and one.get("memoryReservation") is None:
        yield "memory or memoryReservation"
    if not one.get("memory", 6) >= 6 or one.get("memoryReservation", 0) > one.get("memory", 1 << 30):
        yield "memory"
    if not 2 <= one.get("stopTimeout", 30) <= 120:
        yield "stopTimeout"
    plain = [entry["name"] for entry in one.get("environment", [])]
    secret = [entry["name"] for entry in one.get("secrets", [])]
    if [name for name, times in Counter(plain + secret).items() if times > 1]:
        yield "a variable twice"
    if not all(re.match(r"arn:aws[a-z-]*:(ssm|secretsmanager):", e["valueFrom"]) for e in _secrets(one)):
        yield "valueFrom"
    yield from _health(one.get("healthCheck"))
    for dependency in one.get("dependsOn", []):
        other = others.get(dependency["containerName"])
        if other is None or one["name"] in _waited_for(other, others):
            yield "dependsOn"
        elif dependency["condition"] == "HEALTHY" and "healthCheck" not in other:
            yield "HEALTHY needs a health check"
        elif dependency["condition"] in ("COMPLETE", "SUCCESS") and other.get("essential", True):
            yield "an essential container can't be waited for until it ends"
        elif dependency["condition"] not in ("START", "HEALTHY", "COMPLETE", "SUCCESS"):
            yield "condition"
    if not 60 <= one.get("restartPolicy", {}).get("restartAttemptPeriod", 300) <= 1800:
        yield "restartAttemptPeriod"
    volumes = {volume["name"] for volume in request.get("volumes", [])}
    if not {mount["sourceVolume"] for mount in one.get("mountPoints", [])} <= volumes:
        yield "sourceVolume"
    yield from _log(one, others)


def _waited_for(one: Mapping[str, Any], others: Mapping[str, Any]) -> set[str]:
    """The container itself, and all others that it waits for."""
    found: set[str] = set()
    left = [one["name"]]
    while left:
        name = left.pop()
        if name not in found and name in others:
            found.add(name)
            left += [each["containerName"] for each in others[name].get("dependsOn", [])]
    return found


def _secrets(one: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [*one.get("secrets", []), *one.get("logConfiguration", {}).get("secretOptions", [])]


def _health(check: Mapping[str, Any] | None) -> Iterator[str]:
    if check is None:
        return
    if check["command"][0] not in ("CMD", "CMD-SHELL") or len(check["command"]) < 2:
        yield "healthCheck.command"
    for key, low, high in (
        ("interval", 5, 300),
        ("timeout", 2, 60),
        ("retries", 1, 10),
        ("startPeriod", 0, 300),
    ):
        if not low <= check.get(key, low) <= high:
            yield f"healthCheck.{key}"


def _log(one: Mapping[str, Any], others: Mapping[str, Any]) -> Iterator[str]:
    log = one["logConfiguration"]
    options = log.get("options", {})
    if log["logDriver"] == "awslogs":
        if not {"awslogs-group", "awslogs-region", "awslogs-stream-prefix"} <= options.keys():
            yield "awslogs"
    elif log["logDriver"] == "awsfirelens":
        if "firelensConfiguration" in one:
            yield "a log router can't log to itself"
        if not any("firelensConfiguration" in other for other in others.values()):
            yield "awsfirelens needs a log router"
        if not options.get("Name"):
            yield "FireLens needs an output's Name"
        if not 0 <= int(options.get("log-driver-buffer-limit", 0)) < 536870912:
            yield "log-driver-buffer-limit"
        if {entry["name"] for entry in log.get("secretOptions", [])} & options.keys():
            yield "an option both plain and secret"
    else:
        yield "logDriver"


def _size(request: Request) -> Iterator[str]:
    memory = int(request["memory"])
    held = sum(one.get("memory", one.get("memoryReservation", 0)) for one in request["containerDefinitions"])
    if held > memory:
        yield "the containers' memory is within the task's"
    if "FARGATE" in request["requiresCompatibilities"]:
        if memory not in FARGATE.get(request["cpu"], set()):
            yield "no Fargate configuration exists for given values"
        if request["networkMode"] != "awsvpc":
            yield "Fargate wants awsvpc"
        if any("sourcePath" in volume.get("host", {}) for volume in request.get("volumes", [])):
            yield "Fargate knows no host path"
    elif not 128 <= int(request["cpu"]) <= 10240:
        yield "cpu"


def _ports(request: Request) -> Iterator[str]:
    mappings = [port for one in request["containerDefinitions"] for port in one.get("portMappings", [])]
    for port in mappings:
        host = port.get("hostPort", port["containerPort"])
        if not 1 <= port["containerPort"] <= 65535 or not 0 <= host <= 65535:
            yield "port"
        if request["networkMode"] == "awsvpc" and host != port["containerPort"]:
            yield "with awsvpc both ports are the same"
    if request["networkMode"] == "awsvpc":
        taken = Counter((port["containerPort"], port["protocol"]) for port in mappings)
        if [port for port, times in taken.items() if times > 1]:
            yield "a port twice in one network interface"
