# pyright: strict
"""A backend's queries: on its own port, with exact paths only. Pure text.

The reader (reader.py) serves Grafana this way; the edge serves a `published` port to sources in the port
policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.syntax import block, quoted

# A template that loops over a number runs until Loki is killed, and keeps the pushes of its stream waiting:
# the query holds the stream's lock, and no timeout ends a template (Loki 3.7.8, pkg/ingester/stream.go).
# `range` with two variables takes no number (Go's text/template); nested, it would be as good as endless. An
# escape could hide a range.
LOOPS = (
    r"(?s)\{\{-?\s*(template|block|define)\b"
    r"|\{\{-?\s*range\s*([^$\s]|\$\w*\s*[^,\w\s])"
    r"|\{\{-?\s*range\b.*\{\{-?\s*range\b"
    r"|_format.*\\[xuU0-7]"
)
LOOPS_REFUSED = "A template may have one range, with two variables, and no escape such as \\x7b."

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
class QueryRoute:
    """One port for one backend's queries."""

    # The backend's name in the settings.
    name: str
    port: int
    # host:port of each replica, for Caddy.
    upstreams: tuple[str, ...]
    # A regular expression of the queries' URIs.
    queries: str


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
        f"@loops vars_regexp {{http.request.uri.query.query}} `{LOOPS}`",
        f"respond @loops {quoted(LOOPS_REFUSED)} 400",
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
