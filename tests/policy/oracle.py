"""Who gets in where: judged from the rules as a person writes them, as ufw's manual reads them.

Written from ufw(8), from docs/port-policy.md and from what Docker documents, not from the renderer.
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

# ufw(8), `limit`: six tries within 30 seconds. Half of them have to pass however often one is sent again.
SURELY_WITHIN_LIMIT = 3


class Who(Enum):
    """Where a packet comes from."""

    OUTSIDE = "outside"
    CONTAINER = "a container"
    HOST = "the host"


class Way(Enum):
    """How a service is reached."""

    HOST = "a process of the host"
    HOST_NETWORK = "a container on the host's network"
    PUBLISHED = "a port that Docker published"
    DIRECT = "a container's own address"
    LOOPBACK = "a port that Docker published on loopback"
    GROUP = "all hosts on a link"
    NOBODY = "a port where nobody listens"
    OUTBOUND = "a server in the world"


class Verdict(Enum):
    """What the policy may do with a new connection."""

    PASS = "has to pass"
    DROP = "has to be dropped, unanswered"
    # Its rule limits, and there were several already.
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
    """Judges attempts in the order in which they are made, under one rule set from its beginning."""

    rules: Sequence[RuleText]
    _tries: Counter[tuple[int, str]] = field(default_factory=Counter)

    def judge(self, attempt: Attempt) -> Verdict:
        """What has to become of this attempt."""
        if attempt.who is Who.HOST:
            # Allow outbound: what the host sends, to itself or to its containers, is nobody else's.
            return Verdict.PASS
        if attempt.who is Who.OUTSIDE and attempt.way in (Way.DIRECT, Way.LOOPBACK, Way.GROUP):
            # Deny routed; what was published on loopback is for the host alone; strangers discover nobody.
            return Verdict.DROP
        if attempt.who is Who.CONTAINER and attempt.way in (Way.DIRECT, Way.OUTBOUND):
            # Allow outbound; and between containers Docker decides.
            return Verdict.PASS
        if attempt.way is Way.OUTBOUND:
            # Deny routed: the host is nobody's router.
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
    if "port" not in rule:  # of a protocol that has none
        return False
    first, _, last = str(rule["port"]).partition("-")
    return (
        attempt.protocol in protocols(rule)
        and int(first) <= attempt.port <= int(last or first)
        and (not rule.get("from") or _is_in(attempt.source, rule["from"]))
    )


def protocols(rule: RuleText) -> tuple[str, ...]:
    """The protocols that a rule speaks of; TCP where it doesn't say."""
    named = rule.get("protocol", "tcp")
    return ("tcp", "udp") if named == "both" else (named,)


def _is_in(address: str, cidrs: Iterable[str]) -> bool:
    here = ip_address(address)
    return any(here in network for cidr in cidrs if (network := ip_network(cidr)).version == here.version)
