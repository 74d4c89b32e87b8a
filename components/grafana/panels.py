# pyright: strict
"""The dashboards' kinds of panels. Pure.

Common to all: a legend with every series' name, nothing healthy in red, nothing silent in green, and at least
a minute between two points. Otherwise, at one hour's range, Grafana uses steps of a few seconds, and a rare
event, or a value once a minute, becomes a dot.
"""

from __future__ import annotations

from collections.abc import Mapping

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    logs,
    loki,
    prometheus,
    stat,
    table,
    timeseries,
)
from grafana_foundation_sdk.models.common import (
    BigValueColorMode,
    BigValueGraphMode,
    BigValueTextMode,
    DataSourceRef,
    GraphDrawStyle,
    GraphThresholdsStyleMode,
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
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

INTERVAL = "1m"
# The number of bars, a few pixels wide: at 24 hours each is 6 minutes.
BARS = 240
# Lines span gaps of up to ten minutes, in milliseconds.
SPANNED = 10 * 60 * 1000
# From Grafana's palette.
GOOD, BAD, DOUBTFUL = "green", "red", "orange"


def graph(
    panel_id: int, title: str, source: DataSourceRef, query: str, legend: str, *, stacked: bool = False
) -> timeseries.Panel:
    """Lines over time, such as rates."""
    panel = _over_time(panel_id, title, source, query, legend).fill_opacity(20).span_nulls(SPANNED)
    if stacked:
        panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL))
    return panel


def events(panel_id: int, title: str, source: DataSourceRef, query: str, legend: str) -> timeseries.Panel:
    """The number of events, as bars: a single event is as wide as any other."""
    return (
        _over_time(panel_id, title, source, query, legend)
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
    query: str,
    steps: Mapping[float, str],
    texts: Mapping[str, str] | None = None,
    no_value: str = "no news",
    name: str = "",
) -> stat.Panel:
    """One number whose colour shows whether all is well.

    `steps` are colours from a value on, `texts` replace values. No answer, and an answer without a value, are
    red and show `no_value`. `name` says from its labels which thing the number is of.
    """
    thresholds = [Threshold(color=BAD), *(Threshold(value, color) for value, color in steps.items())]
    panel = (
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
        .with_target(_query(source, query, "instant", name))
    )
    return panel.text_mode(BigValueTextMode.VALUE_AND_NAME) if name else panel


def number(panel_id: int, title: str, source: DataSourceRef, query: str) -> stat.Panel:
    """A mean over the range, without a colour, as it is neither good nor bad."""
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
        .with_target(_query(source, query, "range", ""))
    )


def by_labels(
    panel_id: int, title: str, source: DataSourceRef, query: str, value: str, unit: str
) -> table.Panel:
    """A row per set of labels, with its value in a column `value`; the lowest come first."""
    return (
        table.Panel()
        .id(panel_id)
        .title(title)
        .datasource(source)
        .height(8)
        # Grafana's column names for instant queries (its Loki plugin, makeTableFrames.ts).
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
        .with_target(_query(source, query, "instant", ""))
    )


def log_lines(panel_id: int, title: str, source: DataSourceRef, query: str) -> logs.Panel:
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
        .with_target(_query(source, query, "range", ""))
    )


def firing_alerts(panel_id: int, title: str, shown: str) -> dashboard.Panel:
    """The alerts that fire, are pending, or can't be evaluated, and have these labels; the worst come first.

    Grafana's SDK has no builder for this panel: the options are its alertlist plugin's.
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
                "alertInstanceLabelFilter": shown,
                "showInstances": True,
                "stateFilter": states | {"normal": False, "recovering": True},
            }
        )
    )


def link(title: str, url: str) -> dashboard.DashboardLink:
    """A link that keeps the time range."""
    return _Link(title).type(DashboardLinkType.LINK).url(url).keep_time(True)


class _Link(dashboard.DashboardLink):
    """A visible link: the SDK's are hidden in a menu."""

    def build(self) -> DashboardLink:
        """The link without a placement."""
        made = super().build()
        # Typed as a string, but omitted from the JSON if it is None.
        vars(made)["placement"] = None
        return made


def coloured(panel: timeseries.Panel, colours: Mapping[str, str]) -> timeseries.Panel:
    """Colour the series whose names match a regular expression."""
    for regexp, colour in colours.items():
        fixed = DynamicConfigValue("color", {"mode": "fixed", "fixedColor": colour})
        panel.override_by_regexp(regexp, [fixed])
    return panel


def limited(panel: timeseries.Panel, steps: Mapping[float, str]) -> timeseries.Panel:
    """Draw a line at each limit, in its colour."""
    thresholds = [
        Threshold(color="transparent"),
        *(Threshold(value, color) for value, color in steps.items()),
    ]
    style = common.GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.LINE)
    return panel.thresholds(
        dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(thresholds)
    ).thresholds_style(style)


def _over_time(panel_id: int, title: str, source: DataSourceRef, query: str, legend: str) -> timeseries.Panel:
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
        .with_target(_query(source, query, "range", legend))
    )


def _in_words(texts: Mapping[str, str]) -> ValueMap:
    return ValueMap({value: ValueMappingResult(text=text) for value, text in texts.items()})


def _nothing(text: str) -> SpecialValueMap:
    result = ValueMappingResult(text=text, color=BAD)
    return SpecialValueMap(
        DashboardSpecialValueMapOptions(match=SpecialValueMatch.NULL_AND_NAN, result=result)
    )


def _query(
    source: DataSourceRef, query: str, query_type: str, legend: str
) -> loki.Dataquery | prometheus.Dataquery:
    if source.type_val == "prometheus":
        samples = prometheus.Dataquery().ref_id("A").expr(query).datasource(source)
        samples = samples.range() if query_type == "range" else samples.instant()
        if not legend:
            # Without a name it is a table, or one number: labels are columns.
            return samples.format(PromQueryFormat.TABLE)
        return samples.legend_format(legend)
    made = loki.Dataquery().ref_id("A").expr(query).query_type(query_type).datasource(source)
    return made.legend_format(legend) if legend else made
