"""aws.ec2 Vpc, Subnet and InternetGateway."""

from __future__ import annotations

from typing import Any

from toolchain.plugins.aws_things.ec2 import TAGS, Ec2Type, only, tag_specifications
from toolchain.plugins.aws_things.emulator import found_or_none
from toolchain.plugins.provider import State, settled
from toolchain.plugins.schema import boolean, string

_NO_VPC = "InvalidVpcID.NotFound"
_NO_SUBNET = "InvalidSubnetID.NotFound"
_NO_GATEWAY = "InvalidInternetGatewayID.NotFound"


class Vpc(Ec2Type):
    """A network."""

    token = "aws:ec2/vpc:Vpc"
    computed = (
        "arn",
        "defaultNetworkAclId",
        "defaultRouteTableId",
        "defaultSecurityGroupId",
        "dhcpOptionsId",
        "mainRouteTableId",
        "ownerId",
        "region",
        "tagsAll",
    )
    inputs = {  # noqa: RUF012
        "cidrBlock": string(required=True, replace=True),
        "enableDnsHostnames": boolean(computed=True),
        "enableDnsSupport": boolean(default=True),
        "instanceTenancy": string(default="default", replace=True),
        "tags": TAGS,
    }

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._ec2.create_vpc(
            CidrBlock=inputs["cidrBlock"],
            InstanceTenancy=inputs["instanceTenancy"],
            **tag_specifications("vpc", inputs),
        )["Vpc"]["VpcId"]
        self._switch(made, {}, inputs)
        return made, self._read_back(made, inputs)

    def _switch(self, vpc: str, old: State, new: State) -> None:
        for name, argument in (
            ("enableDnsSupport", "EnableDnsSupport"),
            ("enableDnsHostnames", "EnableDnsHostnames"),
        ):
            if new.get(name) is not None and new[name] != old.get(name):
                self._ec2.modify_vpc_attribute(VpcId=vpc, **{argument: {"Value": new[name]}})

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(self._ec2.describe_vpcs, _NO_VPC, VpcIds=[resource_id])
        if answer is None:
            return None
        seen = answer["Vpcs"][0]
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            **self._attributes(resource_id),
            **self._defaults(resource_id),
            "arn": self._arn("vpc", resource_id, seen["OwnerId"]),
            "cidrBlock": seen["CidrBlock"],
            "dhcpOptionsId": seen["DhcpOptionsId"],
            "instanceTenancy": seen["InstanceTenancy"],
            "ownerId": seen["OwnerId"],
        }

    def _attributes(self, vpc: str) -> State:
        ask = self._ec2.describe_vpc_attribute
        return {
            name: ask(VpcId=vpc, Attribute=name)[name[0].upper() + name[1:]]["Value"]
            for name in ("enableDnsSupport", "enableDnsHostnames")
        }

    def _defaults(self, vpc: str) -> State:
        """The things that come with every network."""
        of_it = {"Name": "vpc-id", "Values": [vpc]}
        main = {"Name": "association.main", "Values": ["true"]}
        first = {"Name": "default", "Values": ["true"]}
        named = {"Name": "group-name", "Values": ["default"]}
        tables = self._ec2.describe_route_tables(Filters=[of_it, main])["RouteTables"]
        lists = self._ec2.describe_network_acls(Filters=[of_it, first])["NetworkAcls"]
        groups = self._ec2.describe_security_groups(Filters=[of_it, named])["SecurityGroups"]
        table = (only(tables) or {}).get("RouteTableId", "")
        return {
            "mainRouteTableId": table,
            "defaultRouteTableId": table,
            "defaultNetworkAclId": (only(lists) or {}).get("NetworkAclId", ""),
            "defaultSecurityGroupId": (only(groups) or {}).get("GroupId", ""),
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._switch(resource_id, old, new)
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        found_or_none(self._ec2.delete_vpc, _NO_VPC, VpcId=resource_id)


class Subnet(Ec2Type):
    """A part of a network, in one zone."""

    token = "aws:ec2/subnet:Subnet"
    computed = ("arn", "availabilityZoneId", "ownerId", "region", "tagsAll")
    inputs = {  # noqa: RUF012
        "vpcId": string(required=True, replace=True),
        "cidrBlock": string(required=True, replace=True),
        "availabilityZone": string(computed=True, replace=True),
        "mapPublicIpOnLaunch": boolean(default=False),
        "tags": TAGS,
    }

    def create(self, inputs: State) -> tuple[str, State]:
        zone = inputs.get("availabilityZone")
        made = self._ec2.create_subnet(
            VpcId=inputs["vpcId"],
            CidrBlock=inputs["cidrBlock"],
            **({"AvailabilityZone": zone} if zone else {}),
            **tag_specifications("subnet", inputs),
        )["Subnet"]["SubnetId"]
        if inputs["mapPublicIpOnLaunch"]:
            self._publish(made, True)
        return made, self._read_back(made, inputs)

    def _publish(self, subnet: str, public: bool) -> None:
        self._ec2.modify_subnet_attribute(SubnetId=subnet, MapPublicIpOnLaunch={"Value": public})

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(self._ec2.describe_subnets, _NO_SUBNET, SubnetIds=[resource_id])
        if answer is None:
            return None
        seen = answer["Subnets"][0]
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            "arn": self._arn("subnet", resource_id, seen["OwnerId"]),
            "availabilityZone": seen["AvailabilityZone"],
            "availabilityZoneId": seen.get("AvailabilityZoneId", ""),
            "cidrBlock": seen["CidrBlock"],
            "mapPublicIpOnLaunch": seen["MapPublicIpOnLaunch"],
            "assignIpv6AddressOnCreation": seen["AssignIpv6AddressOnCreation"],
            "ownerId": seen["OwnerId"],
            "vpcId": seen["VpcId"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        if old.get("mapPublicIpOnLaunch", False) != new["mapPublicIpOnLaunch"]:
            self._publish(resource_id, new["mapPublicIpOnLaunch"])
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        found_or_none(self._ec2.delete_subnet, _NO_SUBNET, SubnetId=resource_id)


class InternetGateway(Ec2Type):
    """A network's way to the outside."""

    token = "aws:ec2/internetGateway:InternetGateway"
    computed = ("arn", "ownerId", "region", "tagsAll")
    inputs = {"vpcId": string(computed=True), "tags": TAGS}  # noqa: RUF012

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._ec2.create_internet_gateway(**tag_specifications("internet-gateway", inputs))[
            "InternetGateway"
        ]["InternetGatewayId"]
        if inputs.get("vpcId"):
            self._ec2.attach_internet_gateway(InternetGatewayId=made, VpcId=inputs["vpcId"])
        return made, self._read_back(made, inputs)

    def _seen(self, gateway: str) -> Any | None:
        answer = found_or_none(
            self._ec2.describe_internet_gateways, _NO_GATEWAY, InternetGatewayIds=[gateway]
        )
        return None if answer is None else answer["InternetGateways"][0]

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        seen = self._seen(resource_id)
        if seen is None:
            return None
        owner = seen["OwnerId"]
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            "arn": self._arn("internet-gateway", resource_id, owner),
            "ownerId": owner,
            "vpcId": _attached_to(seen),
        }

    def _detach(self, gateway: str, vpc: str) -> None:
        found_or_none(
            self._ec2.detach_internet_gateway,
            "Gateway.NotAttached",
            _NO_GATEWAY,
            InternetGatewayId=gateway,
            VpcId=vpc,
        )

    def update(self, resource_id: str, old: State, new: State) -> State:
        wanted = new.get("vpcId") or old.get("vpcId", "")
        if old.get("vpcId", "") != wanted:
            if old.get("vpcId"):
                self._detach(resource_id, old["vpcId"])
            self._ec2.attach_internet_gateway(InternetGatewayId=resource_id, VpcId=wanted)
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        seen = self._seen(resource_id)
        if seen is None:
            return
        if _attached_to(seen):
            self._detach(resource_id, _attached_to(seen))
        self._ec2.delete_internet_gateway(InternetGatewayId=resource_id)


def _attached_to(gateway: Any) -> str:
    attachment = only(gateway.get("Attachments") or [])
    return attachment["VpcId"] if attachment else ""
