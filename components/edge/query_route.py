# pyright: strict
"""How a backend is asked: on a port of its own, by the letter, and for nothing but queries. Pure text.

The reader (reader.py) serves Grafana so, and the edge those whom the port policy lets in to a `published`
port.
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
        f"@loops vars_regexp {{http.request.uri.query.query}} `{LOOPS}`",
        f"respond @loops {quoted(LOOPS_REFUSED)} 400",
        *block("request_body ", [f"max_size {QUERY_MAX_BODY}"]),
        "request_header -X-Scope-OrgID",
        "request_header -Authorization",
        # A GET that reached the other side would be sent again and again, and to each replica: of these
        # requests, none is a POST.
        *reverse_proxy(route.upstreams, DIAL_RETRY, more=block("lb_retry_match ", ["method POST"])),
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
        # A dial that failed is tried again, since nothing has reached the other side; of a POST nothing else.
        f"lb_try_duration {retry}",
        "lb_try_interval 250ms",
        *block("transport http ", [f"keepalive {KEEPALIVE}", *transport]),
        *(REPLICAS if len(upstreams) > 1 else ()),
        *more,
    ]
    return block(f"reverse_proxy {' '.join(upstreams)} ", options)
