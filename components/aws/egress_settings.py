# pyright: strict
"""The settings of the tasks' egress from AWS. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Literal, Self

from pydantic import model_validator

from components.values.area import Area
from components.values.errors import PROJECT
from components.values.networks import Cidr, PublicIpv4, checked_public_ipv4
from components.values.value_rule import ValueRule

# If a zone fails, its services go on in another.
MIN_ZONES = 2

# The tag of a stack's NAT instances and their network interfaces, which their role requires.
NAT_TAG = "campus-monitor-nat"
_VPC = ValueRule("an IPv4 /16 to /20 is needed")


def _id(kind: str) -> ValueRule:
    return ValueRule(f"an id such as {kind}-0123456789abcdef0")


def _check_id(key: str, kind: str, value: str) -> None:
    if not re.fullmatch(rf"{kind}-[0-9a-f]{{8,17}}", value):
        raise ValueError(f"{key}: {_id(kind).words}, received {value!r}")


class EgressCreate(Area):
    """The AWS network of the tasks that send logs, created by this stack."""

    vpc_cidr: Annotated[Cidr, _VPC] = "10.0.0.0/16"
    """The VPC has this IPv4 network."""
    zones: Annotated[tuple[str, ...], ValueRule("at least two, each once, such as ap-northeast-2a")]
    """The VPC spans these availability zones."""
    nat_per_zone: bool = False
    """Each zone gets a NAT gateway (or instance) of its own; otherwise the first zone has one for all."""
    nat: Literal["gateway", "instance"] = "gateway"
    """Traffic leaves through AWS' NAT gateway, or through fck-nat on the smallest EC2 instance
    ([compared](aws.md))."""
    nat_image: Annotated[str, _id("ami")] | None = None
    """NAT instances boot from this arm64 AMI; by default, from the fck-nat AMI that was newest at the first
    update."""
    # From a range brought to AWS, or just released; an allocated address is refused (EC2's AllocateAddress).
    addresses: tuple[PublicIpv4, ...] = ()
    """AWS allocates these Elastic IPs for the NAT; by default, it chooses them."""
    allocation_ids: Annotated[
        tuple[str, ...], ValueRule("one id such as eipalloc-0123456789abcdef0 per NAT gateway, or none")
    ] = ()
    """The NAT uses these existing Elastic IPs of the account, which the stack never releases."""
    retain_addresses: bool = True
    """Elastic IPs that the stack allocated stay in the account when it no longer uses them."""
    tags: dict[str, str] = {}
    """Every resource of the network has these tags besides its name."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        network = ipaddress.ip_network(self.vpc_cidr)
        # AWS: a VPC is a /16 to a /28 (VPC user guide, "VPC CIDR blocks"); subnets are cut as /24s.
        if network.version != 4 or not 16 <= network.prefixlen <= 20:
            raise ValueError(f"vpcCidr: {_VPC.words}, received {self.vpc_cidr!r}")
        for zone in self.zones:
            # The zone's letter numbers its subnets; the smallest VPC has room for eight.
            if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d[a-h]", zone):
                raise ValueError(f"zones: an availability zone such as ap-northeast-2a, received {zone!r}")
        if len(self.zones) < MIN_ZONES:
            raise ValueError(f"zones: at least two, in case one fails, received {list(self.zones)}")
        if len(set(self.zones)) != len(self.zones):
            raise ValueError(f"zones: each zone once, received {list(self.zones)}")
        wanted = self.nat_count
        if self.addresses and len(self.addresses) != wanted:
            raise ValueError(
                f"addresses: one per NAT gateway ({wanted}) or none, received {list(self.addresses)}"
            )
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError(f"addresses: each address once, received {list(self.addresses)}")
        for key in ("Name", NAT_TAG):
            if key in self.tags:
                raise ValueError(f"tags: the stack sets {key} itself, received {self.tags[key]!r}")
        return self

    @model_validator(mode="after")
    def _check_allocations(self) -> Self:
        for one in self.allocation_ids:
            _check_id("allocationIds", "eipalloc", one)
        if self.allocation_ids and self.addresses:
            raise ValueError(
                "allocationIds: either these or addresses (which AWS allocates), "
                f"received both, {list(self.addresses)} too"
            )
        if self.allocation_ids and len(self.allocation_ids) != self.nat_count:
            raise ValueError(
                f"allocationIds: one per NAT gateway ({self.nat_count}) or none, "
                f"received {list(self.allocation_ids)}"
            )
        if len(set(self.allocation_ids)) != len(self.allocation_ids):
            raise ValueError(f"allocationIds: each address once, received {list(self.allocation_ids)}")
        return self

    @model_validator(mode="after")
    def _check_nat(self) -> Self:
        if self.nat_image is not None and self.nat != "instance":
            raise ValueError(
                f"natImage: a NAT gateway has none: only with nat: instance, received {self.nat_image!r}"
            )
        if self.nat_image is not None:
            _check_id("natImage", "ami", self.nat_image)
        return self

    @property
    def nat_count(self) -> int:
        """The number of NAT gateways or instances, and so of public addresses."""
        return len(self.nat_zones)

    @property
    def nat_zones(self) -> tuple[str, ...]:
        """The zones with a NAT."""
        return self.zones if self.nat_per_zone else self.zones[:1]


