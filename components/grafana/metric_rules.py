# pyright: strict
"""The alert rules of metrics, one instance per thing. Pure.

While Prometheus can't be asked, its own rule says so and all others keep their state. A rule with a number
for each thing has no data only when nothing is heard, which the rules of silence report. Times are longer
than a restart of Prometheus and the collectors' next try (30 s), so that neither rings.
"""

from __future__ import annotations

from collections.abc import Iterator

from grafana_foundation_sdk.builders import alerting

from components.grafana import dashboards, ecs_dashboard, host_dashboard, logql, metrics_row, overview, promql
from components.grafana.limits import (
    CERTIFICATE_DAYS,
    CERTIFICATE_NOTABLE_DAYS,
    CPU_BUSY,
    DISK_USED,
    FILLED,
    MEMORY_LEFT,
)
from components.grafana.page import PROMETHEUS, ref_of
from components.grafana.provisioning import (
    ECS_UID,
    HOST_UID,
    PIPELINE_UID,
    HostLogs,
    MetricsSource,
)
from components.grafana.rule import Severity, annotated, new_rule

PROMETHEUS_AWAY = "campus-prometheus-away"
PROGRAM_AWAY = "campus-program-away"
SITE_AWAY = "campus-site-away"
CERTIFICATE_OLD = "campus-certificate-old"
CERTIFICATE_ENDS = "campus-certificate-ends"
PROMETHEUS_FILLED = "campus-prometheus-filled"
METRICS_REFUSED = "campus-metrics-refused"
SAMPLES_LOST = "campus-samples-lost"
SENDER_BEHIND = "campus-sender-behind"
HOST_SILENT = "campus-host-silent"
HOST_LOGS_SILENT = "campus-host-logs-silent"
DISK_USED_UP = "campus-disk-used-up"
DISK_FORECAST = "campus-disk-forecast"
MEMORY_LOW = "campus-memory-low"
CPU_LONG_BUSY = "campus-cpu-long-busy"
CONTAINER_RESTARTS = "campus-container-restarts"
CONTAINER_GONE = "campus-container-gone"
SERVICE_WITHOUT_TASKS = "campus-service-without-tasks"
SERVICE_CHANGED = "campus-service-changed"
METRIC_RULES = (
    *(PROMETHEUS_AWAY, PROGRAM_AWAY, SITE_AWAY, CERTIFICATE_OLD, CERTIFICATE_ENDS),
    *(PROMETHEUS_FILLED, METRICS_REFUSED, SAMPLES_LOST, SENDER_BEHIND),
    *(HOST_SILENT, HOST_LOGS_SILENT, DISK_USED_UP, DISK_FORECAST, MEMORY_LOW, CPU_LONG_BUSY),
    *(CONTAINER_RESTARTS, CONTAINER_GONE, SERVICE_WITHOUT_TASKS, SERVICE_CHANGED),
)

# Prometheus reads its write-ahead log first.
AWAY_MINUTES = 3
SITE_MINUTES = 5
CERTIFICATE_MINUTES = 10
# Each together with the time for which it has to last.
SILENT_MINUTES, STILL_SILENT_MINUTES = 3, 3
DISK_MINUTES = 10
FORECAST_MINUTES = 30
MEMORY_MINUTES = 10
CPU_MINUTES = 15
RESTARTS_MINUTES = 15
PUSH_MINUTES = 5
# A deployment has old and new tasks for some minutes.
TASKS_CHANGED_SINCE, TASKS_CHANGED_MINUTES = "1h", 15
BEHIND_SECONDS, BEHIND_MINUTES = 120, 15


def metric_rules(metrics: MetricsSource, host_logs: HostLogs | None) -> Iterator[tuple[str, alerting.Rule]]:
    """The rules of what sends metrics."""
    yield PROMETHEUS_AWAY, _prometheus_away()
    yield PROGRAM_AWAY, _program_away()
    yield SITE_AWAY, _site_away()
    if metrics.certificate_lasts_weeks:
        yield CERTIFICATE_OLD, _certificate_old()
        yield CERTIFICATE_ENDS, _certificate_ends()
    yield PROMETHEUS_FILLED, _prometheus_filled(metrics)
    yield METRICS_REFUSED, _metrics_refused()
    yield SAMPLES_LOST, _samples_lost()
    yield SENDER_BEHIND, _sender_behind()
    if metrics.services:
        yield SERVICE_WITHOUT_TASKS, _service_without_tasks(metrics)
        yield SERVICE_CHANGED, _service_changed()
    if metrics.hosts:
        yield HOST_SILENT, _host_silent(metrics)
        yield DISK_USED_UP, _disk_used_up()
        yield DISK_FORECAST, _disk_forecast()
        yield MEMORY_LOW, _memory_low()
        yield CPU_LONG_BUSY, _cpu_long_busy()
        yield CONTAINER_RESTARTS, _container_restarts()
        yield CONTAINER_GONE, _container_gone()
        if host_logs is not None:
            yield HOST_LOGS_SILENT, _host_logs_silent(host_logs)


