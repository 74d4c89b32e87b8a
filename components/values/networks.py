# pyright: strict
"""Addresses, networks and ports in settings, and their checks. Pure."""

from __future__ import annotations

import ipaddress
from typing import Annotated

from pydantic import AfterValidator

from components.values.value_rule import ValueRule

MAX_PORT = 65535
PORT = ValueRule(f"a port is a whole number from 1 to {MAX_PORT}")
_PUBLIC = ValueRule("the address must be global unicast: a NAT gateway's public address")
_CIDR = ValueRule("an address or CIDR is needed, without host bits")
_HOST = ValueRule("the address of one machine is needed, as others reach it")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# IPv4-compatible and IPv4-mapped (RFC 4291, 2.5.5), IPv4-translated (RFC 2765, 2.1), and NAT64's two prefixes
# (RFC 6052, 2.1; RFC 8215).
_IPV4_IN_IPV6 = tuple(
    ipaddress.IPv6Network(prefix)
    for prefix in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)

# In the range of the compatible addresses, without being any.
_LOOPBACK_IPV6 = ipaddress.IPv6Network("::1/128")
_NO_IPV4 = (ipaddress.IPv6Network("::/128"), _LOOPBACK_IPV6)

# RFC 1122, 3.2.1.3: "this network", multicast and reserved. RFC 4291, 2.4 and 2.7: the range before global
# unicast, with the unspecified address, and multicast.
_NEVER_A_SOURCE = tuple(
    ipaddress.ip_network(never) for never in ("0.0.0.0/8", "224.0.0.0/3", "::/3", "ff00::/8")
)

# RFC 1918, RFC 6598, RFC 3927 and RFC 4193: never the source of a packet from the internet. The
# documentation ranges (RFC 5737, RFC 3849) count as global: the local stack and the tests live there.
_PRIVATE_NETWORKS = tuple(
    ipaddress.ip_network(cidr)
    for cidr in (
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


def _port(value: int) -> int:
    # Checked here, since nft silently takes 999999 for 16959.
    if not 1 <= value <= MAX_PORT:
        raise ValueError(PORT.words)
    return value


def checked_cidr(value: str) -> str:
    try:
        network = ipaddress.ip_network(value, strict=True)
    except ValueError as error:
        raise ValueError(f"{_CIDR.words} ({error})") from None
    if "%" in value:
        raise ValueError("an address or CIDR is needed, without a zone (%…)")
    _refuse_written_in_ipv6(network)
    never = _never_a_source(network)
    if never:
        raise ValueError(f"no packet comes from {never}: the senders' own addresses are needed")
    return str(network)


def checked_public_ipv4(value: str) -> str:
    address = _ipv4(value, "one IPv4 address is needed, such as 203.0.113.7")
    if _never_a_source(ipaddress.IPv4Network(address)) or is_private(address):
        raise ValueError(_PUBLIC.words)
    return str(address)


def _host_address(value: str) -> str:
    """An IPv4 address of one machine, by which others reach it."""
    address = _ipv4(value, "an IPv4 address is needed")
    if address.is_loopback or _never_a_source(ipaddress.IPv4Network(address)):
        raise ValueError(_HOST.words)
    return str(address)


Port = Annotated[int, AfterValidator(_port), PORT]
Cidr = Annotated[str, AfterValidator(checked_cidr), _CIDR]
PublicIpv4 = Annotated[str, AfterValidator(checked_public_ipv4), _PUBLIC]
HostAddress = Annotated[str, AfterValidator(_host_address), _HOST]


def contains(outer: Network, inner: Network) -> bool:
    """Whether a network lies in another; never across families."""
    return (
        outer.version == inner.version
        and int(outer.network_address) <= int(inner.network_address)
        and int(inner.broadcast_address) <= int(outer.broadcast_address)
    )


def is_private(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return any(contains(network, ipaddress.ip_network(address)) for network in _PRIVATE_NETWORKS)


def is_wide(cidr: str) -> bool:
    """Whether a CIDR contains public addresses; a private network is a /8 at most."""
    network = ipaddress.ip_network(cidr)
    return not any(contains(private, network) for private in _PRIVATE_NETWORKS)


def refuse_wide(key: str, cidr: str) -> None:
    network = ipaddress.ip_network(cidr)
    if network.prefixlen != network.max_prefixlen:
        raise ValueError(
            f"{key}: an entry is one address (/{network.max_prefixlen}) unless allowWide: true "
            f"is written beside it, received {cidr!r}"
        )
    address = network.network_address
    if address.is_multicast or address.is_unspecified or is_private(address):
        raise ValueError(
            f"{key}: an entry is global unicast unless allowWide: true is written beside it, "
            f"received {cidr!r}"
        )


def _never_a_source(network: Network) -> Network | None:
    """The range around this network from which no packet on a wire comes; None if there is none."""
    if network == _LOOPBACK_IPV6:
        return None
    return next((never for never in _NEVER_A_SOURCE if contains(never, network)), None)


def _refuse_written_in_ipv6(network: Network) -> None:
    """Raise ValueError for IPv4 addresses in IPv6 form: no packet would match them."""
    if network.version == 4 or network in _NO_IPV4:
        return
    if any(network.subnet_of(prefix) for prefix in _IPV4_IN_IPV6):
        bits = network.prefixlen - 96
        inside = ipaddress.IPv4Address(int(network.network_address) & 0xFFFF_FFFF)
        plain = (
            f"write {inside}/{bits}" if 0 <= bits < 32 else f"write {inside}" if bits == 32 else "write that"
        )
        raise ValueError(f"packets carry an IPv4 address in IPv4's own form: {plain}")


def _ipv4(value: str, needed: str) -> ipaddress.IPv4Address:
    """The IPv4 address; a ValueError says what is needed."""
    try:
        network = ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(needed) from None
    _refuse_written_in_ipv6(network)
    if isinstance(network, ipaddress.IPv6Network) or "/" in value:
        raise ValueError(needed)
    return network.network_address
