# pyright: strict
"""Grafana's provisioning files, except dashboards and alert rules, as text. Pure.

JSON is YAML, and Grafana reads it. No text may contain a dollar sign, since Grafana would expand a variable.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.grafana.settings import AlertsTo

# Below LiveFiles' directory. In `alerting` Grafana refuses files with another ending.
DATASOURCES_FILE = "datasources/loki.yaml"
PROVIDER_FILE = "dashboards/campus.yaml"
ALERT_RULES_FILE = "alerting/rules.yaml"
CONTACTS_FILE = "alerting/contacts.yaml"
# Empty, but without the directory Grafana logs an error at each start.
PLUGINS_FILE = "plugins/none.yaml"
# An empty file.
NOTHING = json.dumps({"apiVersion": 1}) + "\n"

# Grafana's default organisation.
ORGANISATION = 1
# The folder of dashboards and alert rules.
FOLDER = "Campus"
# The dashboards' uids.
LOGS_UID = "campus-logs"
PIPELINE_UID = "campus-pipeline"
OVERVIEW_UID = "campus-overview"
HOST_UID = "campus-host"
ECS_UID = "campus-ecs"
# Prometheus' uid in dashboards and alert rules.
METRICS_UID = "prometheus"
POLL_SECONDS = 10
CONTACT_POINT = "team"


@dataclass(frozen=True, kw_only=True)
class LokiSource:
    """A Loki for Grafana's queries."""

    name: str
    url: str
    # The retention, as in the settings, and in seconds.
    retention: str
    retention_seconds: int
    # Whether a service in the settings ships to it from AWS.
    expects_aws: bool = False

    @property
    def uid(self) -> str:
        """Its data source's uid in dashboards and alert rules."""
        return f"loki-{self.name}"


@dataclass(frozen=True, kw_only=True)
class HostLogs:
    """The campus server's own logs: their Loki and their labels."""

    source: LokiSource
    host: str
    # The containers of Caddy, which logs requests, and of the guard, which logs how full the disk is.
    caddy: str
    guard: str
    # The guarded routes' prefixes, and the paths for pushes below them.
    routes: tuple[str, ...]
    push_paths: tuple[str, ...]

    def of(self, container: str) -> str:
        """The stream of a container."""
        return f'{{source="docker", host="{self.host}", container="{container}"}}'


@dataclass(frozen=True, kw_only=True)
class MetricsSource:
    """Prometheus for Grafana's queries."""

    url: str
    # The distance between two samples of a series.
    step_seconds: int
    # Caddy stops pushes above this (components/prometheus/memory_limit.py).
    memory_limit_bytes: int
    # The Docker hosts that send their own metrics, by their label `host_name`; empty if none does.
    hosts: tuple[str, ...] = ()
    # Whether its last days say that the site's certificate wasn't renewed.
    certificate_lasts_weeks: bool = False
    # The ECS services that send metrics, by their label `ecs_service`.
    services: tuple[str, ...] = ()


def render_datasources(sources: Sequence[LokiSource], metrics: MetricsSource | None = None) -> str:
    """The data sources' file: one per Loki, and Prometheus; not editable by hand."""
    datasources = [
        {
            "name": f"Loki {source.name}",
            "uid": source.uid,
            "type": "loki",
            "access": "proxy",
            "url": source.url,
            "isDefault": index == 0,
            "editable": False,
            # Loki has no rules, so the alerting page needn't query it for any.
            "jsonData": {"manageAlerts": False},
        }
        for index, source in enumerate(in_order(sources))
    ]
    if metrics is not None:
        datasources.append(_metrics_source(metrics))
    return _page({"prune": True, "datasources": datasources})


def _metrics_source(metrics: MetricsSource) -> dict[str, Any]:
    return {
        "name": "Prometheus",
        "uid": METRICS_UID,
        "type": "prometheus",
        "access": "proxy",
        "url": metrics.url,
        "editable": False,
        "jsonData": {
            # The reader lets queries through only by GET.
            "httpMethod": "GET",
            "manageAlerts": False,
            "prometheusType": "Prometheus",
            "timeInterval": f"{metrics.step_seconds}s",
        },
    }


def render_provider(directory: str) -> str:
    """The file that makes Grafana poll a directory for dashboards."""
    provider = {
        "name": "campus",
        "orgId": ORGANISATION,
        "folder": FOLDER,
        "type": "file",
        # Grafana deletes a dashboard with its file.
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": POLL_SECONDS,
        "options": {"path": directory},
    }
    return _page({"providers": [provider]})


def render_contacts(contacts: AlertsTo | None) -> str:
    """The contact point, and the policy that sends it every alert.

    Grafana keeps entries that are no longer in a file, so unused receivers are listed as deleted, and
    contacts without a receiver restore Grafana's own policy. Without contacts at all, hand-made policies
    stay.
    """
    if contacts is None:
        return _page({})
    settings: dict[str, dict[str, str] | None] = {
        "email": {"addresses": ";".join(contacts.mail)} if contacts.mail else None,
        "discord": {"url": contacts.discord.get_secret_value()} if contacts.discord is not None else None,
        "slack": {"url": contacts.slack.get_secret_value()} if contacts.slack is not None else None,
    }
    receivers = [
        {"uid": _receiver_uid(kind), "type": kind, "settings": known}
        for kind, known in settings.items()
        if known is not None
    ]
    deleted = [
        {"orgId": ORGANISATION, "uid": _receiver_uid(kind)}
        for kind, known in settings.items()
        if known is None
    ]
    if not receivers:
        return _page({"resetPolicies": [ORGANISATION], "deleteContactPoints": deleted})
    point = {"orgId": ORGANISATION, "name": CONTACT_POINT, "receivers": receivers}
    policy = {
        "orgId": ORGANISATION,
        "receiver": CONTACT_POINT,
        "group_by": ["grafana_folder", "alertname"],
        "repeat_interval": "12h",
    }
    return _page({"contactPoints": [point], "policies": [policy], "deleteContactPoints": deleted})


def in_order(sources: Sequence[LokiSource]) -> list[LokiSource]:
    """The sources sorted by name, so that the settings' order doesn't matter."""
    return sorted(sources, key=lambda one: one.name)


def _receiver_uid(kind: str) -> str:
    return f"campus-{kind}"


def _page(content: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": 1, **content}, indent=2) + "\n"
