"""The tasks' egress from AWS: the public addresses, and the network behind them.

Two components because of the order of a change: the edge allows an address before anything sends from it,
and disallows it after the last packet. So `EgressAddresses` comes first, then one allowed address per IP
at the edge, then `EgressNetwork`, which depends on those.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
from pulumi import ResourceOptions

from components.aws.asking import asking
from components.aws.egress_settings import EgressCreate, EgressLookup, EgressSettings, found_addresses_problem
from components.aws.nat_instance import NatInstances, NatInstancesArgs

# The team's public subnets are 10.0.90.0/24 and 10.0.91.0/24 of 10.0.0.0/16; private ones begin at
# 10.0.0.0/24. In a smaller VPC than a /16 the public ones begin in its upper half.
_PUBLIC_SUBNET_OFFSET = 90
_SUBNET_PREFIX_LENGTH = 24


@dataclass(frozen=True, kw_only=True)
class EgressAddressesArgs:
    """What `EgressAddresses` is made from."""

    egress: EgressSettings


class EgressAddresses(pulumi.ComponentResource):
    """The public addresses: Elastic IPs made here or taken over, or addresses looked up or given."""

    by_key: dict[str, pulumi.Output[str]]
    """Each address by a stable key: its zone if it is made here, else the address itself.

    Numbers aren't stable: if the first of two goes, the second would become the first."""
    public_ips: pulumi.Output[list[str]]
    """All addresses, sorted."""
    allocation_ids: dict[str, pulumi.Output[str]]
    """By zone, if the network is made here."""
    by_zone: dict[str, pulumi.Output[str]]
    """The addresses by zone, if the network is made here."""
    retained: dict[str, pulumi.Output[str]]
    """The Elastic IPs that AWS keeps when the stack lets go of them."""

    def __init__(self, name: str, args: EgressAddressesArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:EgressAddresses", name, None, opts)
        self._name = name
        self.allocation_ids, self.by_zone = {}, {}
        if args.egress.create is not None:
            create = args.egress.create
            self.by_key = self._taken_over(create) if create.allocation_ids else self._created(create)
        elif args.egress.lookup is not None:
            self.by_key = _as_they_are(self._found(args.egress.lookup))
        else:
            self.by_key = _as_they_are(args.egress.given.addresses if args.egress.given else [])
        create = args.egress.create
        kept = create is not None and create.retain_addresses and not create.allocation_ids
        self.retained = self.allocation_ids if kept else {}
        self.public_ips = pulumi.Output.all(*self.by_key.values()).apply(sorted)
        self.register_outputs({"public_ips": self.public_ips})

    def _created(self, create: EgressCreate) -> dict[str, pulumi.Output[str]]:
        # While an instance replaces a gateway, or the reverse, both exist, and they can't share an address.
        kind = "" if create.nat == "gateway" else f"{create.nat}-"
        eips = {
            zone: aws.ec2.Eip(
                f"{self._name}-{kind}{zone}",
                domain="vpc",
                address=create.addresses[index] if create.addresses else None,
                tags={**create.tags, "Name": f"{self._name}-{kind}{zone}"},
                opts=ResourceOptions(parent=self, retain_on_delete=create.retain_addresses),
            )
            for index, zone in enumerate(create.nat_zones)
        }
        self.allocation_ids = {zone: eip.allocation_id for zone, eip in eips.items()}
        self.by_zone = {zone: eip.public_ip for zone, eip in eips.items()}
        return {f"{kind}{zone}": ip for zone, ip in self.by_zone.items()}

    def _taken_over(self, create: EgressCreate) -> dict[str, pulumi.Output[str]]:
        """The account's existing Elastic IPs, looked up while the program runs."""
        opts = pulumi.InvokeOptions(parent=self)
        with asking("create.allocationIds"):
            found = [aws.ec2.get_elastic_ip(id=one, opts=opts).public_ip for one in create.allocation_ids]
        allocated = zip(create.nat_zones, create.allocation_ids, strict=True)
        self.allocation_ids = {zone: pulumi.Output.from_input(one) for zone, one in allocated}
        by_address = _as_they_are(found)
        self.by_zone = dict(zip(create.nat_zones, by_address.values(), strict=True))
        return by_address

    def _found(self, lookup: EgressLookup) -> list[str]:
        """The addresses, looked up while the program runs, so that a preview checks them."""
        with asking(f"lookup.{lookup.key}"):
            found = self._asked_for(lookup, pulumi.InvokeOptions(parent=self))
        problem = found_addresses_problem(lookup, found)
        if problem:
            raise pulumi.RunError(problem)
        return sorted(found)

    def _asked_for(self, lookup: EgressLookup, opts: pulumi.InvokeOptions) -> list[str]:
        if lookup.address_tags:
            return list(aws.ec2.get_eips(tags=lookup.address_tags, opts=opts).public_ips)
        gateways: Sequence[str] = lookup.nat_gateway_ids
        if not gateways:
            # A deleted gateway stays in the lists for an hour.
            alive = aws.ec2.GetNatGatewaysFilterArgs(name="state", values=["available"])
            tags = lookup.nat_gateway_tags
            gateways = aws.ec2.get_nat_gateways(tags=tags, filters=[alive], opts=opts).ids
        return [address for gateway in gateways for address in _addresses_of(gateway, opts)]


def _addresses_of(gateway: str, opts: pulumi.InvokeOptions) -> list[str]:
    """All addresses that a gateway sends from: its first and its additional ones, or a regional gateway's."""
    found = aws.ec2.get_nat_gateway(id=gateway, opts=opts)
    regional = [one.public_ip for one in found.regional_nat_gateway_addresses or ()]
    if regional:
        if "enabled" in (found.auto_scaling_ips, found.auto_provision_zones):
            pulumi.log.warn(
                f"egress.lookup: AWS gives {gateway} more addresses by itself, as it sees fit. What comes "
                "from one of those is refused (403), and lost, until the next update: give the gateway "
                "Elastic IPs of its own (docs/aws.md)"
            )
        return regional
    more = [
        aws.ec2.get_elastic_ip(id=allocation, opts=opts).public_ip
        for allocation in found.secondary_allocation_ids
    ]
    return [found.public_ip, *more]


def _as_they_are(addresses: Sequence[str]) -> dict[str, pulumi.Output[str]]:
    return {address: pulumi.Output.from_input(address) for address in addresses}


@dataclass(frozen=True, kw_only=True)
class EgressNetworkArgs:
    """What `EgressNetwork` is made from; the addresses come from `EgressAddresses`, by zone."""

    create: EgressCreate
    region: str
    allocation_ids: Mapping[str, pulumi.Output[str]]
    public_ips: Mapping[str, pulumi.Output[str]]


class EgressNetwork(pulumi.ComponentResource):
    """A VPC with a public and a private subnet per zone; private traffic leaves by NAT."""

    vpc_id: pulumi.Output[str]
    """The VPC's id."""
    private_subnet_ids: list[pulumi.Output[str]]
    """The subnets for tasks, in the order of the zones."""

    def __init__(self, name: str, args: EgressNetworkArgs, opts: ResourceOptions | None = None) -> None:
        super().__init__("campus-monitor:aws:EgressNetwork", name, None, opts)
        self._name = name
        self._zones, self._tags = args.create.zones, args.create.tags
        self._vpc = aws.ec2.Vpc(
            f"{name}-vpc",
            cidr_block=args.create.vpc_cidr,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=self._named(name),
            opts=ResourceOptions(parent=self),
        )
        public_cidrs, private_cidrs = subnet_cidrs(args.create.vpc_cidr, self._zones)
        public = self._subnets("public", public_cidrs)
        private = self._subnets("private", private_cidrs)
        internet = self._route_out_directly(public)
        if args.create.nat == "gateway":
            gateways = self._nat_gateways(public, args.allocation_ids, internet)
            ways = {zone: {"nat_gateway_id": gateway.id} for zone, gateway in gateways.items()}
        else:
            instances = self._nat_instances(args, public, internet)
            ways = {zone: {"network_interface_id": one} for zone, one in instances.interface_ids.items()}
        self._route_out_by_nat(private, ways)
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
                tags=self._named(f"{self._name}-{kind}-{zone}"),
                opts=ResourceOptions(parent=self),
            )
            for zone, cidr in zip(self._zones, cidrs, strict=True)
        ]

    def _route_out_directly(self, public: Sequence[aws.ec2.Subnet]) -> list[pulumi.Resource]:
        """Route the public subnets to the internet; returns the resources that the route needs."""
        gateway = aws.ec2.InternetGateway(
            f"{self._name}-internet",
            vpc_id=self._vpc.id,
            tags=self._named(self._name),
            opts=ResourceOptions(parent=self),
        )
        table = self._route_table("public")
        associated = [
            self._associate(f"public-{zone}", table, subnet)
            for zone, subnet in zip(self._zones, public, strict=True)
        ]
        route = aws.ec2.Route(
            f"{self._name}-public",
            route_table_id=table.id,
            destination_cidr_block="0.0.0.0/0",
            gateway_id=gateway.id,
            opts=ResourceOptions(parent=self),
        )
        return [route, *associated]

    def _nat_gateways(
        self,
        public: Sequence[aws.ec2.Subnet],
        allocation_ids: Mapping[str, pulumi.Output[str]],
        internet: Sequence[pulumi.Resource],
    ) -> dict[str, aws.ec2.NatGateway]:
        # A NAT gateway works only if its own subnet has a route out (NAT gateway user guide).
        return {
            zone: aws.ec2.NatGateway(
                f"{self._name}-nat-{zone}",
                allocation_id=allocation_ids[zone],
                subnet_id=subnet.id,
                tags=self._named(f"{self._name}-{zone}"),
                opts=ResourceOptions(parent=self, depends_on=internet),
            )
            for zone, subnet in zip(self._zones, public, strict=True)
            if zone in allocation_ids
        }

    def _nat_instances(
        self, args: EgressNetworkArgs, public: Sequence[aws.ec2.Subnet], internet: Sequence[pulumi.Resource]
    ) -> NatInstances:
        return NatInstances(
            f"{self._name}-nat",
            NatInstancesArgs(
                region=args.region,
                vpc_id=self._vpc.id,
                vpc_cidr=args.create.vpc_cidr,
                subnet_ids={zone: one.id for zone, one in zip(self._zones, public, strict=True)},
                allocation_ids=args.allocation_ids,
                public_ips=args.public_ips,
                tags=self._tags,
                image=args.create.nat_image,
                internet=internet,
            ),
            ResourceOptions(parent=self),
        )

    def _route_out_by_nat(
        self, private: Sequence[aws.ec2.Subnet], ways: Mapping[str, dict[str, pulumi.Output[str]]]
    ) -> None:
        """`ways`: each zone's target, as arguments of its route."""
        shared = ways[self._zones[0]]
        for zone, subnet in zip(self._zones, private, strict=True):
            table = self._route_table(f"private-{zone}")
            self._associate(f"private-{zone}", table, subnet)
            aws.ec2.Route(
                f"{self._name}-private-{zone}",
                route_table_id=table.id,
                destination_cidr_block="0.0.0.0/0",
                **ways.get(zone, shared),
                opts=ResourceOptions(parent=self),
            )

    def _named(self, name: str) -> dict[str, str]:
        return {**self._tags, "Name": name}

    def _route_table(self, role: str) -> aws.ec2.RouteTable:
        return aws.ec2.RouteTable(
            f"{self._name}-{role}",
            vpc_id=self._vpc.id,
            tags=self._named(f"{self._name}-{role}"),
            opts=ResourceOptions(parent=self),
        )

    def _associate(
        self, role: str, table: aws.ec2.RouteTable, subnet: aws.ec2.Subnet
    ) -> aws.ec2.RouteTableAssociation:
        return aws.ec2.RouteTableAssociation(
            f"{self._name}-{role}",
            route_table_id=table.id,
            subnet_id=subnet.id,
            opts=ResourceOptions(parent=self),
        )


def subnet_cidrs(vpc_cidr: str, zones: Sequence[str]) -> tuple[list[str], list[str]]:
    """The public and the private subnets' CIDRs (/24 each) of a VPC, one per zone.

    A zone's letter decides, not its place in the list: otherwise removing a zone would move the others'.
    """
    subnets = [str(n) for n in ipaddress.ip_network(vpc_cidr).subnets(new_prefix=_SUBNET_PREFIX_LENGTH)]
    offset = min(_PUBLIC_SUBNET_OFFSET, len(subnets) // 2)
    letters = [ord(zone[-1]) - ord("a") for zone in zones]
    return [subnets[offset + letter] for letter in letters], [subnets[letter] for letter in letters]
