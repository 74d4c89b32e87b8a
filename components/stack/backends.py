# pyright: strict
"""The backends behind the gate, from the settings. Pure."""

from __future__ import annotations

from components.edge.guarded_backend import GuardedBackend
from components.loki import push_paths as loki_pushes
from components.loki import query_paths as loki_queries
from components.prometheus import push_paths as prometheus_pushes
from components.prometheus import query_paths as prometheus_queries
from components.prometheus.settings import ROLE, PrometheusSettings
from components.stack.settings import Settings


def guarded_backends(settings: Settings) -> list[GuardedBackend]:
    """Every backend: each Loki, and Prometheus."""
    metrics = settings.prometheus
    return [*_lokis(settings), *([] if metrics is None else [_prometheus(settings, metrics)])]


def _lokis(settings: Settings) -> list[GuardedBackend]:
    return [
        GuardedBackend(
            name=name,
            image_key="loki",
            settings=settings.loki.instances[name],
            upstreams=placement.upstreams,
            addresses=placement.addresses,
            pushes=loki_pushes.pushes(settings.loki.instances[name]),
            queries=loki_queries.QUERY_PATHS,
            refused=(loki_queries.LOOPS,),
        )
        for name, placement in settings.placements.items()
    ]


def _prometheus(settings: Settings, metrics: PrometheusSettings) -> GuardedBackend:
    return GuardedBackend(
        name=ROLE,
        image_key=ROLE,
        settings=metrics,
        upstreams=(f"{ROLE}:{metrics.port}",),
        addresses={ROLE: settings.campus.private_address(metrics.port)},
        pushes=prometheus_pushes.pushes(metrics),
        queries=prometheus_queries.QUERY_PATHS,
    )