def _prometheus_away() -> alerting.Rule:
    asked = new_rule(
        "Prometheus can't be asked", "critical", PROMETHEUS, "answer", "vector(1)", 1, "$answer < 0"
    )
    return annotated(
        asked.for_val(f"{AWAY_MINUTES}m").exec_err_state("Alerting").no_data_state("Alerting"),
        f"Prometheus can't be asked for {AWAY_MINUTES} minutes: it is stopped, starting, or out of memory. "
        "Senders keep their samples for two hours; no other alert of metrics changes meanwhile.",
        PIPELINE_UID,
        metrics_row.TARGETS,
    )


def _program_away() -> alerting.Rule:
    return _rule(
        "A program doesn't answer",
        "critical",
        "up",
        "up",
        "$up < 1",
        AWAY_MINUTES,
        "{{ .Labels.job }} {{ .Labels.instance }} doesn't let Prometheus read its metrics for "
        f"{AWAY_MINUTES} minutes: it is stopped, starting or stuck. If all ring at once, it is the reader.",
        PIPELINE_UID,
        metrics_row.TARGETS,
    )


def _site_away() -> alerting.Rule:
    return _rule(
        "The site doesn't answer by TLS",
        "critical",
        "answers",
        promql.site_answers(),
        "$answers < 1",
        SITE_MINUTES,
        f"Caddy runs, but for {SITE_MINUTES} minutes a TLS handshake with {{{{ .Labels.instance }}}} fails: "
        "pushes and Grafana are cut off. If it has no certificate, lines of Caddy's log with the logger "
        "tls.obtain say why.",
        PIPELINE_UID,
        metrics_row.TARGETS,
    )


_RENEWAL = (
    "The certificate of {{ .Labels.instance }} has {{ .Values.days.Value }} whole days left (below 0 it has "
    "expired). Caddy should have renewed it before: lines of its log with the logger tls.renew say why it "
    "couldn't. Often the name's address or what port 80 lets in has changed."
)


def _certificate_old() -> alerting.Rule:
    return _rule(
        f"The certificate has less than {CERTIFICATE_NOTABLE_DAYS} days left",
        "warning",
        "days",
        # Below, the other rule rings.
        f"{promql.certificate_days()} >= {CERTIFICATE_DAYS}",
        f"$days < {CERTIFICATE_NOTABLE_DAYS}",
        CERTIFICATE_MINUTES,
        _RENEWAL,
        PIPELINE_UID,
        metrics_row.CERTIFICATE,
    )


def _certificate_ends() -> alerting.Rule:
    return _rule(
        f"The certificate has less than {CERTIFICATE_DAYS} days left",
        "critical",
        "days",
        promql.certificate_days(),
        f"$days < {CERTIFICATE_DAYS}",
        CERTIFICATE_MINUTES,
        f"{_RENEWAL} Once it has expired, shippers and browsers refuse the site.",
        PIPELINE_UID,
        metrics_row.CERTIFICATE,
    )


def _prometheus_filled(metrics: MetricsSource) -> alerting.Rule:
    return _rule(
        f"Prometheus' memory is over {FILLED:.0%} filled",
        "warning",
        "filled",
        _percent(promql.memory_filled(metrics.memory_limit_bytes)),
        f"$filled > {FILLED * 100:.0f}",
        10,
        "Series fill {{ .Values.filled.Value }} % of the memory that Prometheus has for them. At 100 % all "
        "pushes of metrics get 503. See *Limits* in docs/metrics.md.",
        PIPELINE_UID,
        metrics_row.FILLED,
    )


