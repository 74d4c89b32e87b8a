# pyright: strict
"""Caddy's configuration as text: the guarded routes, their address gate, and Grafana behind them.

Pure: settings in, text out. The files lie in one live directory: `Caddyfile` and, one per
allowed address, the fragments in `allowed/nat/`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.settings import ACME_STAGING, EdgeSettings

ADMIN_SOCKET = "/run/caddy/admin.sock"
FRAGMENTS = "allowed/nat"
PUSH_PATH = "/loki/api/v1/push"
# Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector".
OTLP_PATH = "/otlp/v1/logs"

# What Caddy keeps of its configuration is there, too. A root isn't among the live files: Caddy reads it by
# its whole path, and checks a configuration before that is swapped.
CONFIG_DIRECTORY = "/config"

# A matcher without any range is open to all, so that each one holds an address that no client
# can have: the limited broadcast address (RFC 919, section 7).
NOBODY = "255.255.255.255/32"

# The largest honest push as it is sent (docs/loki.md, "What a push may be"): Fluent Bit's own output makes
# JSON of a chunk of 2 MB, twice that where its text isn't ASCII. OpenTelemetry's becomes more inside.
MAX_BODY = "5MB"
OTLP_MAX_BODY = "2MB"
# How many pushes a Loki works on at once: its memory has room for so many of the worst (loki/config.py).
# Others wait, with their bodies unread.
PUSHES_AT_ONCE = 2

# What Grafana is sent: a dashboard, a query. It asks for a login before it reads one of these...
GRAFANA_MAX_BODY = "10MB"
GRAFANA_LARGE = (
    "/api/annotations/*",
    "/api/dashboards/*",
    "/api/datasources/*",
    "/api/ds/*",
    "/api/folders/*",
    "/api/library-elements/*",
    "/api/ruler/*",
    "/api/snapshots",
    "/api/v1/provisioning/*",
    "/apis/*",
)
# ... and reads all others whole into its memory, three times their size, whoever sends them.
STRANGERS_MAX_BODY = "256KB"

# How many requests Grafana has at once. One connection over HTTP/2 brings up to 250 (Go's default; Caddy
# 2.11.7 has no setting), and each that waits takes Caddy some 70 KiB: 4,000 took it from 54 to 333 MiB of its
# 512. Those beyond are answered 503 at once.
GRAFANA_AT_ONCE = 4000

# How long a push waits for a Loki that restarts; a reload lets such a push end (grace period).
DIAL_RETRY = "15s"
GRACE_PERIOD_SECONDS = 20

# How long a connection to an upstream may idle: less than Loki lets it (its http_server_idle_timeout,
# 120 s), so that no push meets a connection that is just being closed. And a configuration that was
# replaced stays in Caddy's memory until the last of its connections has gone.
KEEPALIVE = "20s"

# Loki shares the rate limits out evenly among its replicas, so that pushes go to each in turn. One that
# isn't ready gets none, and a push that couldn't be dialled is dialled elsewhere. Not `fail_duration`: it
# also counts what clients get wrong, such as bodies that are too large, and would shut out all replicas.
REPLICAS = (
    "lb_policy round_robin",
    "health_uri /ready",
    "health_interval 5s",
    "health_timeout 3s",
)

# A connection over HTTP/2 that is in its TLS handshake at a reload keeps the old configuration for as
# long as it is busy (golang/go#81153). So one request in 256, told by its random uuid, ends its connection
# in order. Not more: a connection has up to 250 requests at once, and the client repeats some of them.
RENEWED = ("protocol http/2", "vars_regexp {http.request.uuid} ^00")

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

# Grafana's data source proxy passes any GET on, of each user, and of a page that one who is logged in has
# open. By GET a Loki ends (`/ingester/shutdown`), writes out, changes its log and shows its configuration.
# So the proxy is for questions alone (Loki's HTTP API), which `make verify` asks.
LOKI_QUESTIONS = (
    "^/api/datasources/proxy/uid/[A-Za-z0-9_-]+/loki/api/v1/"
    "(query|query_range|labels|label/[A-Za-z0-9_]+/values|series|index/(stats|volume|volume_range))([?].*)?$"
)
# The plugin passes paths of its own on, below `/loki/api/v1/`: none of them may lead out of there.
DATA_SOURCES = "^/apis?/([^/]*[.])?datasource"
CLIMBS = "(?i)^[^?]*([.][.]|%2e|%2f|%5c|%25)"

# Of the pushes that Loki took, a route's log holds the first ones of each second, then one in so many: a
# line for each costs a tenth of the throughput, and washes the refusals out of what Docker keeps. A log
# router pushes once in a second (its BatchWait), so that those of 20 tasks are all in it.
TAKEN_LOGGED_PER_SECOND = 20
TAKEN_LOGGED_ONE_IN = 100


@dataclass(frozen=True, kw_only=True)
class GuardedRoute:
    """One way to one Loki: who may push, and with which accounts on top."""

    name: str
    prefix: str
    # host:port as Caddy dials it.
    upstream: str
    # The other replicas of the same Loki.
    more_upstreams: tuple[str, ...] = ()
    cidrs: tuple[str, ...] = ()
    # Whether the fragments of allowed addresses count here.
    allow_nat: bool = False
    # (user, bcrypt hash); none means that the address is enough.
    accounts: tuple[tuple[str, str], ...] = ()
    # Whether who names no account isn't asked for one.
    accounts_optional: bool = False
    # Whether OpenTelemetry logs may be pushed too.
    otlp: bool = False


def render_caddyfile(site: EdgeSettings, routes: Sequence[GuardedRoute], grafana: str | None) -> str:
    """The Caddyfile; `grafana` is where Grafana answers, or None where the stack has none."""
    body: list[str] = []
    logs: list[str] = []
    for route in sorted(routes, key=lambda one: one.name):
        body += _guarded_route(route, routes)
        logs += _route_logs(route)
    body += _grafana(site, grafana)
    return _page(site, body, logs)


def render_closed(site: EdgeSettings) -> str:
    """The first Caddyfile and the last one: certificates are kept up, every request gets 403."""
    return _page(site, ['respond "Forbidden" 403'])


def render_allowed_address(ip: str) -> str:
    """The fragment that lets one address push on every route that allows `nat`.

    Raises ValueError if `ip` is no address.
    """
    return f"remote_ip {ipaddress.ip_network(ip)}\n"


def push_url(site: EdgeSettings, prefix: str) -> str:
    """Where a shipper pushes to."""
    return f"{site_url(site)}{prefix}{PUSH_PATH}"


def site_url(site: EdgeSettings) -> str:
    """The site's URL, without a slash at its end."""
    port = "" if site.https_port == 443 else f":{site.https_port}"
    return f"https://{site.domain}{port}"


