# pyright: strict
"""Caddy's configuration as text: the guarded routes, their address gate, and Grafana behind them.

Pure: settings in, text out. One live directory has the `Caddyfile` and, in `allowed/nat/`, a fragment per
allowed address.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass

from components.edge import access_log
from components.edge.guarded_backend import GuardedBackend, Pushes, PushesWhile, PushPath
from components.edge.guarded_settings import allowlist
from components.edge.own_metrics import edges_metrics
from components.edge.query_route import KEEPALIVE, QueryRoute, query_site, reverse_proxy
from components.edge.settings import ACME_STAGING, EdgeSettings
from components.edge.syntax import block, quoted
from components.live.container_facts import ADMIN_SOCKET

FRAGMENTS = "allowed/nat"

# Caddy autosaves its configuration there, too. A root isn't a live file: Caddy reads it by its absolute path,
# and checks a configuration before the files are swapped.
CONFIG_DIRECTORY = "/config"

# A matcher without ranges would let everybody in, so each has an address that no client can have: the limited
# broadcast address (RFC 919, section 7).
NOBODY = "255.255.255.255/32"

PACKED_REFUSED = "Send this without compression."

# Requests to Grafana, such as a dashboard or a query. Before it reads these bodies it requires a login...
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
# ... and it reads all other bodies into memory, three times their size, from anybody.
STRANGERS_MAX_BODY = "256KB"

# The requests that Grafana gets at once; others get 503. One HTTP/2 connection has up to 250 (Go's default;
# Caddy 2.11.7 has no setting), and each waiting one costs Caddy some 70 KiB: 4,000 raised its memory from 54
# to 333 of 512 MiB.
GRAFANA_AT_ONCE = 4000

# A push waits this long for a Loki that restarts; the grace period of a reload lets it end.
DIAL_RETRY = "15s"
GRACE_PERIOD_SECONDS = 20

# An HTTP/2 connection that is in its TLS handshake at a reload keeps the old configuration for as long as it
# is busy (golang/go#81153). So one request in 256, by its random uuid, closes its connection gracefully. Not
# more: a connection has up to 250 requests at once, and the client repeats some of them.
RENEWED = ("protocol http/2", "vars_regexp {http.request.uuid} ^00")


@dataclass(frozen=True, kw_only=True)
class GuardedRoute:
    """A route to a backend: who may push, and with which accounts."""

    name: str
    prefix: str
    # host:port as Caddy dials it.
    upstream: str
    # The other replicas of the same backend.
    more_upstreams: tuple[str, ...] = ()
    pushes: Pushes
    cidrs: tuple[str, ...] = ()
    # Whether the fragments of allowed addresses apply here.
    allow_nat: bool = False
    # (user, bcrypt hash); without any, an allowed address is enough.
    accounts: tuple[tuple[str, str], ...] = ()
    # Whether requests without an account pass.
    accounts_optional: bool = False


def guarded_route(backend: GuardedBackend, site: EdgeSettings) -> GuardedRoute:
    """The route to a backend, without its accounts' hashes."""
    settings = backend.settings
    return GuardedRoute(
        name=backend.name,
        prefix=settings.route,
        upstream=backend.upstreams[0],
        more_upstreams=backend.upstreams[1:],
        pushes=backend.pushes,
        cidrs=allowlist(settings, site),
        allow_nat=settings.allows_nat,
        accounts_optional=settings.accounts_optional,
    )


def render_caddyfile(
    site: EdgeSettings,
    routes: Sequence[GuardedRoute],
    grafana: str | None,
    published: Sequence[QueryRoute],
    *,
    is_measured: bool,
) -> str:
    """The Caddyfile; `grafana` is Grafana's host:port, or None without Grafana.

    `published` ports answer queries; the port policy decides from where. `is_measured` says that Prometheus
    reads Caddy's own metrics, and Grafana's, through the reader.
    """
    body: list[str] = []
    logs: list[str] = []
    for route in sorted(routes, key=lambda one: one.name):
        body += _guarded_route(route, routes)
        logs += access_log.route_logs(route.name)
    body += _grafana(site, grafana, is_measured=is_measured)
    return _page(site, body, logs, published, is_measured=is_measured)


def render_closed(site: EdgeSettings) -> str:
    """The first and the last Caddyfile: it renews certificates, and answers every request with 403."""
    return _page(site, ['respond "Forbidden" 403'])


def render_allowed_address(ip: str) -> str:
    """The fragment that lets one address push on every route with `nat`.

    Raises ValueError if `ip` isn't an address.
    """
    return f"remote_ip {ipaddress.ip_network(ip)}\n"


def site_url(site: EdgeSettings) -> str:
    """The site's URL, without a slash at its end."""
    port = "" if site.https_port == 443 else f":{site.https_port}"
    return f"https://{site.domain}{port}"


