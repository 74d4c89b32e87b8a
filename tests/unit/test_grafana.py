"""Grafana's provisioned files: as agreed, of the SDK's types, and consistent."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.alerting import Rule
from grafana_foundation_sdk.models.dashboard import Dashboard
from pydantic import SecretStr

from components.grafana.alert_rules import OF_THE_HOST, render_alert_rules
from components.grafana.dashboards import render_dashboards
from components.grafana.metric_rules import (
    CERTIFICATE_ENDS,
    CERTIFICATE_OLD,
    DISK_FORECAST,
    DISK_USED_UP,
    HOST_LOGS_SILENT,
    HOST_SILENT,
    METRIC_RULES,
    PROMETHEUS_AWAY,
)
from components.grafana.own_rules import OWN_RULES, render_queries
from components.grafana.provisioning import (
    HostLogs,
    LokiSource,
    MetricsSource,
    render_contacts,
    render_datasources,
    render_provider,
)
from components.grafana.settings import AlertRule, AlertsTo
from local.paths import ROOT
from tests.support.golden import assert_golden, assert_golden_variant
from tests.support.grafana import METRICS


def source(name: str, url: str, *, expects_aws: bool = False) -> LokiSource:
    return LokiSource(
        name=name, url=url, retention="31d", retention_seconds=31 * 86400, expects_aws=expects_aws
    )


AWS = source("aws", "http://172.29.12.28:3100", expects_aws=True)
TEST = source("test", "http://172.29.12.127:3199")
SOURCES = [TEST, AWS]
HOST_LOGS = HostLogs(
    source=TEST,
    host="campus",
    caddy="caddy",
    guard="port-guard",
    routes=("/lokitest", "/lokiaws"),
    push_paths=("/loki/api/v1/push", "/otlp/v1/logs"),
)
PLACES = [f"-{at}" for at in range(2, 9)]
EVERYWHERE = AlertsTo(
    mail=("a@example.org", "b@example.org"),
    discord=SecretStr("https://discord.example/api/webhooks/1/x"),
    slack=SecretStr("https://hooks.slack.example/services/x"),
)


def dashboards(
    host_logs: HostLogs | None = HOST_LOGS, metrics: MetricsSource | None = METRICS
) -> dict[str, dict[str, Any]]:
    rendered = render_dashboards(SOURCES, host_logs, metrics)
    return {name: json.loads(text) for name, text in rendered.items()}


def rules(
    *sources: LokiSource,
    host_logs: HostLogs | None = HOST_LOGS,
    metrics: MetricsSource | None = None,
    own: dict[str, AlertRule] | None = None,
) -> dict[str, Any]:
    return json.loads(render_alert_rules(sources, host_logs, metrics, own))


def uids(page: dict[str, Any]) -> tuple[set[str], set[str]]:
    """The active rules, and the placeholders."""
    there, idle = (
        {rule["uid"] for rule in every(page) if bool(rule.get("isPaused")) == is_idle}
        for is_idle in (False, True)
    )
    return there, idle


def every(page: dict[str, Any]) -> list[dict[str, Any]]:
    """All rules, with placeholders."""
    return [rule for group in page["groups"] for rule in group["rules"]]


def in_use(page: dict[str, Any]) -> list[dict[str, Any]]:
    """The rules without placeholders."""
    return [rule for rule in every(page) if not rule.get("isPaused")]


def wanted(page: dict[str, Any], uid: str) -> dict[str, Any]:
    """A rule by its uid."""
    [rule] = [one for one in page["groups"][0]["rules"] if one["uid"] == uid]
    assert not rule.get("isPaused")
    return rule


def test_the_files_are_the_agreed_ones() -> None:
    assert_golden("datasources.yaml", render_datasources(SOURCES))
    assert_golden("grafana_provider.yaml", render_provider("/etc/grafana/live/dashboards"))
    assert_golden("grafana_contacts.yaml", render_contacts(EVERYWHERE))
    assert_golden("grafana_rules.yaml", render_alert_rules(SOURCES, HOST_LOGS))
    with_metrics = render_alert_rules(SOURCES, HOST_LOGS, METRICS)
    assert_golden_variant("grafana_rules.yaml", "grafana_rules.yaml_metrics.diff", with_metrics)
    plain = render_dashboards(SOURCES, HOST_LOGS)
    for name, text in plain.items():
        assert_golden(f"grafana_{name}", text)
    for name, text in render_dashboards(SOURCES, HOST_LOGS, METRICS).items():
        if name in plain:
            assert_golden_variant(f"grafana_{name}", f"grafana_{name}_metrics.diff", text)
        else:
            assert_golden(f"grafana_{name}", text)


def test_the_order_of_the_settings_changes_nothing() -> None:
    assert render_datasources(SOURCES) == render_datasources(SOURCES[::-1])
    assert render_dashboards(SOURCES, HOST_LOGS) == render_dashboards(SOURCES[::-1], HOST_LOGS)
    assert render_alert_rules(SOURCES, HOST_LOGS) == render_alert_rules(SOURCES[::-1], HOST_LOGS)


def test_one_source_is_the_default_and_none_is_editable() -> None:
    sources = json.loads(render_datasources(SOURCES))["datasources"]
    assert [source["isDefault"] for source in sources] == [True, False]
    assert not any(source["editable"] for source in sources)


def test_the_dashboards_are_of_the_sdks_types() -> None:
    register_default_plugins()
    for page in dashboards().values():
        again = json.dumps(Dashboard.from_json(page), cls=JSONEncoder, sort_keys=True)
        # The SDK always adds this to a link.
        assert re.sub(r'"placement": "inControlsMenu", ', "", again) == json.dumps(page, sort_keys=True)


def test_the_rules_are_of_the_sdks_types() -> None:
    register_default_plugins()
    for rule in every(rules(*SOURCES, metrics=METRICS)):
        again = json.loads(json.dumps(Rule.from_json(rule), cls=JSONEncoder))
        assert {key: again[key] for key in rule} == rule


def test_dashboards_and_rules_only_use_existing_sources() -> None:
    known = {one["uid"] for one in json.loads(render_datasources(SOURCES, METRICS))["datasources"]}
    text = json.dumps([*dashboards().values(), rules(*SOURCES, metrics=METRICS)])
    asked = set(re.findall(r'"(?:uid|datasourceUid)": "(loki-[^"]*|prometheus|\$[^"]*)"', text))
    assert asked == known | {"${loki}"}


def test_a_visit_of_the_alerting_page_asks_no_loki_for_rules() -> None:
    for one in json.loads(render_datasources(SOURCES))["datasources"]:
        assert one["jsonData"] == {"manageAlerts": False}


def test_uids_are_such_as_grafana_takes() -> None:
    """Grafana's ValidateUID: 40 characters of these."""
    pages = [page["uid"] for page in dashboards().values()]
    there, idle = uids(rules(*SOURCES, metrics=METRICS))
    there |= idle
    assert len(pages) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{1,40}", uid) for uid in [*pages, *there])


