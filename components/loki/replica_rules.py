# pyright: strict
"""What replicas of a Loki on different Docker hosts need open between them, and nobody else. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.port_policy.rules import Kept, Rule

# A host's name in the settings; None is the campus server.
HostKey = str | None


@dataclass(frozen=True, kw_only=True)
class SpreadLoki:
    """A Loki whose replicas are on hosts of their own."""

    name: str
    port: int
    # gRPC and gossip.
    mesh_ports: tuple[int, ...]
    hosts: tuple[HostKey, ...]
    published: bool


def replica_rules(lokis: Sequence[SpreadLoki], addresses: Mapping[HostKey, str], host: HostKey) -> list[Rule]:
    """The rules that come before the settings' own on a host.

    A Loki knows no users: its gRPC and its gossip are open to the hosts of the other replicas alone, and
    its own port to the campus server, where Caddy and Grafana are. Nobody else gets in, whatever rule of
    the settings names these ports; but to the Loki's own port if it is published.
    """
    return [rule for loki in lokis if host in loki.hosts for rule in _rules(loki, addresses, host)]


def kept_from_containers(
    lokis: Sequence[SpreadLoki], addresses: Mapping[HostKey, str], host: HostKey, network_cidr: str
) -> list[Kept]:
    """What on the other hosts a host's containers don't reach, but for those in the stack's own network.

    Docker lets them go out by the host's own address, to which the other hosts open these ports.
    """
    return [
        Kept(
            network_cidr=network_cidr,
            addresses=tuple(addresses[one] for one in loki.hosts if one != host),
            ports=loki.mesh_ports if host is not None else (loki.port, *loki.mesh_ports),
        )
        for loki in lokis
        if host in loki.hosts
    ]


def _rules(loki: SpreadLoki, addresses: Mapping[HostKey, str], host: HostKey) -> Iterator[Rule]:
    comment = f"Loki {loki.name}, replicas"
    peers = tuple(f"{addresses[one]}/32" for one in loki.hosts if one != host)
    closed = list(loki.mesh_ports)
    for port in loki.mesh_ports:
        yield _rule("allow", port, peers, comment)
    if host is not None:
        yield _rule("allow", loki.port, (f"{addresses[None]}/32",), comment)
        if not loki.published:
            closed.append(loki.port)
    for port in closed:
        yield _rule("deny", port, (), comment)


def _rule(action: Literal["allow", "deny"], port: int, sources: tuple[str, ...], comment: str) -> Rule:
    return Rule(
        action=action, protocol="tcp", first_port=port, last_port=port, sources=sources, comment=comment
    )