def _metrics_refused() -> alerting.Rule:
    return _rule(
        "Prometheus refuses pushes (4xx, 5xx)",
        "warning",
        "pushes",
        promql.metric_pushes_refused(f"{PUSH_MINUTES}m"),
        "$pushes > 0",
        PUSH_MINUTES,
        "Prometheus answered {{ .Values.pushes.Value }} pushes to {{ .Labels.handler }} with "
        f"{{{{ .Labels.code }}}} in {PUSH_MINUTES} minutes. Senders drop the samples at 4xx, and "
        "try again at 5xx.",
        PIPELINE_UID,
        metrics_row.METRIC_PUSHES_REFUSED,
    )


def _samples_lost() -> alerting.Rule:
    return _rule(
        "Prometheus refuses samples",
        "warning",
        "samples",
        promql.samples_lost(f"{PUSH_MINUTES}m"),
        "$samples > 0",
        PUSH_MINUTES,
        f"{{{{ .Values.samples.Value }}}} samples were refused in {PUSH_MINUTES} minutes as "
        "{{ .Labels.reason }} ones, and are lost. Too old: a sender was away for longer than "
        "`prometheus.maxAge`. Out of order: two senders write one series.",
        PIPELINE_UID,
        metrics_row.SAMPLES_LOST,
    )


def _sender_behind() -> alerting.Rule:
    return _rule(
        "Another Prometheus falls behind",
        "warning",
        "behind",
        promql.sender_behind(),
        f"$behind > {BEHIND_SECONDS}",
        BEHIND_MINUTES,
        "The remote write of {{ .Labels.job }} {{ .Labels.instance }} is {{ .Values.behind.Value }} seconds "
        f"behind, for {BEHIND_MINUTES} minutes. After two hours it loses samples.",
        PIPELINE_UID,
        metrics_row.BEHIND,
    )


def _host_silent(metrics: MetricsSource) -> alerting.Rule:
    silent = " or ".join(
        f'absent_over_time(system_uptime_seconds{{host_name="{host}"}}[{SILENT_MINUTES}m])'
        for host in metrics.hosts
    )
    return _rule(
        "A host sends no metrics",
        "critical",
        "silent",
        silent,
        "$silent == 1",
        STILL_SILENT_MINUTES,
        "{{ .Labels.host_name }} sends no metrics for "
        f"{SILENT_MINUTES + STILL_SILENT_MINUTES} minutes: the host, its collector or its way to Prometheus "
        "is gone. Nobody sees its disks and containers meanwhile.",
        HOST_UID,
        host_dashboard.CPU,
    )


def _host_logs_silent(log: HostLogs) -> alerting.Rule:
    """The guard logs a line a minute."""
    lines = logql.or_none(logql.count(log.of(log.guard), "5m"))
    title = "The campus server's own logs don't come"
    rule = new_rule(title, "warning", ref_of(log.source), "lines", lines, 5, "$lines == 0")
    return annotated(
        rule.for_val("5m").no_data_state("Alerting"),
        "The port guard, or what ships its lines, is silent for 5 minutes. If no container's lines come, "
        "refused pushes aren't told.",
        PIPELINE_UID,
        dashboards.REFUSED_PANEL,
    )


def _disk_used_up() -> alerting.Rule:
    return _rule(
        f"A disk is over {DISK_USED:.0%} full",
        "critical",
        "used",
        _percent(promql.disk_used()),
        f"$used > {DISK_USED * 100:.0f}",
        DISK_MINUTES,
        "The disk {{ .Labels.disk }} of {{ .Labels.host_name }} is {{ .Values.used.Value }} % full. Of the "
        "campus server's: at 90 % Loki refuses pushes.",
        HOST_UID,
        host_dashboard.DISK,
    )


def _disk_forecast() -> alerting.Rule:
    full = f"{_percent(promql.disk_used())} and on (host_name, disk) ({promql.disk_full_soon()})"
    return _rule(
        f"A disk is full within {promql.FORECAST_HOURS} hours",
        "warning",
        "used",
        full,
        "$used > 0",
        FORECAST_MINUTES,
        "The disk {{ .Labels.disk }} of {{ .Labels.host_name }} is {{ .Values.used.Value }} % full, and at "
        f"its growth of the last {promql.GROWTH_HOURS} hours will be full within {promql.FORECAST_HOURS}.",
        HOST_UID,
        host_dashboard.FORECAST,
    )