def test_panels_and_rules_on_caddys_access_log_exist_only_if_it_is_kept() -> None:
    for asked in ("http.log.access", "disk_used_percent"):
        assert asked in json.dumps(dashboards())
        assert asked not in json.dumps(dashboards(None))
    assert '"The gate"' not in json.dumps(dashboards(None))
    for_lokis = {"campus-loki-away", "campus-loki-away-2", "campus-aws-silent"}
    there, gone = uids(rules(*SOURCES))
    assert there == {*for_lokis, *OF_THE_HOST}
    assert not gone & set(OF_THE_HOST)
    there, gone = uids(rules(*SOURCES, host_logs=None))
    assert there == for_lokis
    assert gone > set(OF_THE_HOST)


def test_only_a_loki_that_expects_logs_from_aws_may_be_found_silent() -> None:
    rule = wanted(rules(*SOURCES, host_logs=None), "campus-aws-silent")
    assert [query["datasourceUid"] for query in rule["data"]] == ["loki-aws", "__expr__"]
    assert "campus-aws-silent" in uids(rules(TEST, host_logs=None))[1]


def test_each_loki_has_an_alert_of_its_own_with_its_name() -> None:
    """So a second silent Loki is reported, and a Loki that is away hides no other's silence."""
    page = rules(AWS, source("third", "http://x", expects_aws=True))
    for base, text in (("campus-loki-away", "can't be asked"), ("campus-aws-silent", "got no line")):
        for uid, name in ((base, "aws"), (f"{base}-2", "third")):
            rule = wanted(page, uid)
            assert (rule["labels"]["loki"], rule["data"][0]["datasourceUid"]) == (name, f"loki-{name}")
            assert f"Loki {name} " in rule["annotations"]["summary"]
            assert text in rule["annotations"]["summary"]
            assert len(rule["data"]) == 2


