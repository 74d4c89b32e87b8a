"""Grafana's dashboards and alert rules, as typed Python. Pure: plain values in, text out.

Only this module imports Grafana's SDK, and a stack without Grafana never imports this module.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from grafana_foundation_sdk.builders import alerting, common, dashboard, expr, logs, loki, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.alerting import RelativeTimeRange
from grafana_foundation_sdk.models.common import DataSourceRef, StackingMode
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync, VariableOption, VariableRefresh

from components.campus.caddyfile import TAKEN_LOGGED_ONE_IN, TAKEN_LOGGED_PER_SECOND
from components.campus.provisioning import FOLDER, ORGANISATION, HostLogs, LokiSource, in_order

LOGS_UID = "campus-logs"
PIPELINE_UID = "campus-pipeline"

# Every stream of ours has this label, and one of a log router has that one.
ANY = '{container=~".+"}'
AWS = '{job="firelens"}'
# What counts as an error in a line, in any case (RE2).
ERRORS = r"(?i)\b(error|exception|fatal|panic|critical)\b"
# Grafana fits the range to the panel's width.
AUTO = "$__auto"

AWS_SILENT = "campus-aws-silent"
PUSHES_REFUSED = "campus-pushes-refused"
PUSHES_NOT_TAKEN = "campus-pushes-not-taken"
DISK_FULL = "campus-disk-full"
REPLICA_AWAY = "campus-replica-away"
SILENT_MINUTES = 10
PUSH_MINUTES = 5
# Caddy looks every few seconds whether a replica is ready (caddyfile.py). A restart takes a minute or two.
REPLICA_SEEN_MINUTES = 1
REPLICA_MINUTES = 5
# As whom it logs each check that failed, with the upstream's address (Caddy's reverseproxy/healthchecks.go).
CHECKS = "http.handlers.reverse_proxy.health_checker.active"
# The guard tells once a minute.
DISK_MINUTES = 5
# At 90 % Loki refuses pushes (loki_config.py).
DISK_PERCENT = 80
EVALUATION_SECONDS = 60
# Grafana's own name for what it calculates itself.
EXPRESSIONS = DataSourceRef(type_val="__expr__", uid="__expr__")

REFUSED = "status == 401 or status == 403"
NOT_TAKEN = "status >= 400 and status != 401 and status != 403"
DROPPED = "status >= 400 and status < 500 and status != 429"
TRIED_AGAIN = "status == 429 or status >= 500"


def render_dashboards(sources: Sequence[LokiSource], host_logs: HostLogs | None) -> dict[str, str]:
    """The dashboards' files by name."""
    return {
        "logs.json": _text(_logs().build()),
        "pipeline.json": _text(_pipeline(in_order(sources), host_logs).build()),
    }


def render_alert_rules(sources: Sequence[LokiSource], host_logs: HostLogs | None) -> str:
    """The alert rules' file.

    Grafana keeps a rule that the file no longer names. So the uids are fixed, whatever instances there
    are, and a rule that isn't wanted is named as deleted.
    """
    rules: dict[str, alerting.Rule | None] = dict.fromkeys(
        (AWS_SILENT, PUSHES_REFUSED, PUSHES_NOT_TAKEN, DISK_FULL, REPLICA_AWAY)
    )
    expecting = [source for source in in_order(sources) if source.expects_aws]
    if expecting:
        rules[AWS_SILENT] = _aws_silent(expecting)
    if host_logs is not None:
        rules[PUSHES_REFUSED] = _pushes_refused(host_logs)
        rules[PUSHES_NOT_TAKEN] = _pushes_not_taken(host_logs)
        rules[DISK_FULL] = _disk_full(host_logs)
        rules[REPLICA_AWAY] = _replica_away(host_logs)
    group = {
        "orgId": ORGANISATION,
        "name": "pipeline",
        "folder": FOLDER,
        "interval": f"{EVALUATION_SECONDS}s",
        "rules": [_in_a_file(uid, rule) for uid, rule in rules.items() if rule is not None],
    }
    return _text(
        {
            "apiVersion": 1,
            # Grafana refuses a group without rules.
            "groups": [group] if group["rules"] else [],
            "deleteRules": [
                {"orgId": ORGANISATION, "uid": uid} for uid, rule in rules.items() if rule is None
            ],
        }
    )


