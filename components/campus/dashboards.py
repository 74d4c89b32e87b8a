"""What Grafana is provisioned with, as text. Pure: plain values in, text out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class LokiSource:
    """A Loki that Grafana reads from."""

    name: str
    url: str


def render_datasources(sources: Sequence[LokiSource]) -> str:
    """The data sources' file (JSON, which is YAML): one per Loki, not editable by hand."""
    ordered = sorted(sources, key=lambda one: one.name)
    datasources = [
        {
            "name": f"Loki {source.name}",
            "uid": f"loki-{source.name}",
            "type": "loki",
            "access": "proxy",
            "url": source.url,
            "isDefault": index == 0,
            "editable": False,
        }
        for index, source in enumerate(ordered)
    ]
    page = {"apiVersion": 1, "prune": True, "datasources": datasources}
    return json.dumps(page, indent=2) + "\n"
