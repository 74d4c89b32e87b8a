# pyright: strict
"""Where the replicas of a Loki run, what each is called, and who reaches it where. Pure."""

from __future__ import annotations

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

    @property
    def role(self) -> str:
        """The role, and so the name, of its container."""
        return f"loki-{self.name}"

    @property
    def campus_address(self) -> str:
        """Where the campus server's Caddy reaches it."""
        return self.address if self.host is None else self.advertised


@dataclass(frozen=True, kw_only=True)
class Placement:
    """A Loki as others see it: its replicas, the campus server's first."""

    # The instance's name in the settings.
    name: str
    # Where each replica answers in its container.
    port: int
    replicas: tuple[Replica, ...]
    # Where replicas on hosts of their own talk gRPC, and gossip; none where all are on one host.
    mesh_ports: tuple[int, ...]

    @property
    def is_spread(self) -> bool:
        """Whether each replica is on a host of its own."""
        return bool(self.mesh_ports)

    @property
    def upstreams(self) -> tuple[str, ...]:
        """host:port of each replica, as Caddy dials it."""
        return tuple(f"{one.role}:{self.port}" for one in self.replicas)

    @property
    def hosts(self) -> tuple[HostKey, ...]:
        """The host of each replica."""
        return tuple(one.host for one in self.replicas)

    @property
    def addresses(self) -> dict[str, str]:
        """Where the campus server reaches each replica, by its role."""
        return {one.role: one.campus_address for one in self.replicas}

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
