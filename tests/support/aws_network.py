"""A fake AWS account with a network, and the stack's resources in it."""

from __future__ import annotations

from typing import Any

import pulumi
from pulumi.runtime import mocks

from components.aws.egress import EgressAddresses, EgressAddressesArgs, EgressNetwork, EgressNetworkArgs
from components.aws.egress_settings import EgressCreate, EgressSettings
from tests.support.fake_engine import Engine, known

NATS = {"nat-00000001": "203.0.113.9", "nat-00000002": "203.0.113.7"}

ELASTIC = {"eipalloc-00000007": "203.0.113.7", "eipalloc-00000009": "203.0.113.9"}


def zones_of(letters: list[str]) -> list[str]:
    """Zones of one region."""
    return [f"ap-northeast-2{letter}" for letter in letters]


class Account(Engine):
    """An AWS account with two NAT gateways; the first has a second address."""

    secondary: tuple[str, ...] = ()
    # The second gateway's addresses, if it is a regional one.
    regional: tuple[str, ...] = ()
    grows: str = "disabled"
    images: tuple[str, ...] = ("ami-00000001",)

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        made, outputs = super().new_resource(args)
        address = args.inputs.get("address", "203.0.113.1")
        return made, outputs | {"publicIp": address, "allocationId": f"{args.name}-allocation"}

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        asked = args.args
        name = args.token.rsplit(":", 1)[1]
        if name == "getNatGateways":
            assert asked["filters"] == [{"name": "state", "values": ["available"]}]
            return {"ids": list(NATS) if asked["tags"] == {"for": "tasks"} else []}, []
        if name == "getAmi":
            assert self.images
            wanted = {one["name"]: one["values"] for one in asked["filters"]}
            assert (asked["owners"], wanted["architecture"]) == (["568608671756"], ["arm64"])
            return {"id": self.images[-1]}, []
        if name == "getCallerIdentity":
            return super().call(args)
        if name == "getNatGateway" and self.regional and asked["id"] == "nat-00000002":
            listed = [{"publicIp": ip} for ip in self.regional]
            return {"publicIp": "", "regionalNatGatewayAddresses": listed, "autoScalingIps": self.grows}, []
        if name == "getNatGateway":
            more = list(self.secondary) if asked["id"] == "nat-00000001" else []
            return {"publicIp": NATS[asked["id"]], "secondaryAllocationIds": more}, []
        if name == "getElasticIp":
            return {"publicIp": ELASTIC.get(asked["id"], asked["id"].removeprefix("eipalloc-"))}, []
        assert name == "getEips"
        return {"publicIps": ["203.0.113.8"] if asked["tags"] == {"for": "tasks"} else []}, []


def addresses(**egress: Any) -> EgressAddresses:
    """The component for these settings."""
    return EgressAddresses("egress", EgressAddressesArgs(egress=EgressSettings.model_validate(egress)))


def made_network(account: Account, **changes: Any) -> dict[str, dict[str, Any]]:
    """The inputs of the addresses' and the network's resources, by kind and name, with zones a and c."""
    create = {"zones": zones_of(["a", "c"]), **changes}

    def make() -> pulumi.Output[Any]:
        made = addresses(create=create)
        args = EgressNetworkArgs(
            create=EgressCreate.model_validate(create),
            region="ap-northeast-2",
            allocation_ids=made.allocation_ids,
            public_ips=made.by_zone,
        )
        return EgressNetwork("network", args).vpc_id

    known(make)
    return {
        f"{one.typ.rsplit(':', 1)[1]} {one.name.removeprefix('network-')}": one.inputs
        for one in (*account.registered["egress"], *account.registered["network"])
    }
