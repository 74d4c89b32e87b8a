# pyright: strict
"""An ECS service's settings: its task, who may reach it, and its log router. Pure."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.ecs.buffer_plan import GRAFANA_DEFAULTS, BufferPlan, buffer_plan, tried_seconds
from components.ecs.collector_plan import CollectorPlan, collector_plan
from components.ecs.container_settings import MAX_STOP_SECONDS, AppContainer, Volume, check_dependencies
from components.ecs.firelens import (
    MAX_LABELS,
    OUTPUTS,
    OWN_LABELS,
    architecture_problem,
    has_shell,
    label_keys,
    option_problems,
    output_problem,
    seconds,
)
from components.ecs.log_router_settings import LogRate, LogRouter
from components.ecs.metrics_settings import ServiceMetrics
from components.port_policy.settings import PortRule
from components.values.area import Area
from components.values.networks import checked_cidr
from components.values.texts import KeyArn, ShortName, UserName
from components.values.value_rule import ValueRule

# The ECS developer guide, "Task definition parameters" and "Amazon ECS service quotas".
LOG_ROUTER = "log-router"
COLLECTOR = "collector"

# The task's own volume for the queue of Grafana's plugin.
BUFFER_VOLUME = "log-buffer"
MAX_CONTAINERS = 10
MAX_EC2_CPU = 10240

# FireLens: the log router's ports (lines, and health), and the most lines in a container's log driver
# (agent/taskresource/firelens; its documentation).
ROUTER_PORTS = (24224, 8877)
MAX_DRIVER_LINES = 536870912

# OTLP over HTTP: the port in its specification.
OTLP_PORT = 4318

# The ECS developer guide, "Fargate task ephemeral storage": 20 GiB by default.
FARGATE_DISK_MIB = 20 << 10

# Memory in MiB by CPU units (the ECS API reference, RegisterTaskDefinition).
FARGATE_SIZES = {
    256: [512, 1024, 2048],
    512: list(range(1024, 4097, 1024)),
    1024: list(range(2048, 8193, 1024)),
    2048: list(range(4096, 16385, 1024)),
    4096: list(range(8192, 30721, 1024)),
    8192: list(range(16384, 61441, 4096)),
    16384: list(range(32768, 122881, 8192)),
}


def _source(value: str) -> str:
    """A security group, which stands for its members' addresses, or a CIDR."""
    return value if re.fullmatch(r"sg-[0-9a-f]{8,17}", value) else checked_cidr(value)


RoleArn = Annotated[
    str,
    ValueRule(
        "a role's ARN is needed: arn:aws:iam::<account>:role/<name>",
        r"arn:aws[a-z-]*:iam::\d{12}:role/[A-Za-z0-9+=,.@_/-]+",
    ),
]
# Prometheus' data model; names with two underscores in front are Loki's own.
LabelName = Annotated[
    str,
    ValueRule(
        "a label's name is [a-zA-Z0-9_], begins with no digit and not with two underscores",
        r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*",
    ),
]
# Neither output's syntax needs quotes for this.
LabelValue = Annotated[
    str,
    ValueRule(
        "a label's value is 1 to 63 characters of [A-Za-z0-9._:/-]", r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,62}"
    ),
]
Source = Annotated[
    str, AfterValidator(_source), ValueRule("a security group's id or a CIDR without host bits is needed")
]


class GroupIngress(PortRule):
    """Who may reach a task: a rule in the port policy's words, whose sources may be security groups too."""

    from_: tuple[Source, ...] = Field(default=(), alias="from")
    """These CIDRs or security groups may reach the port."""


