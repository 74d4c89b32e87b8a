"""The rules for all our dashboards, so that they are readable at three in the morning."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from components.grafana.dashboards import render_dashboards
from components.grafana.provisioning import HostLogs, LokiSource, MetricsSource
from tests.support.grafana import METRICS


def source(name: str, *, expects_aws: bool = False) -> LokiSource:
    return LokiSource(
        name=name, url="http://x", retention="31d", retention_seconds=31 * 86400, expects_aws=expects_aws
    )


AWS, TEST = source("aws", expects_aws=True), source("test")
HOST_LOGS = HostLogs(
    source=TEST,
    host="campus",
    caddy="caddy",
    guard="port-guard",
    routes=("/lokitest", "/lokiaws"),
    push_paths=("/loki/api/v1/push", "/otlp/v1/logs"),
)


def pages(
    *sources: LokiSource, host_logs: HostLogs | None = HOST_LOGS, metrics: MetricsSource | None = METRICS
) -> dict[str, dict[str, Any]]:
    rendered = render_dashboards(sources or (AWS, TEST), host_logs, metrics)
    return {name: json.loads(text) for name, text in rendered.items()}


def panels(kind: str) -> list[dict[str, Any]]:
    """The panels of a kind, of all dashboards."""
    return [one for page in pages().values() for one in page["panels"] if one["type"] == kind]


def is_of_metrics(panel: dict[str, Any]) -> bool:
    return panel["datasource"]["type"] == "prometheus"


def steps(panel: dict[str, Any]) -> list[tuple[float | None, str]]:
    found = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    return [(one["value"], one["color"]) for one in found]


def test_every_line_of_a_graph_has_a_name_and_its_value_under_the_mouse() -> None:
    graphs = panels("timeseries")
    assert len(graphs) == 46
    for panel in graphs:
        assert panel["options"]["legend"]["showLegend"] is True
        assert panel["options"]["tooltip"]["mode"] == "multi"
        assert all(target["legendFormat"] for target in panel["targets"])


def test_a_minute_is_the_shortest_step_so_that_rare_events_are_no_dots() -> None:
    """Grafana's own step is 4.5 s at one hour: the guard logs once a minute, and a rare 403 is one pixel."""
    for panel in panels("timeseries"):
        assert panel["interval"] == "1m"
        custom = panel["fieldConfig"]["defaults"]["custom"]
        query = panel["targets"][0]["expr"]
        counted = "count_over_time" in query or "increase(" in query or "resets(" in query
        assert (custom.get("drawStyle") == "bars") == counted
        # A bar is six minutes wide at 24 hours; a line spans gaps.
        assert (panel.get("maxDataPoints") == 240) == counted
        assert counted or custom["spanNulls"] == 600_000
        # Each step is as long as the range, so no event falls between two.
        if not is_of_metrics(panel):
            assert "[$__auto]" in query
        elif "rate(" in query or "resets(" in query or counted:
            # At least four samples.
            assert "[$__rate_interval]" in query


def test_nothing_healthy_is_red_and_nothing_silent_is_green() -> None:
    """Grafana's own thresholds are green, and red from 80: of bytes and dates always."""
    coloured = [one for one in panels("stat") if one["options"]["colorMode"] != "none"]
    assert len(coloured) == 24
    for panel in coloured:
        base, *others = steps(panel)
        assert base == (None, "red")
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["noValue"] in ("can't be asked", "no news", "no samples", "silent", "none")
        nothing = {"match": "null+nan", "result": {"text": defaults["noValue"], "color": "red"}}
        assert {"type": "special", "options": nothing} in defaults["mappings"]
        if "from AWS" in panel["title"] or "lines in" in panel["title"]:
            assert others == [(0, "red" if "AWS" in panel["title"] else "orange"), (1, "green")]
    by_title = {one["title"]: steps(one)[1:] for one in coloured}
    assert by_title["Refused pushes in 5m"] == [(0, "green"), (1, "orange")]
    assert by_title["Disk"] == [(0, "green"), (70, "orange"), (80, "red")]
    assert by_title["Fullest disk"] == [(0, "green"), (0.75, "orange"), (0.85, "red")]
    assert by_title["Least memory left"] == [(0, "red"), (0.05, "orange"), (0.1, "green")]
    assert by_title["Certificate"] == [(3, "orange"), (14, "green")]
    assert by_title["Programs that don't answer"] == [(0, "green"), (1, "red")]


