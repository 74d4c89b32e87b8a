# pyright: strict
"""The alert rules of one's own, from the settings. Pure.

As in Prometheus, a rule is true for each series that its query finds: the comparison is in the query. Before
Grafana gets the rules, each source is asked whether it takes the queries (live/scripts/grafana-wanted.sh).
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping

from grafana_foundation_sdk.builders import alerting
from grafana_foundation_sdk.models.common import DataSourceRef

from components.grafana.page import PROMETHEUS
from components.grafana.provisioning import LokiSource, MetricsSource
from components.grafana.rule import new_rule
from components.grafana.settings import MAX_OWN_RULES, PROMETHEUS_SOURCE, AlertRule

# Rules go by their place, as Lokis' rules do: Grafana deletes none (alert_rules.py).
OWN_RULES = tuple(f"campus-own-{place + 1}" for place in range(MAX_OWN_RULES))
MINUTES = 10


def own_rules(
    rules: Mapping[str, AlertRule], lokis: Mapping[str, LokiSource]
) -> Iterator[tuple[str, alerting.Rule]]:
    """The rules by uid."""
    for uid, (name, rule) in zip(OWN_RULES, sorted(rules.items()), strict=False):
        yield uid, _own_rule(f"{name} ({uid})", name, rule, _source_of(rule, lokis))


def _own_rule(title: str, name: str, rule: AlertRule, source: DataSourceRef) -> alerting.Rule:
    # Zero is a value, too: `up == 0` finds zeros.
    found = new_rule(
        title, rule.severity, source, "value", rule.query, MINUTES, "is_number($value)", rule=name
    )
    return found.for_val(rule.for_).no_data_state("OK").annotations({"summary": rule.summary})


def _source_of(rule: AlertRule, lokis: Mapping[str, LokiSource]) -> DataSourceRef:
    if rule.source == PROMETHEUS_SOURCE:
        return PROMETHEUS
    return DataSourceRef(type_val="loki", uid=lokis[rule.source].uid)


def render_queries(
    rules: Mapping[str, AlertRule], lokis: Mapping[str, LokiSource], metrics: MetricsSource | None
) -> str:
    """What sources are asked: for each rule its name, the URL of a parser, and the query in base64."""
    lines = (_asked(name, rule, lokis, metrics) for name, rule in sorted(rules.items()))
    return "".join(f"{' '.join(line)}\n" for line in lines)


def _asked(
    name: str, rule: AlertRule, lokis: Mapping[str, LokiSource], metrics: MetricsSource | None
) -> tuple[str, str, str]:
    if rule.source == PROMETHEUS_SOURCE and metrics is not None:
        return name, f"{metrics.url}/api/v1/format_query", _packed(rule.query)
    # Lines have no operator, so Loki refuses a query of lines. A comment ends with its line.
    numbers = f"(\n{rule.query}\n) or vector(0)"
    return name, f"{lokis[rule.source].url}/loki/api/v1/format_query", _packed(numbers)


def _packed(query: str) -> str:
    return base64.b64encode(query.encode()).decode()