def _page(site: EdgeSettings, body: Sequence[str], more_logs: Sequence[str] = ()) -> str:
    lines = [
        *_block("(logged) ", _logged()),
        "",
        *_block("", _global_options(site)),
        "",
        *_block(
            f"{site.domain} ",
            [
                *(["tls internal"] if site.tls == "internal" else []),
                *_log("log site ", STRANGERS_LOGGED, SITES_URI),
                *more_logs,
                "header -Server",
                # `route` keeps the order that is written; on its own, Caddy sorts directives.
                *_block("route ", [*_block("@renewed ", RENEWED), "header @renewed Connection close", *body]),
            ],
        ),
        "",
        *_block(f"http://{site.domain} ", [*_plain_http(), f"redir {site_url(site)}{{uri}} 308"]),
        "",
        # Under another name, or none: as over HTTPS.
        *_block("http:// ", [*_plain_http(), "respond 421", *_block("handle_errors ", ["header -Server"])]),
    ]
    return "\n".join(lines) + "\n"


def _global_options(site: EdgeSettings) -> list[str]:
    timeouts = ["read_header 10s", "read_body 30s", "write 2m", "idle 2m"]
    servers = [
        f"protocols h1 h2{' h3' if site.http3 else ''}",
        # A Host header for another site than the handshake named is refused.
        "strict_sni_host on",
        "max_header_size 16KB",
        *_block("timeouts ", timeouts),
    ]
    return [
        f"admin unix/{ADMIN_SOCKET}|0600",
        f"http_port {site.http_port}",
        f"https_port {site.https_port}",
        # Caddy's own would send anybody anywhere: to the host that was asked for, and without our port.
        "auto_https disable_redirects",
        "skip_install_trust",
        f"grace_period {GRACE_PERIOD_SECONDS}s",
        *_acme(site),
        # What isn't an access log may hold a request, too.
        # To stderr: `caddy adapt --validate` prints the configuration to stdout, and says things meanwhile.
        *_log("log default ", STRANGERS_LOGGED, SITES_URI, f"exclude {SITES_ERRORS}", output="stderr"),
        *_block("servers ", servers),
    ]


