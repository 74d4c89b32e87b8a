# pyright: strict
"""Grafana's sources, from the settings. Pure."""

from __future__ import annotations

from components.grafana.provisioning import HostLogs, LokiSource, MetricsSource
from components.live.container_facts import CADDY, GUARD
from components.log_shipper.settings import CAMPUS_LABEL
from components.loki.push_paths import LOKIS_OWN, OTLP
from components.prometheus.config import SCRAPE_SECONDS
from components.prometheus.memory_limit import stopped_at
from components.prometheus.push_paths import METRICS_PATHS
from components.stack.campus_routes import reader_url
from components.stack.measured_hosts import other_docker_hosts
from components.stack.settings import Settings


def loki_sources(settings: Settings) -> dict[str, LokiSource]:
    """A data source for each Loki."""
    return {
        name: LokiSource(
            name=name,
            url=reader_url(settings, one.port),
            retention=one.retention,
            retention_seconds=one.retention_seconds,
            # A route that allows AWS needn't get lines from it.
            expects_aws=one.allows_nat
            and any(service.loki == name for service in settings.services.values()),
        )
        for name, one in settings.loki.instances.items()
    }


def metrics_source(settings: Settings) -> MetricsSource | None:
    """The data source for Prometheus; None without it."""
    own = settings.prometheus
    if own is None:
        return None
    others = other_docker_hosts(settings.campus, settings.shippers)
    return MetricsSource(
        url=reader_url(settings, own.port),
        step_seconds=SCRAPE_SECONDS,
        memory_limit_bytes=stopped_at(own.memory_bytes),
        hosts=(CAMPUS_LABEL, *sorted(others)) if settings.host_metrics.enabled else (),
        certificate_lasts_weeks=settings.edge.certificate_lasts_weeks,
        services=tuple(sorted(name for name, one in settings.services.items() if one.collector)),
    )


def host_logs(settings: Settings) -> HostLogs | None:
    """The campus server's own logs; None if they aren't shipped."""
    campus = settings.campus
    if campus.logs_to is None:
        return None
    return HostLogs(
        source=loki_sources(settings)[campus.logs_to],
        host=CAMPUS_LABEL,
        caddy=f"{campus.name_prefix}{CADDY}",
        guard=f"{campus.name_prefix}{GUARD}",
        routes=tuple(one.route for one in settings.backends.values()),
        push_paths=tuple(
            path.path for path in (LOKIS_OWN, OTLP, *(METRICS_PATHS.values() if settings.prometheus else ()))
        ),
    )