def test_only_one_rule_says_that_a_loki_cannot_be_asked() -> None:
    """The other rules keep their state: their texts wouldn't be true."""
    for rule in in_use(rules(*SOURCES, metrics=METRICS)):
        away = rule["uid"].startswith(("campus-loki-away", "campus-prometheus-away"))
        assert rule["execErrState"] == ("Alerting" if away else "KeepLast")
        assert ("can't be asked" in json.dumps(rule)) == away


ALONE = replace(METRICS, hosts=(), services=(), certificate_lasts_weeks=False)


@pytest.mark.parametrize("metrics", [None, ALONE, METRICS, replace(METRICS, hosts=())])
def test_every_message_has_its_value_its_severity_and_a_panel_that_is_there(
    metrics: MetricsSource | None,
) -> None:
    panels = {
        (page["uid"], one["id"])
        for page in dashboards(metrics=metrics).values()
        for one in page["panels"]
        if one["type"] != "row"
    }
    for rule in in_use(rules(*SOURCES, metrics=metrics)):
        assert rule["labels"]["severity"] in ("critical", "warning")
        shown = rule["annotations"]["__dashboardUid__"], int(rule["annotations"]["__panelId__"])
        assert shown in panels
        # What is silent or missing has no number to show.
        asked, condition = rule["data"][0]["refId"], rule["data"][1]["model"]["expression"]
        if ">" in condition or "!=" in condition:
            assert f".Values.{asked}.Value" in rule["annotations"]["summary"]
        by = re.search(
            r"^(?:[a-z]+\((?:\d+, |\d+ \* \()?)?sum by \((.*?)\)", rule["data"][0]["model"]["expr"]
        )
        for label in by[1].split(", ") if by else ():
            assert f".Labels.{label} " in rule["annotations"]["summary"]


@pytest.mark.parametrize("sources", [[AWS], [source("other", "http://x", expects_aws=True)], [TEST], SOURCES])
@pytest.mark.parametrize("host_logs", [HOST_LOGS, None])
def test_an_unused_rule_cannot_fire_even_if_grafana_keeps_it(
    sources: list[LokiSource], host_logs: HostLogs | None
) -> None:
    """Grafana 13.2.0 deletes no rule (grafana#131777), and would query a removed Loki for ever."""
    page = rules(*sources, host_logs=host_logs)
    [group] = page["groups"]
    there, gone = uids(page)
    stopped = {rule["uid"]: rule for rule in group["rules"] if rule.get("isPaused")}
    assert "deleteRules" not in page
    # For any former rules: ours aren't named after an instance.
    everything = {f"{base}{at}" for base in ("campus-loki-away", "campus-aws-silent") for at in ("", *PLACES)}
    assert there | gone == everything | set(OF_THE_HOST)
    known = {source.uid for source in sources}
    for rule in stopped.values():
        asked, condition = rule["data"]
        assert asked["datasourceUid"] in known
        assert (asked["model"]["expr"], condition["model"]["expression"]) == ("vector(0)", "$nothing > 0")
        assert (rule["execErrState"], rule["noDataState"]) == ("OK", "OK")
    titles = [rule["title"] for rule in group["rules"]]
    assert len(set(titles)) == len(titles)


