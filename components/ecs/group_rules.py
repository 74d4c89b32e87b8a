# pyright: strict
"""Renders a task's security group rules from rules in the port policy's words. Pure.

A security group can only allow, and is checked for every connection that isn't a reply. It doesn't see
the VPC's resolver, DHCP, the instance and task metadata and the time service (VPC user guide, "Control
traffic to your AWS resources using security groups"): names resolve without a rule for port 53.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components.ecs.settings import GroupIngress

# HTTPS is all that a task needs: the push, ECR, CloudWatch Logs, SSM and Secrets Manager.
HTTPS_PORT = 443
# IPv4 alone: the edge knows NAT addresses, and a task has no other way out that it would let in.
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One rule of a security group: one direction, one port range, one source or destination (AWS: one)."""

    direction: Literal["in", "out"]
    first_port: int
    last_port: int
    # A CIDR, or a security group's id: then whoever is in that one.
    other: str
    protocol: str = "tcp"
    description: str = ""

    @property
    def kind(self) -> Literal["cidr_ipv4", "cidr_ipv6", "group"]:
        """What the other end is."""
        if self.other.startswith("sg-"):
            return "group"
        return "cidr_ipv6" if ipaddress.ip_network(self.other).version == 6 else "cidr_ipv4"

    @property
    def key(self) -> str:
        """What tells this rule from the group's others, fit for a resource's name."""
        ports = (
            f"{self.first_port}-{self.last_port}" if self.first_port != self.last_port else self.first_port
        )
        protocol = "" if self.protocol == "tcp" else f"-{self.protocol}"
        # Two colons part the fields of a Pulumi URN.
        return f"{self.direction}-{ports}{protocol}-{self.other.replace(':', '.')}"


def group_rules(ingress: Sequence[GroupIngress]) -> list[GroupRule]:
    """Out to HTTPS anywhere; in what the rules name, one rule per source; nothing else."""
    out = GroupRule(
        direction="out", first_port=HTTPS_PORT, last_port=HTTPS_PORT, other=ANYWHERE, description="HTTPS"
    )
    return [
        out,
        *(
            GroupRule(
                direction="in",
                first_port=rule.first_port,
                last_port=rule.last_port,
                other=source,
                protocol=rule.protocol,
                description=rule.comment,
            )
            for rule in (one.rule for one in ingress)
            for source in rule.sources
        ),
    ]
