"""The functions of aws.ec2 that look public addresses up."""

from __future__ import annotations

from collections.abc import Mapping

from toolchain.plugins.aws_things.emulator import Emulator
from toolchain.plugins.aws_things.resource import from_api, gone_is_none, search
from toolchain.plugins.provider import Function, PluginError, State
from toolchain.plugins.schema import Prop, mapping, objects, string, strings

_FILTERS = objects("list", {"name": string(required=True), "values": strings("list", required=True)})
_MANY: Mapping[str, Prop] = {"filters": _FILTERS, "tags": mapping()}
_ONE: Mapping[str, Prop] = {"id": string(required=True)}
_GATEWAY = (
    "{id: NatGatewayId, publicIp: NatGatewayAddresses[0].PublicIp || '', state: State, subnetId: SubnetId,"
    " vpcId: VpcId, secondaryAllocationIds: NatGatewayAddresses[1:].AllocationId}"
)


def functions(emulator: Emulator) -> dict[str, Function]:
    """The functions by token, asking that emulator."""

    def one(operation: str, key: str, path: str, named: str) -> Function:
        def call(asked: State) -> State:
            ask = getattr(emulator.client("ec2"), operation)
            found = search(path, gone_is_none(ask, **{key: [asked["id"]]}) or {})
            if found is None:
                raise PluginError(f"no matching EC2 {named} found")
            return {**found, "region": emulator.region}

        return Function(inputs=_ONE, call=call)

    def many(operation: str, things: str, lists: Mapping[str, str]) -> Function:
        def call(asked: State) -> State:
            tags = asked.get("tags") or {}
            filters = [
                {"Name": each["name"], "Values": each["values"]} for each in asked.get("filters") or []
            ]
            filters += [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
            seen = getattr(emulator.client("ec2"), operation)(Filters=filters)[things]
            # The emulator gives back all NAT gateways, whatever their tags.
            found = [each for each in seen if tags.items() <= from_api(mapping(), each.get("Tags")).items()]
            listed = {name: [each[member] for each in found] for name, member in lists.items()}
            return {"id": emulator.region, "region": emulator.region, "tags": tags, **listed}

        return Function(inputs=_MANY, call=call)

    addresses = {"allocationIds": "AllocationId", "publicIps": "PublicIp"}
    address = "Addresses[0].{id: AllocationId, publicIp: PublicIp}"
    return {
        "aws:ec2/getNatGateways:getNatGateways": many(
            "describe_nat_gateways", "NatGateways", {"ids": "NatGatewayId"}
        ),
        "aws:ec2/getNatGateway:getNatGateway": one(
            "describe_nat_gateways", "NatGatewayIds", f"NatGateways[0].{_GATEWAY}", "NAT Gateway"
        ),
        "aws:ec2/getEips:getEips": many("describe_addresses", "Addresses", addresses),
        "aws:ec2/getElasticIp:getElasticIp": one("describe_addresses", "AllocationIds", address, "EIP"),
    }
