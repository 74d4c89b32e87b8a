# pyright: strict
"""The routes to the campus server's Lokis, from the settings. Pure."""

from __future__ import annotations

from components.edge.caddyfile import GuardedRoute, guarded_route
from components.edge.connection_limit import ConnectionLimit
from components.edge.query_route import QueryRoute
from components.edge.reader_caddyfile import Shipped, render_reader
from components.loki.push_paths import LOKIS_OWN, push_paths
from components.loki.query_paths import QUERY_PATHS
from components.stack.settings import Settings


def guarded_routes(settings: Settings) -> list[GuardedRoute]:
    """The gate's routes, without their accounts' hashes."""
    placements = settings.placements
    return [
        guarded_route(name, one, settings.edge, upstreams=placements[name].upstreams, paths=push_paths(one))
        for name, one in settings.loki.instances.items()
    ]


def query_routes(settings: Settings) -> list[QueryRoute]:
    """The route for each Loki's queries, on its own port."""
    return [
        QueryRoute(name=name, port=one.port, upstreams=one.upstreams, queries=QUERY_PATHS)
        for name, one in settings.placements.items()
    ]


def published_routes(settings: Settings) -> list[QueryRoute]:
    """The query routes that the edge serves to sources in the port policy."""
    instances = settings.loki.instances
    return [route for route in query_routes(settings) if instances[route.name].published]


def connection_limit(settings: Settings) -> ConnectionLimit:
    """The limit of connections to the edge, on each of its ports."""
    site = settings.edge
    published = (route.port for route in published_routes(settings))
    return ConnectionLimit(
        ports=(site.http_port, site.https_port, *published), per_source=site.connections_per_source
    )


def upstream_hosts(settings: Settings) -> dict[str, str]:
    """The fixed address of each replica for Caddy on the campus server, by role."""
    return {
        role: address
        for placement in settings.placements.values()
        for role, address in placement.addresses.items()
    }


def reader_url(settings: Settings, loki: str) -> str:
    """A Loki's URL for Grafana and the log shipper, through the reader."""
    return f"http://{settings.campus.readers_address('reader')}:{settings.loki.instances[loki].port}"


def reader_caddyfile(settings: Settings) -> str:
    """The reader's Caddyfile."""
    campus = settings.campus
    shipped = None
    if campus.logs_to is not None:
        shipped = Shipped(to=campus.logs_to, path=LOKIS_OWN, source=campus.readers_address("log-shipper"))
    grafana = campus.readers_address("grafana") if settings.grafana.enabled else None
    return render_reader(query_routes(settings), grafana, shipped)
