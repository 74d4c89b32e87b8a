# pyright: strict
"""The port policy as nftables rules and as the rows of `ufw status numbered`. Pure.

One table, `inet campus_policy`, and nobody else's. Its first chain hooks prerouting before
Docker's DNAT, so that it also sees what goes to published ports and straight to a container's
address. What containers ask of the host's own addresses is judged there too: Docker 29 turns it to
another container, and its proxy never sees it. All else that containers send is let through; what
they send to a whole group of hosts is judged at the input hook, if the host is one of them.

What one source may have open to some ports (`ConnectionLimit`) is counted before the rules are asked.

An open connection is judged packet by packet, by the rules as they are now: a packet that goes its
connection's way has the addresses and ports of the first one still, so early in prerouting.
"""

from __future__ import annotations

from collections.abc import Sequence

from components.edge.connection_limit import SITE_SHARE, ConnectionLimit
from components.live.container_facts import POLICY_TABLE
from components.port_policy.rules import NUMBERS, Family, Kept, Row, Rule, rows_of

BRIDGES = "container_bridges"
# Counts what no row fits.
OTHERS = "others"
# Counts what was over a limit of connections.
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
    """The whole table, replaced in one transaction; what no rule allows in is dropped.

    `kept` is what containers don't reach elsewhere; all else they do.
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


# Whom a limit counts: in IPv6 a host has all addresses of a /64 (RFC 4291, section 2.5.4).
_WHO: dict[Family, str] = {"ip": "ip saddr", "ip6": "ip6 saddr & ffff:ffff:ffff:ffff::"}


def _statements(row: Row) -> list[str]:
    """The row itself, which `port-guard ports` reads, and what it means."""
    fits = f"{_source(row)} {_what(row.rule)}"
    counted = f"counter name {_counter(row)}"
    lines = [f"# {row}"]
    if row.rule.action == "limit":
        # What belongs to an open connection isn't a try.
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
        # By number: names are in a file that the guard's image hasn't got.
        return f"meta l4proto {NUMBERS[rule.protocol]}"
    port = str(rule.first_port)
    if rule.last_port != rule.first_port:
        port += f"-{rule.last_port}"
    if rule.protocol == "both":
        return f"meta l4proto {{ tcp, udp }} th dport {port}"
    return f"{rule.protocol} dport {port}"


# A source of connections: its set's name, its type, its address, and how many times the limit it may have.
_SOURCES = (
    ("ip", "ipv4_addr", _WHO["ip"], 1),
    ("ip6", "ipv6_addr", _WHO["ip6"], 1),
    ("site", "ipv6_addr", "ip6 saddr & ffff:ffff:ffff::", SITE_SHARE),
)


def _connections(limit: ConnectionLimit) -> list[str]:
    """The sets and the chain that count what each source begins, and what it has open.

    The kernel notes each connection that is begun, and clears what has ended when the next one comes: not
    all of it, and since Linux 5.19 not more than once in a few milliseconds. So a flood of what is refused
    anyway would fill its memory; the rate in front keeps it below what is cleared. An entry goes by itself
    when its last connection has gone. With a full set newcomers aren't counted, as with a limit's.
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


# A connection that isn't let in any more is told so, and may tell the server's end: a peer that was reset
# answers with a reset itself.
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
    """What passes under any rules: answers, and what keeps the network going."""
    errors = ", ".join(_ERRORS)
    return [
        "ct state related accept",
        "ct state established ct direction reply accept",
        # Such as FTP's data connections, where somebody asked the kernel to expect them.
        "ct status expected accept",
        f"icmpv6 type {{ {', '.join(_DISCOVERY)} }} accept",
        f"fib daddr type local icmp type {{ {errors} }} accept",
        f"fib daddr type local icmpv6 type {{ packet-too-big, {errors} }} accept",
        # The host's own address may be on lease: ufw's before.rules lets the same in.
        "fib daddr type { local, broadcast } udp sport 67 udp dport 68 accept",
        "ip6 saddr fe80::/10 ip6 daddr fe80::/10 udp sport 547 udp dport 546 accept",
        "ct state invalid drop",
    ]


_LOOPBACK = ["ip daddr 127.0.0.0/8", "ip saddr 127.0.0.0/8", "ip6 daddr ::1", "ip6 saddr ::1"]


def _kept(one: Kept) -> str:
    addresses, ports = ", ".join(one.addresses), ", ".join(map(str, one.ports))
    who = f"iifname @{BRIDGES} ip saddr != {one.network_cidr}"
    return f"{who} ip daddr {{ {addresses} }} tcp dport {{ {ports} }} drop"


# To whom VRRP's messages go (RFC 9568, section 5.1.1): a group that the host is in, if a program of it is.
_VRRP_GROUPS = ("ip daddr 224.0.0.18", "ip6 daddr ff02::12")


def _judge(rules: Sequence[Rule], limit: ConnectionLimit | None) -> list[str]:
    return [
        *_always(),
        # A container may send from any address that it makes up.
        f"iifname @{BRIDGES} fib saddr . iif oif missing drop",
        *([] if limit is None else [_limited(limit)]),
        "fib daddr type local jump rules",
        *(
            f"meta l4proto {NUMBERS['vrrp']} {group} jump rules"
            for group in _VRRP_GROUPS
            if any(rule.protocol == "vrrp" for rule in rules)
        ),
        # What a container sends to a group comes here from the input hook alone.
        f"iifname @{BRIDGES} fib daddr type != local jump rules",
        f"counter name {OTHERS} jump refuse",
        "drop",
    ]


def _limited(limit: ConnectionLimit) -> str:
    """What the limit is asked about: the first packet of a connection."""
    ports = ", ".join(map(str, sorted(limit.ports)))
    return f"fib daddr type local tcp dport {{ {ports} }} ct state new jump connections"


def _inbound(kept: Sequence[Kept]) -> list[str]:
    return [
        f"type filter hook prerouting priority {PRIORITY}; policy accept;",
        'iifname "lo" accept',
        # Docker's DNAT comes before the kernel would refuse these: a port that is published on loopback
        # would be reached from the same link.
        *(f"{loopback} drop" for loopback in _LOOPBACK),
        *map(_kept, kept),
        f"iifname @{BRIDGES} fib daddr type != local accept",
        "jump judge",
        "drop",
    ]


# A bridge that asks netfilter (br_netfilter) shows prerouting also what containers send each other.
_GROUPS = [
    f"type filter hook input priority {PRIORITY}; policy accept;",
    f"iifname @{BRIDGES} fib daddr type != local goto judge",
]


def _nested(head: str, lines: Sequence[str]) -> str:
    return "\n".join([f"\t{head} {{", *(f"\t\t{line}" for line in lines), "\t}"])
