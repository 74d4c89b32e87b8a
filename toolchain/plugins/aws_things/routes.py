"""aws.ec2 RouteTable, Route and RouteTableAssociation."""

from __future__ import annotations

import zlib
from typing import Any

from toolchain.plugins.aws_things.ec2 import TAGS, Ec2Type, only, tag_specifications
from toolchain.plugins.aws_things.emulator import found_or_none
from toolchain.plugins.provider import PluginError, State, settled
from toolchain.plugins.schema import Failure, string

_NO_TABLE = ("InvalidRouteTableID.NotFound", "InvalidRouteTableId.Malformed")
_NO_ROUTE = "InvalidRoute.NotFound"
_TARGETS = {"gatewayId": "GatewayId", "natGatewayId": "NatGatewayId"}


class RouteTable(Ec2Type):
    """A table of routes; the routes are resources of their own."""

    token = "aws:ec2/routeTable:RouteTable"
    computed = ("arn", "ownerId", "propagatingVgws", "region", "routes", "tagsAll")
    inputs = {"vpcId": string(required=True, replace=True), "tags": TAGS}  # noqa: RUF012

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._ec2.create_route_table(
            VpcId=inputs["vpcId"], **tag_specifications("route-table", inputs)
        )["RouteTable"]["RouteTableId"]
        return made, self._read_back(made, inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        seen = _table(self._ec2, resource_id)
        if seen is None:
            return None
        return resource_id, {
            **state,
            **self._common(seen.get("Tags")),
            "arn": self._arn("route-table", resource_id, seen["OwnerId"]),
            "ownerId": seen["OwnerId"],
            "propagatingVgws": [],
            "routes": [_route_output(one) for one in seen["Routes"] if not _is_local(one)],
            "vpcId": seen["VpcId"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._retag(resource_id, old, new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        found_or_none(self._ec2.delete_route_table, *_NO_TABLE, RouteTableId=resource_id)


class Route(Ec2Type):
    """One route. Its target changes in place, its destination doesn't."""

    token = "aws:ec2/route:Route"
    computed = ("instanceId", "instanceOwnerId", "networkInterfaceId", "origin", "state", "region")
    inputs = {  # noqa: RUF012
        "routeTableId": string(required=True, replace=True),
        "destinationCidrBlock": string(required=True, replace=True),
        "gatewayId": string(),
        "natGatewayId": string(),
    }
    mirrors = {}  # noqa: RUF012

    def failures(self, inputs: State) -> list[Failure]:
        given = [name for name in _TARGETS if inputs.get(name)]
        if len(given) == 1:
            return []
        return [Failure("gatewayId", "exactly one of gatewayId and natGatewayId must be given")]

    def create(self, inputs: State) -> tuple[str, State]:
        table, destination = inputs["routeTableId"], inputs["destinationCidrBlock"]
        self._ec2.create_route(RouteTableId=table, DestinationCidrBlock=destination, **_target(inputs))
        made = _route_id(table, destination)
        return made, self._read_back(made, inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        table, destination = _where(resource_id, state)
        seen = _table(self._ec2, table)
        routes = [] if seen is None else seen["Routes"]
        route = only([one for one in routes if one.get("DestinationCidrBlock") == destination])
        if route is None:
            return None
        found = {
            **state,
            "routeTableId": table,
            "destinationCidrBlock": destination,
            "gatewayId": route.get("GatewayId", ""),
            "natGatewayId": route.get("NatGatewayId", ""),
            "instanceId": route.get("InstanceId", ""),
            "instanceOwnerId": route.get("InstanceOwnerId", ""),
            "networkInterfaceId": route.get("NetworkInterfaceId", ""),
            "origin": route.get("Origin", ""),
            "state": route.get("State", ""),
            "region": self._emulator.region,
        }
        return _route_id(table, destination), found

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._ec2.replace_route(
            RouteTableId=new["routeTableId"],
            DestinationCidrBlock=new["destinationCidrBlock"],
            **_target(new),
        )
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        table, destination = _where(resource_id, state)
        found_or_none(
            self._ec2.delete_route,
            _NO_ROUTE,
            *_NO_TABLE,
            RouteTableId=table,
            DestinationCidrBlock=destination,
        )


class RouteTableAssociation(Ec2Type):
    """Which table a subnet uses."""

    token = "aws:ec2/routeTableAssociation:RouteTableAssociation"
    computed = ("region",)
    inputs = {  # noqa: RUF012
        "routeTableId": string(required=True),
        "subnetId": string(required=True, replace=True),
    }
    mirrors = {}  # noqa: RUF012

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._ec2.associate_route_table(
            RouteTableId=inputs["routeTableId"], SubnetId=inputs["subnetId"]
        )["AssociationId"]
        return made, self._read_back(made, inputs)

    def _association(self, resource_id: str, state: State) -> Any | None:
        """By its id; by its subnet where an update gave it another one, or for an import."""
        subnet = state.get("subnetId") or resource_id.split("/")[0]
        tables = self._ec2.describe_route_tables()["RouteTables"]
        every = [one for table in tables for one in table["Associations"]]
        by_id = [one for one in every if one["RouteTableAssociationId"] == resource_id]
        return only(by_id + [one for one in every if one.get("SubnetId") == subnet])

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        seen = self._association(resource_id, state)
        if seen is None:
            return None
        return seen["RouteTableAssociationId"], {
            **state,
            "routeTableId": seen["RouteTableId"],
            "subnetId": seen.get("SubnetId", ""),
            "region": self._emulator.region,
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        seen = self._association(resource_id, old)
        if seen is None:
            raise PluginError(f"the route table association {resource_id} is gone: pulumi refresh")
        self._ec2.replace_route_table_association(
            AssociationId=seen["RouteTableAssociationId"], RouteTableId=new["routeTableId"]
        )
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        seen = self._association(resource_id, state)
        if seen is not None:
            self._ec2.disassociate_route_table(AssociationId=seen["RouteTableAssociationId"])


def _table(ec2: Any, table: str) -> Any | None:
    answer = found_or_none(ec2.describe_route_tables, *_NO_TABLE, RouteTableIds=[table])
    return None if answer is None else only(answer["RouteTables"])


def _target(inputs: State) -> dict[str, str]:
    return {api: inputs[name] for name, api in _TARGETS.items() if inputs.get(name)}


def _route_id(table: str, destination: str) -> str:
    """The real plugin's id of a route; AWS has none."""
    return f"r-{table}{zlib.crc32(destination.encode())}"


def _where(resource_id: str, state: State) -> tuple[str, str]:
    """A route's table and destination; an import names them as `table_destination`."""
    if state:
        return state["routeTableId"], state["destinationCidrBlock"]
    table, _, destination = resource_id.partition("_")
    if not destination:
        raise PluginError(f"a route is imported as ROUTETABLEID_DESTINATION, got {resource_id!r}")
    return table, destination


def _is_local(route: Any) -> bool:
    return route.get("GatewayId") == "local"


def _route_output(route: Any) -> dict[str, str]:
    return {
        "cidrBlock": route.get("DestinationCidrBlock", ""),
        "gatewayId": route.get("GatewayId", ""),
        "natGatewayId": route.get("NatGatewayId", ""),
    }
