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

# A line's own fields of a request, and their longest texts. Caddy's `request` is removed: Caddy encodes it
# once per log in the configuration, even if no log keeps the line (zap's lazyWithCore). With several logs
# for each route that cost a tenth of the gate's throughput (decision 10).
_METHOD, _HOST = "^(.{0,20}).*$", "^(.{0,100}).*$"
_FIELDS = {
    "method": "{http.request.method}",
    "host": "{http.request.hostport}",
    "uri": "{http.request.orig_uri}",
    "remote_ip": "{http.request.remote.host}",
}
# A route's requests: the path, and whether there was a query, which may contain a password.
ROUTES_URI = r"^([^?]{0,200}\??).*$"
# All others: the path's first segment, or two. The rest may be the secret of Grafana's invitations, snapshots
# and public dashboards, and the query that of a mailed link.
SITES_URI = r"^(?:(/(?:api|dashboard|public)/[^/?]{0,100}|/[^/?]{0,100}).*|.*)$"

# Strangers' requests are sampled per logger: interval, first, thereafter. Docker keeps 50 MB: over an hour
# with ten such loggers (one for each of six routes, and four others), each with 1 KiB a second.
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
    """The snippet that each access log imports; arguments: interval, first, thereafter, URI pattern."""
    return [
        *_sampling(*(f"{{args[{at}]}}" for at in range(3))),
        "output stdout",
        *block(
            "format filter ",
            [
                "wrap json",
                "request delete",
                "resp_headers delete",
                *_cut("method", _METHOD),
                *_cut("host", _HOST),
                *_cut("uri", "{args[3]}"),
            ],
        ),
    ]


def default_log() -> list[str]:
    """The log of all else, such as a failed health check, or a request that no site answers.

    To stderr, since `caddy adapt --validate` prints the configuration to stdout and logs meanwhile.
    """
    filters = [
        "wrap json",
        "request>headers delete",
        "request>tls delete",
        "resp_headers delete",
        *_cut("request>method", _METHOD),
        *_cut("request>host", _HOST),
        *_cut("request>uri", SITES_URI),
    ]
    return block(
        "log default ",
        [
            f"exclude {SITES_ERRORS}",
            *_sampling(*map(str, STRANGERS_LOGGED)),
            "output stderr",
            *block("format filter ", filters),
        ],
    )


def _sampling(interval: str, first: str, thereafter: str) -> list[str]:
    return block("sampling ", [f"interval {interval}", f"first {first}", f"thereafter {thereafter}"])


def _cut(field: str, pattern: str) -> list[str]:
    """The filter of a field: it keeps the pattern's group, with a byte per character."""
    lines = [f'regexp "{_ODD_SIGNS}" "_"', f'regexp "{pattern}" "${{1}}"']
    return block(f"{field} multi_regexp ", lines)


def fields() -> list[str]:
    """The directives that log a request's own fields, even if it is cut off."""
    return [f"log_append <{name} {value}" for name, value in _FIELDS.items()]


def strangers_log(head: str) -> list[str]:
    """A site's log of anybody's requests, sampled so that no stranger can fill Docker's log."""
    return [*_log(head, STRANGERS_LOGGED, SITES_URI), *fields()]


def route_logs(route: str) -> list[str]:
    """A route's own logs. Strangers' requests crowd out neither accepted pushes nor others' failures."""
    own = ("1s", TAKEN_LOGGED_PER_SECOND, TAKEN_LOGGED_ONE_IN)
    sampled = {taken(route): own, failed(route): own, refused(route): STRANGERS_LOGGED}
    return [
        line
        for name, rate in sampled.items()
        for line in _log(f"log {name} ", rate, ROUTES_URI, "no_hostname")
    ]


def taken(route: str) -> str:
    """Pushes that Loki accepted."""
    return f"{route}_taken"


def failed(route: str) -> str:
    """Requests from addresses that some route allows, refused by the gate, by a login or by the backend."""
    return f"{route}_failed"


def refused(route: str) -> str:
    """Strangers' pushes: only the address was wrong. Their other requests are in the site's log."""
    return f"{route}_refused"


def _log(head: str, sampled: tuple[str, int, int], uri: str, *more: str) -> list[str]:
    interval, first, thereafter = sampled
    return block(head, [*more, f'import logged {interval} {first} {thereafter} "{uri}"'])
