"""The campus server with all its services, and all sources of probes.

The sources are network namespaces: the world behind one link, a neighbour on a second link, a client on the
host's own LAN bridge, two containers, and the host itself. The services are sockets of this process, opened
in the namespace of the host or of a container; only the published ports and the container on the host's
network are Docker's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool

from rig.inside import first_process
from rig.namespaces import (
    CAMPUS_CLIENT,
    NAT_6,
    SERVER,
    SERVER_6,
    SERVER_ON_CAMPUS,
    STRANGER,
    STRANGER_6,
    Namespace,
    ip,
)
from rig.probe import can_connect
from rig.processes import wait_for
from rig.rig import Rig
from tests.policy.oracle import Protocol, Way, Who
from tests.policy.services import Services

IMAGE = "campus-monitor/port-guard:dev"
CADDY = "caddy:2.11.7-alpine"

WITHOUT_PROXY = "--userland-proxy=false"

# The rig has the clients on the link `wan`; these links are this suite's own (RFC 5737, RFC 3849).
SECOND_LINK, OFFICE_LINK = "wan2", "eth1"
# The host's own bridge, named like Docker's bridges, but without hexadecimal digits.
OFFICE_BRIDGE = "br-office"
MATE, MATE_6 = "192.0.2.8", "2001:db8:2::8"
SERVER_TO_MATE, SERVER_TO_MATE_6 = "192.0.2.1", "2001:db8:2::1"
OFFICE, OFFICE_6 = "192.168.77.8", "2001:db8:77::8"
SERVER_TO_OFFICE, SERVER_TO_OFFICE_6 = "192.168.77.1", "2001:db8:77::1"

# Docker's networks: subnet, gateway, and the address of our container.
APPS, APPS_6 = "172.30.1.0/24", "fd00:30:1::/64"
APPS_GATEWAY, APPS_GATEWAY_6 = "172.30.1.1", "fd00:30:1::1"
APP, APP_6 = "172.30.1.10", "fd00:30:1::10"
NEIGHBOUR, NEIGHBOUR_6 = "172.30.1.11", "fd00:30:1::11"
OTHERS, OTHERS_6 = "172.30.2.0/24", "fd00:30:2::/64"
OTHERS_GATEWAY, OTHERS_GATEWAY_6 = "172.30.2.1", "fd00:30:2::1"
OTHER, OTHER_6 = "172.30.2.10", "fd00:30:2::10"

HOST_PORTS = (6001, 6002, 6003)
NOBODYS_PORT = 6004
# TCP only: its server is in a container.
HOST_NETWORK_PORT = 6005
# The port on the host, and the one in the container.
PUBLISHED = {7001: 7001, 7002: 9002}
LOOPBACK_PORT = 7101
CONTAINER_PORTS = (7001, 9001, 9002, LOOPBACK_PORT)
BOTH: Sequence[Protocol] = ("tcp", "udp")
# The port of a server in the world.
WORLD_PORT = 8001
# Every port that this suite's rules may cover.
PORTS = (*HOST_PORTS, NOBODYS_PORT, HOST_NETWORK_PORT, *PUBLISHED, LOOPBACK_PORT, WORLD_PORT, 9001, 9002)

# Docker 28 and later only let others route to a container if its network allows it.
UNPROTECTED = {f"com.docker.network.bridge.gateway_mode_ipv{one}": "nat-unprotected" for one in (4, 6)}


@dataclass(frozen=True)
class Source:
    """A client with an IPv4 and an IPv6 address, and the server's addresses for it.

    The server's first address is IPv4, the second IPv6.
    """

    name: str
    who: Who
    namespace: Namespace
    addresses: tuple[str, str]
    servers: tuple[str, ...]
    # Whether it may send to the server's 127.0.0.1 over its link.
    is_mate: bool = False


@dataclass(frozen=True)
class Probe:
    """One attempt to reach a service, as it is on the wire."""

    source: Source
    address: str
    way: Way
    protocol: Protocol
    destination: str
    port: int

    def __str__(self) -> str:
        return (
            f"{self.source.name} {self.address} -> {self.destination} {self.port}/{self.protocol} "
            f"({self.way.value})"
        )


@dataclass
class Site:
    """The shared site of this folder's suites."""

    rig: Rig
    engine: docker.DockerClient
    services: Services
    app: Container
    mate: Namespace
    office: Namespace

    @property
    def campus(self) -> Namespace:
        """The server's own network."""
        return self.rig.network.campus

    def container(self, name: str) -> Namespace:
        """The network of one of the suite's containers."""
        return Namespace(f"{self.rig.run.name}-{name}")

    def sources(self) -> list[Source]:
        """All sources of probes."""
        world, host = self.rig.network.world, self.campus
        at_home = (APPS_GATEWAY, APPS_GATEWAY_6)
        return [
            Source("stranger", Who.OUTSIDE, world, (STRANGER, STRANGER_6), (SERVER, SERVER_6, *at_home)),
            Source("campus", Who.OUTSIDE, world, (CAMPUS_CLIENT, NAT_6), (SERVER_ON_CAMPUS, SERVER_6)),
            Source(
                *("mate", Who.OUTSIDE, self.mate, (MATE, MATE_6)),
                (SERVER_TO_MATE, SERVER_TO_MATE_6),
                is_mate=True,
            ),
            Source(
                *("office", Who.OUTSIDE, self.office, (OFFICE, OFFICE_6)),
                (SERVER_TO_OFFICE, SERVER_TO_OFFICE_6, *at_home),
                is_mate=True,
            ),
            Source(
                *("neighbour", Who.CONTAINER, self.container("neighbour"), (NEIGHBOUR, NEIGHBOUR_6)),
                (SERVER, SERVER_6, *at_home),
            ),
            Source(
                *("other", Who.CONTAINER, self.container("other"), (OTHER, OTHER_6)),
                (SERVER, SERVER_6, OTHERS_GATEWAY, OTHERS_GATEWAY_6),
            ),
            Source("host", Who.HOST, host, (SERVER, SERVER_6), (SERVER, SERVER_6)),
        ]

    def source(self, name: str) -> Source:
        """The source of that name."""
        return next(source for source in self.sources() if source.name == name)

    def bridges(self) -> list[str]:
        """The bridges of Docker's networks, the apps' first."""
        networks = (self.engine.networks.list(names=[name])[0] for name in ("apps", "others"))
        return [f"br-{str(network.id)[:12]}" for network in networks]

    def probes(self, source: Source) -> list[Probe]:
        """Every way from a source to each service, over both families and both protocols."""
        found: list[Probe] = []

        def add(
            way: Way, destination: str, port: int, protocols: Sequence[Protocol] = ("tcp", "udp")
        ) -> None:
            address = source.addresses[0 if ip_address(destination).version == 4 else 1]
            found.extend(Probe(source, address, way, one, destination, port) for one in protocols)

        for server in source.servers:
            for port in HOST_PORTS:
                add(Way.HOST, server, port)
            for port in PUBLISHED:
                add(Way.PUBLISHED, server, port)
            add(Way.HOST_NETWORK, server, HOST_NETWORK_PORT, ["tcp"])
            # The ICMP error for UDP to such a port is sent once a second at most.
            add(Way.NOBODY, server, NOBODYS_PORT, ["tcp"])
        for app in (APP, APP_6):
            for port in CONTAINER_PORTS:
                add(Way.DIRECT, app, port)
        if source.namespace != self.rig.network.world:
            for server in (STRANGER, STRANGER_6):
                add(Way.OUTBOUND, server, WORLD_PORT)
        if source.is_mate:
            for loopback in ("127.0.0.1", "::1"):
                add(Way.LOOPBACK, loopback, LOOPBACK_PORT)
        return found