def _pushed(log: HostLogs, which: str) -> str:
    """The pushes that reached Caddy, by their fields; `which` filters them further."""
    routes = "|".join(sorted(log.routes))
    return (
        f"{log.of(log.caddy)} |= `http.log.access` "
        '| json status="status", duration="duration", method="request.method", uri="request.uri", '
        'ip="request.remote_ip" | __error__="" | method="POST" '
        "| line_format `{{.uri}}` "
        "| regexp `^(?P<route>/[a-z0-9-]+)/(loki/api/v1/push|otlp/v1/logs)` "
        f'| route=~"{routes}" | {which}'
    )


def _logs() -> dashboard.Dashboard:
    """Any Loki's lines by service. One for all: who goes to another Loki keeps search and time."""
    which = '{service=~"$service", container=~"$container"}'
    found = f"{which} |~ `(?i)$search`"
    source = DataSourceRef(type_val="loki", uid="${loki}")
    by = "sum by (service, container)"
    return (
        _dashboard("Logs by service", LOGS_UID)
        .with_variable(dashboard.DatasourceVariable("loki").label("Loki").type("loki"))
        .with_variable(_label("service", ANY, source, ".*"))
        # Some matcher has to want something: a stream without a service has a container.
        .with_variable(_label("container", '{container=~".+", service=~"$service"}', source, ".+"))
        .with_variable(dashboard.TextBoxVariable("search").label("Search (RE2, any case)").default_value(""))
        .with_panel(
            _lines("Lines per second", source, f"{by} (rate({found} [{AUTO}]))", "{{service}} {{container}}")
            .unit("short")
            .span(12)
        )
        .with_panel(
            _lines("Volume", source, f"{by} (bytes_rate({found} [{AUTO}]))", "{{service}} {{container}}")
            .unit("Bps")
            .span(12)
        )
        .with_panel(
            _lines(
                "Error rate",
                source,
                f"{by} (rate({found} |~ `{ERRORS}` [{AUTO}])) / {by} (rate({found} [{AUTO}]))",
                "{{service}} {{container}}",
                stacked=False,
            )
            .description("The share of lines with error, exception, fatal, panic or critical in them.")
            .unit("percentunit")
            .min(0)
            .span(24)
            .height(6)
        )
        .with_panel(_log_lines("Lines", source, found).height(18))
    )


def _pipeline(sources: Sequence[LokiSource], host_logs: HostLogs | None) -> dashboard.Dashboard:
    """The way of the lines itself: what arrives where, what it fills, what doesn't get in."""
    page = _dashboard("Pipeline", PIPELINE_UID)
    if host_logs is not None:
        _gate_row(page, host_logs)
    for source in sources:
        _loki_row(page, source)
    return page


def _gate_row(page: dashboard.Dashboard, log: HostLogs) -> None:
    source = _ref(log.source)
    page.with_row(dashboard.Row("The gate"))
    for title, which, by, legend, description in (
        (
            "Pushes per second",
            "status > 0",
            "route, status",
            "{{route}} {{status}}",
            f"Caddy's answers. Of a route's taken ones, the first {TAKEN_LOGGED_PER_SECOND} in a second "
            f"are counted, then one in {TAKEN_LOGGED_ONE_IN}; lines are counted below.",
        ),
        (
            "Refused pushes",
            REFUSED,
            "route, status, ip",
            "{{route}} {{status}} {{ip}}",
            "401: no or a wrong password. 403: an address that isn't let in.",
        ),
        (
            "Dropped pushes",
            DROPPED,
            "route, status",
            "{{route}} {{status}}",
            "4xx but 429: shippers drop these.",
        ),
        ("Pushes that come again", TRIED_AGAIN, "route, status", "{{route}} {{status}}", "429 and 5xx."),
    ):
        rate = f"sum by ({by}) (rate({_pushed(log, which)} [{AUTO}]))"
        page.with_panel(_lines(title, source, rate, legend).description(description).unit("reqps").span(12))
    lag = (
        f"max by (route) (quantile_over_time(0.95, {_pushed(log, 'status > 0')} | unwrap duration [{AUTO}]))"
    )
    page.with_panel(
        _lines("How long a push takes", source, lag, "{{route}}", stacked=False)
        .description("The slowest twentieth takes longer. A push waits here while its Loki restarts.")
        .unit("s")
        .span(12)
        .height(6)
    )
    page.with_panel(
        _lines("How full the disk is", source, _disk_used(log, AUTO), "", stacked=False)
        .description(
            f"The one with Docker's volumes. Over {DISK_PERCENT} % is an alert; at 90 % Loki refuses pushes."
        )
        .unit("percent")
        .min(0)
        .max(100)
        .span(12)
        .height(6)
    )


