# pyright: strict
"""Grafana's dashboards, as typed Python. Pure: plain values in, text out.

Only this package's dashboards, panels and alert rules import Grafana's SDK; a stack without Grafana imports
none of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.stat import Panel as Tile
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import VariableOption, VariableRefresh

from components.edge.access_log import TAKEN_LOGGED_ONE_IN, TAKEN_LOGGED_PER_SECOND
from components.grafana import logql
from components.grafana.ecs_dashboard import ecs_page
from components.grafana.host_dashboard import host_page
from components.grafana.logql import AUTO, pushed
from components.grafana.metrics_row import metrics_row
from components.grafana.overview import overview_page
from components.grafana.page import as_json, links_between, named_panel, new_page, put_tiles, ref_of
from components.grafana.panels import (
    BAD,
    DOUBTFUL,
    GOOD,
    by_labels,
    coloured,
    events,
    firing_alerts,
    graph,
    link,
    log_lines,
    number,
    tile,
)
from components.grafana.provisioning import (
    LOGS_UID,
    PIPELINE_UID,
    HostLogs,
    LokiSource,
    MetricsSource,
    in_order,
)

SILENT_MINUTES = 10
# At 90 % Loki refuses pushes (loki/config.py).
DISK_PERCENT = 80
DISK_NOTABLE_PERCENT = 70
# A tile's time range.
RECENT = "5m"
# Long enough to show sources that fell silent a while ago.
LAST_LINES = "1h"

# Panels keep their numbers, since alerts and bookmarks link to them. For a Loki's numbers see `named_panel`.
ALERTS_PANEL, REFUSED_TILE, DISK_TILE = 1, 2, 3
PUSHES_PANEL, REFUSED_PANEL, WHO_PANEL, DROPPED_PANEL, AGAIN_PANEL, LAG_PANEL, DISK_PANEL = range(11, 18)
ALIVE, AWS_ARRIVES, LOKI_ROW, LINES_BY_SOURCE, LAST_LINE, KEPT = range(6)


def render_dashboards(
    sources: Sequence[LokiSource],
    host_logs: HostLogs | None,
    metrics: MetricsSource | None = None,
    shown_alerts: str = "",
) -> dict[str, str]:
    """The dashboards' files by name. Those of metrics are there if something sends them."""
    ordered = in_order(sources)
    pipeline = _pipeline(ordered, host_logs, metrics, shown_alerts)
    pages = {"logs.json": _logs(metrics), "pipeline.json": pipeline}
    if metrics is not None and metrics.hosts:
        lines = [*_loki_tiles(ordered), *([] if host_logs is None else [_refused(host_logs)])]
        pages |= {
            "overview.json": overview_page(metrics, lines, shown_alerts),
            "host.json": host_page(metrics),
        }
    if metrics is not None and metrics.services:
        pages["ecs.json"] = ecs_page(metrics)
    return {name: as_json(page.build()) for name, page in pages.items()}


def _logs(metrics: MetricsSource | None) -> dashboard.Dashboard:
    """Any Loki's lines by service. One dashboard for all Lokis, so that a switch keeps search and time."""
    which = '{service=~"$service", container=~"$container"}'
    found = f"{which} |~ `(?i)$search` |~ `$only`"
    source = DataSourceRef(type_val="loki", uid="${loki}")
    by, legend = "service, container", "{{service}} {{container}}"
    rate, volume = f"sum by ({by}) (rate({found} [{AUTO}]))", f"sum by ({by}) (bytes_rate({found} [{AUTO}]))"
    share = logql.error_share(which, by)
    page = new_page("Logs by service", LOGS_UID, links_between(LOGS_UID, metrics))
    return (
        page.with_variable(dashboard.DatasourceVariable("loki").label("Loki").type("loki"))
        .with_variable(_label("service", logql.ANY, source, ".*"))
        # LogQL needs one matcher that isn't empty: streams without a service have a container.
        .with_variable(_label("container", '{container=~".+", service=~"$service"}', source, ".+"))
        .with_variable(_errors_only())
        .with_variable(dashboard.TextBoxVariable("search").label("Search (RE2, any case)").default_value(""))
        .with_panel(
            _clickable(
                graph(1, "Error rate", source, share, legend)
                .description(
                    "Of all lines of these services, whatever is searched for: the share with error, "
                    "exception, fatal, panic or critical in them."
                )
                .unit("percentunit")
                .min(0)
                .span(24)
            )
        )
        .with_panel(
            _clickable(
                graph(2, "Lines found per second", source, rate, legend, stacked=True).unit("short").min(0)
            )
        )
        .with_panel(
            _clickable(graph(3, "Volume found", source, volume, legend, stacked=True).unit("Bps").min(0))
        )
        .with_panel(log_lines(4, "Lines", source, logql.readable(found)).height(22))
    )


