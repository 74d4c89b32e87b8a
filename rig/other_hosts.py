"""More Docker hosts on campus, each with its own engine, on a network shared with the world."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from rig.docker_engine import DockerEngine
from rig.namespaces import CAMPUS_CLIENT, Namespace, ip
from rig.rig import Rig
from rig.run import Run, opened_run

LAN = "lan"
# The campus server, a neighbour, and a router to the rest of the campus.
SERVER_ON_LAN = "10.40.0.1"
STRANGER_ON_LAN = "10.40.0.9"
ROUTER = "10.40.0.254"
FIRST_OTHER = 2

# The engines of the running hosts.
running: list[DockerEngine] = []


@dataclass(frozen=True)
class OtherHost:
    """A Docker host beside the campus server."""

    address: str
    namespace: Namespace
    engine: DockerEngine

    @property
    def settings(self) -> dict[str, Any]:
        """Its entry in the stack's settings."""
        return {"dockerHost": self.engine.url, "address": self.address}

    def unplug(self) -> None:
        """Take it off the network without notice."""
        ip("-n", self.namespace.name, "link", "set", LAN, "down")

    def plug(self) -> None:
        """Put it back."""
        ip("-n", self.namespace.name, "link", "set", LAN, "up")
        _lead_to_the_campus(self.namespace)


@contextmanager
def running_other_hosts(
    rig: Rig, names: Sequence[str], images: Sequence[str]
) -> Iterator[dict[str, OtherHost]]:
    """Hosts with these images, for the duration of the block; nothing of them is left, however it ends."""
    with ExitStack() as kept:
        switch = _switch(kept.enter_context(opened_run()))
        _plug_in(switch, rig.network.campus, [SERVER_ON_LAN])
        _plug_in(switch, rig.network.world, [ROUTER, STRANGER_ON_LAN])
        made: dict[str, OtherHost] = {}
        for number, name in enumerate(names, FIRST_OTHER):
            made[name] = _start(kept, switch, f"10.40.0.{number}")
            for image in images:
                made[name].engine.load(image)
        yield made


def _start(kept: ExitStack, switch: Namespace, address: str) -> OtherHost:
    run = kept.enter_context(opened_run())
    namespace = Namespace(f"{run.name}-host")
    ip("netns", "add", namespace.name)
    ip("-n", namespace.name, "link", "set", "lo", "up")
    _plug_in(switch, namespace, [address])
    _lead_to_the_campus(namespace)
    engine = DockerEngine.start(run, namespace)
    kept.callback(engine.stop)
    running.append(engine)
    kept.callback(running.remove, engine)
    return OtherHost(address, namespace, engine)


def _switch(run: Run) -> Namespace:
    """A namespace with only a bridge, whose links are removed with it."""
    switch = Namespace(f"{run.name}-switch")
    ip("netns", "add", switch.name)
    ip("-n", switch.name, "link", "add", LAN, "type", "bridge")
    ip("-n", switch.name, "link", "set", LAN, "up")
    return switch


def _plug_in(switch: Namespace, namespace: Namespace, addresses: Sequence[str]) -> None:
    port = f"p{addresses[0].rpartition('.')[2]}"
    ip(
        *("-n", switch.name, "link", "add", port, "type", "veth"),
        *("peer", "name", LAN, "netns", namespace.name),
    )
    ip("-n", switch.name, "link", "set", port, "master", LAN, "up")
    for address in addresses:
        ip("-n", namespace.name, "addr", "add", f"{address}/24", "dev", LAN)
    ip("-n", namespace.name, "link", "set", LAN, "up")


def _lead_to_the_campus(namespace: Namespace) -> None:
    """Add a route to the bucket."""
    network = f"{CAMPUS_CLIENT.rpartition('.')[0]}.0/24"
    ip("-n", namespace.name, "route", "replace", network, "via", ROUTER)
