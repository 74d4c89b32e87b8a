# pyright: strict
"""Checks of the alert rules of one's own: their sources, and their queries' syntax. Pure.

Each raises a ValueError whose text begins with the wrong key, below `campus-monitor:`. No parser of LogQL is
at hand, so only what is certain is checked of it; Loki itself is asked before Grafana gets the rules.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import promql_parser

from components.grafana.settings import PROMETHEUS_SOURCE, AlertRule

_CLOSES = {")": "(", "]": "[", "}": "{"}
# LogQL's strings (its documentation, "Log queries"), and comments.
_TEXTS = re.compile(r'"(?:[^"\\\n]|\\.)*"|`[^`]*`|#[^\n]*')


def check_alert_rules(
    rules: Mapping[str, AlertRule], lokis: Collection[str], *, has_prometheus: bool
) -> None:
    """Each asks a source that is there, in its language."""
    for name, rule in rules.items():
        key = f"grafana.alertRules.{name}"
        if rule.source in lokis:
            _check(f"{key}.query", rule.query, _logql_mistake(rule.query), "LogQL")
        elif rule.source != PROMETHEUS_SOURCE:
            known = ", ".join([*([PROMETHEUS_SOURCE] if has_prometheus else []), *sorted(lokis)])
            raise ValueError(f"{key}.source: one of {known}, received {rule.source!r}")
        elif not has_prometheus:
            raise ValueError(f"{key}.source: the area `prometheus` is needed, received {rule.source!r}")
        else:
            _check(f"{key}.query", rule.query, _promql_mistake(rule.query), "PromQL")


def _check(key: str, query: str, mistake: str | None, language: str) -> None:
    if mistake is not None:
        raise ValueError(f"{key}: {language} is needed: {mistake}, received {query!r}")


def _promql_mistake(query: str) -> str | None:
    try:
        found = promql_parser.parse(query)
    except ValueError as error:
        return " ".join(str(error).split())
    while isinstance(found, promql_parser.ParenExpr):
        found = found.expr
    if isinstance(found, promql_parser.StringLiteral):
        return "a text is no series"
    if isinstance(found, promql_parser.MatrixSelector | promql_parser.SubqueryExpr):
        return "a range of samples is no series: a function is missing"
    return None


def _logql_mistake(query: str) -> str | None:
    bare = _TEXTS.sub("", query)
    if '"' in bare or "`" in bare:
        return "a text doesn't end"
    opened: list[str] = []
    for sign in bare:
        if sign in _CLOSES.values():
            opened.append(sign)
        elif sign in _CLOSES and (not opened or opened.pop() != _CLOSES[sign]):
            return f"`{sign}` closes nothing"
    if opened:
        return f"`{opened[-1]}` isn't closed"
    if not re.match(r"\s*[a-z_(]", bare):
        return "a query of lines has no number: count them"
    return None
