# pyright: strict
"""The limit of open connections to Caddy per source, and its reasons. Pure.

Caddy's container has 512 MiB. Reloads under load need half of it; the other half is for idle connections.
One over HTTP/1.1 with TLS costs 34 KiB, measured with Caddy 2.11.7 and a rendered Caddyfile: 2,000 raised
its resident memory from 53 to 121 MiB. So 7,710 fit.

- An IPv4 address, or an IPv6 /64, gets 500 by default: 17 MiB. Behind a NAT gateway, each log router has one
  connection: enough for 500 tasks, or for 250 that a deployment doubles for a while.
- An IPv6 site gets four times as many, 66 MiB: most sites with a /64 have a /56 or a /48 (RFC 6177).
- With more than 1,927, one site could have all 7,710.

There is no limit for many sources together: sixteen IPv4 addresses at their limit fill that half.
"""

from __future__ import annotations

from dataclasses import dataclass

# The container's limit (Caddy passes it to Go's collector), and Caddy's share of it for 400 reloads in five
# minutes under 1,000 pushes a second: for 20 s after each reload the former configuration stays in memory.
CADDY_MEMORY_MIB = 512
CADDY_WORK_MIB = 256
CONNECTION_KIB = 34

# The factor for a whole IPv6 /48.
SITE_SHARE = 4

DEFAULT = 500
# A few browsers behind one address: each opens up to six connections over HTTP/1.1.
LEAST = 50
MOST = (CADDY_MEMORY_MIB - CADDY_WORK_MIB) * 1024 // CONNECTION_KIB // SITE_SHARE


@dataclass(frozen=True, kw_only=True)
class ConnectionLimit:
    """TCP ports of one program, and the most open connections per source."""

    ports: tuple[int, ...]
    per_source: int
