"""What replicas of a Loki on different Docker hosts need open between them, and nobody else. Pure."""

from __future__ import annotations

from typing import Literal

from components.campus.port_rules import Rule
from components.settings import Settings


def replica_rules(settings: Settings, host: str | None = None) -> list[Rule]:
    """The rules that come before the settings' own on another host, or (None) on the campus server.

    A Loki knows no users: its gRPC and its gossip are open to the hosts of the other replicas alone, and
    its own port to the campus server, where Caddy and Grafana are. Nobody else gets in, whatever rule of
    the settings names these ports; but to the Loki's own port if it is published.
    """
    addresses = {None: settings.campus.address} | {
        name: one.address for name, one in settings.campus.other_hosts.items()
    }
    rules: list[Rule] = []
    for name, loki in settings.loki.instances.items():
        hosts = (None, *loki.replica_hosts)
        if not loki.replica_hosts or host not in hosts:
            continue
        peers = tuple(f"{addresses[one]}/32" for one in hosts if one != host)
        comment = f"Loki {name}, replicas"
        rules += [_rule("allow", port, peers, comment) for port in loki.mesh_ports]
        closed = list(loki.mesh_ports)
        if host is not None:
            rules.append(_rule("allow", loki.port, (f"{addresses[None]}/32",), comment))
            if not loki.published:
                closed.append(loki.port)
        rules += [_rule("deny", port, (), comment) for port in closed]
    return rules


def _rule(action: Literal["allow", "deny"], port: int, sources: tuple[str, ...], comment: str) -> Rule:
    return Rule(
        action=action, protocol="tcp", first_port=port, last_port=port, sources=sources, comment=comment
    )