def _plain_http() -> list[str]:
    """What both sites on the HTTP port have. Caddy answers an ACME authority's challenge before them."""
    return [
        *_log("log ", STRANGERS_LOGGED, SITES_URI),
        "header -Server",
        *_block("request_body ", [f"max_size {STRANGERS_MAX_BODY}"]),
    ]


def _acme(site: EdgeSettings) -> list[str]:
    lines = [f"email {_quoted(site.email)}"] if site.email and site.tls != "internal" else []
    if site.tls == "acme-staging":
        lines.append(f"acme_ca {ACME_STAGING}")
    if site.acme is not None:
        lines.append(f"acme_ca {site.acme.directory}")
        if site.acme.root is not None:
            lines.append(f"acme_ca_root {CONFIG_DIRECTORY}/{site.acme.root_file}")
    return lines


def _logged() -> list[str]:
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
    return [*_block("sampling ", sampling), "output {args[4]}", *_block("format filter ", filters)]


def _filtered(field: str, pattern: str) -> list[str]:
    """The filter of a request's field: what of it the pattern has in brackets, a byte for each sign."""
    lines = [f'regexp "{_ODD_SIGNS}" "_"', f'regexp "{pattern}" "${{1}}"']
    return _block(f"request>{field} multi_regexp ", lines)


def _log(head: str, sampled: tuple[str, int, int], uri: str, *more: str, output: str = "stdout") -> list[str]:
    interval, first, thereafter = sampled
    return _block(head, [*more, f'import logged {interval} {first} {thereafter} "{uri}" {output}'])


def _route_logs(route: GuardedRoute) -> list[str]:
    """A route's own logs, each by its name alone and not by the site's.

    What a stranger asks for washes out neither what a shipper was refused nor what was taken: what the gate
    refuses whom some route lets in, and pushes among what it refuses others, are counted by themselves.
    """
    own = ("1s", TAKEN_LOGGED_PER_SECOND, TAKEN_LOGGED_ONE_IN)
    sampled = {
        _taken(route): own,
        _failed(route): own,
        _listed(route): STRANGERS_LOGGED,
        _refused(route): STRANGERS_LOGGED,
        _astray(route): STRANGERS_LOGGED,
    }
    return [
        line
        for name, rate in sampled.items()
        for line in _log(f"log {name} ", rate, ROUTES_URI, "no_hostname")
    ]


def _taken(route: GuardedRoute) -> str:
    return f"{route.name}_taken"


def _failed(route: GuardedRoute) -> str:
    """Of what came through the address gate: a wrong password, or Loki didn't take it."""
    return f"{route.name}_failed"


def _listed(route: GuardedRoute) -> str:
    """Of what the gate kept out, what came from an address that some route lets in."""
    return f"{route.name}_listed"


def _refused(route: GuardedRoute) -> str:
    """Of what the gate kept out, others' pushes: only the address was wrong."""
    return f"{route.name}_refused"


def _astray(route: GuardedRoute) -> str:
    """Of what the gate kept out, all else."""
    return f"{route.name}_astray"


def _guarded_route(route: GuardedRoute, routes: Sequence[GuardedRoute]) -> list[str]:
    matcher = f"@{route.name}_push"
    return [
        *_block(f"{matcher} ", [*_pushes(route), *_addresses([route])]),
        *_block(f"handle {matcher} ", _block("route ", _push(route))),
        f"@{route.name} path {route.prefix} {route.prefix}/*",
        *_block(f"handle @{route.name} ", _block("route ", _refusal(route, routes))),
    ]


def _refusal(route: GuardedRoute, routes: Sequence[GuardedRoute]) -> list[str]:
    """403, and in which log: the last name that fits."""
    pushes, listed = f"@{_refused(route)}", f"@{_listed(route)}"
    return [
        f"log_name {_astray(route)}",
        *_block(f"{pushes} ", _pushes(route)),
        f"log_name {pushes} {_refused(route)}",
        *_block(f"{listed} ", _addresses(routes)),
        f"log_name {listed} {_listed(route)}",
        'respond "Forbidden" 403',
    ]


def _pushes(route: GuardedRoute) -> list[str]:
    """What is a push on this route, whoever sends it."""
    paths = [PUSH_PATH, *([OTLP_PATH] if route.otlp else [])]
    return [
        "method POST",
        # As it was sent, letter for letter, so that an encoded slash or a query is something else.
        # Caddy's own `path` ignores case and repeated slashes.
        f"vars {{http.request.orig_uri}} {' '.join(route.prefix + path for path in paths)}",
    ]


