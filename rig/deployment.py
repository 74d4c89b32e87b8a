"""The stack in the rig: its settings, its images, and its leftovers."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from docker.models.containers import Container

from components.docker_hosts.settings import CampusSettings, Reader
from rig.docker_engine import image_tar
from rig.emulator import Emulator
from rig.namespaces import NAT, SERVER, SERVER_6
from rig.probe import Client, Login, trust_of
from rig.rig import Rig
from rig.stack import Settings, Stack, local_settings, merged, running_stack

HTTPS = 443
# Ports that the policy opens to the campus alone, and ports that it doesn't name.
CAMPUS_CIDR = "198.51.100.0/24"
SSH = 21541
LOKI = 3100
GUARDED_PORT = 3200
UNNAMED_PORT = 3201


def settings_for(rig: Rig, emulator: Emulator) -> Settings:
    """The local stack's settings, adapted to the rig: its Docker, its AWS, its whole network.

    Grafana is left out if its image isn't available, and so are metrics, which few tests need.
    """
    local = {key: area for key, area in local_settings().items() if key not in ("prometheus", "hostMetrics")}
    # The local stack's policy guards nothing. Here it guards the whole host.
    rules: list[dict[str, object]] = [
        {"action": "limit", "port": SSH, "comment": "SSH"},
        {"action": "allow", "port": 80},
        {"action": "allow", "port": HTTPS},
        {"action": "allow", "port": LOKI, "from": [CAMPUS_CIDR], "comment": "Loki"},
        {"action": "allow", "port": GUARDED_PORT, "from": [CAMPUS_CIDR]},
    ]
    has_grafana = image_tar(local["images"]["grafana"]).exists()
    return merged(
        local,
        {
            "campus": {"dockerHost": rig.engine.url},
            "aws": {"emulator": emulator.url},
            "grafana": {"enabled": has_grafana},
            "edge": {"httpPort": 80, "httpsPort": HTTPS},
            "loki": {"instances": {"aws": {"published": True, "publishedWide": True}}},
            "portPolicy": {
                "namespace": "host",
                "rules": rules,
                "operatorCidrs": [CAMPUS_CIDR],
                "sshPort": SSH,
            },
        },
    )


def loki_of(settings: Settings, instance: str) -> tuple[str, int]:
    """An instance's address on the campus server's private network."""
    port = settings["loki"]["instances"][instance]["port"]
    return CampusSettings.model_validate(settings["campus"]).private_address(port), port


def on_readers_network(role: Reader) -> str:
    """The fixed address of a container on the local stack's readers' network."""
    return CampusSettings.model_validate(local_settings()["campus"]).readers_address(role)


def load_images(rig: Rig, settings: Settings) -> None:
    """Load the settings' images into the rig's Docker, so that nothing has to be pulled."""
    grafana = ["grafana"] if settings["grafana"]["enabled"] else []
    prometheus = ["prometheus", "blackboxExporter"] if settings.get("prometheus") is not None else []
    collector = ["otelCollector"] if settings.get("hostMetrics", {}).get("enabled") else []
    roles = ["caddy", "loki", "portGuard", *grafana, *prometheus, *collector]
    for role in roles:
        rig.engine.load(settings["images"][role])


def docker_contents(rig: Rig) -> set[str]:
    """Every container, volume and network in the rig's Docker, by kind and name."""
    client = rig.engine.client()
    try:
        return {
            *(f"container {one.name}" for one in client.containers.list(all=True)),
            *(f"volume {one.name}" for one in client.volumes.list()),
            *(f"network {one.name}" for one in client.networks.list()),
        }
    finally:
        client.close()


@dataclass
class Deployment:
    """The local stack, deployed into the rig."""

    rig: Rig
    stack: Stack
    settings: Settings
    outputs: dict[str, Any]

    def up(self, *options: str) -> None:
        """Run `pulumi up`, and keep the stack's outputs."""
        self.stack.up(*options)
        self.outputs = self.stack.outputs()

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """A TLS context that trusts only this deployment's Caddy."""
        return trust_of(self.caddy())

    def client(self, source: str) -> Client:
        """A client in the world with this address."""
        edge = self.settings["edge"]
        server = SERVER_6 if ":" in source else SERVER
        return Client(
            self.rig.network.world,
            source,
            (server, edge["httpsPort"]),
            edge["domain"],
            self.trust,
        )

    def push_status(self, source: str, instance: str, login: Login | None = None) -> int:
        """The status of a push of a line from an address."""
        route = self.settings["loki"]["instances"][instance]["route"]
        return self.client(source).push("a line", route, login=login).status

    def accepts_lines(self) -> bool:
        """Whether each Loki accepts a line from the NAT, with the route's account if it has one."""
        logins = {"aws": None, "test": self.login()}
        try:
            return all(self.push_status(NAT, loki, login) == 204 for loki, login in logins.items())
        except OSError:  # Caddy isn't there yet
            return False

    def loki(self, instance: str) -> tuple[str, int]:
        """An instance's address on the campus server's private network."""
        return loki_of(self.settings, instance)

    def login(self) -> Login:
        """The account of the route with a password, from the stack's outputs."""
        [(user, password)] = self.outputs["shipper_credentials"]["test"].items()
        return Login(user, password)

    def caddy(self) -> Container:
        """The caddy container as it is now."""
        return self.container("caddy")

    def caddy_since(self) -> tuple[str, str]:
        """The running caddy container and its start: a new configuration may change neither."""
        return self.running_since("caddy")

    def container(self, name: str) -> Container:
        """One of the stack's containers as it is now."""
        client = self.rig.engine.client()
        try:
            return client.containers.get(self.settings["campus"]["namePrefix"] + name)
        finally:
            client.close()

    def running_since(self, name: str) -> tuple[str, str]:
        """The running container of that name, and its start."""
        container = self.container(name)
        return str(container.id), container.attrs["State"]["StartedAt"]


def configured(
    rig: Rig, emulator: Emulator, changes: Settings | None = None
) -> AbstractContextManager[Deployment]:
    """The stack before `pulumi up`, with changes to its settings in the rig; destroyed at the end."""
    return configured_as(rig, merged(settings_for(rig, emulator), changes or {}))


@contextmanager
def configured_as(rig: Rig, settings: Settings) -> Iterator[Deployment]:
    """The same with these settings."""
    load_images(rig, settings)
    with running_stack(settings) as stack:
        yield Deployment(rig, stack, settings, {})
    # The policy outlives the stack, so that a host is never open, but the next suite needs a host without
    # one. It is added first, since a stack that was never up has none.
    rig.network.campus.run("nft", "add table inet campus_policy; delete table inet campus_policy")


@contextmanager
def deployed(rig: Rig, emulator: Emulator, changes: Settings | None = None) -> Iterator[Deployment]:
    """The stack after `pulumi up`, with changes to its settings in the rig; destroyed at the end."""
    with configured(rig, emulator, changes) as made:
        made.up()
        yield made
