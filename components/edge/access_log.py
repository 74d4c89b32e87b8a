# pyright: strict
"""What Caddy logs of requests: which fields, how much of each, and how many of them. Pure."""

from __future__ import annotations

from components.edge.syntax import block

# What is logged of a request is what the dashboards read, and the host. Not its headers: they may hold
# anything, and over HTTP/2 one that was sent before costs a byte. What isn't printable ASCII, or would be
# escaped, becomes one sign, and what is long is cut, so that no line is longer, as Docker writes it.
LOGGED_BYTES = 1024
# Docker makes six bytes of each `&`, `<` and `>` (moby's jsonlogbytes.go).
_ODD_SIGNS = r"[^!#-%'-;=?-\[\]-~]"
# Of a route's requests the path, and whether there was a query: strangers may have put a password there.
ROUTES_URI = r"^([^?]{0,200}\??).*$"
# Of all others the path's first segment, or two: behind them are Grafana's invitations, snapshots and public
# dashboards, whose URLs are all that it takes. So is a mailed link's query.
SITES_URI = r"^(?:(/(?:api|dashboard|public)/[^/?]{0,100}|/[^/?]{0,100}).*|.*)$"

# What strangers ask for is logged so much and no more: by each logger the first ones of ten seconds, then
# one in so many. Docker keeps 50 MB: with ten such loggers (two for each of three routes, and four beside
# them), each with 1 KiB a second, over an hour.
STRANGERS_LOGGED = ("10s", 10, 10_000)

# Why Grafana's route failed isn't logged, but that it did: a stranger who breaks a request off, or ends it
# with nonsense, has part of the reason to write. Sampling goes by the text, and there each one is another.
SITES_ERRORS = "http.log.error.site"

# Of the pushes that Loki took, a route's log holds the first ones of each second, then one in so many: a
# line for each costs a tenth of the throughput, and washes the refusals out of what Docker keeps. A log
# router pushes once in a second (its BatchWait), so that those of 20 tasks are all in it.
TAKEN_LOGGED_PER_SECOND = 20
TAKEN_LOGGED_ONE_IN = 100


def logged_snippet() -> list[str]:
    """The snippet that each log imports: with interval, first, thereafter, the URI's pattern and where to."""
    sampling = [f"{key} {{args[{at}]}}" for at, key in enumerate(("interval", "first", "thereafter"))]
    filters = [
        "wrap json",
        "request>headers delete",
        "request>tls delete",
        "resp_headers delete",
        *_filtered("method", "^(.{0,20}).*$"),
        *_filtered("host", "^(.{0,100}).*$"),
        *_filtered("uri", "{args[3]}"),
    ]
    return [*block("sampling ", sampling), "output {args[4]}", *block("format filter ", filters)]


def _filtered(field: str, pattern: str) -> list[str]:
    """The filter of a request's field: what of it the pattern has in brackets, a byte for each sign."""
    lines = [f'regexp "{_ODD_SIGNS}" "_"', f'regexp "{pattern}" "${{1}}"']
    return block(f"request>{field} multi_regexp ", lines)


def strangers_log(head: str, *more: str, output: str = "stdout") -> list[str]:
    """A log of what anybody asks for: so much of it that no stranger fills what Docker keeps."""
    return _log(head, STRANGERS_LOGGED, SITES_URI, *more, output=output)


def route_logs(route: str) -> list[str]:
    """The own logs of the route with this name, each by its name alone and not by the site's.

    What a stranger asks for washes out neither what a shipper was refused nor what was taken: what the gate
    refuses whom some route lets in, and pushes among what it refuses others, are counted by themselves.
    """
    own = ("1s", TAKEN_LOGGED_PER_SECOND, TAKEN_LOGGED_ONE_IN)
    sampled = {
        taken(route): own,
        failed(route): own,
        listed(route): STRANGERS_LOGGED,
        refused(route): STRANGERS_LOGGED,
        astray(route): STRANGERS_LOGGED,
    }
    return [
        line
        for name, rate in sampled.items()
        for line in _log(f"log {name} ", rate, ROUTES_URI, "no_hostname")
    ]


def taken(route: str) -> str:
    """Of the pushes that its Loki took."""
    return f"{route}_taken"


def failed(route: str) -> str:
    """Of what came through the address gate: a wrong password, or Loki didn't take it."""
    return f"{route}_failed"


def listed(route: str) -> str:
    """Of what the gate kept out, what came from an address that some route lets in."""
    return f"{route}_listed"


def refused(route: str) -> str:
    """Of what the gate kept out, others' pushes: only the address was wrong."""
    return f"{route}_refused"


def astray(route: str) -> str:
    """Of what the gate kept out, all else."""
    return f"{route}_astray"


def _log(head: str, sampled: tuple[str, int, int], uri: str, *more: str, output: str = "stdout") -> list[str]:
    interval, first, thereafter = sampled
    return block(head, [*more, f'import logged {interval} {first} {thereafter} "{uri}" {output}'])