class EgressLookup(Area):
    """The public addresses of a network outside this stack, found by exactly one of these."""

    nat_gateway_ids: tuple[Annotated[str, _id("nat")], ...] = ()
    """The stack reads the public addresses of the NAT gateways with these ids."""
    nat_gateway_tags: dict[str, str] = {}
    """The stack reads the public addresses of the NAT gateways with these tags."""
    address_tags: dict[str, str] = {}
    """The stack reads the Elastic IPs with these tags, even before they are in use."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = {
            "natGatewayIds": self.nat_gateway_ids,
            "natGatewayTags": self.nat_gateway_tags,
            "addressTags": self.address_tags,
        }
        used = [name for name, value in ways.items() if value]
        if len(used) != 1:
            raise ValueError(f"natGatewayIds: exactly one of {', '.join(ways)} is needed, received {used}")
        for one in self.nat_gateway_ids:
            _check_id("natGatewayIds", "nat", one)
        if len(set(self.nat_gateway_ids)) != len(self.nat_gateway_ids):
            raise ValueError(f"natGatewayIds: each gateway once, received {list(self.nat_gateway_ids)}")
        return self

    @property
    def key(self) -> str:
        """The key that is set."""
        return (
            "natGatewayIds"
            if self.nat_gateway_ids
            else "natGatewayTags"
            if self.nat_gateway_tags
            else "addressTags"
        )


class EgressGiven(Area):
    """Public addresses written down by hand, for a NAT instance."""

    addresses: tuple[PublicIpv4, ...]
    """The tasks' traffic comes from these public addresses."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.addresses:
            raise ValueError("addresses: at least one public address is needed, received []")
        if len(set(self.addresses)) != len(self.addresses):
            raise ValueError(f"addresses: each address once, received {list(self.addresses)}")
        return self


class EgressSettings(Area):
    """How the tasks' traffic leaves AWS: exactly one source of its public addresses."""

    create: EgressCreate | None = None
    """The stack creates the AWS network."""
    lookup: EgressLookup | None = None
    """The stack looks up the public addresses of a network outside this stack."""
    given: EgressGiven | None = None
    """The public addresses are written here."""
    vpc_id: Annotated[str, _id("vpc")] | None = None
    """Fargate tasks run in this VPC if the stack doesn't create the network."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        ways = {"create": self.create, "lookup": self.lookup, "given": self.given}
        used = [name for name, value in ways.items() if value is not None]
        if len(used) != 1:
            raise ValueError(f"create: exactly one of create, lookup and given is needed, received {used}")
        if self.vpc_id is not None:
            _check_id("vpcId", "vpc", self.vpc_id)
        if self.vpc_id is not None and self.create is not None:
            raise ValueError(f"vpcId: with create the stack makes the network, received {self.vpc_id!r}")
        return self

    @property
    def stated_addresses(self) -> tuple[str, ...]:
        """The public addresses in the settings; AWS knows the others."""
        stated = self.given or self.create
        return () if stated is None else stated.addresses


def found_addresses_problem(lookup: EgressLookup, addresses: list[str]) -> str | None:
    """What is wrong with the addresses from a lookup, as a line with its key; None if nothing is."""
    key = f"{PROJECT}:egress.lookup.{lookup.key}"
    if not addresses:
        return f"{key}: nothing was found: at least one public address is needed"
    for address in addresses:
        try:
            checked_public_ipv4(address)
        except ValueError as error:
            return f"{key}: {error}, found {address!r}"
    if len(set(addresses)) != len(addresses):
        return f"{key}: an address was found twice, found {sorted(addresses)}"
    return None