def test_rules_of_metrics_are_those_of_what_is_measured_and_the_others_are_paused() -> None:
    assert set(METRIC_RULES).isdisjoint(set.union(*uids(rules(*SOURCES))))
    there, idle = uids(rules(*SOURCES, metrics=ALONE))
    own = {"prometheus-away", "program-away", "site-away", "prometheus-filled"}
    own |= {"metrics-refused", "samples-lost", "sender-behind"}
    assert there & set(METRIC_RULES) == {f"campus-{one}" for one in own}
    assert idle > set(METRIC_RULES) - there
    assert {CERTIFICATE_OLD, CERTIFICATE_ENDS} <= idle
    assert uids(rules(*SOURCES, metrics=METRICS))[0] > set(METRIC_RULES)
    assert HOST_LOGS_SILENT in uids(rules(*SOURCES, host_logs=None, metrics=METRICS))[1]
    titles = [rule["title"] for rule in every(rules(*SOURCES, metrics=METRICS))]
    assert len(set(titles)) == len(titles)


def test_a_hosts_metrics_replace_the_guards_line_about_the_disk() -> None:
    there, idle = uids(rules(*SOURCES, metrics=METRICS))
    assert {"campus-disk-full", "campus-disk-unknown"} <= idle
    assert {DISK_USED_UP, DISK_FORECAST, HOST_SILENT, HOST_LOGS_SILENT} <= there


def test_a_restart_of_prometheus_rings_no_rule_of_metrics() -> None:
    """They keep their state while it can't be asked, and afterwards no data isn't an alert."""
    for rule in in_use(rules(*SOURCES, metrics=METRICS)):
        if rule["uid"] in METRIC_RULES and rule["uid"] not in (PROMETHEUS_AWAY, HOST_LOGS_SILENT):
            assert (rule["execErrState"], rule["noDataState"]) == ("KeepLast", "OK")
        if rule["uid"] == PROMETHEUS_AWAY:
            assert (rule["execErrState"], rule["noDataState"], rule["for"]) == ("Alerting", "Alerting", "3m")


def test_titles_go_by_the_place_so_that_no_two_are_the_same_on_the_way() -> None:
    """Grafana changes one rule after the other: with names in the titles, two would be equal for a moment."""
    before = {one["uid"]: one["title"] for one in rules(AWS, TEST)["groups"][0]["rules"]}
    after = {one["uid"]: one["title"] for one in rules(TEST)["groups"][0]["rules"]}
    for uid, title in after.items():
        assert title not in [other for at, other in before.items() if at != uid]


@pytest.mark.parametrize(
    ("contacts", "kinds"),
    [
        (EVERYWHERE, {"email", "discord", "slack"}),
        (AlertsTo(mail=("a@example.org",)), {"email"}),
        (AlertsTo(slack=SecretStr("https://x/y")), {"slack"}),
    ],
)
def test_an_alert_goes_to_all_that_are_named_and_to_nobody_else(contacts: AlertsTo, kinds: set[str]) -> None:
    page = json.loads(render_contacts(contacts))
    [point], [policy] = page["contactPoints"], page["policies"]
    assert {one["type"] for one in point["receivers"]} == kinds
    assert policy["receiver"] == point["name"]
    there = {one["uid"] for one in point["receivers"]}
    gone = {one["uid"] for one in page["deleteContactPoints"]}
    assert there | gone == {"campus-email", "campus-discord", "campus-slack"}
    assert not there & gone


def test_without_a_contact_hand_made_policies_are_left_alone() -> None:
    assert json.loads(render_contacts(None)) == {"apiVersion": 1}


def test_empty_contacts_remove_ours() -> None:
    page = json.loads(render_contacts(AlertsTo()))
    gone = [{"orgId": 1, "uid": f"campus-{kind}"} for kind in ("email", "discord", "slack")]
    assert page == {"apiVersion": 1, "resetPolicies": [1], "deleteContactPoints": gone}


