# pyright: strict
"""The reader's Caddyfile: the only way from Grafana's network to a Loki. Pure text.

The reader is on two networks: the Lokis' and the readers', with Grafana and what the campus server ships of
itself: its lines, and its metrics. It knows them by their fixed addresses: without capabilities no container
can send from another's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.caddyfile import DIAL_RETRY, NOBODY, pushes_while, refusal_of_packed
from components.edge.guarded_backend import PushesWhile, PushPath
from components.edge.own_metrics import MeasuredProgram, readers_metrics
from components.edge.query_route import QueryRoute, query_site, reverse_proxy
from components.edge.syntax import block

READER = "reader"

# A shipper sends one push at a time (Alloy's loki.write, and the Collector's one consumer).
SHIPPERS_PUSHES_AT_ONCE = 1


@dataclass(frozen=True, kw_only=True)
class Shipped:
    """The pushes of one of the campus server's own shippers: one backend, one path."""

    # The backend's name in the settings.
    to: str
    path: PushPath
    # The shipper's address.
    source: str
    # None if the backend limits everything itself.
    only_while: PushesWhile | None = None


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The programs whose own metrics Prometheus reads."""

    # The backend's name in the settings, and Prometheus' address.
    by: str
    source: str
    programs: tuple[MeasuredProgram, ...]


def render_reader(
    routes: Sequence[QueryRoute],
    grafana: str | None,
    shipped: Sequence[Shipped],
    measured: Measured | None = None,
) -> str:
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
            *(["metrics"] if measured is not None else []),
        ],
    )
    for route in sorted(routes, key=lambda one: one.port):
        more = [line for one in shipped if one.to == route.name for line in _shippers_push(route, one)]
        if measured is not None and measured.by == route.name:
            more += readers_metrics(measured.programs, measured.source)
        site = query_site(route, sources=[f"remote_ip {grafana or NOBODY}"], more=more)
        lines += ["", *block(f"http://:{route.port} ", ["header -Server", *site])]
    return "\n".join(lines) + "\n"


def _shippers_push(route: QueryRoute, shipped: Shipped) -> list[str]:
    """The gate for a shipper's pushes: its address, and one exact path."""
    pushes = [
        "method POST",
        f"vars {{http.request.orig_uri}} {shipped.path.path}",
        f"remote_ip {shipped.source}",
    ]
    push = [
        *(refusal_of_packed("@packed", []) if shipped.path.is_plain else []),
        *block("request_body ", [f"max_size {shipped.path.max_body}"]),
        "request_header -X-Scope-OrgID",
        *reverse_proxy(
            route.upstreams,
            DIAL_RETRY,
            f"max_conns_per_host {SHIPPERS_PUSHES_AT_ONCE}",
            more=pushes_while(shipped.only_while) if shipped.only_while is not None else [],
        ),
    ]
    return [*block("@push ", pushes), *block("handle @push ", block("route ", push))]