def _addresses(routes: Sequence[GuardedRoute]) -> list[str]:
    """Whom any of these routes lets in."""
    cidrs = sorted({cidr for route in routes for cidr in route.cidrs})
    return [
        f"remote_ip {' '.join([NOBODY, *cidrs])}",
        *([f"import {FRAGMENTS}/*.caddy"] if any(route.allow_nat for route in routes) else []),
    ]


def _push(route: GuardedRoute) -> list[str]:
    """What becomes of a push: one way to Loki, with a constant path."""
    users = [f"{user} {hashed}" for user, hashed in route.accounts]
    otlp, login = f"@{route.name}_otlp", f"@{route.name}_login"
    return [
        f"log_name {_failed(route)}",
        # Behind the gate: a guess costs a second of the CPU, and strangers get none.
        *([f"{login} header Authorization *"] if route.accounts_optional else []),
        *(
            _block(f"basic_auth {f'{login} ' if route.accounts_optional else ''}bcrypt ", users)
            if users
            else []
        ),
        *([f"{otlp} vars {{http.request.orig_uri}} {route.prefix}{OTLP_PATH}"] if route.otlp else []),
        *(_block(f"request_body {otlp} ", [f"max_size {OTLP_MAX_BODY}"]) if route.otlp else []),
        *_block("request_body ", [f"max_size {MAX_BODY}"]),
        "request_header -X-Scope-OrgID",
        "request_header -Authorization",
        # The question mark drops the client's query. Of several in one block, the first that fits is done.
        *([f"rewrite {otlp} {OTLP_PATH}?"] if route.otlp else []),
        f"rewrite * {PUSH_PATH}?",
        *_block(f"reverse_proxy {' '.join([route.upstream, *route.more_upstreams])} ", _proxy(route)),
    ]


def _grafana(site: EdgeSettings, upstream: str | None) -> list[str]:
    if upstream is None:
        return _block("handle ", ['respond "Grafana is not part of this stack" 503'])
    headers = [
        "X-Content-Type-Options nosniff",
        "X-Frame-Options deny",
        "Referrer-Policy strict-origin-when-cross-origin",
        # Not with a certificate that few trust: a browser would insist on it for a year.
        *(["Strict-Transport-Security max-age=31536000"] if _is_trusted(site) else []),
    ]
    # Without another try: what waits for a place would take as much memory.
    proxy = [f"unhealthy_request_count {GRAFANA_AT_ONCE}", *_transport(), "stream_close_delay 5m"]
    inner = [
        *_by_data_source(),
        *_block("header ", headers),
        "encode",
        f"@small not path {' '.join(GRAFANA_LARGE)}",
        *_block("request_body @small ", [f"max_size {STRANGERS_MAX_BODY}"]),
        *_block("request_body ", [f"max_size {GRAFANA_MAX_BODY}"]),
        # Grafana would believe it before X-Forwarded-For, which Caddy sets.
        "request_header -X-Real-IP",
        *_block(f"reverse_proxy {upstream} ", proxy),
    ]
    return _block("handle ", _block("route ", inner))


def _by_data_source() -> list[str]:
    """What Grafana's users may ask a Loki past Grafana's own queries: questions, letter for letter."""
    asks = ["method GET", f"vars_regexp {{http.request.orig_uri}} {LOKI_QUESTIONS}"]
    return [
        *_block("@proxied ", ["path /api/datasources/proxy /api/datasources/proxy/*", *_block("not ", asks)]),
        "respond @proxied 403",
        *_block(
            "@climbs ", [f"path_regexp {DATA_SOURCES}", f"vars_regexp {{http.request.orig_uri}} {CLIMBS}"]
        ),
        "respond @climbs 403",
    ]


def _is_trusted(site: EdgeSettings) -> bool:
    """Whether every browser trusts the certificate, as far as can be told."""
    return site.tls == "acme" and (site.acme is None or site.acme.root is None)


def _proxy(route: GuardedRoute) -> list[str]:
    return [
        # Only a dial that failed is tried again: nothing of such a request has reached the other side.
        f"lb_try_duration {DIAL_RETRY}",
        "lb_try_interval 250ms",
        *_transport(f"max_conns_per_host {PUSHES_AT_ONCE}"),
        *(REPLICAS if route.more_upstreams else ()),
        "@taken status 2xx",
        *_block("handle_response @taken ", [f"log_name {_taken(route)}", "copy_response"]),
    ]


def _transport(*more: str) -> list[str]:
    return _block("transport http ", [f"keepalive {KEEPALIVE}", *more])


def _block(head: str, lines: Sequence[str]) -> list[str]:
    return [f"{head}{{", *(f"\t{line}" if line else line for line in lines), "}"]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"'