def _loki_row(page: dashboard.Dashboard, source: LokiSource) -> None:
    ref, labels = _ref(source), "job, source, host, service, container"
    legend = "{{service}}{{host}} {{container}}"
    page.with_row(dashboard.Row(f"Loki {source.name}"))
    page.with_panel(
        _lines("Lines per second by source", ref, f"sum by ({labels}) (rate({ANY} [{AUTO}]))", legend)
        .unit("short")
        .span(12)
    )
    page.with_panel(
        _numbers("Last line by source", ref, _last_line(labels), legend, instant=True)
        .description(f"Of the last {SILENT_MINUTES} minutes; who is missing here was silent for longer.")
        .unit("dateTimeFromNow")
        .span(6)
    )
    kept = f"sum(bytes_rate({ANY} [{AUTO}])) * {source.retention_seconds}"
    page.with_panel(
        _numbers(f"Kept in {source.retention} at this rate", ref, kept, "", instant=False)
        .description("Lines as they came, before compression: what the disk holds once retention begins.")
        .unit("bytes")
        .span(6)
    )


def _last_line(labels: str) -> str:
    """When each source's last line was, in milliseconds since 1970."""
    stamped = f"{ANY} | label_format stamp=`{{{{ __timestamp__ | unixEpoch }}}}` | unwrap stamp"
    return f"max by ({labels}) (max_over_time({stamped} [{SILENT_MINUTES}m])) * 1000"


def _aws_silent(sources: Sequence[LokiSource]) -> alerting.Rule:
    rule = alerting.Rule(f"No logs from AWS for {SILENT_MINUTES} minutes")
    for source in sources:
        # Nothing found is no value, of which no condition comes true.
        lines = f"sum(count_over_time({AWS} [{SILENT_MINUTES}m])) or vector(0)"
        rule.with_query(_asked(source.name, source, lines, SILENT_MINUTES))
    names = "".join(
        f'{{{{ with index .Values "{name}" }}}}{{{{ if eq .Value 0.0 }}}} {name}{{{{ end }}}}{{{{ end }}}}'
        for name in (source.name for source in sources)
    )
    condition = " || ".join(f"${{{source.name}}} == 0" for source in sources)
    return (
        rule.with_query(_calculated(condition))
        .for_val("2m")
        .no_data_state("Alerting")
        .annotations({"summary": f"Loki got no line from AWS:{names}", "description": _LOOK})
    )


def _pushes_refused(log: HostLogs) -> alerting.Rule:
    return _pushes(
        log,
        "Pushes are refused (401, 403)",
        REFUSED,
        "Caddy refuses pushes on {{ .Labels.route }}: a wrong address or password. Shippers drop the lines.",
    )


def _pushes_not_taken(log: HostLogs) -> alerting.Rule:
    return _pushes(
        log,
        "Loki refuses lines (4xx, 5xx)",
        NOT_TAKEN,
        "Pushes on {{ .Labels.route }} get in and aren't taken. Shippers drop the lines at 4xx, "
        "and try again at 429 and 5xx.",
    )


def _disk_full(log: HostLogs) -> alerting.Rule:
    return (
        alerting.Rule(f"The campus server's disk is over {DISK_PERCENT} % full")
        .with_query(_asked("disk", log.source, _disk_used(log, f"{DISK_MINUTES}m"), DISK_MINUTES))
        .with_query(_calculated(f"$disk > {DISK_PERCENT}"))
        .for_val(f"{DISK_MINUTES}m")
        # The guard, or what ships its lines, is silent.
        .no_data_state("Alerting")
        .annotations(
            {
                "summary": f"The campus server's disk is over {DISK_PERCENT} % full, or nobody says so. "
                "At 90 % Loki refuses pushes.",
                "description": _LOOK,
            }
        )
    )


def _disk_used(log: HostLogs, interval: str) -> str:
    """How full the host's disk was at most, in percent, as the guard says (images/port-guard)."""
    said = f"{log.of(log.guard)} |= `disk_used_percent=` | regexp `disk_used_percent=(?P<used>[0-9]+)`"
    return f"max(max_over_time({said} | unwrap used [{interval}]))"


