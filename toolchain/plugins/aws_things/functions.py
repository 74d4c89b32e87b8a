"""The functions of aws.ec2 that look public addresses up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolchain.plugins.aws_things.emulator import Emulator, found_or_none, tag_map
from toolchain.plugins.provider import Function, PluginError, State
from toolchain.plugins.schema import Prop, mapping, objects, string, strings

_FILTERS = objects("list", {"name": string(required=True), "values": strings("list", required=True)})
_MANY: Mapping[str, Prop] = {"filters": _FILTERS, "tags": mapping()}
_ONE: Mapping[str, Prop] = {"id": string(required=True)}


def functions(emulator: Emulator) -> dict[str, Function]:
    """The functions by token, asking that emulator."""

    def ec2() -> Any:
        return emulator.client("ec2")

    def nat_gateways(asked: State) -> State:
        seen = ec2().describe_nat_gateways(Filters=_filters(asked))["NatGateways"]
        # The emulator gives back all of them, whatever their tags.
        wanted = (asked.get("tags") or {}).items()
        ids = [one["NatGatewayId"] for one in seen if wanted <= tag_map(one.get("Tags")).items()]
        return _listed(emulator, asked, ids=ids)

    def nat_gateway(asked: State) -> State:
        call = ec2().describe_nat_gateways
        answer = found_or_none(call, "NatGatewayNotFound", NatGatewayIds=[asked["id"]])
        if not answer or not answer["NatGateways"]:
            raise PluginError("no matching EC2 NAT Gateway found")
        [seen] = answer["NatGateways"]
        first, *more = seen.get("NatGatewayAddresses") or [{}]
        return {
            "id": seen["NatGatewayId"],
            "allocationId": first.get("AllocationId", ""),
            "connectivityType": seen.get("ConnectivityType", "public"),
            "publicIp": first.get("PublicIp", ""),
            "privateIp": first.get("PrivateIp", ""),
            "region": emulator.region,
            "secondaryAllocationIds": [one["AllocationId"] for one in more],
            "state": seen["State"],
            "subnetId": seen["SubnetId"],
            "tags": tag_map(seen.get("Tags")),
            "vpcId": seen["VpcId"],
        }

    def eips(asked: State) -> State:
        seen = ec2().describe_addresses(Filters=_filters(asked))["Addresses"]
        return _listed(
            emulator,
            asked,
            allocationIds=[one["AllocationId"] for one in seen],
            publicIps=[one["PublicIp"] for one in seen],
        )

    def elastic_ip(asked: State) -> State:
        call = ec2().describe_addresses
        answer = found_or_none(call, "InvalidAllocationID.NotFound", AllocationIds=[asked["id"]])
        if not answer or not answer["Addresses"]:
            raise PluginError("no matching EC2 EIP found")
        [seen] = answer["Addresses"]
        return {"id": seen["AllocationId"], "publicIp": seen["PublicIp"], "region": emulator.region}

    return {
        "aws:ec2/getNatGateways:getNatGateways": Function(inputs=_MANY, call=nat_gateways),
        "aws:ec2/getNatGateway:getNatGateway": Function(inputs=_ONE, call=nat_gateway),
        "aws:ec2/getEips:getEips": Function(inputs=_MANY, call=eips),
        "aws:ec2/getElasticIp:getElasticIp": Function(inputs=_ONE, call=elastic_ip),
    }


def _filters(asked: State) -> list[dict[str, Any]]:
    wanted = [{"Name": one["name"], "Values": one["values"]} for one in asked.get("filters") or []]
    return wanted + [
        {"Name": f"tag:{name}", "Values": [value]} for name, value in (asked.get("tags") or {}).items()
    ]


def _listed(emulator: Emulator, asked: State, **found: Any) -> State:
    return {"id": emulator.region, "region": emulator.region, "tags": asked.get("tags") or {}, **found}
