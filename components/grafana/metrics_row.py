# pyright: strict
"""The rows of the dashboard *Pipeline* from the programs' own metrics. Pure.

Where they say more than the log: that has one taken push in a hundred, and of Loki's refusals the status,
without the reason. Caddy's metrics have neither route nor sender, so the rest stays.
"""

from __future__ import annotations

from grafana_foundation_sdk.builders import dashboard

from components.grafana import promql
from components.grafana.limits import CERTIFICATE_DAYS, CERTIFICATE_NOTABLE_DAYS, FILLED_STEPS, lines_of
from components.grafana.page import PROMETHEUS
from components.grafana.panels import BAD, DOUBTFUL, GOOD, coloured, events, graph, limited
from components.grafana.promql import RATE
from components.grafana.provisioning import MetricsSource

# Panels keep their numbers, since alerts and bookmarks link to them.
METRIC_PUSHES, METRIC_PUSHES_REFUSED, SAMPLES, SAMPLES_LOST, SERIES, FILLED = range(31, 37)
ANSWERS, LINES_TAKEN, LINES_DISCARDED, TARGETS, BEHIND, CERTIFICATE = range(37, 43)

_BY_CODE = {"/ 2..$/": GOOD, "/ 3..$/": GOOD, "/ 4..$/": DOUBTFUL, "/ 5..$/": BAD}


def metrics_row(page: dashboard.Dashboard, metrics: MetricsSource) -> None:
    """Add the rows."""
    page.with_row(dashboard.Row("All pushes and lines, as the programs count them").id(30))
    _lines(page)
    if metrics.certificate_lasts_weeks:
        _certificate(page)
    page.with_row(dashboard.Row("Prometheus").id(45))
    _metric_pushes(page)
    _kept(page)
    _memory(page, metrics)


def _lines(page: dashboard.Dashboard) -> None:
    answers = graph(
        ANSWERS, "Caddy's answers per second", PROMETHEUS, promql.answers(RATE), "all {{code}}", stacked=True
    )
    page.with_panel(
        coloured(answers, _BY_CODE)
        .description("To everybody: pushes, Grafana's users, strangers. *The gate* shows who and where.")
        .unit("reqps")
        .min(0)
    )
    page.with_panel(
        graph(LINES_TAKEN, "Lines taken per second", PROMETHEUS, promql.lines_taken(RATE), "{{instance}}")
        .description("By each replica of a Loki, counted as they come.")
        .unit("short")
        .min(0)
    )
    page.with_panel(
        events(
            LINES_DISCARDED,
            "Lines that the Lokis refuse",
            PROMETHEUS,
            promql.lines_discarded(RATE),
            "{{instance}} {{reason}}",
        ).description("They are lost. The reason is Loki's: see its documentation, *discarded samples*.")
    )
    page.with_panel(
        graph(TARGETS, "Programs that answer", PROMETHEUS, "up", "{{job}} {{instance}}")
        .description("1: Prometheus could read its metrics. 0: it couldn't; see the container.")
        .unit("short")
        .decimals(0)
        .min(0)
        .max(1)
    )


def _certificate(page: dashboard.Dashboard) -> None:
    days = graph(CERTIFICATE, "The certificate's days", PROMETHEUS, promql.certificate_days(), "{{instance}}")
    page.with_panel(
        limited(days, {float(CERTIFICATE_DAYS): BAD, float(CERTIFICATE_NOTABLE_DAYS): DOUBTFUL})
        .description(
            "Until it expires. It jumps up when Caddy renews it; if it doesn't, Caddy's log says why."
        )
        .unit("d")
        .min(0)
        .span(24)
    )


def _metric_pushes(page: dashboard.Dashboard) -> None:
    pushes = graph(
        METRIC_PUSHES,
        "Pushes of metrics per second",
        PROMETHEUS,
        promql.metric_pushes(RATE),
        "{{handler}} {{code}}",
        stacked=True,
    )
    page.with_panel(
        coloured(pushes, _BY_CODE).description("Prometheus' answers.").unit("reqps").min(0).span(8)
    )
    page.with_panel(
        events(
            METRIC_PUSHES_REFUSED,
            "Refused pushes of metrics",
            PROMETHEUS,
            promql.metric_pushes_refused(RATE),
            "{{handler}} {{code}}",
        )
        .description("4xx are lost, 5xx come again. What the gate refused is in *The gate*.")
        .span(8)
    )
    page.with_panel(
        events(SAMPLES_LOST, "Lost samples", PROMETHEUS, promql.samples_lost(RATE), "{{reason}}")
        .description(
            "Too old: a sender was away for longer than `maxAge`. Out of order: two send one series."
        )
        .span(8)
    )


def _kept(page: dashboard.Dashboard) -> None:
    page.with_panel(
        graph(SAMPLES, "Samples per second", PROMETHEUS, promql.samples(RATE), "{{what}}")
        .description("Late ones come after newer ones of their series: their sender catches up.")
        .unit("short")
        .min(0)
        .span(8)
    )
    page.with_panel(
        graph(SERIES, "Series in memory", PROMETHEUS, promql.series("prometheus_tsdb_head_series"), "series")
        .description("To find who sends many, see *Limits* in docs/metrics.md.")
        .unit("short")
        .min(0)
        .span(8)
    )


def _memory(page: dashboard.Dashboard, metrics: MetricsSource) -> None:
    filled = promql.memory_filled(metrics.memory_limit_bytes)
    page.with_panel(
        limited(graph(FILLED, "Prometheus' memory", PROMETHEUS, filled, "filled"), lines_of(FILLED_STEPS))
        .description("What series may fill. At 100 % all pushes of metrics get 503.")
        .unit("percentunit")
        .min(0)
        .span(8)
    )
    page.with_panel(
        graph(
            BEHIND, "Other Prometheuses behind by", PROMETHEUS, promql.sender_behind(), "{{job}} {{instance}}"
        )
        .description(
            "Those that send their own metrics, too. Growing: their network or this Prometheus is slow."
        )
        .unit("s")
        .min(0)
        .span(24)
    )
