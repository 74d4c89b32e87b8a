"""Sources of Grafana's files in tests."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from components.grafana.provisioning import METRICS_UID, MetricsSource

METRICS = MetricsSource(
    url="http://172.30.0.2:9090",
    step_seconds=30,
    memory_limit_bytes=1_490_000_000,
    hosts=("campus", "stage"),
    certificate_lasts_weeks=True,
    services=("client-api",),
)


def metric_queries(pages: Mapping[str, str]) -> dict[str, str]:
    """The PromQL queries of dashboards, by file and title, with Grafana's values for its variables."""
    return {
        f"{name}: {panel['title']}": put_in(target["expr"])
        for name, text in pages.items()
        for panel in json.loads(text)["panels"]
        for target in panel.get("targets", [])
        if target["datasource"]["type"] == "prometheus"
    }


def rule_queries(page: str) -> dict[str, str]:
    """The PromQL queries of rules by uid."""
    return {
        rule["uid"]: asked["model"]["expr"]
        for group in json.loads(page)["groups"]
        for rule in group["rules"]
        for asked in rule["data"]
        if asked["datasourceUid"] == METRICS_UID
    }


def put_in(promql: str) -> str:
    """A query with the variables' values in it."""
    return promql.replace("$__rate_interval", "2m").replace("$host", "campus")


def metrics_in(promql: str) -> set[str]:
    """The names of a query's metrics."""
    programs = "system|container(?!_name)|ecs_task|ecs_container|caddy|loki|prometheus|probe|go"
    return set(re.findall(rf"\b(?:(?:{programs})_[a-z0-9_]+|up)\b", promql))
