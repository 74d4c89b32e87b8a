# pyright: strict
"""The kinds of panels that the dashboards are made of. Pure.

What all of them keep to: a legend that names each line, nothing healthy in red and nothing silent in green,
and at least a minute between two points. Grafana otherwise asks every few seconds at one hour's range, and a
rare event, or what is said once a minute, becomes a dot.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common, dashboard, logs, loki, stat, table, timeseries
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    DataSourceRef,
    GraphDrawStyle,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardLink,
    DashboardLinkType,
    DashboardSpecialValueMapOptions,
    DataTransformerConfig,
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

INTERVAL = "1m"
# As many as there are bars of some pixels' width: at 24 hours each stands for 6 minutes.
BARS = 240
# A gap of up to ten minutes is drawn through, in milliseconds.
SPANNED = 10 * 60 * 1000
# In Grafana's own palette.
GOOD, BAD, DOUBTFUL = "green", "red", "orange"


def graph(
    panel_id: int, title: str, source: DataSourceRef, logql: str, legend: str, *, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time, such as rates."""
    panel = _over_time(panel_id, title, source, logql, legend).fill_opacity(20).span_nulls(SPANNED)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return panel


def events(panel_id: int, title: str, source: DataSourceRef, logql: str, legend: str) -> timeseries.Panel:
    """How often something happened, as bars: a single event is as wide as any other."""
    return (
        _over_time(panel_id, title, source, logql, legend)
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(100)
        .stacking(common.StackingConfig().mode(StackingMode.NORMAL))
        .max_data_points(BARS)
        .unit("short")
        .decimals(0)
        .min(0)
    )


def tile(
    panel_id: int,
    title: str,
    source: DataSourceRef,
    logql: str,
    steps: Mapping[float, str],
    texts: Mapping[str, str] | None = None,
    no_value: str = "no news",
) -> stat.Panel:
    """One number that says by its colour whether all is well.

    `steps` are colours from a value on, `texts` what is written instead of a value. No answer, and an
    answer without a value, are red and say `no_value`.
    """
    thresholds = [Threshold(color=BAD), *(Threshold(value, color) for value, color in steps.items())]
    return (
        stat.Panel()
        .id(panel_id)
        .title(title)
        .datasource(source)
        .height(4)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]).values(False))
        .thresholds(dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds))
        .color_mode(BigValueColorMode.BACKGROUND)
        .graph_mode(BigValueGraphMode.NONE)
        .no_value(no_value)
        .mappings([_in_words(texts or {}), _nothing(no_value)])
        .with_target(_query(source, logql, "instant", ""))
    )


def number(panel_id: int, title: str, source: DataSourceRef, logql: str) -> stat.Panel:
    """A mean over the range that is neither good nor bad: without a colour."""
    return (
        stat.Panel()
        .id(panel_id)
        .title(title)
        .datasource(source)
        .interval(INTERVAL)
        .height(8)
        .reduce_options(common.ReduceDataOptions().calcs(["mean"]).values(False))
        .color_mode(BigValueColorMode.NONE)
        .graph_mode(BigValueGraphMode.NONE)
        .with_target(_query(source, logql, "range", ""))
    )


def by_labels(
    panel_id: int, title: str, source: DataSourceRef, logql: str, value: str, unit: str
) -> table.Panel:
    """A row for each set of labels, and its value in a column called `value`; the lowest come first."""
    return (
        table.Panel()
        .id(panel_id)
        .title(title)
        .datasource(source)
        .height(8)
        # Grafana's table of instant answers calls its columns so (its Loki plugin, makeTableFrames.ts).
        .with_transformation(
            DataTransformerConfig(
                id_val="organize",
                options={
                    "excludeByName": {"Time": True, "job": True, "source": True},
                    "renameByName": {"Value #A": value, "Value": value},
                },
            )
        )
        .override_by_name(value, [DynamicConfigValue("unit", unit)])
        .sort_by([common.TableSortByFieldState().display_name(value).desc(False)])
        .with_target(_query(source, logql, "instant", ""))
    )


def log_lines(panel_id: int, title: str, source: DataSourceRef, logql: str) -> logs.Panel:
    """The lines themselves."""
    return (
        logs.Panel()
        .id(panel_id)
        .title(title)
        .datasource(source)
        .span(24)
        .show_time(True)
        .wrap_log_message(True)
        .enable_log_details(True)
        .with_target(_query(source, logql, "range", ""))
    )


def firing_alerts(panel_id: int, title: str) -> dashboard.Panel:
    """The alerts that fire, are about to, or can't be evaluated; the worst come first.

    Grafana's SDK has no builder of this panel: the options are those of its own alertlist plugin.
    """
    states = {"firing": True, "pending": True, "error": True, "noData": True}
    return (
        dashboard.Panel()
        .type("alertlist")
        .id(panel_id)
        .title(title)
        .options(
            {
                "viewMode": "list",
                "groupMode": "default",
                "groupBy": [],
                "maxItems": 20,
                "sortOrder": 3,
                "dashboardAlerts": False,
                "alertName": "",
                "alertInstanceLabelFilter": "",
                "showInstances": True,
                "stateFilter": states | {"normal": False, "recovering": True},
            }
        )
    )


def link(title: str, url: str) -> dashboard.DashboardLink:
    """A link that keeps the time."""
    return _Link(title).type(DashboardLinkType.LINK).url(url).keep_time(True)


class _Link(dashboard.DashboardLink):
    """One that is seen at once: the SDK hides each in a menu."""

    def build(self) -> DashboardLink:
        """The link without a place."""
        made = super().build()
        # Typed as a text, and left out of the JSON where it is None.
        vars(made)["placement"] = None
        return made


def coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Give the lines whose names match a regular expression a colour of their own."""
    for regexp, colour in colours.items():
        fixed = DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        panel.override_by_regexp(regexp, [fixed])
    return panel


def _over_time(panel_id: int, title: str, source: DataSourceRef, logql: str, legend: str) -> timeseries.Panel:
    shown = (
        common.VizLegendOptions()
        .show_legend(True)
        .display_mode(LegendDisplayMode.TABLE)
        .placement(LegendPlacement.RIGHT)
        .calcs(["lastNotNull", "max"])
    )
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING)
    return (
        timeseries.Panel()
        .id(panel_id)
        .title(title)
        .datasource(source)
        .height(8)
        .span(12)
        .interval(INTERVAL)
        .legend(shown)
        .tooltip(tooltip)
        .with_target(_query(source, logql, "range", legend))
    )


def _in_words(texts: Mapping[str, str]) -> ValueMap:
    return ValueMap({value: ValueMappingResult(text=text) for value, text in texts.items()})


def _nothing(text: str) -> SpecialValueMap:
    result = ValueMappingResult(text=text, color=BAD)
    return SpecialValueMap(
        DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=result)
    )


def _query(source: DataSourceRef, logql: str, query_type: str, legend: str) -> loki.Dataquery:
    made = loki.Dataquery().ref_id("A").expr(logql).query_type(query_type).datasource(source)
    return made.legend_format(legend) if legend else made