@contextmanager
def site_in(rig: Rig) -> Iterator[Site]:
    """The site in its own rig; everything is removed at the end."""
    _make_links(rig)
    for image in (IMAGE, CADDY):
        rig.engine.load(image)
    engine = rig.engine.client()
    services = Services()
    try:
        app = _make_containers(rig, engine)
        made = Site(rig, engine, services, app, *(_namespace(rig, name) for name in ("mate", "office")))
        with services.running():
            open_services(made)
            yield made
    finally:
        engine.close()


def open_services(site: Site) -> None:
    """Listen on the host, in the world and in the app's container, and wait for Docker's own server."""
    for port in HOST_PORTS:
        site.services.open(site.campus, port)
    site.services.open(site.rig.network.world, WORLD_PORT)
    open_containers(site)


def open_containers(site: Site) -> None:
    """Open the services that depend on Docker, also after its restart."""
    for name in ("app", "neighbour", "other"):
        wait_for(f"{name} runs", lambda name=name: attach(site, name), 60.0)
    for port in CONTAINER_PORTS:
        site.services.open(site.container("app"), port)
    # As it stays where the host was a router before Docker came (dockerd's documentation, "Docker on a
    # router"): only the policy is in the way of what is routed.
    for program in ("iptables", "ip6tables"):
        site.campus.run(program, "--policy", "FORWARD", "ACCEPT")
    open_what_docker_refuses(site)
    wait_for(
        "the container on the host's network answers",
        lambda: can_connect(site.campus, None, (SERVER, HOST_NETWORK_PORT)),
        60.0,
    )


def open_what_docker_refuses(site: Site) -> None:
    """Remove Docker's own refusals, such as of packets to 127.0.0.1 (since Docker 28: moby#49325).

    With nftables Docker rewrites all of its rules when a network is added or removed.
    """
    if site.rig.engine.kind.has_nftables:
        for family in ("ip", "ip6"):
            site.campus.run("nft", "flush", "chain", family, "docker-bridges", "raw-PREROUTING")
    else:
        site.campus.run("iptables", "--table", "raw", "--flush", "PREROUTING")


def attach(site: Site, name: str) -> bool:
    """Name a container's network namespace, which is new after a restart. False until it runs."""
    container = site.engine.containers.get(name)
    process = first_process(container) if container.status == "running" else None
    if process is None:
        return False
    namespace = site.container(name)
    if Path(namespace.path).exists():
        ip("netns", "del", namespace.name)
    ip("netns", "attach", namespace.name, str(process))
    return True


