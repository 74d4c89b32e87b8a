# pyright: strict
"""What Grafana is provisioned with, without its dashboards and alert rules, as text. Pure.

JSON is YAML, and Grafana reads it. No text in it may hold a dollar sign: Grafana would put an
environment variable there.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.grafana.settings import AlertsTo

# Below the directory that LiveFiles keeps. Grafana refuses files with another ending in `alerting`.
DATASOURCES_FILE = "datasources/loki.yaml"
PROVIDER_FILE = "dashboards/campus.yaml"
ALERT_RULES_FILE = "alerting/rules.yaml"
CONTACTS_FILE = "alerting/contacts.yaml"
# There are none: without the directory Grafana logs an error at each start.
PLUGINS_FILE = "plugins/none.yaml"
# A file that says nothing.
NOTHING = json.dumps({"apiVersion": 1}) + "\n"

# Grafana's own numbering: the organisation that it begins with.
ORGANISATION = 1
# Dashboards and alert rules lie in it.
FOLDER = "Campus"
# Of the dashboards.
LOGS_UID = "campus-logs"
PIPELINE_UID = "campus-pipeline"
POLL_SECONDS = 10
CONTACT_POINT = "team"


@dataclass(frozen=True, kw_only=True)
class LokiSource:
    """A Loki that Grafana reads from."""

    name: str
    url: str
    # How long it keeps lines, as the settings say it, and in seconds.
    retention: str
    retention_seconds: int
    # Whether a service of the settings ships to it from AWS.
    expects_aws: bool = False

    @property
    def uid(self) -> str:
        """What dashboards and alert rules call it."""
        return f"loki-{self.name}"


@dataclass(frozen=True, kw_only=True)
class HostLogs:
    """Where the campus host's own logs are kept, and what their lines are labelled with."""

    source: LokiSource
    host: str
    # The containers of Caddy, whose requests are told of, and of the guard, which says how full the disk is.
    caddy: str
    guard: str
    # The guarded routes' prefixes.
    routes: tuple[str, ...]

    def of(self, container: str) -> str:
        """The stream of a container."""
        return f'{{source="docker", host="{self.host}", container="{container}"}}'


def render_datasources(sources: Sequence[LokiSource]) -> str:
    """The data sources' file: one per Loki, not editable by hand."""
    datasources = [
        {
            "name": f"Loki {source.name}",
            "uid": source.uid,
            "type": "loki",
            "access": "proxy",
            "url": source.url,
            "isDefault": index == 0,
            "editable": False,
            # Loki has no rules of ours: each visit of the alerting page would ask it for some, in vain.
            "jsonData": {"manageAlerts": False},
        }
        for index, source in enumerate(in_order(sources))
    ]
    return _page({"prune": True, "datasources": datasources})


def render_provider(directory: str) -> str:
    """The file that has Grafana look into a directory for dashboards, again and again."""
    provider = {
        "name": "campus",
        "orgId": ORGANISATION,
        "folder": FOLDER,
        "type": "file",
        # A dashboard goes with its file.
        "disableDeletion": False,
        "allowUiUpdates": False,
        "updateIntervalSeconds": POLL_SECONDS,
        "options": {"path": directory},
    }
    return _page({"providers": [provider]})


def render_contacts(contacts: AlertsTo | None) -> str:
    """The contact point and the policy that leads every alert to it.

    Grafana keeps what a file no longer names: a way that isn't used is named as deleted, and contacts that
    name nobody bring Grafana's own policy back. Without contacts at all, hand-made policies stay.
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
    """The sources by name: the settings' order changes nothing."""
    return sorted(sources, key=lambda one: one.name)


def _receiver_uid(kind: str) -> str:
    return f"campus-{kind}"


def _page(content: dict[str, Any]) -> str:
    return json.dumps({"apiVersion": 1, **content}, indent=2) + "\n"
