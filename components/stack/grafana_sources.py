# pyright: strict
"""Grafana's sources, from the settings. Pure."""

from __future__ import annotations

from components.grafana.provisioning import HostLogs, LokiSource
from components.live.container_facts import CADDY, GUARD
from components.log_shipper.settings import CAMPUS_LABEL
from components.stack.campus_routes import reader_url
from components.stack.settings import Settings


def loki_sources(settings: Settings) -> dict[str, LokiSource]:
    """A data source for each Loki."""
    return {
        name: LokiSource(
            name=name,
            url=reader_url(settings, name),
            retention=one.retention,
            retention_seconds=one.retention_seconds,
            # A route that allows AWS needn't get lines from it.
            expects_aws=one.allows_nat
            and any(service.loki == name for service in settings.services.values()),
        )
        for name, one in settings.loki.instances.items()
    }


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
        routes=tuple(one.route for one in settings.loki.instances.values()),
    )