class ServiceSettings(Area):
    """An ECS service's task definition with its log router."""

    launch: Literal["ec2", "fargate"] = "ec2"
    """Tasks run on the team's EC2 instances (bridge networking), or on Fargate (awsvpc)."""
    architecture: Literal["x86_64", "arm64"] = "x86_64"
    """Tasks run on this CPU architecture."""
    ingress: tuple[GroupIngress, ...] = ()
    """These rules let clients reach a Fargate task's ports; by default, no client can."""
    cpu_units: int = Field(ge=128, le=16384)
    """A task reserves this many CPU units, of which a vCPU has 1024."""
    memory_mib: int = Field(ge=64)
    """A task has this many MiB of memory."""
    task_role_arn: RoleArn | None = None
    """The application uses this IAM role in AWS; by default, it has no permissions."""
    kms_key_arns: tuple[KeyArn, ...] = ()
    """These KMS keys decrypt the containers' secrets or a configuration in S3; AWS' own need no entry."""
    containers: dict[ShortName, AppContainer] = Field(min_length=1, max_length=MAX_CONTAINERS - 1)
    """A task runs these containers besides the log router, by name."""
    volumes: dict[ShortName, Volume] = {}
    """Containers can mount these volumes, by name."""
    loki: ShortName = "aws"
    """The log router pushes to this Loki instance."""
    account: UserName | None = None
    """The log router logs in with this account; by default, with the route's first."""
    labels: dict[LabelName, LabelValue] = Field(default={}, max_length=10)
    """Every line has these labels besides `job`, `service` and `container`."""
    log_rate: LogRate = LogRate()
    """The log router's buffers are sized for this rate and outage."""
    log_router: LogRouter = LogRouter()
    """This sidecar ships the task's lines."""
    metrics: ServiceMetrics | None = None
    """Another sidecar sends the task's metrics to Prometheus ([more](metrics.md#aws-services))."""

    @property
    def plan(self) -> BufferPlan:
        """The log router's needs for the stated rate and outage."""
        router = self.log_router
        return buffer_plan(router.output, self.log_rate, len(self.containers), router.options)

    @property
    def collector(self) -> ServiceMetrics | None:
        """The settings of the metrics' sidecar; None without one."""
        return self.metrics if self.metrics is not None and self.metrics.enabled else None

    @property
    def collector_plan(self) -> CollectorPlan | None:
        """The collector's needs for the stated outage; None without one."""
        if self.collector is None:
            return None
        outage = self.log_rate.outage_minutes
        return collector_plan(self.collector.samples_per_minute, outage, len(self.containers))

    @model_validator(mode="after")
    def _check_ingress(self) -> Self:
        if self.ingress and self.launch != "fargate":
            raise ValueError(
                "ingress: with bridge networking the instance's security group decides; "
                f"only for launch: fargate, received launch: {self.launch!r}"
            )
        served = {(one.port, one.protocol) for each in self.containers.values() for one in each.served}
        seen: set[tuple[int, str, str]] = set()
        for index, rule in enumerate(self.ingress):
            _check_group_rule(f"ingress.{index}", rule, served)
            for source in rule.from_:
                one = (rule.rule.first_port, rule.protocol, source)
                if one in seen:
                    raise ValueError(f"ingress.{index}.from: each source once per port, received {source!r}")
                seen.add(one)
        return self

    @model_validator(mode="after")
    def _check_containers(self) -> Self:
        if LOG_ROUTER in self.containers:
            raise ValueError(
                f"containers: the sidecar has a name of its own, received {LOG_ROUTER!r} for another"
            )
        if self.launch == "fargate":
            # All containers share one network interface, on which the log router listens too.
            taken = dict.fromkeys(((port, "tcp") for port in ROUTER_PORTS), LOG_ROUTER)
            taken |= {} if self.collector is None else {(OTLP_PORT, "tcp"): COLLECTOR}
            for name, container in self.containers.items():
                key = "ports" if container.ports else "port"
                for one in container.served:
                    if (one.port, one.protocol) in taken:
                        raise ValueError(
                            f"containers.{name}.{key}: {taken[one.port, one.protocol]} has it already in the "
                            f"same network interface, received {one.port}"
                        )
                    taken[one.port, one.protocol] = name
        check_dependencies(self.containers)
        config = self.log_router.config
        kept = any(one.secrets for one in self.containers.values()) or (config and config.type == "s3")
        if self.kms_key_arns and not kept:
            raise ValueError(
                "kmsKeyArns: there is neither a secret nor a configuration in S3 that they could be for, "
                f"received {list(self.kms_key_arns)}"
            )
        for name, one in self.containers.items():
            problem = architecture_problem(one.image, self.architecture)
            if problem:
                raise ValueError(f"containers.{name}.image: {problem}; received {one.image!r}")
        return self

    @model_validator(mode="after")
    def _check_volumes(self) -> Self:
        if BUFFER_VOLUME in self.volumes:
            raise ValueError(
                f"volumes: the log router has a volume of that name, received {BUFFER_VOLUME!r} for another"
            )
        for name, volume in self.volumes.items():
            if volume.host_path is not None and self.launch == "fargate":
                raise ValueError(
                    f"volumes.{name}.hostPath: on Fargate there is no instance, received {volume.host_path!r}"
                )
            if not any(name in one.mounts for one in self.containers.values()):
                raise ValueError(f"volumes.{name}: no container mounts it, received {name!r}")
        for name, container in self.containers.items():
            for volume in container.mounts.keys() - self.volumes.keys():
                known = ", ".join(sorted(self.volumes)) or "none"
                raise ValueError(
                    f"containers.{name}.mounts.{volume}: one of the service's volumes ({known}), "
                    f"received {volume!r}"
                )
        return self

    @model_validator(mode="after")
    def _check_labels(self) -> Self:
        router = self.log_router
        fields = label_keys(router.output, router.options)
        option = OUTPUTS[router.output].label_keys_option
        for name in self.labels:
            if name in OWN_LABELS:
                raise ValueError(f"labels: the stack sets {name} itself, received {name!r}")
            if name in fields:
                raise ValueError(
                    f"labels: {name} is a field of the lines that is a label already ({option}), "
                    f"received {name!r}"
                )
        for name in fields:
            if name in OWN_LABELS:
                raise ValueError(
                    f"logRouter.options.{option}: the stack sets {name} itself, received {name!r}"
                )
        names = {*OWN_LABELS, *self.labels, *fields}
        if len(names) > MAX_LABELS:
            raise ValueError(
                f"labels: with the stack's own {len(OWN_LABELS)} and the {len(fields)} of {option} there are "
                f"{len(names)}, and Loki refuses every line with more than {MAX_LABELS}: fewer, "
                f"received {list(self.labels)}"
            )
        return self

    @model_validator(mode="after")
    def _check_log_router(self) -> Self:
        router, image = self.log_router, self.log_router.image_name
        problem = architecture_problem(image, self.architecture)
        if problem:
            raise ValueError(f"logRouter.image: {problem}; received {image!r}")
        wrong = output_problem(router.output, image)
        if wrong:
            raise ValueError(f"logRouter.image: {wrong}; received {image!r}")
        if router.health_check is not None and not has_shell(image):
            raise ValueError(
                "logRouter.healthCheck: this image has no shell and no program to ask with, so that every "
                f"check would fail: remove it, or name an image that has; received {image!r}"
            )
        if router.config is not None and router.config.type == "s3" and self.launch == "fargate":
            raise ValueError(
                "logRouter.config.type: Fargate takes no configuration from S3: put the file into the image "
                "(type: file); received 's3'"
            )
        for key, rule in option_problems(router.output, image, self.launch, router.options):
            shown = "" if _may_be_secret(key, router.options[key]) else f"; received {router.options[key]!r}"
            raise ValueError(f"logRouter.options.{key}: {rule}{shown}")
        return self

    @model_validator(mode="after")
    def _check_metrics(self) -> Self:
        if self.collector is None:
            return self
        if COLLECTOR in self.containers:
            raise ValueError(
                f"containers: the metrics' sidecar has a name of its own, received {COLLECTOR!r} for another"
            )
        most = MAX_CONTAINERS - 2
        if len(self.containers) > most:
            raise ValueError(
                f"containers: {most} at most beside the log router and the collector, "
                f"received {len(self.containers)}"
            )
        image = self.collector.image
        problem = architecture_problem(image, self.architecture)
        if problem:
            raise ValueError(f"metrics.image: {problem}; received {image!r}")
        return self

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        plan, rate = self.plan, self.log_rate
        if plan.stop_seconds > MAX_STOP_SECONDS:
            raise ValueError(
                f"logRouter.options.Timeout: a stop would take {plan.stop_seconds} s (two tries), and ECS "
                f"waits {MAX_STOP_SECONDS} s at most; received {self.log_router.options.get('Timeout')!r}"
            )
        if plan.max_retries is not None:
            options = GRAFANA_DEFAULTS | self.log_router.options
            tried = tried_seconds(
                plan.max_retries, seconds(options["MinBackoff"]), seconds(options["MaxBackoff"])
            )
            if tried < rate.outage_seconds:
                raise ValueError(
                    f"logRouter.options.MaxRetries: the last try comes after {tried:.0f} s, the stated "
                    f"outage is {rate.outage_minutes} min: raise it, or leave it out; "
                    f"received {plan.max_retries}"
                )
        if plan.driver_lines >= MAX_DRIVER_LINES:
            raise ValueError(
                f"logRate: {plan.driver_lines} lines of an outage are more than the log driver can hold "
                f"({MAX_DRIVER_LINES}), received outageMinutes: {rate.outage_minutes}"
            )
        if self.launch == "fargate" and plan.queue_mib > FARGATE_DISK_MIB:
            raise ValueError(
                f"logRate: an outage fills {plan.queue_mib} MiB, a Fargate task has {FARGATE_DISK_MIB}; "
                f"received outageMinutes: {rate.outage_minutes}"
            )
        return self

    @model_validator(mode="after")
    def _check_size(self) -> Self:
        collector = self.collector_plan.memory_mib if self.collector_plan else 0
        wanted = self.plan.memory_mib + collector + sum(one.memory_mib for one in self.containers.values())
        if wanted > self.memory_mib:
            others = f", and the collector ({collector} MiB for its metrics)" if collector else ""
            raise ValueError(
                f"memoryMib: the containers and the log router ({self.plan.memory_mib} MiB for its logRate)"
                f"{others} want {wanted} MiB together, received {self.memory_mib}"
            )
        if self.launch == "fargate":
            fitting = FARGATE_SIZES.get(self.cpu_units)
            if fitting is None:
                known = ", ".join(map(str, FARGATE_SIZES))
                raise ValueError(f"cpuUnits: Fargate has {known}, received {self.cpu_units}")
            if self.memory_mib not in fitting:
                sizes = ", ".join(map(str, fitting))
                raise ValueError(
                    f"memoryMib: with {self.cpu_units} CPU units Fargate has {sizes} MiB, "
                    f"received {self.memory_mib}"
                )
        elif self.cpu_units > MAX_EC2_CPU:
            raise ValueError(f"cpuUnits: up to {MAX_EC2_CPU} on EC2, received {self.cpu_units}")
        return self


