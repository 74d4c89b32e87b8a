"""Tasks in private subnets: their connections come from whatever NAT gateway their route leads to now."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.rig.emulator import Emulator
from tests.rig.probe import Client, Connection

PRIVATE = "network-private-"
ANYWHERE = "0.0.0.0/0"


class Nat:
    """The emulated network's way out, asked anew for every push."""

    def __init__(self, emulator: Emulator) -> None:
        self._ec2 = emulator.client("ec2")
        self._tasks = itertools.count()
        # The addresses that something was sent from.
        self.used: set[str] = set()

    def new_task(self) -> int:
        """A task's number, which decides its subnet."""
        return next(self._tasks)

    def source(self, task: int) -> str:
        """The address that a task's connections have outside; without a way out, as without a network."""
        ways = sorted(
            (_name(table), route["NatGatewayId"])
            for table in self._ec2.describe_route_tables()["RouteTables"]
            for route in table["Routes"]
            if _name(table).startswith(PRIVATE)
            and route.get("DestinationCidrBlock") == ANYWHERE
            and "NatGatewayId" in route
        )
        if not ways:
            raise ConnectionError("no subnet has a way out")
        _, gateway = ways[task % len(ways)]
        [seen] = self._ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
        if seen["State"] != "available":
            raise ConnectionError(f"{gateway} is {seen['State']}")
        address = seen["NatGatewayAddresses"][0]["PublicIp"]
        self.used.add(address)
        return address


class SwitchedByHand(Nat):
    """A way out that isn't the stack's: somebody else says which address it is now."""

    def __init__(self, emulator: Emulator, address: str) -> None:
        super().__init__(emulator)
        self.address = address

    def source(self, task: int) -> str:
        """The same address for every task."""
        self.used.add(self.address)
        return self.address


def _name(thing: Mapping[str, Any]) -> str:
    return next((tag["Value"] for tag in thing.get("Tags", []) if tag["Key"] == "Name"), "")


class _Translated(Connection):
    """A connection that is made anew when its address outside has changed, as a NAT gateway's are."""

    nat: Nat
    task: int

    def request(self, *args: Any, **kwargs: Any) -> None:
        source = self.nat.source(self.task)
        if source != self.source:
            self.close()
            self.source = source
        super().request(*args, **kwargs)


@dataclass(frozen=True)
class NatClient(Client):
    """Somebody behind the NAT gateways."""

    nat: Nat

    @contextmanager
    def connected(self) -> Iterator[http.client.HTTPConnection]:
        """A connection for many requests of one task."""
        connection = _Translated(self.namespace, self.server, self.domain, tls=self.tls)
        connection.nat, connection.task = self.nat, self.nat.new_task()
        try:
            yield connection
        finally:
            connection.close()


def behind(client: Client, nat: Nat) -> NatClient:
    """The same client, behind the NAT gateways."""
    return NatClient(client.namespace, client.source, client.server, client.domain, client.tls, nat)
