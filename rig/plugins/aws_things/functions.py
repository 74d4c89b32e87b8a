"""The functions that look up public addresses, images and the account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rig.plugins.aws_things.emulator import Emulator
from rig.plugins.aws_things.resource import from_api, search
from rig.plugins.provider import Function, PluginError, State
from rig.plugins.schema import boolean, mapping, objects, string, strings

_FILTERS = objects("list", {"name": string(required=True), "values": strings("list", required=True)})
_GATEWAY = (
    "{publicIp: NatGatewayAddresses[0].PublicIp || '',"
    " secondaryAllocationIds: NatGatewayAddresses[1:].AllocationId}"
)


def functions(emulator: Emulator) -> dict[str, Function]:
    """The functions by token, for that emulator."""

    def found(operation: str, asked: State, *filters: State) -> list[Any]:
        tags = asked.get("tags") or {}
        wanted = [{"Name": one["name"], "Values": one["values"]} for one in asked.get("filters") or []]
        wanted += [{"Name": f"tag:{name}", "Values": [value]} for name, value in tags.items()]
        answer = getattr(emulator.client("ec2"), operation)(Filters=[*wanted, *filters])
        [things] = [value for value in answer.values() if isinstance(value, list)]
        # The emulator returns all NAT gateways, whatever their tags.
        return [one for one in things if tags.items() <= from_api(mapping(), one.get("Tags")).items()]

    def many(operation: str, lists: Mapping[str, str]) -> Function:
        def call(asked: State) -> State:
            things = found(operation, asked)
            listed = {name: [one[member] for one in things] for name, member in lists.items()}
            region = emulator.region
            return {"id": region, "region": region, "tags": asked.get("tags") or {}, **listed}

        return Function(inputs={"filters": _FILTERS, "tags": mapping()}, call=call)

    def one(operation: str, key: str, path: str, thing: str) -> Function:
        def call(asked: State) -> State:
            things = found(operation, {}, {"Name": key, "Values": [asked["id"]]})
            if not things:
                raise PluginError(f"no matching EC2 {thing} found")
            return {**search(path, things[0]), **asked, "region": emulator.region}

        return Function(inputs={"id": string(required=True)}, call=call)

    gateways, addresses = "describe_nat_gateways", "describe_addresses"
    both, address = (
        {"allocationIds": "AllocationId", "publicIps": "PublicIp"},
        "{publicIp: PublicIp}",
    )
    found_by_token = {
        "getNatGateways": many(gateways, {"ids": "NatGatewayId"}),
        "getNatGateway": one(gateways, "nat-gateway-id", _GATEWAY, "NAT Gateway"),
        "getEips": many(addresses, both),
        "getElasticIp": one(addresses, "allocation-id", address, "EIP"),
    }

    def image(asked: State) -> State:
        wanted = [{"Name": one["name"], "Values": one["values"]} for one in asked.get("filters") or []]
        found = emulator.client("ec2").describe_images(Owners=asked["owners"], Filters=wanted)["Images"]
        if not found or (len(found) > 1 and not asked.get("mostRecent")):
            raise PluginError(
                f"{len(found)} images were found. Please change your search criteria and try again."
            )
        newest = max(found, key=lambda one: (one["CreationDate"], one["Name"]))
        return {"id": newest["ImageId"], "imageId": newest["ImageId"], "name": newest["Name"], **asked}

    def caller(_: State) -> State:
        who = emulator.identity()
        return {"id": who["Account"], "accountId": who["Account"], "arn": who["Arn"], "userId": who["UserId"]}

    identity = Function(inputs={"id": string()}, call=caller)
    return {
        "aws:index/getCallerIdentity:getCallerIdentity": identity,
        "aws:ec2/getAmi:getAmi": Function(
            inputs={"mostRecent": boolean(), "owners": strings("list", required=True), "filters": _FILTERS},
            call=image,
        ),
        **{f"aws:ec2/{name}:{name}": function for name, function in found_by_token.items()},
    }
