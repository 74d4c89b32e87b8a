# pyright: strict
"""Caddy's access logs: which fields, how much of each, and how many requests. Pure."""

from __future__ import annotations

from components.edge.syntax import block

# The longest line, as Docker writes it. A line has the fields that the dashboards read, and the host, but no
# headers: those may contain anything, and over HTTP/2 a repeated one costs the sender a byte. Characters
# that aren't printable ASCII, or need escapes, become one character, and long fields are cut.
LOGGED_BYTES = 1024
# Docker writes each `&`, `<` and `>` as six bytes (moby's jsonlogbytes.go).
_ODD_SIGNS = r"[^!#-%'-;=?-\[\]-~]"
# A route's requests: the path, and whether there was a query, which may contain a password.
ROUTES_URI = r"^([^?]{0,200}\??).*$"
# All others: the path's first segment, or two. The rest may be the secret of Grafana's invitations, snapshots
# and public dashboards, and the query that of a mailed link.
SITES_URI = r"^(?:(/(?:api|dashboard|public)/[^/?]{0,100}|/[^/?]{0,100}).*|.*)$"

# Strangers' requests are sampled per logger: interval, first, thereafter. Docker keeps 50 MB: over an hour
# with ten such loggers (two for each of three routes, and four others), each with 1 KiB a second.
STRANGERS_LOGGED = ("10s", 10, 10_000)

# Failures on Grafana's route are logged without their reason: a stranger can write part of it, by a broken
# request, and so evade the sampling, which goes by the text.
SITES_ERRORS = "http.log.error.site"

# Accepted pushes are sampled per second: a line for each would cost a tenth of the throughput, and crowd the
# refusals out of Docker's log. A log router pushes once a second (its BatchWait), so that the pushes of 20
# tasks are all logged.
TAKEN_LOGGED_PER_SECOND = 20
TAKEN_LOGGED_ONE_IN = 100


def logged_snippet() -> list[str]:
    """The snippet that each log imports; arguments: interval, first, thereafter, URI pattern, output."""
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
    """The filter of a request's field: it keeps the pattern's group, with a byte per character."""
    lines = [f'regexp "{_ODD_SIGNS}" "_"', f'regexp "{pattern}" "${{1}}"']
    return block(f"request>{field} multi_regexp ", lines)


def strangers_log(head: str, *more: str, output: str = "stdout") -> list[str]:
    """A log of anybody's requests, sampled so that no stranger can fill Docker's log."""
    return _log(head, STRANGERS_LOGGED, SITES_URI, *more, output=output)


def route_logs(route: str) -> list[str]:
    """A route's own logs.

    Strangers' requests crowd out neither shippers' refused pushes nor accepted ones: refusals of addresses
    that some route allows, and others' refused pushes, are sampled separately.
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
    """Pushes that Loki accepted."""
    return f"{route}_taken"


def failed(route: str) -> str:
    """Pushes that passed the allowlist and failed: a wrong password, or refused by Loki."""
    return f"{route}_failed"


def listed(route: str) -> str:
    """Requests that the gate refused, from an address that some route allows."""
    return f"{route}_listed"


def refused(route: str) -> str:
    """Other pushes that the gate refused: only the address was wrong."""
    return f"{route}_refused"


def astray(route: str) -> str:
    """All other requests that the gate refused."""
    return f"{route}_astray"


def _log(head: str, sampled: tuple[str, int, int], uri: str, *more: str, output: str = "stdout") -> list[str]:
    interval, first, thereafter = sampled
    return block(head, [*more, f'import logged {interval} {first} {thereafter} "{uri}" {output}'])