def test_no_text_is_taken_for_a_variable_by_grafana() -> None:
    """Grafana expands variables in these files, but not in a query's model."""
    page = rules(*SOURCES, metrics=METRICS)
    for rule in every(page):
        rule["data"] = []
    assert "$" not in json.dumps(page)
    assert "$" not in render_contacts(EVERYWHERE) + render_datasources(SOURCES) + render_provider("/x")


def test_only_rendering_loads_the_sdk() -> None:
    """It would cost every preview of a stack without Grafana."""
    check = (
        "import sys, components.stack.campus_server, components.grafana.component;"
        "sys.exit(any(name.startswith('grafana_foundation_sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", check], cwd=ROOT).returncode == 0


OWN = {
    "late-orders": AlertRule(query="orders_age_seconds > 60", summary="{{ .Labels.shop }} is late"),
    "errors": AlertRule.model_validate(
        {
            "source": "aws",
            "query": 'sum(count_over_time({service="a"} |= "x" [5m])) > 0 # one is too many',
            "for": "1m",
            "severity": "critical",
            "summary": "errors",
        }
    ),
}


def test_an_own_rule_rings_for_each_series_that_its_query_finds() -> None:
    page = rules(*SOURCES, metrics=METRICS, own=OWN)
    first, second = (rule for rule in in_use(page) if rule["uid"].startswith("campus-own-"))
    assert (first["title"], first["for"]) == ("errors (campus-own-1)", "1m")
    assert first["labels"] == {"team": "campus", "severity": "critical", "rule": "errors"}
    assert [one["datasourceUid"] for one in first["data"]] == ["loki-aws", "__expr__"]
    assert first["data"][0]["model"]["expr"] == OWN["errors"].query
    assert second["data"][0]["datasourceUid"] == "prometheus"
    assert (second["labels"]["severity"], second["for"]) == ("warning", "5m")
    assert second["annotations"] == {"summary": "{{ .Labels.shop }} is late"}
    for rule in (first, second):
        assert rule["data"][1]["model"]["expression"] == "is_number($value)"
        assert (rule["execErrState"], rule["noDataState"]) == ("KeepLast", "OK")


def test_an_own_rule_that_is_no_longer_there_is_paused() -> None:
    for own in ({}, {"errors": OWN["errors"]}, OWN):
        there, idle = uids(rules(*SOURCES, own=own))
        assert there & set(OWN_RULES) == set(OWN_RULES[: len(own)])
        assert idle >= set(OWN_RULES[len(own) :])
    titles = [rule["title"] for rule in every(rules(*SOURCES, own=OWN))]
    assert len(set(titles)) == len(titles)
    # Even on the way: a rule that moves up takes no title that another one still has.
    before = {one["uid"]: one["title"] for one in every(rules(*SOURCES, own=OWN))}
    after = every(rules(*SOURCES, own={"late-orders": OWN["late-orders"]}))
    for rule in after:
        assert rule["title"] not in [other for uid, other in before.items() if uid != rule["uid"]]


def test_without_prometheus_the_rules_of_metrics_pause_if_own_rules_are_named() -> None:
    """The way back: Grafana keeps rules that are no longer in the file, and would ask for ever."""
    assert uids(rules(*SOURCES, own={}))[1] >= set(METRIC_RULES)
    assert not set.union(*uids(rules(*SOURCES))) & {*METRIC_RULES, *OWN_RULES}
    for rule in every(rules(*SOURCES, own={})):
        assert all(asked["datasourceUid"] != "prometheus" for asked in rule["data"])


def test_sources_are_asked_for_numbers() -> None:
    lokis = {one.name: one for one in SOURCES}
    first, second = render_queries(OWN, lokis, METRICS).splitlines()
    name, url, query = first.split()
    assert (name, url) == ("errors", f"{AWS.url}/loki/api/v1/format_query")
    assert base64.b64decode(query).decode() == f"(\n{OWN['errors'].query}\n) or vector(0)"
    name, url, query = second.split()
    assert (name, url) == ("late-orders", f"{METRICS.url}/api/v1/format_query")
    assert base64.b64decode(query).decode() == OWN["late-orders"].query
