# pyright: strict
"""What all dashboards have in common: their page, its file's form, and a line of tiles. Pure."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.builders.stat import Panel as Tile
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import DashboardCursorSync

from components.grafana.panels import link
from components.grafana.provisioning import (
    ECS_UID,
    HOST_UID,
    LOGS_UID,
    METRICS_UID,
    OVERVIEW_UID,
    PIPELINE_UID,
    LokiSource,
    MetricsSource,
)

TILES_IN_A_LINE = 6
# Prometheus in panels and rules.
PROMETHEUS = DataSourceRef(type_val="prometheus", uid=METRICS_UID)


def new_page(title: str, uid: str, others: Sequence[dashboard.DashboardLink]) -> dashboard.Dashboard:
    """An empty dashboard with links to others."""
    page = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["campus"])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .time("now-1h", "now")
        .timezone("browser")
        .refresh("1m")
    )
    for one in others:
        page.link(one)
    return page


def links_between(uid: str, metrics: MetricsSource | None) -> list[dashboard.DashboardLink]:
    """A dashboard's links to all others."""
    pages: dict[str, str] = {}
    if metrics is not None and metrics.hosts:
        pages |= {OVERVIEW_UID: "Overview", HOST_UID: "Host"}
    if metrics is not None and metrics.services:
        pages[ECS_UID] = "ECS"
    pages |= {PIPELINE_UID: "Pipeline", LOGS_UID: "Logs by service"}
    return [link(title, f"/d/{other}") for other, title in pages.items() if other != uid]


def ref_of(source: LokiSource) -> DataSourceRef:
    """The Loki's reference in panels and rules."""
    return DataSourceRef(type_val="loki", uid=source.uid)


def named_panel(name: str, which: int = 0) -> int:
    """The number of one of the panels of a Loki, a host or a service, by its name, independent of others."""
    return 1000 + zlib.crc32(name.encode()) % 100_000 * 10 + which


def put_tiles(page: dashboard.Dashboard, tiles: Sequence[Tile]) -> None:
    """Put tiles on the page, so that every row of them fills the page's 24 columns."""
    for one, width in zip(tiles, _widths(len(tiles)), strict=True):
        page.with_panel(one.span(width))


def _widths(tiles: int) -> list[int]:
    made: list[int] = []
    while (left := tiles - len(made)) > 0:
        here = min(left, TILES_IN_A_LINE)
        made += [24 // here] * (here - 1) + [24 - 24 // here * (here - 1)]
    return made


def as_json(document: object) -> str:
    """A document of the SDK, as a file with readable diffs."""
    return json.dumps(document, cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