def test_a_tile_of_metrics_shows_no_zero_while_nobody_is_heard() -> None:
    """A zero comes only with a count of what is heard."""
    counts = [one for one in panels("stat") if is_of_metrics(one) and "count(" in one["targets"][0]["expr"]]
    assert len(counts) == 5
    for panel in counts:
        query = panel["targets"][0]["expr"]
        assert "vector(0)" not in query
        assert re.search(r" or count\(.+\) \* 0\)$", query)


def test_only_a_taken_push_is_green() -> None:
    [panel] = [one for one in panels("timeseries") if one["title"] == "Pushes per second"]
    found = {
        one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
        for one in panel["fieldConfig"]["overrides"]
    }
    assert found == {"/ 2..$/": "green", "/ 4..$/": "orange", "/ 5..$/": "red"}


def test_panels_of_metrics_say_what_to_do_and_have_units_and_limits() -> None:
    of_metrics = [
        one
        for page in pages().values()
        for one in page["panels"]
        if one["type"] not in ("row", "alertlist") and is_of_metrics(one)
    ]
    assert len(of_metrics) == 51
    for panel in of_metrics:
        assert len(panel["description"]) > 10
        defaults = panel["fieldConfig"]["defaults"]
        # A table's value, and a count of things.
        assert "unit" in defaults or "decimals" in defaults or panel["fieldConfig"]["overrides"]
    limited = {
        one["title"]: steps(one)[1:]
        for one in of_metrics
        if one["type"] == "timeseries" and "thresholds" in one["fieldConfig"]["defaults"]
    }
    assert limited == {
        "CPU by task": [(0.8, "orange"), (0.9, "red")],
        "Memory by task": [(0.85, "orange"), (0.95, "red")],
        "CPU by state": [(0.8, "orange"), (0.9, "red")],
        "Used disk space": [(0.75, "orange"), (0.85, "red")],
        "Free disk space in a day": [(0, "red")],
        "Prometheus' memory": [(0.7, "orange"), (0.9, "red")],
        "The certificate's days": [(3, "red"), (14, "orange")],
    }


def test_the_overview_is_one_screen_that_ends_with_what_is_not_well() -> None:
    page = pages()["overview.json"]
    *_, last = page["panels"]
    assert (last["type"], last["title"]) == ("alertlist", "What isn't")
    # Of 38 pixels: a screen of 1080 has room for some 24 below Grafana's bar.
    assert last["gridPos"]["y"] + last["gridPos"]["h"] <= 24
    titles = [one["title"] for one in page["panels"]]
    for one in ("Host campus: last heard", "Host stage: last heard", "Loki aws: from AWS in 10m"):
        assert one in titles
    assert {one["type"] for one in page["panels"]} == {"row", "stat", "alertlist"}


def test_there_is_no_dashboard_of_metrics_that_nobody_sends() -> None:
    without = MetricsSource(url="http://x", step_seconds=30, memory_limit_bytes=1)
    assert set(pages(metrics=None)) == set(pages(metrics=without)) == {"logs.json", "pipeline.json"}
    assert set(pages(metrics=replace(without, services=("client-api",)))) == {
        "logs.json",
        "pipeline.json",
        "ecs.json",
    }
    # Prometheus' own are there.
    assert "Prometheus" in [one["title"] for one in pages(metrics=without)["pipeline.json"]["panels"]]
    assert not any("prometheus" in json.dumps(one) for one in pages(metrics=None).values())


def test_the_first_screen_says_what_is_broken() -> None:
    page = pages()["pipeline.json"]
    kinds = [(one["type"], one["title"]) for one in page["panels"]]
    assert kinds[0] == ("row", "What is broken")
    assert [title for kind, title in kinds[1:6] if kind == "stat"] == [
        "Loki aws: lines in 5m",
        "Loki aws: from AWS in 10m",
        "Loki test: lines in 5m",
        "Refused pushes in 5m",
        "Disk",
    ]
    assert kinds[6] == ("alertlist", "Alerts")
    shown = page["panels"][6]["options"]["stateFilter"]
    assert {state for state, is_shown in shown.items() if is_shown} == {
        *("firing", "pending", "error", "noData", "recovering")
    }
    assert page["panels"][6]["gridPos"]["y"] + page["panels"][6]["gridPos"]["h"] <= 12


