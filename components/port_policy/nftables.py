# pyright: strict
"""The port policy as nftables rules and as the rows of `ufw status numbered`. Pure.

One table, `inet campus_policy`, and no other. Its first chain hooks prerouting before Docker's DNAT,
so it also sees packets to published ports and straight to a container's address. Containers' packets
to the host's own addresses are judged there too, since Docker 29 turns them to another container past
its proxy. All other packets from containers pass; their multicast and broadcast is judged at the
input hook, if it reaches the host.

A source's connections to some ports are limited (`ConnectionLimit`) before the rules.

The current rules judge every packet of an open connection: so early in prerouting, a packet in the
connection's direction still has the addresses and ports of the first packet.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.edge.connection_limit import SITE_SHARE, ConnectionLimit
from components.live.container_facts import POLICY_TABLE
from components.port_policy.rules import NUMBERS, Family, Kept, Row, Rule, rows_of

BRIDGES = "container_bridges"
# Counts packets without a matching row.
OTHERS = "others"
# Counts packets over a connection limit.
CROWDED = "crowded"

# Before Docker's DNAT (-100), after connection tracking (-200): netfilter_ipv4.h.
PRIORITY = -150

# ufw(8), `limit`: 6 new connections within 30 seconds from one source.
LIMIT = "12/minute burst 6 packets"

# The guard's first policy: a table without a chain changes nothing.
EMPTY_POLICY = f"table {POLICY_TABLE}\ndelete table {POLICY_TABLE}\n\ntable {POLICY_TABLE} {{\n}}\n"


def render_policy(
    rules: Sequence[Rule], kept: Sequence[Kept] = (), limit: ConnectionLimit | None = None
) -> str:
    """The whole table, replaced in one transaction; packets that no rule lets in are dropped.

    `kept` are the ports elsewhere that containers can't reach; they reach all others.
    """
    rows = rows_of(rules)
    counters = [*map(_counter, rows), *([] if limit is None else [CROWDED]), OTHERS]
    parts = [
        *(_nested(f"counter {name}", []) for name in counters),
        _nested(f"set {BRIDGES}", ["type ifname"]),
        *(_limit_set(row) for row in rows if row.rule.action == "limit"),
        *([] if limit is None else _connections(limit)),
        _nested("chain refuse", _REFUSE),
        _nested("chain rules", [line for row in rows for line in _statements(row)]),
        _nested("chain judge", _judge(rules, limit)),
        _nested("chain inbound", _inbound(kept)),
        _nested("chain groups", _GROUPS),
    ]
    body = "\n\n".join(parts)
    return f"table {POLICY_TABLE}\ndelete table {POLICY_TABLE}\n\ntable {POLICY_TABLE} {{\n{body}\n}}\n"


def policy_rows(rules: Sequence[Rule]) -> list[str]:
    """The rules as `ufw status numbered` prints them."""
    head = [f"     {'To':<26} {'Action':<12}From", f"     {'--':<26} {'------':<12}----"]
    return [*head, *map(str, rows_of(rules))]


def _counter(row: Row) -> str:
    return f"row_{row.number}"


def _limit(row: Row) -> str:
    return f"limit_{row.number}"


def _limit_set(row: Row) -> str:
    kind = "ipv4_addr" if row.family == "ip" else "ipv6_addr"
    lines = [f"type {kind}", "size 65535", "flags dynamic,timeout", "timeout 1m"]
    return _nested(f"set {_limit(row)}", lines)


# The sources that a limit counts: an IPv6 host has all addresses of a /64 (RFC 4291, section 2.5.4).
_WHO: dict[Family, str] = {"ip": "ip saddr", "ip6": "ip6 saddr & ffff:ffff:ffff:ffff::"}


def _statements(row: Row) -> list[str]:
    """The row as a comment, which `port-guard ports` reads, and its rules."""
    fits = f"{_source(row)} {_what(row.rule)}"
    counted = f"counter name {_counter(row)}"
    lines = [f"# {row}"]
    if row.rule.action == "limit":
        # Packets of an open connection don't count as tries.
        tries = f"ct state new,untracked update @{_limit(row)}"
        lines.append(f"{fits} {tries} {{ {_WHO[row.family]} limit rate over {LIMIT} }} {counted} drop")
    lines.append(f"{fits} {counted} {'goto refuse' if row.rule.action == 'deny' else 'accept'}")
    return lines


def _source(row: Row) -> str:
    if row.source is None:
        return f"meta nfproto {'ipv4' if row.family == 'ip' else 'ipv6'}"
    return f"{row.family} saddr {row.source}"


def _what(rule: Rule) -> str:
    """The protocol, and its ports if it has any."""
    if rule.protocol in NUMBERS:
        # By number: the guard's image lacks the file with the names.
        return f"meta l4proto {NUMBERS[rule.protocol]}"
    port = str(rule.first_port)
    if rule.last_port != rule.first_port:
        port += f"-{rule.last_port}"
    if rule.protocol == "both":
        return f"meta l4proto {{ tcp, udp }} th dport {port}"
    return f"{rule.protocol} dport {port}"


# A kind of source: its set's name, its type, its address, and its multiple of the limit.
_SOURCES = (
    ("ip", "ipv4_addr", _WHO["ip"], 1),
    ("ip6", "ipv6_addr", _WHO["ip6"], 1),
    ("site", "ipv6_addr", "ip6 saddr & ffff:ffff:ffff::", SITE_SHARE),
)


def _connections(limit: ConnectionLimit) -> list[str]:
    """The sets and the chain that count the connections that each source begins, and has open.

    The kernel records each new connection, and removes ended ones when the next comes: not all of them, and
    since Linux 5.19 only every few milliseconds. So a flood of refused connections would fill its memory;
    the rate in front keeps the flood below the rate of removal. An entry disappears with its last
    connection. If a set is full, new sources aren't counted, as with `limit`.
    """
    parts: list[str] = []
    rates: list[str] = []
    counts: list[str] = []
    for name, kind, who, share in _SOURCES:
        most = limit.per_source * share
        begun = [f"type {kind}", "size 65535", "flags dynamic,timeout", "timeout 1m"]
        parts.append(_nested(f"set begun_{name}", begun))
        parts.append(_nested(f"set open_{name}", [f"type {kind}", "size 65535", "flags dynamic"]))
        rate = f"limit rate over {most}/second burst {most} packets"
        rates.append(f"update @begun_{name} {{ {who} {rate} }} counter name {CROWDED} drop")
        counts.append(f"add @open_{name} {{ {who} ct count over {most} }} counter name {CROWDED} drop")
    return [*parts, _nested("chain connections", [*rates, *counts])]


# A connection that is no longer let in is reset, and its own resets pass to the server: a peer that was
# reset answers with a reset.
_REFUSE = [
    "ct state established tcp flags & rst == rst accept",
    "ct state established meta l4proto tcp reject with tcp reset",
    "drop",
]

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
    """Packets that always pass: answers, and what keeps the network working."""
    errors = ", ".join(_ERRORS)
    return [
        "ct state related accept",
        "ct state established ct direction reply accept",
        # Such as FTP's data connections, if the kernel was set up to expect them.
        "ct status expected accept",
        f"icmpv6 type {{ {', '.join(_DISCOVERY)} }} accept",
        f"fib daddr type local icmp type {{ {errors} }} accept",
        f"fib daddr type local icmpv6 type {{ packet-too-big, {errors} }} accept",
        # The host may have its own address by DHCP: ufw's before.rules lets the same in.
        "fib daddr type { local, broadcast } udp sport 67 udp dport 68 accept",
        "ip6 saddr fe80::/10 ip6 daddr fe80::/10 udp sport 547 udp dport 546 accept",
        "ct state invalid drop",
    ]


_LOOPBACK = ["ip daddr 127.0.0.0/8", "ip saddr 127.0.0.0/8", "ip6 daddr ::1", "ip6 saddr ::1"]


def _kept(one: Kept) -> str:
    addresses, ports = ", ".join(one.addresses), ", ".join(map(str, one.ports))
    who = f"iifname @{BRIDGES} ip saddr != {one.network_cidr}"
    return f"{who} ip daddr {{ {addresses} }} tcp dport {{ {ports} }} drop"


# VRRP's destinations (RFC 9568, section 5.1.1): groups that the host is in if one of its programs joins.
_VRRP_GROUPS = ("ip daddr 224.0.0.18", "ip6 daddr ff02::12")


def _judge(rules: Sequence[Rule], limit: ConnectionLimit | None) -> list[str]:
    return [
        *_always(),
        # A container may send from any made-up address.
        f"iifname @{BRIDGES} fib saddr . iif oif missing drop",
        *([] if limit is None else [_limited(limit)]),
        "fib daddr type local jump rules",
        *(
            f"meta l4proto {NUMBERS['vrrp']} {group} jump rules"
            for group in _VRRP_GROUPS
            if any(rule.protocol == "vrrp" for rule in rules)
        ),
        # Multicast from a container comes here only from the input hook.
        f"iifname @{BRIDGES} fib daddr type != local jump rules",
        f"counter name {OTHERS} jump refuse",
        "drop",
    ]


def _limited(limit: ConnectionLimit) -> str:
    """The packets that the limit sees: the first of each connection."""
    ports = ", ".join(map(str, sorted(limit.ports)))
    return f"fib daddr type local tcp dport {{ {ports} }} ct state new jump connections"


def _inbound(kept: Sequence[Kept]) -> list[str]:
    return [
        f"type filter hook prerouting priority {PRIORITY}; policy accept;",
        'iifname "lo" accept',
        # Docker's DNAT comes before the kernel would refuse these: the same link could reach a port that
        # is published on loopback.
        *(f"{loopback} drop" for loopback in _LOOPBACK),
        *map(_kept, kept),
        f"iifname @{BRIDGES} fib daddr type != local accept",
        "jump judge",
        "drop",
    ]


# With br_netfilter, prerouting also sees packets between containers.
_GROUPS = [
    f"type filter hook input priority {PRIORITY}; policy accept;",
    f"iifname @{BRIDGES} fib daddr type != local goto judge",
]


def _nested(head: str, lines: Sequence[str]) -> str:
    return "\n".join([f"\t{head} {{", *(f"\t\t{line}" for line in lines), "\t}"])