def _check_group_rule(key: str, rule: GroupIngress, served: set[tuple[int, str]]) -> None:
    """Refuse rules that a security group can't express, and ports that the service doesn't have."""
    if rule.action != "allow":
        raise ValueError(
            f"{key}.action: a security group can only allow (what isn't named is refused), "
            f"received {rule.action!r}"
        )
    spoken = sorted({protocol for _, protocol in served})
    if rule.protocol not in spoken:
        known = " and ".join(spoken).upper()
        raise ValueError(f"{key}.protocol: the containers' ports are {known}, received {rule.protocol!r}")
    ports = sorted(port for port, protocol in served if protocol == rule.protocol)
    if rule.rule.first_port != rule.rule.last_port or rule.rule.first_port not in ports:
        raise ValueError(f"{key}.port: one of the service's own ports {ports}, received {rule.port!r}")
    if not rule.from_:
        raise ValueError(f"{key}.from: at least one source is needed, such as the VPC's CIDR; received []")
    # The EC2 API reference, IpRange: descriptions are ASCII.
    if not rule.comment.isascii():
        raise ValueError(f"{key}.comment: ASCII only in a security group, received {rule.comment!r}")


def _may_be_secret(key: str, value: str) -> bool:
    return "@" in value or bool(re.search(r"pass|token|secret|key_file|header", key, re.IGNORECASE))