def _namespace(rig: Rig, name: str) -> Namespace:
    return Namespace(f"{rig.run.name}-{name}")


def _make_links(rig: Rig) -> None:
    campus = rig.network.campus.name
    mate, office = (_namespace(rig, name).name for name in ("mate", "office"))
    for name, link in ((mate, SECOND_LINK), (office, OFFICE_LINK)):
        ip("netns", "add", name)
        ip("-n", name, "link", "add", link, "type", "veth", "peer", "name", link, "netns", campus)
    ip("-n", campus, "link", "add", OFFICE_BRIDGE, "type", "bridge")
    ip("-n", campus, "link", "set", OFFICE_LINK, "master", OFFICE_BRIDGE)
    _address(campus, SECOND_LINK, f"{SERVER_TO_MATE}/24", f"{SERVER_TO_MATE_6}/64")
    _address(campus, OFFICE_BRIDGE, f"{SERVER_TO_OFFICE}/24", f"{SERVER_TO_OFFICE_6}/64")
    ip("-n", campus, "link", "set", OFFICE_LINK, "up")
    _make_mate(mate, SECOND_LINK, (MATE, MATE_6), (SERVER_TO_MATE, SERVER_TO_MATE_6))
    _make_mate(office, OFFICE_LINK, (OFFICE, OFFICE_6), (SERVER_TO_OFFICE, SERVER_TO_OFFICE_6))
    world = rig.network.world.name
    # Routes straight to containers, which any neighbour on the link can set.
    for subnet in (APPS, OTHERS, f"{MATE}/32", f"{OFFICE}/32"):
        ip("-n", world, "route", "add", subnet, "via", SERVER)
    for subnet in (APPS_6, OTHERS_6, f"{MATE_6}/128", f"{OFFICE_6}/128"):
        ip("-n", world, "route", "add", subnet, "via", SERVER_6)


def _make_mate(name: str, link: str, own: tuple[str, str], server: tuple[str, str]) -> None:
    """A neighbour whose 127.0.0.1 leads to the server: its own loopback device is down."""
    _address(name, link, f"{own[0]}/24", f"{own[1]}/64")
    _in(name, "sysctl", "-qw", f"net.ipv4.conf.{link}.route_localnet=1")
    for everything, via in (("default", server[0]), ("127.0.0.0/8", server[0]), ("default", server[1])):
        ip("-n", name, "route", "add", everything, "via", via)
    ip("-n", name, "route", "add", "::1/128", "via", server[1], "dev", link)


def _make_containers(rig: Rig, engine: docker.DockerClient) -> Container:
    for name, (subnet, gateway, subnet_6, gateway_6) in {
        "apps": (APPS, APPS_GATEWAY, APPS_6, APPS_GATEWAY_6),
        "others": (OTHERS, OTHERS_GATEWAY, OTHERS_6, OTHERS_GATEWAY_6),
    }.items():
        pools = [IPAMPool(subnet=subnet, gateway=gateway), IPAMPool(subnet=subnet_6, gateway=gateway_6)]
        engine.networks.create(
            name,
            driver="bridge",
            enable_ipv6=True,
            ipam=IPAMConfig(pool_configs=pools),
            options={} if rig.engine.kind.is_open else UNPROTECTED,
        )
    ports: dict[str, Any] = {}
    for protocol in ("tcp", "udp"):
        ports |= {f"{inside}/{protocol}": outside for outside, inside in PUBLISHED.items()}
        ports[f"{LOOPBACK_PORT}/{protocol}"] = [("127.0.0.1", LOOPBACK_PORT), ("::1", LOOPBACK_PORT)]
    app = _run(engine, "app", "apps", (APP, APP_6), ports)
    _run(engine, "neighbour", "apps", (NEIGHBOUR, NEIGHBOUR_6), {})
    _run(engine, "other", "others", (OTHER, OTHER_6), {})
    engine.containers.run(
        CADDY,
        ["caddy", "respond", "--listen", f":{HOST_NETWORK_PORT}"],
        name="host-network",
        network_mode="host",
        detach=True,
        restart_policy={"Name": "always"},
    )
    return app


def _run(
    engine: docker.DockerClient, name: str, network: str, addresses: tuple[str, str], ports: dict[str, Any]
) -> Container:
    """A container that does nothing, with fixed addresses."""
    fixed = engine.api.create_endpoint_config(ipv4_address=addresses[0], ipv6_address=addresses[1])
    return engine.containers.run(
        IMAGE,
        ["sleep", "infinity"],
        name=name,
        detach=True,
        init=True,
        network=network,
        networking_config={network: fixed},
        ports=ports,
        restart_policy={"Name": "always"},
    )


def _address(name: str, link: str, *addresses: str) -> None:
    for address in addresses:
        # Without `nodad` an IPv6 address can't be used in its first second.
        ip("-n", name, "addr", "add", address, "dev", link, *(("nodad",) if ":" in address else ()))
    ip("-n", name, "link", "set", link, "up")


def _in(name: str, *command: str) -> None:
    Namespace(name).run(*command)
