# pyright: strict
"""The routes to the campus server's backends, from the settings. Pure."""

from __future__ import annotations

from components.edge.caddyfile import GuardedRoute, guarded_route
from components.edge.connection_limit import ConnectionLimit
from components.edge.guarded_backend import GuardedBackend
from components.edge.own_metrics import SOCKET, MeasuredProgram
from components.edge.query_route import QueryRoute
from components.edge.reader_caddyfile import READER, Measured, Shipped, render_reader
from components.live.container_facts import CADDY, GRAFANA_PORT
from components.loki.push_paths import LOKIS_OWN
from components.prometheus.push_paths import OTLP, pushes
from components.prometheus.settings import ROLE
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
    grafana = campus.readers_address("grafana") if settings.grafana.enabled else None
    routes = [_query_route(one) for one in guarded_backends(settings)]
    return render_reader(routes, grafana, _shipped(settings), _measured(settings))


def _shipped(settings: Settings) -> list[Shipped]:
    """What the campus server ships of itself."""
    campus, metrics = settings.campus, settings.prometheus
    found: list[Shipped] = []
    if campus.logs_to is not None:
        source = campus.readers_address("log-shipper")
        found.append(Shipped(to=campus.logs_to, path=LOKIS_OWN, source=source))
    if settings.host_metrics.enabled and metrics is not None:
        source, only_while = campus.readers_address("host-metrics"), pushes(metrics).only_while
        found.append(Shipped(to=ROLE, path=OTLP, source=source, only_while=only_while))
    return found


def _measured(settings: Settings) -> Measured | None:
    metrics = settings.prometheus
    if metrics is None:
        return None
    return Measured(
        by=ROLE,
        source=settings.campus.private_address(metrics.port),
        programs=measured_programs(settings),
    )


def measured_programs(settings: Settings) -> tuple[MeasuredProgram, ...]:
    """The programs whose own metrics Prometheus reads through the reader."""
    replicas = [
        MeasuredProgram(name=role, job="loki", upstream=upstream)
        for placement in settings.placements.values()
        for role, upstream in zip(placement.addresses, placement.upstreams, strict=True)
    ]
    found = [
        MeasuredProgram(name=CADDY, job="caddy", upstream=f"unix/{SOCKET}"),
        MeasuredProgram(name=READER, job="caddy", upstream=None),
        *replicas,
    ]
    if settings.grafana.enabled:
        grafana = f"{settings.campus.readers_address('grafana')}:{GRAFANA_PORT}"
        found.append(MeasuredProgram(name="grafana", job="grafana", upstream=grafana))
    return tuple(found)


def _query_route(backend: GuardedBackend) -> QueryRoute:
    return QueryRoute(
        name=backend.name,
        port=backend.settings.port,
        upstreams=backend.upstreams,
        queries=backend.queries,
        refused=backend.refused,
    )