def _page(
    site: EdgeSettings,
    body: Sequence[str],
    more_logs: Sequence[str] = (),
    published: Sequence[QueryRoute] = (),
    *,
    is_measured: bool = False,
) -> str:
    lines = [
        *block("(logged) ", access_log.logged_snippet()),
        "",
        *block("", [*_global_options(site, published), *(["metrics"] if is_measured else [])]),
        "",
        *block(
            f"{site.domain} ",
            [
                *(["tls internal"] if site.tls == "internal" else []),
                *access_log.strangers_log("log site "),
                *more_logs,
                "header -Server",
                # `route` keeps the written order; otherwise Caddy sorts directives.
                *block("route ", [*block("@renewed ", RENEWED), "header @renewed Connection close", *body]),
            ],
        ),
        "",
        *block(f"http://{site.domain} ", [*_plain_http(), f"redir {site_url(site)}{{uri}} 308"]),
        "",
        # Requests with another host name, or none: as over HTTPS.
        *block("http:// ", [*_plain_http(), "respond 421", *block("handle_errors ", ["header -Server"])]),
    ]
    for route in published:
        lines += ["", *block(f"http://:{route.port} ", _published(site, route))]
    if is_measured:
        lines += ["", *edges_metrics()]
    return "\n".join(lines) + "\n"


def _published(site: EdgeSettings, route: QueryRoute) -> list[str]:
    # By an address or our own name: otherwise a page in a browser on campus could have its own name lead
    # here, and read (DNS rebinding). Not `vars_regexp`: of two in a matcher one is enough.
    named = f"header_regexp Host ^({re.escape(site.domain)}|[0-9.]+|\\[[0-9a-f:]+\\])(:[0-9]+)?$"
    return [
        *access_log.strangers_log("log "),
        "log_skip @query",
        "header -Server",
        *query_site(route, sources=[named]),
    ]


def _global_options(site: EdgeSettings, published: Sequence[QueryRoute]) -> list[str]:
    limits = [
        # Refuse a Host header that differs from the handshake's server name.
        "strict_sni_host on",
        "max_header_size 16KB",
        *block("timeouts ", ["read_header 10s", "read_body 30s", "write 2m", "idle 2m"]),
    ]
    servers = [f"protocols h1 h2{' h3' if site.http3 else ''}", *limits]
    return [
        f"admin unix/{ADMIN_SOCKET}|0600",
        f"http_port {site.http_port}",
        f"https_port {site.https_port}",
        # Caddy's redirects would lead anywhere: to the host in the request, and without our port.
        "auto_https disable_redirects",
        "skip_install_trust",
        f"grace_period {GRACE_PERIOD_SECONDS}s",
        *_acme(site),
        *access_log.default_log(),
        *block("servers ", servers),
        # Not HTTP/2: 300 connections with 250 requests each fill Caddy's memory.
        *(line for one in published for line in block(f"servers :{one.port} ", ["protocols h1", *limits])),
    ]


def _plain_http() -> list[str]:
    """Common to both sites on the HTTP port. Caddy answers ACME challenges before them."""
    return [
        *access_log.strangers_log("log "),
        "header -Server",
        *block("request_body ", [f"max_size {STRANGERS_MAX_BODY}"]),
    ]


def _acme(site: EdgeSettings) -> list[str]:
    lines = [f"email {quoted(site.email)}"] if site.email and site.tls != "internal" else []
    if site.tls == "acme-staging":
        lines.append(f"acme_ca {ACME_STAGING}")
    if site.acme is not None:
        lines.append(f"acme_ca {site.acme.directory}")
        if site.acme.root is not None:
            lines.append(f"acme_ca_root {CONFIG_DIRECTORY}/{site.acme.root_file}")
    return lines


def _guarded_route(route: GuardedRoute, routes: Sequence[GuardedRoute]) -> list[str]:
    matcher = f"@{route.name}_push"
    return [
        *block(f"{matcher} ", [*_pushes(route), *_addresses([route])]),
        *block(f"handle {matcher} ", block("route ", _push(route))),
        f"@{route.name} path {route.prefix} {route.prefix}/*",
        *block(f"handle @{route.name} ", block("route ", _refusal(route, routes))),
    ]


def _refusal(route: GuardedRoute, routes: Sequence[GuardedRoute]) -> list[str]:
    """403, logged under the last matching name, or the site's."""
    pushes, listed = f"@{access_log.refused(route.name)}", f"@{access_log.failed(route.name)}"
    return [
        *block(f"{pushes} ", _pushes(route)),
        f"log_name {pushes} {access_log.refused(route.name)}",
        *block(f"{listed} ", _addresses(routes)),
        f"log_name {listed} {access_log.failed(route.name)}",
        'respond "Forbidden" 403',
    ]


def _pushes(route: GuardedRoute) -> list[str]:
    """The matcher of pushes on this route, from anybody."""
    return [
        "method POST",
        # The URI exactly as sent: one with an encoded slash or a query doesn't match. Caddy's own `path`
        # ignores case and repeated slashes.
        f"vars {{http.request.orig_uri}} {' '.join(route.prefix + one.path for one in route.pushes.paths)}",
    ]


