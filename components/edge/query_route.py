# pyright: strict
"""A backend's queries: on its own port, with exact paths only. Pure text.

The reader (reader.py) serves Grafana this way; the edge serves a `published` port to sources in the port
policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.syntax import block, quoted

# A query is in the URL and needs no body.
QUERY_MAX_BODY = "1KB"

# Shorter than Loki's http_server_idle_timeout (120 s), so that no request meets a connection that is being
# closed. And a replaced configuration stays in Caddy's memory until its last connection ends.
KEEPALIVE = "20s"

# Requests go to the ready replicas in turn. Without `fail_duration`, which also counts clients' mistakes,
# such as too large bodies, and would shut out all replicas.
REPLICAS = (
    "lb_policy round_robin",
    "health_uri /ready",
    "health_interval 5s",
    "health_timeout 3s",
)

# A query waits this long for a backend that restarts.
DIAL_RETRY = "5s"


@dataclass(frozen=True, kw_only=True)
class RefusedQuery:
    """Queries that would harm a backend: they get 400, with an answer that says why."""

    # Of the matcher.
    name: str
    # A regular expression of the query, decoded.
    pattern: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class QueryRoute:
    """One port for one backend's queries."""

    # The backend's name in the settings.
    name: str
    port: int
    # host:port of each replica, for Caddy.
    upstreams: tuple[str, ...]
    # A regular expression of the queries' URIs.
    queries: str
    refused: tuple[RefusedQuery, ...] = ()


def query_site(route: QueryRoute, *, sources: Sequence[str] = (), more: Sequence[str] = ()) -> list[str]:
    """The lines of a site that answers only queries, by GET.

    `sources` are matchers of allowed clients. `more` comes before the refusal of everything else.
    """
    asks = [
        "method GET",
        # The URI exactly as sent, neither decoded nor cleaned.
        f"vars_regexp {{http.request.orig_uri}} {route.queries}",
        *sources,
    ]
    query = [
        *(line for one in route.refused for line in _refusal(one)),
        *block("request_body ", [f"max_size {QUERY_MAX_BODY}"]),
        "request_header -X-Scope-OrgID",
        "request_header -Authorization",
        # This matches no query: Caddy would send a GET that fails on its way again, and to each replica.
        *reverse_proxy(route.upstreams, DIAL_RETRY, more=block("lb_retry_match ", ["method POST"])),
    ]
    inner = [
        *block("handle @query ", block("route ", query)),
        *more,
        'respond "Forbidden" 403',
    ]
    # The matcher belongs to the site, whose log skips queries.
    return [*block("@query ", asks), *block("route ", inner)]


def _refusal(one: RefusedQuery) -> list[str]:
    return [
        f"@{one.name} vars_regexp {{http.request.uri.query.query}} `{one.pattern}`",
        f"respond @{one.name} {quoted(one.answer)} 400",
    ]


def reverse_proxy(
    upstreams: Sequence[str], retry: str, *transport: str, more: Sequence[str] = ()
) -> list[str]:
    """The directive for a backend's replicas; `transport` are its transport's options, `more` its own."""
    options = [
        # Of a POST, only a failed dial is retried: nothing has reached the other side.
        f"lb_try_duration {retry}",
        "lb_try_interval 250ms",
        *block("transport http ", [f"keepalive {KEEPALIVE}", *transport]),
        *(REPLICAS if len(upstreams) > 1 else ()),
        *more,
    ]
    return block(f"reverse_proxy {' '.join(upstreams)} ", options)
