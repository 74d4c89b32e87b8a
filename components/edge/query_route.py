# pyright: strict
"""How a backend is asked: on a port of its own, by the letter, and for nothing but queries. Pure text.

The reader (reader.py) serves Grafana so, and the edge those whom the port policy lets in to a `published`
port.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.syntax import block

# A query is in the URL: a body has no use.
QUERY_MAX_BODY = "1KB"

# A connection to an upstream idles for less than Loki lets it (its http_server_idle_timeout, 120 s), so that
# no request meets a connection that is just being closed. And a configuration that was replaced stays in
# Caddy's memory until its last connection has gone.
KEEPALIVE = "20s"

# Requests go to each replica in turn, but not to a replica that isn't ready. Not `fail_duration`: it
# also counts what clients get wrong, such as bodies that are too large, and would shut out all replicas.
REPLICAS = (
    "lb_policy round_robin",
    "health_uri /ready",
    "health_interval 5s",
    "health_timeout 3s",
)

# How long a query waits for a backend that restarts.
DIAL_RETRY = "5s"


@dataclass(frozen=True, kw_only=True)
class QueryRoute:
    """One port on which one backend is asked."""

    # The backend's name in the settings.
    name: str
    port: int
    # host:port of each replica, as Caddy dials it.
    upstreams: tuple[str, ...]
    # A regular expression of the paths that are queries, with what may follow them.
    queries: str


def query_site(route: QueryRoute, *, askers: Sequence[str] = (), more: Sequence[str] = ()) -> list[str]:
    """The lines of the site that answers queries with GET alone.

    `askers` are matchers of those who may ask, in addition to what a query is. `more` stands before what
    refuses everything else.
    """
    asks = [
        "method GET",
        # As it was sent, letter for letter: nothing is decoded or cleaned before it is compared.
        f"vars_regexp {{http.request.orig_uri}} {route.queries}",
        *askers,
    ]
    query = [
        *block("request_body ", [f"max_size {QUERY_MAX_BODY}"]),
        "request_header -X-Scope-OrgID",
        "request_header -Authorization",
        *reverse_proxy(route.upstreams, DIAL_RETRY),
    ]
    inner = [
        *block("handle @query ", block("route ", query)),
        *more,
        'respond "Forbidden" 403',
    ]
    # The matcher is the site's: its log leaves out what is a query.
    return [*block("@query ", asks), *block("route ", inner)]


def reverse_proxy(
    upstreams: Sequence[str], retry: str, *transport: str, more: Sequence[str] = ()
) -> list[str]:
    """The directive for a backend's replicas; `transport` are options of its transport, `more` its own."""
    options = [
        # Only a dial that failed is tried again: nothing of such a request has reached the other side.
        f"lb_try_duration {retry}",
        "lb_try_interval 250ms",
        *block("transport http ", [f"keepalive {KEEPALIVE}", *transport]),
        *(REPLICAS if len(upstreams) > 1 else ()),
        *more,
    ]
    return block(f"reverse_proxy {' '.join(upstreams)} ", options)
