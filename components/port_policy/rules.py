# pyright: strict
"""The port policy's rules as plain values, their rows, and which sources they let in. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Action = Literal["allow", "limit", "deny"]
Protocol = Literal["tcp", "udp", "both"]
# Protocols without ports, by number (IANA, "Protocol Numbers"): IPsec, a tunnel, and VRRP.
Portless = Literal["ah", "esp", "gre", "vrrp"]
AnyProtocol = Literal[Protocol, Portless]
NUMBERS: dict[Portless, int] = {"ah": 51, "esp": 50, "gre": 47, "vrrp": 112}
Family = Literal["ip", "ip6"]

_BITS: dict[Family, int] = {"ip": 32, "ip6": 128}

# First and last address, as numbers.
_Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the settings; the first rule that matches a new connection decides."""

    action: Action
    protocol: AnyProtocol
    # 0 if the protocol has no ports.
    first_port: int = 0
    last_port: int = 0
    # CIDRs; none means anywhere.
    sources: tuple[str, ...] = ()
    comment: str = ""

    def is_for(self, port: int, protocol: Protocol) -> bool:
        """Whether the rule covers this port."""
        return self.protocol in (protocol, "both") and self.first_port <= port <= self.last_port


@dataclass(frozen=True, kw_only=True)
class Kept:
    """TCP ports elsewhere that only containers of one network reach, and no others of the host."""

    network_cidr: str
    addresses: tuple[str, ...]
    ports: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Row:
    """A rule for one address family and one source: a line of `ufw status numbered`."""

    number: int
    family: Family
    rule: Rule
    # None means anywhere.
    source: str | None

    def __str__(self) -> str:
        """The row as ufw prints it."""
        rule = self.rule
        mark = " (v6)" if self.family == "ip6" else ""
        port = _written(rule)
        to = port if self.source else port + mark
        comment = f" # {rule.comment}" if rule.comment else ""
        source = self.source or f"Anywhere{mark}"
        return f"[{self.number:2}] {to:<26} {rule.action.upper() + ' IN':<12}{source:<26}{comment}".rstrip()


def _written(rule: Rule) -> str:
    """The ports of a rule, and its protocol."""
    port = str(rule.first_port)
    if rule.protocol in NUMBERS:
        port = "Anywhere"
    elif rule.last_port != rule.first_port:
        port += f":{rule.last_port}"
    return port if rule.protocol == "both" else f"{port}/{rule.protocol}"


def rows_of(rules: Sequence[Rule]) -> list[Row]:
    """The rules one source at a time, IPv4 first, then IPv6, as ufw orders them."""
    families: tuple[Family, ...] = ("ip", "ip6")
    rows: list[Row] = []
    for family in families:
        for rule in rules:
            for source in _sources(rule, family):
                rows.append(Row(number=len(rows) + 1, family=family, rule=rule, source=source))
    return rows


def shut_out(rules: Sequence[Rule], port: int, protocol: Protocol, cidr: str) -> str | None:
    """Why some address of the CIDR can't reach the port; None if all addresses can."""
    family, asked = _range(cidr)
    left = [asked]
    for number, rule in enumerate(rules):
        if not rule.is_for(port, protocol):
            continue
        for taken in _ranges(rule, family):
            hit = [one for one in (_common(part, taken) for part in left) if one]
            if hit and rule.action == "deny":
                return f"rules.{number} denies {_address(family, hit[0][0])} first"
            left = [rest for part in left for rest in _without(part, taken)]
    return f"no rule lets {_address(family, left[0][0])} in" if left else None


def lets_in(
    rules: Sequence[Rule], port: int, protocol: Protocol, families: Sequence[Family] = ("ip", "ip6")
) -> Literal["nobody", "some", "anybody"]:
    """Who reaches the port: `anybody` if a rule without a source lets them in."""
    found: Literal["nobody", "some"] = "nobody"
    for family in families:
        bits = _BITS[family]
        left = [(0, 2**bits - 1)]
        for rule in rules:
            if not rule.is_for(port, protocol):
                continue
            for taken in _ranges(rule, family):
                if rule.action != "deny" and any(_common(part, taken) for part in left):
                    if taken == (0, 2**bits - 1):
                        return "anybody"
                    found = "some"
                left = [rest for part in left for rest in _without(part, taken)]
    return found


def named_sources(rules: Sequence[Rule], port: int, protocol: Protocol) -> list[str]:
    """The sources of rules that let clients in to a port, even if another rule denies them."""
    let_in = [rule for rule in rules if rule.is_for(port, protocol) and rule.action != "deny"]
    return [source for rule in let_in for source in rule.sources]


def _sources(rule: Rule, family: Family) -> list[str | None]:
    """The rule's sources of one family, without those inside others; None means anywhere."""
    if not rule.sources:
        return [None]
    networks = [ipaddress.ip_network(source) for source in rule.sources]
    if family == "ip":
        four = [one for one in networks if isinstance(one, ipaddress.IPv4Network)]
        return [str(one) for one in ipaddress.collapse_addresses(four)]
    six = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    return [str(one) for one in ipaddress.collapse_addresses(six)]


def _ranges(rule: Rule, family: Family) -> list[_Range]:
    everything = (0, 2 ** _BITS[family] - 1)
    return [everything if one is None else _range(one)[1] for one in _sources(rule, family)]


def _range(cidr: str) -> tuple[Family, _Range]:
    network = ipaddress.ip_network(cidr)
    family: Family = "ip" if network.version == 4 else "ip6"
    return family, (int(network.network_address), int(network.broadcast_address))


def _address(family: Family, number: int) -> str:
    return str(ipaddress.IPv4Address(number) if family == "ip" else ipaddress.IPv6Address(number))


def _common(one: _Range, other: _Range) -> _Range | None:
    first, last = max(one[0], other[0]), min(one[1], other[1])
    return (first, last) if first <= last else None


def _without(one: _Range, gone: _Range) -> list[_Range]:
    common = _common(one, gone)
    if common is None:
        return [one]
    parts = [(one[0], common[0] - 1), (common[1] + 1, one[1])]
    return [part for part in parts if part[0] <= part[1]]