def _clickable(panel: Graph) -> Graph:
    """A click on a line chooses its service and container on this page."""
    return panel.data_links([link("Only this one", _chosen("${loki}", "field.labels"))])


def _chosen(loki: str, labels: str) -> str:
    """A link to the logs of the clicked series, at the same time range."""
    return (
        f"/d/{LOGS_UID}?var-loki={loki}&var-service=${{__{labels}.service}}"
        f"&var-container=${{__{labels}.container}}&${{__url_time_range}}"
    )


def _pipeline(
    sources: Sequence[LokiSource],
    host_logs: HostLogs | None,
    metrics: MetricsSource | None,
    shown_alerts: str,
) -> dashboard.Dashboard:
    """What is broken, then the lines' way: pushes, arrivals per Loki, and the disk; then the metrics' way."""
    page = new_page("Pipeline", PIPELINE_UID, links_between(PIPELINE_UID, metrics))
    page.with_row(dashboard.Row("What is broken").id(10))
    tiles = _loki_tiles(sources)
    put_tiles(page, tiles if host_logs is None else [*tiles, _refused(host_logs), _disk(host_logs)])
    page.with_panel(firing_alerts(ALERTS_PANEL, "Alerts", shown_alerts).height(7).span(24))
    if host_logs is not None:
        _gate_row(page, host_logs)
    for source in sources:
        _loki_row(page, source)
    if metrics is not None:
        metrics_row(page, metrics)
    return page


def _loki_tiles(sources: Sequence[LokiSource]) -> list[Tile]:
    made: list[Tile] = []
    for source in sources:
        made.append(_alive(source))
        if source.expects_aws:
            made.append(_aws_arrives(source))
    return made


def _alive(source: LokiSource) -> Tile:
    lines = logql.or_none(logql.count(logql.ANY, RECENT))
    title = f"Loki {source.name}: lines in {RECENT}"
    steps, texts = {0.0: DOUBTFUL, 1.0: GOOD}, {"0": "silent"}
    return (
        tile(named_panel(source.name, ALIVE), title, ref_of(source), lines, steps, texts, "can't be asked")
        .description("Red: this Loki doesn't answer. Orange: it got no line.")
        .data_links([link("Its lines", f"/d/{LOGS_UID}?var-loki={source.uid}&${{__url_time_range}}")])
    )


def _aws_arrives(source: LokiSource) -> Tile:
    span = f"{SILENT_MINUTES}m"
    lines = logql.or_none(logql.count(logql.AWS, span))
    title = f"Loki {source.name}: from AWS in {span}"
    steps, texts = {0.0: BAD, 1.0: GOOD}, {"0": "silent"}
    return tile(
        named_panel(source.name, AWS_ARRIVES), title, ref_of(source), lines, steps, texts, "can't be asked"
    ).description("Lines of ECS services' log routers.")


def _refused(log: HostLogs) -> Tile:
    refused = logql.or_none(logql.count(pushed(log, logql.REFUSED), RECENT))
    heard = logql.while_heard(refused, log, RECENT)
    return tile(
        REFUSED_TILE, f"Refused pushes in {RECENT}", ref_of(log.source), heard, {0.0: GOOD, 1.0: DOUBTFUL}
    ).description("401 and 403, strangers' too. Who it is: *Refused pushes* below.")


def _disk(log: HostLogs) -> Tile:
    steps = {0.0: GOOD, float(DISK_NOTABLE_PERCENT): DOUBTFUL, float(DISK_PERCENT): BAD}
    used = logql.disk_used(log, RECENT)
    return tile(DISK_TILE, "Disk", ref_of(log.source), used, steps).unit("percent").description(_DISK)