def _replica_away(log: HostLogs) -> alerting.Rule:
    failed = (
        f"{log.of(log.caddy)} |= `health_checker.active` "
        '| json logger="logger", msg="msg", replica="host" '
        f'| logger="{CHECKS}" | msg!="host is up"'
    )
    count = f"sum by (replica) (count_over_time({failed} [{REPLICA_SEEN_MINUTES}m]))"
    return (
        alerting.Rule(f"A replica of a Loki is away for {REPLICA_MINUTES} minutes")
        .with_query(_asked("checks", log.source, count, REPLICA_SEEN_MINUTES))
        .with_query(_calculated("$checks > 0"))
        .for_val(f"{REPLICA_MINUTES}m")
        # Also of a stack without replicas.
        .no_data_state("OK")
        .annotations(
            {
                "summary": "The Loki at {{ .Labels.replica }} isn't ready. With one more away, pushes wait.",
                "description": "See its container's log, and docs/loki.md.",
            }
        )
    )


_LOOK = "See the dashboard Pipeline."


def _pushes(log: HostLogs, title: str, which: str, summary: str) -> alerting.Rule:
    count = f"sum by (route) (count_over_time({_pushed(log, which)} [{PUSH_MINUTES}m]))"
    return (
        alerting.Rule(title)
        .with_query(_asked("pushes", log.source, count, PUSH_MINUTES))
        .with_query(_calculated("$pushes > 0"))
        # A stranger who tries once is no alert.
        .for_val(f"{PUSH_MINUTES}m")
        .no_data_state("OK")
        .annotations({"summary": summary, "description": _LOOK})
    )


def _asked(ref_id: str, source: LokiSource, logql: str, minutes: int) -> alerting.Query:
    query = loki.Dataquery().ref_id(ref_id).expr(logql).query_type("instant").datasource(_ref(source))
    return (
        alerting.Query(ref_id)
        .datasource_uid(source.uid)
        .query_type("instant")
        .relative_time_range(RelativeTimeRange(from_val=minutes * 60, to=0))
        .model(query)
    )


def _calculated(expression: str) -> alerting.Query:
    """The rule's condition."""
    made = expr.TypeMath().ref_id(_CONDITION).datasource(EXPRESSIONS).expression(expression)
    return alerting.Query(_CONDITION).datasource_uid("__expr__").model(made)


# In capitals: the others are called as an instance, or `pushes`.
_CONDITION = "C"


def _in_a_file(uid: str, rule: alerting.Rule) -> dict[str, Any]:
    """A rule as the file has it: what the API's own format says beside, the group says there."""
    # A Loki that can't be asked is an alert, too.
    built = rule.uid(uid).condition(_CONDITION).exec_err_state("Error").labels({"team": "campus"}).build()
    beside = ("folderUID", "orgID", "ruleGroup")
    return {key: value for key, value in built.to_json().items() if key not in beside}


def _dashboard(title: str, uid: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["campus"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("1m")
    )


def _label(name: str, stream: str, source: DataSourceRef, all_value: str) -> dashboard.QueryVariable:
    """A variable with the values of a label."""
    return (
        dashboard.QueryVariable(name)
        .label(name.capitalize())
        .datasource(source)
        .query({"label": name, "refId": name, "stream": stream, "type": 1})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(all_value)
        .current(VariableOption(selected=True, text=["All"], value=["$__all"]))
    )


def _lines(
    title: str, source: DataSourceRef, logql: str, legend: str, *, stacked: bool = True
) -> timeseries.Panel:
    panel = timeseries.Panel().title(title).datasource(source).height(8).fill_opacity(20)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return panel.with_target(_query(source, logql, "range", legend))


def _numbers(title: str, source: DataSourceRef, logql: str, legend: str, *, instant: bool) -> stat.Panel:
    how, calc = ("instant", "lastNotNull") if instant else ("range", "mean")
    return (
        stat.Panel()
        .title(title)
        .datasource(source)
        .height(8)
        .reduce_options(common.ReduceDataOptions().calcs([calc]).values(False))
        .with_target(_query(source, logql, how, legend))
    )


def _log_lines(title: str, source: DataSourceRef, logql: str) -> logs.Panel:
    panel = logs.Panel().title(title).datasource(source).span(24).show_time(True)
    return (
        panel.wrap_log_message(True).enable_log_details(True).with_target(_query(source, logql, "range", ""))
    )


def _query(source: DataSourceRef, logql: str, query_type: str, legend: str) -> loki.Dataquery:
    made = loki.Dataquery().ref_id("A").expr(logql).query_type(query_type).datasource(source)
    return made.legend_format(legend) if legend else made


def _ref(source: LokiSource) -> DataSourceRef:
    return DataSourceRef(type_val="loki", uid=source.uid)


def _text(document: object) -> str:
    return json.dumps(document, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