def _memory_low() -> alerting.Rule:
    return _rule(
        f"A host has less than {MEMORY_LEFT:.0%} of its memory left",
        "critical",
        "left",
        _percent(promql.memory_available()),
        f"$left < {MEMORY_LEFT * 100:.0f}",
        MEMORY_MINUTES,
        "{{ .Labels.host_name }} has {{ .Values.left.Value }} % of its memory left for "
        f"{MEMORY_MINUTES} minutes. Then the kernel ends a program.",
        HOST_UID,
        host_dashboard.MEMORY,
    )


def _cpu_long_busy() -> alerting.Rule:
    return _rule(
        f"A host's CPUs are busy for {CPU_MINUTES} minutes",
        "warning",
        "busy",
        _percent(promql.cpu_busy("5m")),
        f"$busy > {CPU_BUSY * 100:.0f}",
        CPU_MINUTES,
        f"The CPUs of {{{{ .Labels.host_name }}}} are {{{{ .Values.busy.Value }}}} % busy, for {CPU_MINUTES} "
        "minutes. *CPU by container* shows whose work it is.",
        HOST_UID,
        host_dashboard.CPU,
    )


def _container_restarts() -> alerting.Rule:
    return _rule(
        "A container restarts",
        "warning",
        "restarts",
        promql.restarts(f"{RESTARTS_MINUTES}m"),
        "$restarts > 0",
        0,
        "{{ .Labels.container_name }} on {{ .Labels.host_name }} ended, and was restarted by the engine "
        f"{{{{ .Values.restarts.Value }}}} times in {RESTARTS_MINUTES} minutes. Its log says why.",
        HOST_UID,
        host_dashboard.RESTARTS,
    )


def _container_gone() -> alerting.Rule:
    gone = promql.gone(overview.GONE_SEEN, overview.GONE_SILENT, overview.GONE_LIVED_SECONDS)
    return _rule(
        "A container is gone",
        "warning",
        "ran",
        f"round({gone})",
        "$ran > 0",
        2,
        "{{ .Labels.container_name }} on {{ .Labels.host_name }} ran for {{ .Values.ran.Value }} seconds, "
        "and isn't running for 5 minutes, nor another of this name. This alert ends after an hour.",
        HOST_UID,
        host_dashboard.UPTIME,
    )


def _service_without_tasks(metrics: MetricsSource) -> alerting.Rule:
    none = " or ".join(
        f'absent_over_time({promql.TASK}{{ecs_service="{service}"}}[{SILENT_MINUTES}m])'
        for service in metrics.services
    )
    return _rule(
        "A service has no tasks",
        "critical",
        "none",
        none,
        "$none == 1",
        STILL_SILENT_MINUTES,
        "No task of {{ .Labels.ecs_service }} sends metrics for "
        f"{SILENT_MINUTES + STILL_SILENT_MINUTES} minutes: none runs, or no push of theirs gets in. See the "
        "service's events in ECS, and whether its lines still come.",
        ECS_UID,
        ecs_dashboard.TASKS,
    )


def _service_changed() -> alerting.Rule:
    change = f"{promql.tasks()} - {promql.tasks(ago=TASKS_CHANGED_SINCE)}"
    return _rule(
        "A service has another number of tasks",
        "warning",
        "change",
        change,
        "$change != 0",
        TASKS_CHANGED_MINUTES,
        "{{ .Labels.ecs_service }} has {{ .Values.change.Value }} tasks more (with a minus: fewer) than "
        f"{TASKS_CHANGED_SINCE} ago, for {TASKS_CHANGED_MINUTES} minutes. If nobody scaled it and no "
        "deployment hangs, tasks end: see the service's events in ECS. This alert ends after an hour.",
        ECS_UID,
        ecs_dashboard.TASKS,
    )


def _percent(share: str) -> str:
    return f"round(100 * ({share}))"


def _rule(
    title: str,
    severity: Severity,
    ref_id: str,
    query: str,
    condition: str,
    minutes: int,
    summary: str,
    dashboard: str,
    panel: int,
) -> alerting.Rule:
    """A rule that is true for some minutes."""
    made = new_rule(title, severity, PROMETHEUS, ref_id, query, 10, condition)
    return annotated(made.for_val(f"{minutes}m").no_data_state("OK"), summary, dashboard, panel)