def test_no_two_panels_of_a_page_have_the_same_number() -> None:
    for page in pages().values():
        numbers = [one["id"] for one in page["panels"]]
        assert len(set(numbers)) == len(numbers)


@pytest.mark.parametrize("lokis", range(1, 12))
def test_panels_fill_the_page_and_do_not_overlap(lokis: int) -> None:
    for page in pages(*(source(f"l{at}", expects_aws=at % 2 == 0) for at in range(lokis))).values():
        taken: set[tuple[int, int]] = set()
        for panel in page["panels"]:
            at = panel["gridPos"]
            cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
            assert not cells & taken
            taken |= cells
        assert taken == {(x, y) for x in range(24) for y in range(max(y for _, y in taken) + 1)}


def test_panels_keep_their_numbers_whatever_lokis_there_are() -> None:
    def numbers(*sources: LokiSource) -> dict[int, str]:
        page = pages(*sources)["pipeline.json"]
        found = {one["id"]: one["title"] for one in page["panels"]}
        assert len(found) == len(page["panels"])
        return found

    assert numbers(AWS, TEST).items() < numbers(source("a"), AWS, source("b"), TEST).items()


def test_each_dashboard_leads_to_the_other_at_the_same_time() -> None:
    plain = {name: page["links"] for name, page in pages(metrics=None).items()}
    assert [(one["url"], one["keepTime"]) for one in plain["logs.json"]] == [("/d/campus-pipeline", True)]
    assert [(one["url"], one["keepTime"]) for one in plain["pipeline.json"]] == [("/d/campus-logs", True)]
    found = {page["uid"]: page["links"] for page in pages().values()}
    for own, others in found.items():
        assert {(one["url"], one["keepTime"]) for one in others} == {
            (f"/d/{uid}", True) for uid in set(found) - {own}
        }
    # Visible, and not in a menu.
    assert not any("placement" in one for links in found.values() for one in links)


def links(panel: dict[str, Any]) -> list[str]:
    return [one["url"] for one in panel["fieldConfig"]["defaults"].get("links", [])]


def test_a_click_on_a_service_leads_to_its_lines() -> None:
    chosen = "&var-service=${__field.labels.service}&var-container=${__field.labels.container}"
    time = "&${__url_time_range}"
    by_title = {(one["title"], one["id"]): one for page in pages().values() for one in page["panels"]}
    for (title, _), panel in by_title.items():
        if title in ("Error rate", "Lines found per second", "Volume found"):
            assert links(panel) == [f"/d/campus-logs?var-loki=${{loki}}{chosen}{time}"]
        elif title == "Lines per second by source":
            assert links(panel)[0] in (
                f"/d/campus-logs?var-loki=loki-{one}{chosen}{time}" for one in ("aws", "test")
            )
        elif title == "Last line by source":
            in_a_table = chosen.replace("field.labels", "data.fields")
            assert any(f"var-loki=loki-{one}{in_a_table}{time}" in links(panel)[0] for one in ("aws", "test"))


def test_the_last_line_of_each_source_is_a_row_with_its_name() -> None:
    """Instant answers are one table: a stat would reduce it to one number, of the last source."""
    tables = [one for one in panels("table") if not is_of_metrics(one)]
    assert len(tables) == 2
    for panel in tables:
        assert panel["title"] == "Last line by source"
        assert panel["options"]["sortBy"] == [{"displayName": "last line", "desc": False}]
        [organized] = panel["transformations"]
        assert organized["options"]["renameByName"]["Value #A"] == "last line"
        assert not {"service", "host", "container"} & set(organized["options"]["excludeByName"])
        [override] = panel["fieldConfig"]["overrides"]
        assert override["matcher"] == {"id": "byName", "options": "last line"}
        assert override["properties"] == [{"id": "unit", "value": "dateTimeFromNow"}]


def test_the_error_rate_does_not_depend_on_the_search() -> None:
    [rate] = [one for one in panels("timeseries") if one["title"] == "Error rate"]
    assert "$search" not in rate["targets"][0]["expr"]
    assert "$only" not in rate["targets"][0]["expr"]
    for title in ("Lines found per second", "Volume found"):
        [found] = [one for one in panels("timeseries") if one["title"] == title]
        assert "|~ `(?i)$search` |~ `$only`" in found["targets"][0]["expr"]
