"""Tasks in private subnets: their connections come from the NAT that their route leads to now."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from rig.emulator import Emulator
from rig.namespaces import AUTHORITY
from rig.probe import Client, Connection

PRIVATE = "network-private-"
# An instance's address until it takes its Elastic IP: an address of the world that isn't allowed.
GIVEN_BY_AWS = AUTHORITY
ANYWHERE = "0.0.0.0/0"


class Nat:
    """The emulated network's egress, looked up for every push."""

    def __init__(self, emulator: Emulator) -> None:
        self._ec2 = emulator.client("ec2")
        self._tasks = itertools.count()
        # The source addresses so far.
        self.used: set[str] = set()

    def new_task(self) -> int:
        """A new task's number, which decides its subnet."""
        return next(self._tasks)

    def source(self, task: int) -> str:
        """The public source address of a task's connections; an OSError if it has no route."""
        ways = sorted(
            (_name(table), way)
            for table in self._ec2.describe_route_tables()["RouteTables"]
            for route in table["Routes"]
            if _name(table).startswith(PRIVATE)
            and route.get("DestinationCidrBlock") == ANYWHERE
            and (way := route.get("NatGatewayId") or route.get("NetworkInterfaceId"))
        )
        if not ways:
            raise ConnectionError("no subnet has a way out")
        _, way = ways[task % len(ways)]
        address = self._of_interface(way) if way.startswith("eni-") else self._of_gateway(way)
        self.used.add(address)
        return address

    def _of_gateway(self, gateway: str) -> str:
        [seen] = self._ec2.describe_nat_gateways(NatGatewayIds=[gateway])["NatGateways"]
        if seen["State"] != "available":
            raise ConnectionError(f"{gateway} is {seen['State']}")
        return seen["NatGatewayAddresses"][0]["PublicIp"]

    def _of_interface(self, interface: str) -> str:
        """The address of the instance with this interface; an error while no instance has it."""
        [seen] = self._ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
        instance = seen.get("Attachment", {}).get("InstanceId")
        if not instance:
            raise ConnectionError(f"{interface} is at no instance")
        return address_of(self._ec2, own_interface(self._ec2, instance))


def own_interface(ec2: Any, instance: str) -> str:
    """An instance's original network interface."""
    [reservation] = ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    [seen] = reservation["Instances"]
    if seen["State"]["Name"] != "running":
        raise ConnectionError(f"{instance} is {seen['State']['Name']}")
    [own] = [one for one in seen["NetworkInterfaces"] if one["Attachment"]["DeviceIndex"] == 0]
    return own["NetworkInterfaceId"]


def address_of(ec2: Any, interface: str) -> str:
    """The public source address of an interface: an Elastic IP, or else AWS' own."""
    of_it = [{"Name": "network-interface-id", "Values": [interface]}]
    found = ec2.describe_addresses(Filters=of_it)["Addresses"]
    return found[0]["PublicIp"] if found else GIVEN_BY_AWS


class SwitchedByHand(Nat):
    """An egress outside the stack: the test sets its current address."""

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
    """A connection that reconnects when its public address has changed, as behind a NAT gateway."""

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
    """A client behind the NAT gateways."""

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