def _gate_row(page: dashboard.Dashboard, log: HostLogs) -> None:
    source = ref_of(log.source)
    page.with_row(dashboard.Row("The gate").id(20))
    refused = logql.count(logql.by_network(pushed(log, logql.REFUSED)), AUTO, "route, status, network")
    page.with_panel(
        events(REFUSED_PANEL, "Refused pushes", source, refused, "{{route}} {{status}} {{network}}*")
        .description(
            "401: an address that is let in, with no or a wrong password. 403: one that isn't let in. By the "
            "beginning of the address: strangers have many. Of a flood of them the log holds a sample."
        )
        .span(12)
    )
    lines = logql.one_by_one(pushed(log, logql.REFUSED))
    page.with_panel(log_lines(WHO_PANEL, "Who was refused", source, lines).height(8).span(12))
    for panel_id, title, which, description in (
        (DROPPED_PANEL, "Dropped pushes", logql.DROPPED, "4xx but 429: shippers drop these."),
        (AGAIN_PANEL, "Pushes that come again", logql.TRIED_AGAIN, "429 and 5xx."),
    ):
        found = logql.count(pushed(log, which), AUTO, "route, status")
        page.with_panel(
            events(panel_id, title, source, found, "{{route}} {{status}}").description(description).span(12)
        )
    for one in (_pushes(log), _lag(log), _disk_over_time(log)):
        page.with_panel(one.span(8))


def _pushes(log: HostLogs) -> Graph:
    rate = f"sum by (route, status) (rate({pushed(log, 'status > 0')} [{AUTO}]))"
    panel = graph(
        PUSHES_PANEL, "Pushes per second", ref_of(log.source), rate, "{{route}} {{status}}", stacked=True
    )
    return (
        coloured(panel, {"/ 2..$/": GOOD, "/ 4..$/": DOUBTFUL, "/ 5..$/": BAD})
        .description(
            f"Caddy's answers. Of a route's taken ones, the first {TAKEN_LOGGED_PER_SECOND} in a second "
            f"are counted, then one in {TAKEN_LOGGED_ONE_IN}; lines are counted below."
        )
        .unit("reqps")
        .min(0)
    )


def _lag(log: HostLogs) -> Graph:
    durations = f"{pushed(log, 'status > 0')} | unwrap duration [{AUTO}]"
    lag = f"max by (route) (quantile_over_time(0.95, {durations}))"
    return (
        graph(LAG_PANEL, "How long a push takes", ref_of(log.source), lag, "{{route}}")
        .description("The slowest twentieth takes longer. A push waits here while its Loki restarts.")
        .unit("s")
        .min(0)
    )


def _disk_over_time(log: HostLogs) -> Graph:
    used = logql.disk_used(log, AUTO)
    return (
        graph(DISK_PANEL, "How full the disk is", ref_of(log.source), used, "used")
        .description(_DISK)
        .unit("percent")
        .min(0)
        .max(100)
    )


def _loki_row(page: dashboard.Dashboard, source: LokiSource) -> None:
    ref, legend = ref_of(source), "{{service}}{{host}} {{container}}"

    def panel(which: int) -> int:
        return named_panel(source.name, which)

    page.with_row(dashboard.Row(f"Loki {source.name}").id(panel(LOKI_ROW)))
    rate = f"sum by ({logql.SOURCE_LABELS}) (rate({logql.ANY} [{AUTO}]))"
    page.with_panel(
        graph(panel(LINES_BY_SOURCE), "Lines per second by source", ref, rate, legend, stacked=True)
        .unit("short")
        .min(0)
        .data_links([link("Its lines", _chosen(source.uid, "field.labels"))])
    )
    page.with_panel(
        by_labels(
            panel(LAST_LINE),
            "Last line by source",
            ref,
            logql.last_line(LAST_LINES),
            "last line",
            "dateTimeFromNow",
        )
        .description(
            f"Of the last {LAST_LINES}, who is silent the longest first. A click leads to the lines."
        )
        .data_links([link("Its lines", _chosen(source.uid, "data.fields"))])
        .span(8)
    )
    kept = f"sum(bytes_rate({logql.ANY} [{AUTO}])) * {source.retention_seconds}"
    page.with_panel(
        number(panel(KEPT), f"Kept in {source.retention} at this rate", ref, kept)
        .description("Lines as they came, before compression: what the disk holds once retention begins.")
        .unit("bytes")
        .span(4)
    )


_DISK = f"The one with Docker's volumes. Over {DISK_PERCENT} % is an alert; at 90 % Loki refuses pushes."


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


def _errors_only() -> dashboard.CustomVariable:
    """A switch: all lines, or only errors."""
    options = {"All": ".*", "Errors": logql.ERRORS}
    return (
        dashboard.CustomVariable("only")
        .label("Lines")
        # Separated by commas, and text from value by " : ", which no value contains.
        .values(", ".join(f"{text} : {value}" for text, value in options.items()))
        .options(
            [
                VariableOption(selected=text == "All", text=text, value=value)
                for text, value in options.items()
            ]
        )
        .current(VariableOption(selected=True, text="All", value=".*"))
    )
