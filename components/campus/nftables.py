"""The port policy as nftables rules and as the rows of `ufw status`. Pure.

One table, `inet campus_policy`, and nobody else's. Its first chain hooks prerouting before
Docker's DNAT, so that it also sees what goes to published ports and straight to a container's
address. What containers send is let through there and judged again at the input hook, which
only packets for the host's own services reach.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Family = Literal["ip", "ip6"]

TABLE = "inet campus_policy"
BRIDGES = "container_bridges"

# Before Docker's DNAT (-100), after connection tracking (-200): netfilter_ipv4.h.
PRIORITY = -150

# ufw(8), `limit`: 6 new connections within 30 seconds from one source.
LIMIT = "12/minute burst 6 packets"

# The guard's first policy: a table without a chain changes nothing.
EMPTY_POLICY = f"table {TABLE}\ndelete table {TABLE}\n\ntable {TABLE} {{\n}}\n"


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One line of the policy; the first one that fits a new connection decides."""

    action: Literal["allow", "limit", "deny"]
    protocol: Literal["tcp", "udp"]
    first_port: int
    last_port: int
    # CIDRs; none means anywhere.
    sources: tuple[str, ...] = ()
    comment: str = ""

    @property
    def ports(self) -> str:
        """The port, or the range as nft writes it."""
        if self.first_port == self.last_port:
            return str(self.first_port)
        return f"{self.first_port}-{self.last_port}"


def render_policy(rules: Sequence[Rule]) -> str:
    """The whole table, replaced in one transaction; what no rule allows in is dropped."""
    sets = [_set(BRIDGES, ["type ifname"])]
    for index, rule in enumerate(rules):
        if rule.action == "limit":
            sets += [_limit_set(index, family) for family, _ in _families(rule)]
    chains = [_rules_chain(rules), _inbound_chain(), _containers_chain()]
    body = "\n\n".join([*sets, *chains])
    return f"table {TABLE}\ndelete table {TABLE}\n\ntable {TABLE} {{\n{body}\n}}\n"


def policy_rows(rules: Sequence[Rule]) -> list[str]:
    """The rules as `ufw status` prints them: IPv4 first, then IPv6."""
    rows = [f"{'To':<26} {'Action':<12}From", f"{'--':<26} {'------':<12}----"]
    marks: dict[Family, str] = {"ip": "", "ip6": " (v6)"}
    for family, mark in marks.items():
        for rule in rules:
            sources = dict(_families(rule)).get(family)
            if sources is None:
                continue
            port = f"{rule.ports.replace('-', ':')}/{rule.protocol}"
            comment = f" # {rule.comment}" if rule.comment else ""
            for source in sources or (f"Anywhere{mark}",):
                to = port if sources else f"{port}{mark}"
                rows.append(f"{to:<26} {rule.action.upper():<12}{source:<26}{comment}".rstrip())
    return rows


def _families(rule: Rule) -> list[tuple[Family, tuple[str, ...]]]:
    """The families that a rule speaks of, each with its sources; none means anywhere."""
    if not rule.sources:
        return [("ip", ()), ("ip6", ())]
    networks = [ipaddress.ip_network(source) for source in rule.sources]
    four = [one for one in networks if isinstance(one, ipaddress.IPv4Network)]
    six = [one for one in networks if isinstance(one, ipaddress.IPv6Network)]
    # nft refuses intervals that overlap; collapsed ones name the same addresses.
    found: list[tuple[Family, tuple[str, ...]]] = []
    if four:
        found.append(("ip", tuple(str(one) for one in ipaddress.collapse_addresses(four))))
    if six:
        found.append(("ip6", tuple(str(one) for one in ipaddress.collapse_addresses(six))))
    return found


def _set(name: str, lines: Sequence[str]) -> str:
    return _nested(f"set {name}", lines)


def _limit_set(index: int, family: str) -> str:
    kind = "ipv4_addr" if family == "ip" else "ipv6_addr"
    lines = [f"type {kind}", "size 65535", "flags dynamic,timeout", "timeout 1m"]
    return _set(_limit_name(index, family), lines)


def _limit_name(index: int, family: str) -> str:
    return f"limit_{index}_{family}"


def _rules_chain(rules: Sequence[Rule]) -> str:
    lines: list[str] = []
    for index, rule in enumerate(rules):
        if rule.comment:
            lines.append(f"# {rule.comment}")
        lines += _statements(index, rule)
    return _nested("chain rules", lines)


def _statements(index: int, rule: Rule) -> list[str]:
    port = f"{rule.protocol} dport {rule.ports}"
    verdict = "drop" if rule.action == "deny" else "accept"
    if rule.action != "limit" and not rule.sources:
        return [f"{port} {verdict}"]
    lines: list[str] = []
    for family, sources in _families(rule):
        source = f"{family} saddr {{ {', '.join(sources)} }} " if sources else ""
        if rule.action == "limit":
            name = _limit_name(index, family)
            over = f"update @{name} {{ {family} saddr limit rate over {LIMIT} }} drop"
            lines.append(f"{source}{port} {over}")
        if sources:
            lines.append(f"{source}{port} {verdict}")
    if not rule.sources:
        lines.append(f"{port} {verdict}")
    return lines


# IPv6 doesn't work without neighbour discovery (RFC 4890, section 4.4.1).
_DISCOVERY = [
    "nd-router-solicit",
    "nd-router-advert",
    "nd-neighbor-solicit",
    "nd-neighbor-advert",
    "mld-listener-query",
]
_ERRORS = ["destination-unreachable", "time-exceeded", "parameter-problem", "echo-request"]


def _always() -> list[str]:
    errors = ", ".join(_ERRORS)
    return [
        "ct state established,related accept",
        f"icmpv6 type {{ {', '.join(_DISCOVERY)} }} accept",
        f"fib daddr type local icmp type {{ {errors} }} accept",
        f"fib daddr type local icmpv6 type {{ packet-too-big, {errors} }} accept",
    ]


def _inbound_chain() -> str:
    lines = [
        f"type filter hook prerouting priority {PRIORITY}; policy accept;",
        'iifname "lo" accept',
        f"iifname @{BRIDGES} accept",
        *_always(),
        "ct state invalid drop",
        "fib daddr type local jump rules",
        "drop",
    ]
    return _nested("chain inbound", lines)


def _containers_chain() -> str:
    lines = [
        f"type filter hook input priority {PRIORITY}; policy accept;",
        f"iifname != @{BRIDGES} accept",
        *_always(),
        "jump rules",
        "drop",
    ]
    return _nested("chain from_containers", lines)


def _nested(head: str, lines: Sequence[str]) -> str:
    return "\n".join([f"\t{head} {{", *(f"\t\t{line}" for line in lines), "\t}"])
