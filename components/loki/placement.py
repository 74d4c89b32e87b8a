# pyright: strict
"""The hosts, names and addresses of a Loki's replicas. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from components.docker_hosts.settings import CampusSettings, HostKey
from components.loki.settings import LokiSettings, replica_names


@dataclass(frozen=True, kw_only=True)
class Replica:
    """One replica of a Loki, or a single Loki."""

    # Unique among all replicas of all Lokis.
    name: str
    host: HostKey
    # Its fixed address on its host's private network.
    address: str
    # Its address for the other replicas: the same, or its host's own.
    advertised: str

    @property
    def role(self) -> str:
        """Its container's role, and thus name."""
        return f"loki-{self.name}"

    @property
    def campus_address(self) -> str:
        """Its address for the campus server's Caddy."""
        return self.address if self.host is None else self.advertised


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A Loki's replicas, the campus server's first."""

    # The instance's name in the settings.
    name: str
    # Each replica's port in its container.
    port: int
    replicas: tuple[Replica, ...]
    # The ports for gRPC and gossip between hosts; none if all replicas are on one host.
    mesh_ports: tuple[int, ...]

    @property
    def is_spread(self) -> bool:
        """Whether each replica is on a different host."""
        return bool(self.mesh_ports)

    @property
    def upstreams(self) -> tuple[str, ...]:
        """host:port of each replica, for Caddy."""
        return tuple(f"{one.role}:{self.port}" for one in self.replicas)

    @property
    def hosts(self) -> tuple[HostKey, ...]:
        """The host of each replica."""
        return tuple(one.host for one in self.replicas)

    @property
    def addresses(self) -> dict[str, str]:
        """Each replica's address for the campus server, by role."""
        return {one.role: one.campus_address for one in self.replicas}

    def peers(self, host: HostKey) -> tuple[str, ...]:
        """The addresses of the replicas on other hosts."""
        return tuple(one.advertised for one in self.replicas if one.host != host)


def place(name: str, loki: LokiSettings, campus: CampusSettings) -> Placement:
    """Place a Loki's replicas: all on the campus server, or each after the first on another host."""
    is_spread = bool(loki.replica_hosts)
    hosts: tuple[HostKey, ...] = (None, *loki.replica_hosts) if is_spread else (None,) * loki.replicas
    ports = (loki.port,) * loki.replicas if is_spread else loki.ports
    names = replica_names(name, loki)
    return Placement(
        name=name,
        port=loki.port,
        replicas=tuple(
            Replica(
                name=replica,
                host=host,
                address=campus.private_address(port),
                advertised=campus.host_address(host) if is_spread else campus.private_address(port),
            )
            for replica, host, port in zip(names, hosts, ports, strict=True)
        ),
        mesh_ports=loki.ports[1:3] if is_spread else (),
    )
