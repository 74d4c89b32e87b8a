# pyright: strict
"""The PromQL queries of dashboards and alert rules. Pure.

A host's own metrics have the label `host_name`, its containers' also `container_name`: of a container that is
replaced, the series go on. Prometheus' own and the other programs' have `job` and `instance`. A query of the
dashboard *Host* names its variable in `of`.
"""

from __future__ import annotations

from collections.abc import Callable

# Grafana's range for rates: at least four samples.
RATE = "$__rate_interval"
# How far back a disk's growth is looked at: shorter, each compaction would be one; longer, a new one is late.
GROWTH_HOURS = 6
FORECAST_HOURS = 24
# A disk with this much room is no concern, whatever it grew in the last hours.
FORECAST_FROM = 0.6

_CONTAINER = "host_name, container_name"


def series(name: str, *matchers: str) -> str:
    """A selector."""
    given = ",".join(one for one in matchers if one)
    return f"{name}{{{given}}}" if given else name


def or_zero(count: str, while_heard: str) -> str:
    """A zero if a count finds nothing, and no value while its source isn't heard: silence is no zero."""
    return f"({count} or count({while_heard}) * 0)"


def last_heard(host: str) -> str:
    """The seconds since a host's last sample; no value after five minutes."""
    matcher = f'host_name="{host}"'
    return f"time() - max(timestamp({series('system_uptime_seconds', matcher)}))"


def cpu_busy(span: str, of: str = "") -> str:
    """The share of all CPUs' time that isn't idle."""
    time = "system_cpu_time_seconds_total"
    idle, everything = series(time, 'state=~"idle|wait"', of), series(time, of)
    return f"1 - sum by (host_name) (rate({idle}[{span}])) / sum by (host_name) (rate({everything}[{span}]))"


def memory_available(of: str = "") -> str:
    """The share of memory that programs could still get, caches included."""
    return f"{series('system_linux_memory_available_bytes', of)} / {series('system_memory_limit_bytes', of)}"


def disk_used(of: str = "") -> str:
    """The used share of each disk, as `df` counts it."""

    def share(mount: str) -> str:
        return f"{_space(mount, of, 'used')} / {_space(mount, of, 'used|free')}"

    return _by_disk(share)


def disk_forecast(of: str = "") -> str:
    """The share of each disk that will be free in a day, at its growth of the last hours."""
    return _by_disk(lambda mount: f"{_predicted(mount, of)} / {_space(mount, of, 'used|free')}")


def disk_full_soon() -> str:
    """The disks that will be full in a day, filled already to some extent: others' small growth is noise."""
    return f"{disk_forecast()} < 0 and on (host_name, disk) {disk_used()} > {FORECAST_FROM}"


def _space(mount: str, of: str, states: str) -> str:
    found = series("system_filesystem_usage_bytes", f'state=~"{states}"', mount, of)
    return f"sum by (host_name, device, mountpoint) ({found})"


def _predicted(mount: str, of: str) -> str:
    free = series("system_filesystem_usage_bytes", 'state="free"', mount, of)
    predicted = f"predict_linear({free}[{GROWTH_HOURS}h], {FORECAST_HOURS * 3600})"
    return f"sum by (host_name, device, mountpoint) ({predicted})"


def _by_disk(query: Callable[[str], str]) -> str:
    """One value for each disk: that of /etc is mostly the one with Docker's volumes, too."""
    docker, others = query('mountpoint="/disks/docker"'), query('mountpoint!="/disks/docker"')
    disks = f"({docker}) or ({others} unless on (host_name, device) {docker})"
    named = f'label_replace({disks}, "disk", "$1", "mountpoint", "/disks/(.*)")'
    return f"sum by (host_name, disk) ({named})"


def restarts(span: str, of: str = "") -> str:
    """How often the engine restarted each container that had ended."""
    # Prometheus extrapolates to the whole span.
    counted = f"increase({series('container_restarts_total', of)}[{span}])"
    return f"round(sum by ({_CONTAINER}) ({counted}))"


def gone(seen: str, silent: str, lived_seconds: int) -> str:
    """How long each container had run that was seen and is silent now, while others on its host are heard.

    By its name: one that was replaced is heard again. One that had run for a shorter time ended as planned.
    """
    uptime = series("container_uptime_seconds")
    return (
        f"max by ({_CONTAINER}) (last_over_time({uptime}[{seen}])) > {lived_seconds} "
        f"unless on ({_CONTAINER}) last_over_time({uptime}[{silent}]) "
        f"and on (host_name) count by (host_name) (last_over_time({uptime}[{silent}]))"
    )


# A sample for each running task, from its collector.
TASK = "ecs_task_memory_reserved_bytes"
# Samples of OpenTelemetry's have no end: without this an ended task would run for five more minutes.
TASK_SEEN = "2m"


