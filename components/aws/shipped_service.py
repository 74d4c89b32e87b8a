"""An ECS service whose logs are shipped to campus: its task definition, roles and sidecar log group."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.aws.container_definitions import (
    container_definitions,
    ecs_tasks_trust,
    execution_policy,
)
from components.settings import Service


@dataclass(frozen=True, kw_only=True)
class ShippedServiceArgs:
    """What `ShippedService` is made from."""

    service: Service
    push_url: pulumi.Input[str]
    region: str


class ShippedService(pulumi.ComponentResource):
    """The task definition of one service with its `log-router` sidecar."""

    task_definition_arn: pulumi.Output[str]
    """The current revision's ARN."""

    def __init__(self, name: str, args: ShippedServiceArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:ShippedService", name, None, opts)
        child = ResourceOptions(parent=self)
        log_group = aws.cloudwatch.LogGroup(
            f"{name}-log-router",
            name=f"/ecs/{name}/log-router",
            retention_in_days=args.service.log_retention_days,
            opts=child,
        )
        trust = _canonical(ecs_tasks_trust())
        execution_role = aws.iam.Role(f"{name}-execution", assume_role_policy=trust, opts=child)
        task_role = aws.iam.Role(f"{name}-task", assume_role_policy=trust, opts=child)
        policy = aws.iam.RolePolicy(
            f"{name}-execution",
            role=execution_role.id,
            policy=log_group.arn.apply(lambda arn: _canonical(execution_policy(arn.removesuffix(":*")))),
            opts=child,
        )
        definition = aws.ecs.TaskDefinition(
            name,
            family=name,
            network_mode="bridge" if args.service.launch == "ec2" else "awsvpc",
            requires_compatibilities=[args.service.launch.upper()],
            cpu=str(args.service.cpu_units),
            memory=str(args.service.memory_mib),
            execution_role_arn=execution_role.arn,
            task_role_arn=task_role.arn,
            container_definitions=pulumi.Output.all(log_group=log_group.name, push_url=args.push_url).apply(
                lambda known: _canonical(
                    container_definitions(
                        service_name=name, service=args.service, region=args.region, **known
                    )
                )
            ),
            # A task may start as soon as the definition exists: its permissions come first.
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )
        self.task_definition_arn = definition.arn
        self.register_outputs({"task_definition_arn": self.task_definition_arn})


def _canonical(document: object) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"))
