"""Which source reaches which port, by the settings' rules and ufw's manual.

Written from ufw(8), docs/port-policy.md and Docker's documentation, not from the renderer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Any, Literal

RuleText = Mapping[str, Any]
Protocol = Literal["tcp", "udp"]

# ufw(8), `limit`: six tries within 30 seconds. Half of them have to pass despite retransmissions.
SURELY_WITHIN_LIMIT = 3


class Who(Enum):
    """The source of a packet."""

    OUTSIDE = "outside"
    CONTAINER = "a container"
    HOST = "the host"


class Way(Enum):
    """A way to a service."""

    HOST = "a process of the host"
    HOST_NETWORK = "a container on the host's network"
    PUBLISHED = "a port that Docker published"
    DIRECT = "a container's own address"
    LOOPBACK = "a port that Docker published on loopback"
    GROUP = "all hosts on a link"
    NOBODY = "a port where nobody listens"
    OUTBOUND = "a server in the world"


class Verdict(Enum):
    """The policy's allowed actions on a new connection."""

    PASS = "has to pass"
    DROP = "has to be dropped, unanswered"
    # Its rule is a limit, and there were several tries already.
    EITHER = "may pass"


@dataclass(frozen=True)
class Attempt:
    """A new connection."""

    who: Who
    source: str
    way: Way
    protocol: Protocol
    port: int


@dataclass
class Oracle:
    """Judges attempts in their order, under one rule set from its beginning."""

    rules: Sequence[RuleText]
    _tries: Counter[tuple[int, str]] = field(default_factory=Counter)

    def judge(self, attempt: Attempt) -> Verdict:
        """The required outcome of this attempt."""
        if attempt.who is Who.HOST:
            # Allow outbound: the host's own packets, to itself or to its containers.
            return Verdict.PASS
        if attempt.who is Who.OUTSIDE and attempt.way in (Way.DIRECT, Way.LOOPBACK, Way.GROUP):
            # Deny routed; ports published on loopback are for the host alone; strangers discover nothing.
            return Verdict.DROP
        if attempt.who is Who.CONTAINER and attempt.way in (Way.DIRECT, Way.OUTBOUND):
            # Allow outbound; and between containers Docker decides.
            return Verdict.PASS
        if attempt.way is Way.OUTBOUND:
            # Deny routed: the host isn't a router.
            return Verdict.DROP
        return self._by_rules(attempt)

    def _by_rules(self, attempt: Attempt) -> Verdict:
        for number, rule in enumerate(self.rules):
            if _fits(rule, attempt):
                return self._of(number, rule["action"], attempt.source)
        return Verdict.DROP

    def _of(self, number: int, action: str, source: str) -> Verdict:
        if action == "deny":
            return Verdict.DROP
        if action == "allow":
            return Verdict.PASS
        # In IPv6 a host has all addresses of a /64.
        host = source if ":" not in source else str(ip_network(f"{source}/64", strict=False))
        self._tries[number, host] += 1
        within = self._tries[number, host] <= SURELY_WITHIN_LIMIT
        return Verdict.PASS if within else Verdict.EITHER


def _fits(rule: RuleText, attempt: Attempt) -> bool:
    if "port" not in rule:  # of a protocol without ports
        return False
    first, _, last = str(rule["port"]).partition("-")
    return (
        attempt.protocol in protocols(rule)
        and int(first) <= attempt.port <= int(last or first)
        and (not rule.get("from") or _is_in(attempt.source, rule["from"]))
    )


def protocols(rule: RuleText) -> tuple[str, ...]:
    """The protocols of a rule; TCP by default."""
    named = rule.get("protocol", "tcp")
    return ("tcp", "udp") if named == "both" else (named,)


def _is_in(address: str, cidrs: Iterable[str]) -> bool:
    here = ip_address(address)
    return any(here in network for cidr in cidrs if (network := ip_network(cidr)).version == here.version)
