# pyright: strict
"""The dashboard *Overview*, Grafana's home page: is everything well, and if not, what isn't. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.stat import Panel as Tile

from components.grafana import promql
from components.grafana.ecs_dashboard import tasks_tile
from components.grafana.limits import (
    CERTIFICATE_STEPS,
    CPU_STEPS,
    DISK_STEPS,
    FILLED_STEPS,
    MEMORY_STEPS,
    UNHEARD_STEPS,
    none_is_good,
)
from components.grafana.page import PROMETHEUS, links_between, named_panel, new_page, put_tiles
from components.grafana.panels import BAD, DOUBTFUL, GOOD, firing_alerts, link, tile
from components.grafana.provisioning import HOST_UID, OVERVIEW_UID, PIPELINE_UID, MetricsSource

RECENT = "5m"
RESTARTS_IN = "1h"
# A container counts as gone if it was seen this long ago, but not lately. It lived for more than its
# start-up: a task that is over by itself is no loss.
GONE_SEEN, GONE_SILENT, GONE_LIVED_SECONDS = "1h", "3m", 600

# Panels keep their numbers, since alerts and bookmarks link to them. For a host's see `named_panel`; tiles of
# logs have the same as in *Pipeline*.
ALERTS_PANEL = 1
CPU_TILE, MEMORY_TILE, DISK_TILE, FORECAST_TILE, RESTARTS_TILE, GONE_TILE = range(51, 57)
TARGETS_TILE, TAKEN_TILE, REFUSED_TILE, FILLED_TILE, DISCARDED_TILE, CERTIFICATE_TILE = range(57, 63)

_NOBODY = "no samples"


def overview_page(metrics: MetricsSource, lines: Sequence[Tile], shown_alerts: str) -> dashboard.Dashboard:
    """One screen; `lines` are the tiles of logs."""
    page = new_page("Overview", OVERVIEW_UID, links_between(OVERVIEW_UID, metrics))
    page.with_row(dashboard.Row("Is everything well?").id(20))
    hosts = [_heard(host) for host in metrics.hosts]
    tasks = [tasks_tile(service) for service in metrics.services]
    put_tiles(page, [*hosts, *_of_hosts(), *tasks, *_of_pipeline(metrics), *lines])
    return page.with_panel(firing_alerts(ALERTS_PANEL, "What isn't", shown_alerts).height(7).span(24))


def _heard(host: str) -> Tile:
    return (
        tile(
            named_panel(host),
            f"Host {host}: last heard",
            PROMETHEUS,
            promql.last_heard(host),
            UNHEARD_STEPS,
            no_value="silent",
        )
        .unit("s")
        .decimals(0)
        .description(
            "Every 30 s the host's collector sends. Red: the host, its collector or the way to Prometheus is "
            "gone. See whether the host answers, then the log of its container `host-metrics-…`."
        )
        .data_links([link("The host", f"/d/{HOST_UID}?var-host={host}&${{__url_time_range}}")])
    )


def _of_hosts() -> list[Tile]:
    """Of all hosts, the one that is worst off."""
    gone = promql.gone(GONE_SEEN, GONE_SILENT, GONE_LIVED_SECONDS)
    containers = promql.series("container_uptime_seconds")
    restarted = f"sum({promql.restarts(RESTARTS_IN)})"
    soon = promql.or_zero(f"count({promql.disk_full_soon()})", promql.series("system_uptime_seconds"))
    by_disk = "{{host_name}} {{disk}}"
    return [
        _worst(CPU_TILE, "Busiest CPU", f"topk(1, {promql.cpu_busy('15m')})", CPU_STEPS, "{{host_name}}")
        .unit("percentunit")
        .description("Over 15 minutes. Red: see which container in *Host*."),
        _worst(
            MEMORY_TILE,
            "Least memory left",
            f"bottomk(1, {promql.memory_available()})",
            MEMORY_STEPS,
            "{{host_name}}",
        )
        .unit("percentunit")
        .description("What programs could still get. Red: the kernel soon ends one. See which takes it."),
        _worst(DISK_TILE, "Fullest disk", f"topk(1, {promql.disk_used()})", DISK_STEPS, by_disk)
        .unit("percentunit")
        .description(
            "At 90 % Loki refuses pushes. Red: delete something, shorten a retention, or enlarge it."
        ),
        _count(FORECAST_TILE, "Disks full within a day", soon, BAD).description(
            f"At the growth of the last {promql.GROWTH_HOURS} hours. *Host* shows which, and how fast."
        ),
        _count(RESTARTS_TILE, f"Restarts of containers in {RESTARTS_IN}", restarted, DOUBTFUL).description(
            "By the engine, as they had ended. *Host* shows which; its log says why."
        ),
        _count(
            GONE_TILE, "Containers gone", promql.or_zero(f"count({gone})", containers), DOUBTFUL
        ).description(
            f"Seen in the last hour, silent for {GONE_SILENT}. If nobody stopped it, see `docker ps --all` "
            "there, and `pulumi up` for the stack's own. An hour later it isn't counted any more."
        ),
    ]


def _of_pipeline(metrics: MetricsSource) -> list[Tile]:
    down = promql.or_zero("count(up == 0)", "up")
    refused = promql.or_zero(f"sum({promql.metric_pushes_refused(RECENT)} > 0)", promql.OWN)
    discarded = promql.or_zero(f"sum({promql.lines_discarded(RECENT)} > 0)", 'up{job="loki"} == 1')
    return [
        _count(TARGETS_TILE, "Programs that don't answer", down, BAD, _AWAY).description(
            "Of Caddy, the reader, the Lokis, Grafana, Prometheus and the certificate's probe. *What isn't* "
            "below names them."
        ),
        tile(
            TAKEN_TILE,
            f"Pushes of metrics in {RECENT}",
            PROMETHEUS,
            promql.metric_pushes_taken(RECENT),
            {0.0: BAD, 1.0: GOOD},
            {"0": "none"},
            _AWAY,
        )
        .decimals(0)
        .description("Taken by Prometheus. None: nobody gets through; see *Refused pushes* in *Pipeline*."),
        _count(REFUSED_TILE, f"Metric pushes refused in {RECENT}", refused, DOUBTFUL, _AWAY).description(
            "By Prometheus itself; those that the gate refused are in *Pipeline*. 4xx are lost."
        ),
        tile(
            FILLED_TILE,
            "Prometheus' memory",
            PROMETHEUS,
            promql.memory_filled(metrics.memory_limit_bytes),
            FILLED_STEPS,
            no_value=_AWAY,
        )
        .unit("percentunit")
        .description("At 100 % all pushes of metrics get 503. *Limits* in docs/metrics.md says what to do."),
        _count(DISCARDED_TILE, f"Lines refused by Loki in {RECENT}", discarded, DOUBTFUL)
        .description("They are lost. *Lines that the Lokis refuse* in *Pipeline* shows the reason.")
        .data_links([link("Pipeline", f"/d/{PIPELINE_UID}?${{__url_time_range}}")]),
        *([_certificate()] if metrics.certificate_lasts_weeks else []),
    ]


def _certificate() -> Tile:
    days = f"min({promql.certificate_days()})"
    return (
        tile(CERTIFICATE_TILE, "Certificate", PROMETHEUS, days, CERTIFICATE_STEPS, no_value=_AWAY)
        .unit("d")
        .decimals(0)
        .description("Days until it expires. Caddy renews it long before; if it doesn't, its log says why.")
    )


_AWAY = "can't be asked"


def _worst(panel: int, title: str, query: str, steps: dict[float, str], name: str) -> Tile:
    made = tile(panel, title, PROMETHEUS, query, steps, no_value=_NOBODY, name=name)
    return made.decimals(0).data_links(
        [link("The host", f"/d/{HOST_UID}?var-host=${{__field.labels.host_name}}&${{__url_time_range}}")]
    )


def _count(panel: int, title: str, query: str, colour: str, no_value: str = _NOBODY) -> Tile:
    return tile(panel, title, PROMETHEUS, query, none_is_good(colour), no_value=no_value).decimals(0)
