# pyright: strict
"""The reader's Caddyfile: the only way from Grafana's network to a Loki. Pure text.

The reader is on two networks: the Lokis' and the readers', with Grafana and the campus server's log shipper.
It knows them by their fixed addresses: without capabilities no container can send from another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.caddyfile import DIAL_RETRY, NOBODY
from components.edge.guarded_backend import PushPath
from components.edge.query_route import QueryRoute, query_site, reverse_proxy
from components.edge.syntax import block

# The shipper sends one push at a time (Alloy's loki.write).
SHIPPERS_PUSHES_AT_ONCE = 1


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """The pushes of the campus server's own log shipper: one backend, one path."""

    # The backend's name in the settings.
    to: str
    path: PushPath
    # The shipper's address.
    source: str


def render_reader(routes: Sequence[QueryRoute], grafana: str | None, shipped: Shipped | None) -> str:
    """The Caddyfile; `grafana` is Grafana's address, or None without Grafana."""
    lines = block(
        "",
        [
            "admin off",
            "persist_config off",
            "auto_https off",
            # A tail never ends by itself.
            "grace_period 1s",
            *block("servers ", ["protocols h1", *block("timeouts ", ["read_header 10s", "idle 2m"])]),
        ],
    )
    for route in sorted(routes, key=lambda one: one.port):
        lines += ["", *block(f"http://:{route.port} ", ["header -Server", *_site(route, grafana, shipped)])]
    return "\n".join(lines) + "\n"


def _site(route: QueryRoute, grafana: str | None, shipped: Shipped | None) -> list[str]:
    more = [] if shipped is None or shipped.to != route.name else _shippers_push(route, shipped)
    return query_site(route, sources=[f"remote_ip {grafana or NOBODY}"], more=more)


def _shippers_push(route: QueryRoute, shipped: Shipped) -> list[str]:
    """The gate for the shipper's pushes: its address, and one exact path."""
    pushes = [
        "method POST",
        f"vars {{http.request.orig_uri}} {shipped.path.path}",
        f"remote_ip {shipped.source}",
    ]
    push = [
        *block("request_body ", [f"max_size {shipped.path.max_body}"]),
        "request_header -X-Scope-OrgID",
        *reverse_proxy(route.upstreams, DIAL_RETRY, f"max_conns_per_host {SHIPPERS_PUSHES_AT_ONCE}"),
    ]
    return [*block("@push ", pushes), *block("handle @push ", block("route ", push))]
