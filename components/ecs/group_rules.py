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

# A task needs only HTTPS: the push, ECR, CloudWatch Logs, SSM and Secrets Manager.
HTTPS_PORT = 443
# IPv4 only: the edge allows only NAT addresses.
ANYWHERE = "0.0.0.0/0"


@dataclass(frozen=True, kw_only=True)
class GroupRule:
    """One rule of a security group: one direction, one port range, one source or destination (AWS: one)."""

    direction: Literal["in", "out"]
    first_port: int
    last_port: int
    # A CIDR, or the id of a security group, which stands for its members.
    other: str
    protocol: str = "tcp"
    description: str = ""

    @property
    def kind(self) -> Literal["cidr_ipv4", "cidr_ipv6", "group"]:
        """The kind of the other end."""
        if self.other.startswith("sg-"):
            return "group"
        return "cidr_ipv6" if ipaddress.ip_network(self.other).version == 6 else "cidr_ipv4"

    @property
    def key(self) -> str:
        """A name that is unique in the group, fit for a resource's name."""
        ports = (
            f"{self.first_port}-{self.last_port}" if self.first_port != self.last_port else self.first_port
        )
        protocol = "" if self.protocol == "tcp" else f"-{self.protocol}"
        # Two colons separate the fields of a Pulumi URN.
        return f"{self.direction}-{ports}{protocol}-{self.other.replace(':', '.')}"


def group_rules(ingress: Sequence[GroupIngress]) -> list[GroupRule]:
    """Egress to HTTPS anywhere; ingress by the rules, one rule per source; nothing else."""
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