def tasks(of: str = "", ago: str = "") -> str:
    """The number of running tasks of each service, now or some time ago."""
    seen = f"last_over_time({series(TASK, of)}[{TASK_SEEN}]{ago and f' offset {ago}'})"
    return f"count by (ecs_service) ({seen})"


def task_cpu(span: str, of: str = "") -> str:
    """The share of its reserved CPU that each task uses."""
    used = f"rate({series('ecs_container_cpu_usage_seconds_total', of)}[{span}])"
    reserved = series("ecs_task_cpu_reserved", of)
    return f"sum by (ecs_service, ecs_task) ({used}) / on (ecs_service, ecs_task) {reserved}"


def task_memory(of: str = "") -> str:
    """The share of its reserved memory that each task uses."""
    used, reserved = series("ecs_container_memory_utilized_bytes", of), series(TASK, of)
    return f"sum by (ecs_service, ecs_task) ({used}) / on (ecs_service, ecs_task) {reserved}"


# Prometheus' own answers to pushes, by the protocol's path (web/api/v1). What the gate refused isn't here.
_PUSHES = 'handler=~"/api/v1/write|/api/v1/otlp/v1/metrics"'
_TAKEN, _REFUSED = 'code=~"2.."', 'code!~"2.."'


# Prometheus' own `up`.
OWN = 'up{job="prometheus"} == 1'


def answers(span: str) -> str:
    """Caddy's answers per second, on the site and on published ports."""
    found = series("caddy_http_request_duration_seconds_count", 'job="caddy"', 'instance="caddy"')
    return f"sum by (code) (rate({found}[{span}]))"


def lines_taken(span: str) -> str:
    """The lines per second that each Loki took."""
    return f"sum by (instance) (rate(loki_distributor_lines_received_total[{span}]))"


def lines_discarded(span: str) -> str:
    """The number of lines that each Loki refused, by its reason."""
    return f"round(sum by (instance, reason) (increase(loki_discarded_samples_total[{span}])))"


def samples(span: str) -> str:
    """The samples per second, and of them those that came late."""
    everything = f"sum(rate(prometheus_tsdb_head_samples_appended_total[{span}]))"
    return (
        f'label_replace({everything}, "what", "all", "", "") or '
        f'label_replace({samples_late(span)}, "what", "late", "", "")'
    )


def metric_pushes(span: str) -> str:
    """Prometheus' answers to pushes per second."""
    return f"sum by (handler, code) (rate({series('prometheus_http_requests_total', _PUSHES)}[{span}]))"


def metric_pushes_taken(span: str) -> str:
    """The number of pushes that Prometheus took."""
    taken = series("prometheus_http_requests_total", _PUSHES, _TAKEN)
    return f"round(sum(increase({taken}[{span}])))"


def metric_pushes_refused(span: str) -> str:
    """The number of pushes that Prometheus refused, by protocol and answer."""
    refused = series("prometheus_http_requests_total", _PUSHES, _REFUSED)
    return f"round(sum by (handler, code) (increase({refused}[{span}])))"


# Why Prometheus doesn't take a sample (its tsdb/head.go): older than `maxAge`, another value for a known
# time, or in the future of the block.
_LOST = ("too_old", "out_of_order", "out_of_bound")


def samples_lost(span: str) -> str:
    """The number of samples that Prometheus refused, by the reason."""
    return " or ".join(
        f'label_replace(round(sum(increase(prometheus_tsdb_{one}_samples_total[{span}]))), "reason", '
        f'"{one.replace("_", " ")}", "", "")'
        for one in _LOST
    )


def samples_late(span: str) -> str:
    """The samples per second that came after newer ones of their series: a sender catches up."""
    return f"sum(rate(prometheus_tsdb_head_out_of_order_samples_appended_total[{span}]))"


def memory_filled(limit_bytes: int) -> str:
    """The share of Prometheus' memory for series that is filled; at 1 Caddy stops the pushes."""
    kept = series("go_memstats_next_gc_bytes", 'job="prometheus"')
    return f"{kept} / {limit_bytes}"


def certificate_days() -> str:
    """The whole days that are left of the site's certificate, or of one above it; below 0 it has expired."""
    return "floor((probe_ssl_earliest_cert_expiry - time()) / 86400)"


def site_answers() -> str:
    """1 or 0 for the TLS handshake with the site, while Caddy runs."""
    return 'probe_success and on () up{job="caddy",instance="caddy"} == 1'


def sender_behind() -> str:
    """The seconds that another Prometheus' remote write is behind, if it sends its own metrics, too."""
    scraped = "prometheus_remote_storage_highest_timestamp_in_seconds"
    sent = "prometheus_remote_storage_queue_highest_sent_timestamp_seconds"
    labels = "(instance, job)"
    return f"max by {labels} ({scraped}) - on {labels} min by {labels} ({sent})"
