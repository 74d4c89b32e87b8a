# pyright: strict
"""Grafana's alert rules, as typed Python. Pure: plain values in, text out.

There are three kinds: a Loki that doesn't answer (one rule each; all other rules keep their state
meanwhile), silence, and a limit exceeded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from grafana_foundation_sdk.builders import alerting

from components.grafana import logql
from components.grafana.dashboards import (
    ALIVE,
    AWS_ARRIVES,
    DISK_PANEL,
    DISK_PERCENT,
    DROPPED_PANEL,
    PUSHES_PANEL,
    REFUSED_PANEL,
    SILENT_MINUTES,
)
from components.grafana.logql import pushed
from components.grafana.metric_rules import METRIC_RULES, metric_rules
from components.grafana.own_rules import OWN_RULES, own_rules
from components.grafana.page import as_json, named_panel, ref_of
from components.grafana.provisioning import PIPELINE_UID, HostLogs, LokiSource, MetricsSource, in_order
from components.grafana.rule import Severity, annotated, group_of, idle, new_rule
from components.grafana.settings import AlertRule
from components.loki.settings import MAX_LOKIS

LOKI_AWAY = "campus-loki-away"
AWS_SILENT = "campus-aws-silent"
LOGINS_REFUSED = "campus-logins-refused"
PUSHES_REFUSED = "campus-pushes-refused"
PUSHES_NOT_TAKEN = "campus-pushes-not-taken"
DISK_FULL = "campus-disk-full"
DISK_UNKNOWN = "campus-disk-unknown"
REPLICA_AWAY = "campus-replica-away"
# Rules that need the host's own logs.
OF_THE_HOST = (LOGINS_REFUSED, PUSHES_REFUSED, PUSHES_NOT_TAKEN, DISK_FULL, DISK_UNKNOWN, REPLICA_AWAY)

# After a restart Loki answers queries in some 16 s, with a new image a bit later.
AWAY_MINUTES = 2
PUSH_MINUTES = 5
# The most networks of strangers in one alert, per route.
STRANGERS = 20
# Caddy checks every few seconds whether a replica is ready (edge/query_route.py). A restart takes a minute
# or two.
REPLICA_SEEN_MINUTES = 1
REPLICA_MINUTES = 5
# The guard reports once a minute.
DISK_MINUTES = 5


def render_alert_rules(
    sources: Sequence[LokiSource],
    host_logs: HostLogs | None,
    metrics: MetricsSource | None = None,
    own: Mapping[str, AlertRule] | None = None,
) -> str:
    """The alert rules' file.

    Grafana keeps rules that are no longer in the file, and 13.2.0 can't delete any (grafana#131777). So the
    uids are fixed, by a Loki's place and not its name, and an unused rule stays, paused, with a query that
    can't fire. Titles go by place, too, so that two rules never have the same title while Grafana changes
    them.

    With rules of one's own in the settings, be it none of them, the file has all rules that were ever there.
    """
    ordered = in_order(sources)
    wanted = dict(_wanted(ordered, host_logs, metrics))
    groups: list[tuple[str, dict[str, alerting.Rule], Sequence[str]]] = [("pipeline", wanted, _known())]
    if metrics is not None or own is not None:
        of_metrics = {} if metrics is None else dict(metric_rules(metrics, host_logs))
        groups.append(("metrics", of_metrics, METRIC_RULES))
    if own is not None:
        groups.append(("own", dict(own_rules(own, {one.name: one for one in ordered})), OWN_RULES))
    made = [group_of(name, rules | _spare(rules, known, ordered)) for name, rules, known in groups]
    # Grafana refuses a group without rules.
    return as_json({"apiVersion": 1, "groups": [one for one in made if one["rules"]]})


def _spare(
    used: Mapping[str, alerting.Rule], known: Sequence[str], sources: Sequence[LokiSource]
) -> dict[str, alerting.Rule]:
    """The placeholders of unused rules. They ask a Loki: there is always one."""
    return {uid: idle(uid, ref_of(sources[0])) for uid in known if uid not in used and sources}


def _known() -> list[str]:
    places = range(MAX_LOKIS)
    return [*(_uid(base, at) for base in (LOKI_AWAY, AWS_SILENT) for at in places), *OF_THE_HOST]


def _uid(base: str, place: int) -> str:
    return base if place == 0 else f"{base}-{place + 1}"


def _title(text: str, place: int) -> str:
    return text if place == 0 else f"{text} ({place + 1})"


def _wanted(
    sources: Sequence[LokiSource], host_logs: HostLogs | None, metrics: MetricsSource | None
) -> Iterator[tuple[str, alerting.Rule]]:
    for place, source in enumerate(sources):
        yield _uid(LOKI_AWAY, place), _loki_away(source, place)
    for place, source in enumerate(source for source in sources if source.expects_aws):
        yield _uid(AWS_SILENT, place), _aws_silent(source, place)
    if host_logs is not None:
        yield LOGINS_REFUSED, _logins_refused(host_logs)
        yield PUSHES_REFUSED, _pushes_refused(host_logs)
        yield PUSHES_NOT_TAKEN, _pushes_not_taken(host_logs)
        if metrics is None or not metrics.hosts:
            yield DISK_FULL, _disk_full(host_logs)
            yield DISK_UNKNOWN, _disk_unknown(host_logs)
        yield REPLICA_AWAY, _replica_away(host_logs)


def _loki_away(source: LokiSource, place: int) -> alerting.Rule:
    lines = logql.or_none(logql.count(logql.ANY, "1m"))
    title = _title("A Loki can't be asked", place)
    return _to_pipeline(
        new_rule(title, "critical", ref_of(source), "lines", lines, 1, "$lines < 0", loki=source.name)
        .for_val(f"{AWAY_MINUTES}m")
        .exec_err_state("Alerting")
        .no_data_state("Alerting"),
        f"Loki {source.name} can't be asked for {AWAY_MINUTES} minutes: it is stopped, starting, or out of "
        "memory. Pushes to it wait or come again.",
        named_panel(source.name, ALIVE),
    )


def _aws_silent(source: LokiSource, place: int) -> alerting.Rule:
    # Without lines there would be no value, and no condition is true of that.
    lines = logql.or_none(logql.count(logql.AWS, f"{SILENT_MINUTES}m"))
    title = _title(f"No logs from AWS for {SILENT_MINUTES} minutes", place)
    return _to_pipeline(
        new_rule(
            title, "critical", ref_of(source), "lines", lines, SILENT_MINUTES, "$lines == 0", loki=source.name
        )
        .for_val("2m")
        .no_data_state("Alerting"),
        f"Loki {source.name} answers, and got no line from a log router in AWS for {SILENT_MINUTES} minutes.",
        named_panel(source.name, AWS_ARRIVES),
    )


def _logins_refused(log: HostLogs) -> alerting.Rule:
    """Only allowed addresses get a 401, as the gate checks passwords after addresses: no stranger rings
    it."""
    return _pushes(
        log,
        "Pushes with a wrong password (401)",
        "critical",
        logql.count(pushed(log, "status == 401"), f"{PUSH_MINUTES}m", "route, ip"),
        "{{ .Labels.ip }} is let in on {{ .Labels.route }}, and was refused at least "
        f"{{{{ .Values.pushes.Value }}}} times in {PUSH_MINUTES} minutes for no or a wrong password. "
        "Its lines are lost.",
        REFUSED_PANEL,
    )


def _pushes_refused(log: HostLogs) -> alerting.Rule:
    """One alert per network, so that strangers elsewhere don't hide a refused address of ours.

    Per /24, since strangers in the same cloud share our NAT's first number, and maybe the second.
    """
    by_network = logql.by_network(pushed(log, "status == 403"), numbers=3)
    refused = logql.count(by_network, f"{PUSH_MINUTES}m", "route, network")
    return _pushes(
        log,
        "Pushes are refused (403)",
        "warning",
        f"topk({STRANGERS}, {refused}) by (route)",
        "Somebody at {{ .Labels.network }}* isn't let in on {{ .Labels.route }} and was refused at least "
        f"{{{{ .Values.pushes.Value }}}} times in {PUSH_MINUTES} minutes. If it is ours, such as a new NAT "
        "address, its lines are lost: the panel *Who was refused* has the address.",
        REFUSED_PANEL,
    )


def _pushes_not_taken(log: HostLogs) -> alerting.Rule:
    return _pushes(
        log,
        "Loki refuses lines (4xx, 5xx)",
        "warning",
        logql.count(pushed(log, logql.NOT_TAKEN), f"{PUSH_MINUTES}m", "route, status"),
        "At least {{ .Values.pushes.Value }} pushes on {{ .Labels.route }} got in and were answered "
        f"{{{{ .Labels.status }}}} in {PUSH_MINUTES} minutes. "
        "Shippers drop the lines at 4xx, and try again at 429 and 5xx.",
        DROPPED_PANEL,
    )


def _disk_full(log: HostLogs) -> alerting.Rule:
    used = logql.disk_used(log, f"{DISK_MINUTES}m")
    title = f"The campus server's disk is over {DISK_PERCENT} % full"
    return _to_pipeline(
        new_rule(title, "critical", ref_of(log.source), "disk", used, DISK_MINUTES, f"$disk > {DISK_PERCENT}")
        .for_val(f"{DISK_MINUTES}m")
        # Another rule reports silence.
        .no_data_state("OK"),
        "The campus server's disk is {{ .Values.disk.Value }} % full. At 90 % Loki refuses pushes.",
        DISK_PANEL,
    )


def _disk_unknown(log: HostLogs) -> alerting.Rule:
    lines = logql.or_none(logql.count(log.of(log.guard), f"{DISK_MINUTES}m"))
    title = "Nobody says how full the campus server's disk is"
    return _to_pipeline(
        new_rule(title, "warning", ref_of(log.source), "lines", lines, DISK_MINUTES, "$lines == 0")
        .for_val(f"{DISK_MINUTES}m")
        .no_data_state("Alerting"),
        f"The port guard, or what ships its lines, is silent for {DISK_MINUTES} minutes. Until it is heard "
        "again, nobody sees the disk fill; if no container's lines come, refused pushes aren't told either.",
        DISK_PANEL,
    )


def _replica_away(log: HostLogs) -> alerting.Rule:
    failed = logql.checks_failed(log, f"{REPLICA_SEEN_MINUTES}m")
    title = f"A replica of a Loki is away for {REPLICA_MINUTES} minutes"
    return _to_pipeline(
        new_rule(title, "warning", ref_of(log.source), "checks", failed, REPLICA_SEEN_MINUTES, "$checks > 0")
        .for_val(f"{REPLICA_MINUTES}m")
        # A stack without replicas has no data.
        .no_data_state("OK"),
        "The Loki at {{ .Labels.replica }} isn't ready: {{ .Values.checks.Value }} checks failed in a "
        "minute. With one more away, pushes wait. See its container's log, and docs/loki.md.",
        PUSHES_PANEL,
    )


def _pushes(
    log: HostLogs, title: str, severity: Severity, counted: str, summary: str, panel: int
) -> alerting.Rule:
    return _to_pipeline(
        new_rule(title, severity, ref_of(log.source), "pushes", counted, PUSH_MINUTES, "$pushes > 0")
        # A single try is no alert.
        .for_val(f"{PUSH_MINUTES}m")
        .no_data_state("OK"),
        summary,
        panel,
    )


def _to_pipeline(rule: alerting.Rule, summary: str, panel: int) -> alerting.Rule:
    return annotated(rule, summary, PIPELINE_UID, panel)
