# pyright: strict
"""The settings of the team's own containers in a task. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from components.values.area import Area
from components.values.networks import Port
from components.values.texts import Image, ShortName
from components.values.value_rule import ValueRule

# The ECS developer guide, "Task definition parameters".
MAX_STOP_SECONDS = 120


_PARAMETER = r"arn:aws[a-z-]*:ssm:[a-z0-9-]+:\d{12}:parameter/[A-Za-z0-9._/-]+"
# It may end with a JSON key, a version stage and a version id, any of them empty.
_SECRET = r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[A-Za-z0-9/_+=.@-]+(:[^:*\s]*){0,3}"


def _as_port(value: Any) -> Any:
    """A number alone is a TCP port."""
    return {"port": value} if isinstance(value, int) else value


EnvName = Annotated[
    str, ValueRule("a variable's name is [A-Za-z0-9_] and begins with no digit", r"[A-Za-z_][A-Za-z0-9_]*")
]
SecretArn = Annotated[
    str,
    ValueRule(
        "the ARN of one SSM parameter or Secrets Manager secret is needed, without wildcards",
        rf"{_PARAMETER}|{_SECRET}",
    ),
]


class HealthCheck(Area):
    """How ECS finds out whether a container is healthy (the ECS API reference, HealthCheck)."""

    command: tuple[str, ...] = Field(min_length=2)
    """ECS runs this command in the container: `CMD` and its words, or `CMD-SHELL` and one line for the
    image's shell."""
    interval_seconds: int = Field(default=30, ge=5, le=300)
    """ECS waits this many seconds between two checks."""
    timeout_seconds: int = Field(default=5, ge=2, le=60)
    """A check fails after this many seconds."""
    retries: int = Field(default=3, ge=1, le=10)
    """The container is unhealthy after this many failed checks in a row."""
    start_period_seconds: int = Field(default=0, ge=0, le=300)
    """Failed checks don't count in the first seconds after the container's start."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.command[0] not in ("CMD", "CMD-SHELL"):
            raise ValueError(f"command: begins with CMD or CMD-SHELL, received {self.command[0]!r}")
        return self


class ContainerPort(Area):
    """A port that a container serves."""

    port: Port
    """The container listens on this port."""
    protocol: Literal["tcp", "udp"] = "tcp"
    """The port is for this protocol."""


class Mount(Area):
    """A container's mount of one of its service's volumes."""

    path: str
    """The volume is mounted at this path."""
    read_only: bool = False
    """The container can't write to the volume."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not re.fullmatch(r"/[^\s:]+", self.path):
            raise ValueError(f"path: an absolute path in the container is needed, received {self.path!r}")
        return self


class Volume(Area):
    """A volume of a task: its own, empty at its start and gone at its end."""

    host_path: str | None = None
    """Tasks share this folder of their EC2 instance, which outlives them; by default, each task has an empty
    volume of its own."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.host_path is not None and not re.fullmatch(r"/[^\s:]+", self.host_path):
            raise ValueError(
                f"hostPath: an absolute path on the instance is needed, received {self.host_path!r}"
            )
        return self


class AppContainer(Area):
    """One container of the team's own in a task."""

    image: Image
    """The container runs from this image."""
    port: Port | None = None
    """The container serves this one TCP port."""
    ports: tuple[
        Annotated[ContainerPort, BeforeValidator(_as_port, json_schema_input_type=int | ContainerPort)], ...
    ] = ()
    """The container serves these ports, if it has several or UDP: numbers, or each with its protocol."""
    mounts: dict[ShortName, Mount] = {}
    """The container mounts these volumes of the service, by the volume's name."""
    depends_on: dict[ShortName, Literal["START", "HEALTHY", "COMPLETE", "SUCCESS"]] = {}
    """The container starts after these other containers of the task, each in the named condition (ECS'
    ContainerDependency)."""
    memory_mib: int = Field(ge=6)  # ECS: Docker needs 6 MiB at least (task definition parameters)
    """ECS kills the container above this many MiB of memory."""
    essential: bool = True
    """The task stops when this container does."""
    command: tuple[str, ...] = ()
    """The container runs this command instead of the image's own."""
    environment: dict[EnvName, str] = {}
    """The container gets these environment variables."""
    secrets: dict[EnvName, SecretArn] = {}
    """ECS fills these environment variables from SSM parameters or Secrets Manager secrets, by ARN."""
    health_check: HealthCheck | None = None
    """ECS checks the container's health this way."""
    stop_timeout_seconds: int = Field(default=30, ge=2, le=MAX_STOP_SECONDS)
    """ECS kills the container this many seconds after the stop signal."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        both = sorted(self.environment.keys() & self.secrets.keys())
        if both:
            raise ValueError(f"secrets: a variable is either plain or secret, received {both[0]!r} twice")
        if self.port is not None and self.ports:
            raise ValueError(f"ports: either port or ports, received port: {self.port} too")
        for one in self.ports:
            if self.ports.count(one) > 1:
                raise ValueError(f"ports: each port once per protocol, received {one.port}/{one.protocol}")
        paths = [mount.path for mount in self.mounts.values()]
        for path in paths:
            if paths.count(path) > 1:
                raise ValueError(f"mounts: each path once, received {path!r}")
        return self

    @property
    def served(self) -> tuple[ContainerPort, ...]:
        """Every port that the container serves."""
        return self.ports if self.port is None else (ContainerPort(port=self.port),)


def check_dependencies(containers: Mapping[str, AppContainer]) -> None:
    """Refuse dependencies that ECS refuses or that never start (ECS API reference, ContainerDependency)."""
    for name, container in containers.items():
        for other, condition in container.depends_on.items():
            key = f"containers.{name}.dependsOn.{other}"
            if other not in containers or other == name:
                known = ", ".join(sorted(containers.keys() - {name})) or "none"
                raise ValueError(f"{key}: another container of the service ({known}), received {other!r}")
            if condition == "HEALTHY" and containers[other].health_check is None:
                raise ValueError(
                    f"{key}: {other} has no healthCheck to be healthy by, received {condition!r}"
                )
            if condition in ("COMPLETE", "SUCCESS") and containers[other].essential:
                raise ValueError(
                    f"{key}: the task stops when {other} ends, unless that has essential: false, "
                    f"received {condition!r}"
                )
    waiting = {name: set(container.depends_on) for name, container in containers.items()}
    while ready := [name for name, others in waiting.items() if not others & waiting.keys()]:
        for name in ready:
            del waiting[name]
    if waiting:
        raise ValueError(
            f"containers.{min(waiting)}.dependsOn: some wait for each other, received {sorted(waiting)}"
        )
