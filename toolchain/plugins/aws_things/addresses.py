"""aws.ec2 Eip and NatGateway."""

from __future__ import annotations

import time
from typing import Any

from toolchain.plugins.aws_things.ec2 import TAGS, Ec2Type, only, tag_specifications
from toolchain.plugins.aws_things.emulator import found_or_none
from toolchain.plugins.provider import PluginError, State, settled
from toolchain.plugins.schema import string

_NO_ADDRESS = ("InvalidAllocationID.NotFound", "InvalidAddress.NotFound")
_NO_NAT = "NatGatewayNotFound"
_NAT_SECONDS = 60.0
_POLL_SECONDS = 0.2


class Eip(Ec2Type):
    """A public address of one's own."""

    token = "aws:ec2/eip:Eip"
    computed = (
        "allocationId",
        "arn",
        "associationId",
        "networkBorderGroup",
        "privateDns",
        "privateIp",
        "ptrRecord",
        "publicDns",
        "publicIp",
        "publicIpv4Pool",
        "region",
        "tagsAll",
    )
    inputs = {  # noqa: RUF012
        "domain": string(computed=True, replace=True),
        "address": string(replace=True),
        "tags": TAGS,
    }

    def create(self, inputs: State) -> tuple[str, State]:
        address = inputs.get("address")
        made = self._ec2.allocate_address(
            Domain=inputs.get("domain") or "vpc",
            **({"Address": address} if address else {}),
            **tag_specifications("elastic-ip", inputs),
        )["AllocationId"]
        return made, self._read_back(made, inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(self._ec2.describe_addresses, *_NO_ADDRESS, AllocationIds=[resource_id])
        seen = None if answer is None else only(answer["Addresses"])
        if seen is None:
            return None
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            "allocationId": resource_id,
            "arn": self._arn("elastic-ip", resource_id),
            "associationId": seen.get("AssociationId") or "",
            "domain": seen["Domain"],
            "instance": seen.get("InstanceId") or "",
            "networkBorderGroup": seen.get("NetworkBorderGroup") or self._emulator.region,
            "networkInterface": seen.get("NetworkInterfaceId") or "",
            "privateDns": "",
            "privateIp": seen.get("PrivateIpAddress") or "",
            "ptrRecord": "",
            "publicDns": self._dns_name(seen["PublicIp"]),
            "publicIp": seen["PublicIp"],
            "publicIpv4Pool": seen.get("PublicIpv4Pool") or "amazon",
        }

    def _dns_name(self, address: str) -> str:
        region = self._emulator.region
        zone = "compute-1" if region == "us-east-1" else f"{region}.compute"
        return f"ec2-{address.replace('.', '-')}.{zone}.amazonaws.com"

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        found_or_none(self._ec2.release_address, *_NO_ADDRESS, AllocationId=resource_id)


class NatGateway(Ec2Type):
    """The address under which a private subnet appears outside."""

    token = "aws:ec2/natGateway:NatGateway"
    computed = ("associationId", "networkInterfaceId", "publicIp", "region", "tagsAll")
    inputs = {  # noqa: RUF012
        "allocationId": string(replace=True),
        "subnetId": string(required=True, replace=True),
        "connectivityType": string(default="public", replace=True),
        "privateIp": string(computed=True, replace=True),
        "tags": TAGS,
    }

    def create(self, inputs: State) -> tuple[str, State]:
        optional = {"AllocationId": "allocationId", "PrivateIpAddress": "privateIp"}
        made = self._ec2.create_nat_gateway(
            SubnetId=inputs["subnetId"],
            ConnectivityType=inputs["connectivityType"],
            **{api: inputs[name] for api, name in optional.items() if inputs.get(name)},
            **tag_specifications("natgateway", inputs),
        )["NatGateway"]["NatGatewayId"]
        self._await(made, "available")
        return made, self._read_back(made, inputs)

    def _seen(self, gateway: str) -> Any | None:
        answer = found_or_none(self._ec2.describe_nat_gateways, _NO_NAT, NatGatewayIds=[gateway])
        seen = None if answer is None else only(answer["NatGateways"])
        # AWS keeps a deleted gateway in its lists for an hour.
        return None if seen is None or seen["State"] == "deleted" else seen

    def _await(self, gateway: str, state: str) -> None:
        deadline = time.monotonic() + _NAT_SECONDS
        while True:
            seen = self._seen(gateway)
            now = "deleted" if seen is None else seen["State"]
            if now == state:
                return
            if now in ("failed", "deleted") or time.monotonic() > deadline:
                raise PluginError(f"NAT gateway {gateway} is {now}, not {state}")
            time.sleep(_POLL_SECONDS)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        seen = self._seen(resource_id)
        if seen is None:
            return None
        address = only(seen.get("NatGatewayAddresses") or []) or {}
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            "allocationId": address.get("AllocationId", ""),
            "associationId": address.get("AssociationId", ""),
            "connectivityType": seen["ConnectivityType"],
            "networkInterfaceId": address.get("NetworkInterfaceId", ""),
            "privateIp": address.get("PrivateIp", ""),
            "publicIp": address.get("PublicIp", ""),
            "secondaryAllocationIds": [],
            "secondaryPrivateIpAddresses": [],
            "subnetId": seen["SubnetId"],
            "vpcId": seen["VpcId"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        if self._seen(resource_id) is None:
            return
        self._ec2.delete_nat_gateway(NatGatewayId=resource_id)
        self._await(resource_id, "deleted")
