# pyright: strict
"""Where the replicas of a Loki run, what each is called, and who reaches it where. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from components.docker_hosts.settings import CampusSettings, HostKey
from components.loki.settings import LokiSettings, replica_names


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One replica of a Loki, or the only one."""

    # What tells it from all others of all Lokis.
    name: str
    host: HostKey
    # Its fixed address on the private network of its host.
    address: str
    # Where the other replicas reach it: there, or at its host's own address.
    advertised: str
    # Its port on its host, if it is published there.
    published_port: int

    @property
    def role(self) -> str:
        """The role, and so the name, of its container."""
        return f"loki-{self.name}"

    @property
    def campus_address(self) -> str:
        """Where the campus server's own containers reach it."""
        return self.address if self.host is None else self.advertised


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A Loki as others see it: its replicas, the campus server's first."""

    # The instance's name in the settings.
    name: str
    # Where each replica answers in its container.
    port: int
    published: bool
    replicas: tuple[Replica, ...]
    # Where replicas on hosts of their own talk gRPC, and gossip; none where all are on one host.
    mesh_ports: tuple[int, ...]

    @property
    def is_spread(self) -> bool:
        """Whether each replica is on a host of its own."""
        return bool(self.mesh_ports)

    @property
    def alias(self) -> str:
        """The name under which Docker's DNS has the addresses of all replicas that run."""
        return f"loki-{self.name}-replicas"

    @property
    def url(self) -> str:
        """Where it answers inside: of several replicas any that runs."""
        host = self.replicas[0].address if len(self.replicas) == 1 else self.alias
        return f"http://{host}:{self.port}"

    @property
    def upstreams(self) -> tuple[str, ...]:
        """host:port of each replica, as Caddy dials it."""
        return tuple(f"{one.role}:{self.port}" for one in self.replicas)

    @property
    def hosts(self) -> tuple[HostKey, ...]:
        """The host of each replica."""
        return tuple(one.host for one in self.replicas)

    @property
    def campus_addresses(self) -> list[str]:
        """Where the campus server's own containers reach each replica."""
        return [one.campus_address for one in self.replicas]

    @property
    def published_ports(self) -> tuple[int, ...]:
        """Where those whom the port policy names reach it, if it is published."""
        return tuple(dict.fromkeys(one.published_port for one in self.replicas))

    def peers(self, host: HostKey) -> tuple[str, ...]:
        """The addresses of the replicas on other hosts."""
        return tuple(one.advertised for one in self.replicas if one.host != host)


def place(name: str, loki: LokiSettings, campus: CampusSettings) -> Placement:
    """Where the replicas of a Loki are: on the campus server, or each after the first on another host."""
    is_spread = bool(loki.replica_hosts)
    hosts: tuple[HostKey, ...] = (None, *loki.replica_hosts) if is_spread else (None,) * loki.replicas
    ports = (loki.port,) * loki.replicas if is_spread else loki.ports
    names = replica_names(name, loki)
    return Placement(
        name=name,
        port=loki.port,
        published=loki.published,
        replicas=tuple(
            Replica(
                name=replica,
                host=host,
                address=campus.private_address(port),
                advertised=campus.host_address(host) if is_spread else campus.private_address(port),
                published_port=port,
            )
            for replica, host, port in zip(names, hosts, ports, strict=True)
        ),
        mesh_ports=loki.ports[1:3] if is_spread else (),
    )


def replicas_elsewhere(placements: Iterable[Placement]) -> dict[str, list[str]]:
    """The addresses of replicas that Docker's own DNS doesn't know all of, by their common name."""
    return {one.alias: one.campus_addresses for one in placements if one.is_spread}
