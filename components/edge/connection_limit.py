# pyright: strict
"""How many connections one source may have open to Caddy, and why so many. Pure.

Caddy's container has 512 MiB. Reloads under load need half of it; the other half is for
connections on which nothing happens. One over HTTP/1.1 with TLS costs 34 KiB, measured with Caddy 2.11.7 and
a rendered Caddyfile: 2,000 of them raised its resident memory from 53 to 121 MiB. So 7,710 fit.

- An IPv4 address, or an IPv6 /64, has 500 of them by default: 17 MiB. A NAT gateway's log routers hold one
  each, so that 500 tasks fit, or 250 that a deployment has twice for a while.
- An IPv6 site has four times as many, 66 MiB: who has one /64 mostly has a /56 or a /48 of them (RFC 6177).
- More than 1,927 would let one site have all 7,710.

Nothing bounds many sources: sixteen IPv4 addresses at their limit fill that half.
"""

from __future__ import annotations

from dataclasses import dataclass

# The container's limit (Caddy itself tells Go's collector of it), and what Caddy needs of it for 400 reloads
# in five minutes under 1,000 pushes a second: for 20 s after each one the configuration before lives on.
CADDY_MEMORY_MIB = 512
CADDY_WORK_MIB = 256
CONNECTION_KIB = 34

# Times what a source may have: what all of an IPv6 /48 may.
SITE_SHARE = 4

DEFAULT = 500
# A few browsers behind one address: each opens up to six over HTTP/1.1.
LEAST = 50
MOST = (CADDY_MEMORY_MIB - CADDY_WORK_MIB) * 1024 // CONNECTION_KIB // SITE_SHARE


@dataclass(frozen=True, kw_only=True)
class ConnectionLimit:
    """TCP ports of one program, and how many connections to them each source may have open."""

    ports: tuple[int, ...]
    per_source: int
