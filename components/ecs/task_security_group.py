"""Ingress and egress of tasks with their own network interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.ecs.group_rules import GroupRule, group_rules
from components.ecs.settings import GroupIngress


@dataclass(frozen=True, kw_only=True)
class TaskSecurityGroupArgs:
    """What `TaskSecurityGroup` is made from."""

    vpc_id: pulumi.Input[str]
    ingress: Sequence[GroupIngress]


class TaskSecurityGroup(pulumi.ComponentResource):
    """The security group for a service's tasks on Fargate: egress to HTTPS, ingress to the service's ports.

    With bridge networking a task has no interface of its own: then the instance's group decides.
    """

    group_id: pulumi.Output[str]
    """The group's id, for the ECS service's network configuration."""

    def __init__(self, name: str, args: TaskSecurityGroupArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:TaskSecurityGroup", name, None, opts)
        self._name = name
        self._group = aws.ec2.SecurityGroup(
            f"{name}-tasks",
            description=f"Tasks of {name}",
            vpc_id=args.vpc_id,
            tags={"Name": f"{name}-tasks"},
            opts=ResourceOptions(parent=self),
        )
        # Separate rules, one CIDR each, as the provider's documentation recommends: inline rules
        # struggle with several CIDRs, and a group with both loses rules.
        rules = [self._rule(rule) for rule in group_rules(args.ingress)]
        # The rules are in force before anything uses the group.
        self.group_id = pulumi.Output.all(self._group.id, *(rule.id for rule in rules)).apply(
            lambda known: known[0]
        )
        self.register_outputs({"group_id": self.group_id})

    def _rule(self, rule: GroupRule) -> pulumi.CustomResource:
        kind = aws.vpc.SecurityGroupIngressRule if rule.direction == "in" else aws.vpc.SecurityGroupEgressRule
        return kind(
            f"{self._name}-{rule.key}",
            security_group_id=self._group.id,
            ip_protocol=rule.protocol,
            from_port=rule.first_port,
            to_port=rule.last_port,
            cidr_ipv4=rule.other if rule.kind == "cidr_ipv4" else None,
            cidr_ipv6=rule.other if rule.kind == "cidr_ipv6" else None,
            referenced_security_group_id=rule.other if rule.kind == "group" else None,
            description=rule.description or None,
            opts=ResourceOptions(parent=self),
        )
