# pyright: strict
"""The routes to the campus server's backends, from the settings. Pure."""

from __future__ import annotations

from components.edge.caddyfile import GuardedRoute, guarded_route
from components.edge.connection_limit import ConnectionLimit
from components.edge.guarded_backend import GuardedBackend
from components.edge.query_route import QueryRoute
from components.edge.reader_caddyfile import Shipped, render_reader
from components.loki.push_paths import LOKIS_OWN
from components.stack.backends import guarded_backends
from components.stack.settings import Settings


def guarded_routes(settings: Settings) -> list[GuardedRoute]:
    """The gate's routes, without their accounts' hashes."""
    return [guarded_route(one, settings.edge) for one in guarded_backends(settings)]


def published_routes(settings: Settings) -> list[QueryRoute]:
    """The query routes that the edge serves to sources in the port policy."""
    return [_query_route(one) for one in guarded_backends(settings) if one.settings.published]


def connection_limit(settings: Settings) -> ConnectionLimit:
    """The limit of connections to the edge, on each of its ports."""
    site = settings.edge
    published = (route.port for route in published_routes(settings))
    return ConnectionLimit(
        ports=(site.http_port, site.https_port, *published), per_source=site.connections_per_source
    )


def upstream_hosts(settings: Settings) -> dict[str, str]:
    """The fixed address of each backend's replicas for Caddy on the campus server, by role."""
    return {role: address for one in guarded_backends(settings) for role, address in one.addresses.items()}


def reader_url(settings: Settings, port: int) -> str:
    """The URL of the backend with this port for Grafana and the log shipper, through the reader."""
    return f"http://{settings.campus.readers_address('reader')}:{port}"


def reader_caddyfile(settings: Settings) -> str:
    """The reader's Caddyfile."""
    campus = settings.campus
    shipped = None
    if campus.logs_to is not None:
        shipped = Shipped(to=campus.logs_to, path=LOKIS_OWN, source=campus.readers_address("log-shipper"))
    grafana = campus.readers_address("grafana") if settings.grafana.enabled else None
    routes = [_query_route(one) for one in guarded_backends(settings)]
    return render_reader(routes, grafana, shipped)


def _query_route(backend: GuardedBackend) -> QueryRoute:
    return QueryRoute(
        name=backend.name,
        port=backend.settings.port,
        upstreams=backend.upstreams,
        queries=backend.queries,
        refused=backend.refused,
    )
