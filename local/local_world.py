"""The world around the local stack: a network that fakes the internet, for containers that push."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from local import docker

NETWORK = "campus-monitor-world"
PROBE_PREFIX = "campus-monitor-probe-"


@dataclass(frozen=True)
class World:
    """The addresses of that network."""

    network: str
    gateway: str
    allowed: str
    stranger: str


def world_around(allowed: str) -> World:
    """The /24 around the allowed address, with the machine and a stranger in it."""
    address = ipaddress.IPv4Address(allowed)
    network = ipaddress.ip_network(f"{allowed}/24", strict=False)
    free = [host for host in network.hosts() if host != address]
    stranger = address + 1 if address + 1 in free[1:] else free[1]
    return World(str(network), str(free[0]), allowed, str(stranger))


@contextmanager
def network(world: World) -> Iterator[None]:
    """The network, for the duration of the block."""
    clean_up()
    docker.must("network", "create", "--subnet", world.network, "--gateway", world.gateway, NETWORK)
    try:
        yield
    finally:
        clean_up()


def clean_up() -> None:
    """Remove the network and the probes, an interrupted run's too."""
    for container in docker.names("container", PROBE_PREFIX):
        docker.run("rm", "--force", container)
    if NETWORK in docker.names("network", NETWORK):
        docker.run("network", "rm", NETWORK)
