"""Where the tasks' traffic leaves AWS: Elastic IPs, and the network with the NAT gateways behind them.

Two components because of the order of a change: an address is allowed at the edge after it exists and
before anything sends from it, and disallowed only when nothing does. So `EgressAddresses` comes first,
then one allowed address per IP at the edge, then `EgressNetwork`, which depends on those.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.settings import EgressCreate

# The team's public subnets are 10.0.90.0/24 and 10.0.91.0/24 of 10.0.0.0/16; private ones begin at
# 10.0.0.0/24. In a smaller VPC than a /16 the public ones begin in its upper half.
_PUBLIC_SUBNET_OFFSET = 90
_SUBNET_PREFIX_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class EgressAddressesArgs:
    """What `EgressAddresses` is made from."""

    create: EgressCreate


class EgressAddresses(pulumi.ComponentResource):
    """One Elastic IP per NAT gateway."""

    public_ips: list[pulumi.Output[str]]
    """The public IPv4 addresses, one per NAT gateway, in the order of the zones."""
    allocation_ids: list[pulumi.Output[str]]
    """The addresses' allocation ids, in the same order."""

    def __init__(self, name: str, args: EgressAddressesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:EgressAddresses", name, None, opts)
        zones = args.create.zones[: args.create.nat_count]
        eips = [
            aws.ec2.Eip(
                f"{name}-{zone}",
                domain="vpc",
                address=args.create.addresses[index] if args.create.addresses else None,
                tags={"Name": f"{name}-{zone}"},
                opts=ResourceOptions(parent=self, retain_on_delete=args.create.retain_addresses),
            )
            for index, zone in enumerate(zones)
        ]
        self.public_ips = [eip.public_ip for eip in eips]
        self.allocation_ids = [eip.allocation_id for eip in eips]
        self.register_outputs({"public_ips": self.public_ips})


@dataclass(frozen=True, kw_only=True)
class EgressNetworkArgs:
    """What `EgressNetwork` is made from; `allocation_ids` come from `EgressAddresses`."""

    create: EgressCreate
    allocation_ids: Sequence[pulumi.Output[str]]


class EgressNetwork(pulumi.ComponentResource):
    """A VPC with a public and a private subnet per zone; private traffic leaves by NAT gateways."""

    vpc_id: pulumi.Output[str]
    """The VPC's id."""
    private_subnet_ids: list[pulumi.Output[str]]
    """The subnets for tasks, in the order of the zones."""

    def __init__(self, name: str, args: EgressNetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:EgressNetwork", name, None, opts)
        self._name = name
        self._zones = args.create.zones
        self._vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.create.vpc_cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": name},
            opts=ResourceOptions(parent=self),
        )
        public_cidrs, private_cidrs = subnet_cidrs(args.create.vpc_cidr, len(self._zones))
        public = self._subnets("public", public_cidrs)
        private = self._subnets("private", private_cidrs)
        internet = self._route_out_directly(public)
        nats = self._nat_gateways(public, args.allocation_ids, internet)
        self._route_out_by_nat(private, nats)
        self.vpc_id = self._vpc.id
        self.private_subnet_ids = [subnet.id for subnet in private]
        self.register_outputs({"vpc_id": self.vpc_id, "private_subnet_ids": self.private_subnet_ids})

    def _subnets(self, kind: str, cidrs: Sequence[str]) -> list[aws.ec2.Subnet]:
        return [
            aws.ec2.Subnet(
                f"{self._name}-{kind}-{zone}",
                vpc_id=self._vpc.id,
                availability_zone=zone,
                cidr_block=cidr,
                tags={"Name": f"{self._name}-{kind}-{zone}"},
                opts=ResourceOptions(parent=self),
            )
            for zone, cidr in zip(self._zones, cidrs, strict=True)
        ]

    def _route_out_directly(self, public: Sequence[aws.ec2.Subnet]) -> aws.ec2.Route:
        gateway = aws.ec2.InternetGateway(
            f"{self._name}-internet",
            vpc_id=self._vpc.id,
            tags={"Name": self._name},
            opts=ResourceOptions(parent=self),
        )
        table = self._route_table("public")
        for zone, subnet in zip(self._zones, public, strict=True):
            self._associate(f"public-{zone}", table, subnet)
        return aws.ec2.Route(
            f"{self._name}-public",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=ResourceOptions(parent=self),
        )

    def _nat_gateways(
        self,
        public: Sequence[aws.ec2.Subnet],
        allocation_ids: Sequence[pulumi.Output[str]],
        internet: aws.ec2.Route,
    ) -> list[aws.ec2.NatGateway]:
        # A NAT gateway works only once its own subnet has a way out (NAT gateway user guide).
        return [
            aws.ec2.NatGateway(
                f"{self._name}-nat-{self._zones[index]}",
                allocation_id=allocation_id,
                subnet_id=public[index].id,
                tags={"Name": f"{self._name}-{self._zones[index]}"},
                opts=ResourceOptions(parent=self, depends_on=[internet]),
            )
            for index, allocation_id in enumerate(allocation_ids)
        ]

    def _route_out_by_nat(
        self, private: Sequence[aws.ec2.Subnet], nats: Sequence[aws.ec2.NatGateway]
    ) -> None:
        for index, (zone, subnet) in enumerate(zip(self._zones, private, strict=True)):
            table = self._route_table(f"private-{zone}")
            self._associate(f"private-{zone}", table, subnet)
            aws.ec2.Route(
                f"{self._name}-private-{zone}",
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                nat_gateway_id=nats[min(index, len(nats) - 1)].id,
                opts=ResourceOptions(parent=self),
            )

    def _route_table(self, role: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(
            f"{self._name}-{role}",
            vpc_id=self._vpc.id,
            tags={"Name": f"{self._name}-{role}"},
            opts=ResourceOptions(parent=self),
        )

    def _associate(self, role: str, table: aws.ec2.RouteTable, subnet: aws.ec2.Subnet) -> None:
        aws.ec2.RouteTableAssociation(
            f"{self._name}-{role}",
            route_table_id=table.id,
            subnet_id=subnet.id,
            opts=ResourceOptions(parent=self),
        )


def subnet_cidrs(vpc_cidr: str, zone_count: int) -> tuple[list[str], list[str]]:
    """The public and the private subnets' CIDRs (/24 each) of a VPC, one per zone."""
    subnets = [str(n) for n in ipaddress.ip_network(vpc_cidr).subnets(new_prefix=_SUBNET_PREFIX_LENGTH)]
    offset = min(_PUBLIC_SUBNET_OFFSET, len(subnets) // 2)
    return subnets[offset : offset + zone_count], subnets[:zone_count]
