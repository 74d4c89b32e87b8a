# pyright: strict
"""One alert rule in Grafana's file: its query, its condition and its message. Pure."""

from __future__ import annotations

from typing import Any, Literal

from grafana_foundation_sdk.builders import alerting, expr, loki, prometheus
from grafana_foundation_sdk.models.alerting import RelativeTimeRange
from grafana_foundation_sdk.models.common import DataSourceRef

from components.grafana.provisioning import FOLDER, ORGANISATION

EVALUATION_SECONDS = 60
# Grafana's data source for expressions.
EXPRESSIONS = DataSourceRef(type_val="__expr__", uid="__expr__")

Severity = Literal["critical", "warning"]

_CONDITION = "C"


def group_of(name: str, rules: dict[str, alerting.Rule]) -> dict[str, Any]:
    """A group in the file, of rules by uid."""
    return {
        "orgId": ORGANISATION,
        "name": name,
        "folder": FOLDER,
        "interval": f"{EVALUATION_SECONDS}s",
        "rules": [_in_a_file(uid, rule) for uid, rule in rules.items()],
    }


def new_rule(
    title: str,
    severity: Severity,
    source: DataSourceRef,
    ref_id: str,
    query: str,
    minutes: int,
    condition: str,
    **labels: str,
) -> alerting.Rule:
    """A rule with one query of one source; if that doesn't answer, the rule keeps its state."""
    return (
        alerting.Rule(title)
        .with_query(_query(ref_id, source, query, minutes))
        .with_query(_calculated(condition))
        .condition(_CONDITION)
        .exec_err_state("KeepLast")
        .labels({"team": "campus", "severity": severity} | labels)
    )


def annotated(rule: alerting.Rule, summary: str, dashboard: str, panel: int) -> alerting.Rule:
    """Add the message, and the panel that it links to (with Grafana's names of these annotations)."""
    return rule.annotations({"summary": summary, "__dashboardUid__": dashboard, "__panelId__": str(panel)})


def idle(uid: str, source: DataSourceRef) -> alerting.Rule:
    """A paused placeholder for an unused rule, which could never fire."""
    return (
        new_rule(f"(not in use: {uid})", "warning", source, "nothing", "vector(0)", 1, "$nothing > 0")
        .is_paused(True)
        .for_val("0s")
        .exec_err_state("OK")
        .no_data_state("OK")
    )


def _query(ref_id: str, source: DataSourceRef, query: str, minutes: int) -> alerting.Query:
    if source.type_val == "prometheus":
        model = prometheus.Dataquery().ref_id(ref_id).expr(query).instant().datasource(source)
    else:
        model = loki.Dataquery().ref_id(ref_id).expr(query).query_type("instant").datasource(source)
    return (
        alerting.Query(ref_id)
        .datasource_uid(str(source.uid))
        .query_type("instant")
        .relative_time_range(RelativeTimeRange(from_val=minutes * 60, to=0))
        .model(model)
    )


def _calculated(expression: str) -> alerting.Query:
    """The rule's condition."""
    made = expr.TypeMath().ref_id(_CONDITION).datasource(EXPRESSIONS).expression(expression)
    return alerting.Query(_CONDITION).datasource_uid("__expr__").model(made)


def _in_a_file(uid: str, rule: alerting.Rule) -> dict[str, Any]:
    """A rule in the file's format, without the API's keys that the file has in the group."""
    beside = ("folderUID", "orgID", "ruleGroup")
    return {key: value for key, value in rule.uid(uid).build().to_json().items() if key not in beside}
