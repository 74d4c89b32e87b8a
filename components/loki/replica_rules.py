# pyright: strict
"""The rules that open ports only between a Loki's replicas on different Docker hosts. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

from components.docker_hosts.settings import HostKey
from components.loki.placement import Placement
from components.port_policy.rules import Kept, Rule


def replica_rules(lokis: Sequence[Placement], host: HostKey) -> list[Rule]:
    """The rules that come before the settings' own on a host.

    A Loki has no users: its gRPC and gossip ports are open only to the hosts of the other replicas, and its
    own port only to the campus server, for Caddy. No rule of the settings can open these ports to others.
    """
    return [rule for loki in _spread_to(lokis, host) for rule in _rules(loki, host)]


def kept_from_containers(lokis: Sequence[Placement], host: HostKey, network_cidr: str) -> list[Kept]:
    """The ports of other hosts that a host's containers can't reach, except from the Lokis' network.

    Docker sends their packets from the host's own address, to which the other hosts open these ports.
    """
    return [
        Kept(
            network_cidr=network_cidr,
            addresses=loki.peers(host),
            ports=loki.mesh_ports if host is not None else (loki.port, *loki.mesh_ports),
        )
        for loki in _spread_to(lokis, host)
    ]


def _spread_to(lokis: Sequence[Placement], host: HostKey) -> list[Placement]:
    return [loki for loki in lokis if loki.is_spread and host in loki.hosts]


def _rules(loki: Placement, host: HostKey) -> Iterator[Rule]:
    comment = f"Loki {loki.name}, replicas"
    peers = tuple(f"{address}/32" for address in loki.peers(host))
    closed = [*loki.mesh_ports, *([] if host is None else [loki.port])]
    for port in loki.mesh_ports:
        yield _rule("allow", port, peers, comment)
    if host is not None:
        yield _rule("allow", loki.port, (f"{loki.replicas[0].advertised}/32",), comment)
    for port in closed:
        yield _rule("deny", port, (), comment)


def _rule(action: Literal["allow", "deny"], port: int, sources: tuple[str, ...], comment: str) -> Rule:
    return Rule(
        action=action, protocol="tcp", first_port=port, last_port=port, sources=sources, comment=comment
    )