def _addresses(routes: Sequence[GuardedRoute]) -> list[str]:
    """The matcher of addresses that any of these routes allows."""
    cidrs = sorted({cidr for route in routes for cidr in route.cidrs})
    return [
        f"remote_ip {' '.join([NOBODY, *cidrs])}",
        *([f"import {FRAGMENTS}/*.caddy"] if any(route.allow_nat for route in routes) else []),
    ]


def _push(route: GuardedRoute) -> list[str]:
    """The handling of a push: login, size limit, and a constant path at the backend."""
    users = [f"{user} {hashed}" for user, hashed in route.accounts]
    login = f"@{route.name}_login"
    first, *others = route.pushes.paths
    by_matcher = {f"@{route.name}_{one.name}": one for one in others}
    return [
        f"log_name {access_log.failed(route.name)}",
        # After the allowlist: a guess costs a second of CPU, which strangers don't get.
        *([f"{login} header Authorization *"] if route.accounts_optional else []),
        *(
            block(f"basic_auth {f'{login} ' if route.accounts_optional else ''}bcrypt ", users)
            if users
            else []
        ),
        *(line for matcher, one in by_matcher.items() for line in _further_path(matcher, route, one)),
        *block("request_body ", [f"max_size {first.max_body}"]),
        "request_header -X-Scope-OrgID",
        "request_header -Authorization",
        # The question mark drops the client's query. Caddy applies the first matching rewrite in a block.
        *(f"rewrite {matcher} {one.path}?" for matcher, one in by_matcher.items()),
        f"rewrite * {first.path}?",
        *_proxy(route),
    ]


def _further_path(matcher: str, route: GuardedRoute, one: PushPath) -> list[str]:
    uri = f"vars {{http.request.orig_uri}} {route.prefix}{one.path}"
    return [
        f"{matcher} {uri}",
        *block(f"request_body {matcher} ", [f"max_size {one.max_body}"]),
        *(refusal_of_packed(f"{matcher}_packed", [uri]) if one.is_plain else []),
    ]


def refusal_of_packed(matcher: str, asks: Sequence[str]) -> list[str]:
    """415 for a compressed body of the requests that ask so."""
    return [
        *block(f"{matcher} ", [*asks, "header Content-Encoding *"]),
        f"respond {matcher} {quoted(PACKED_REFUSED)} 415",
    ]


def _grafana(site: EdgeSettings, upstream: str | None, *, is_measured: bool) -> list[str]:
    if upstream is None:
        return block("handle ", ['respond "Grafana is not part of this stack" 503'])
    headers = [
        "X-Content-Type-Options nosniff",
        "X-Frame-Options deny",
        "Referrer-Policy strict-origin-when-cross-origin",
        # Only with a trusted certificate: browsers insist on HTTPS for a year.
        *(["Strict-Transport-Security max-age=31536000"] if _is_trusted(site) else []),
    ]
    # No retries: a waiting request needs as much memory.
    proxy = [
        f"unhealthy_request_count {GRAFANA_AT_ONCE}",
        *block("transport http ", [f"keepalive {KEEPALIVE}"]),
        "stream_close_delay 5m",
    ]
    inner = [
        # They would be open to everybody.
        *(["respond /metrics 404"] if is_measured else []),
        *block("header ", headers),
        "encode",
        f"@small not path {' '.join(GRAFANA_LARGE)}",
        *block("request_body @small ", [f"max_size {STRANGERS_MAX_BODY}"]),
        *block("request_body ", [f"max_size {GRAFANA_MAX_BODY}"]),
        # Grafana prefers this to X-Forwarded-For, which Caddy sets.
        "request_header -X-Real-IP",
        *block(f"reverse_proxy {upstream} ", proxy),
    ]
    return block("handle ", block("route ", inner))


def _is_trusted(site: EdgeSettings) -> bool:
    """Whether browsers trust the certificate, by the settings."""
    return site.tls == "acme" and (site.acme is None or site.acme.root is None)


def _proxy(route: GuardedRoute) -> list[str]:
    taken = [f"log_name {access_log.taken(route.name)}", "copy_response"]
    return reverse_proxy(
        (route.upstream, *route.more_upstreams),
        DIAL_RETRY,
        f"max_conns_per_host {route.pushes.at_once}",
        more=[
            "@taken status 2xx",
            *block("handle_response @taken ", taken),
            *(pushes_while(route.pushes.only_while) if route.pushes.only_while is not None else []),
        ],
    )


def pushes_while(asked: PushesWhile) -> list[str]:
    """The options of a proxy that asks its backend whether it takes pushes."""
    return [
        f"health_uri {asked.uri}",
        f"health_body `{asked.body}`",
        "health_interval 1s",
        "health_timeout 3s",
    ]
