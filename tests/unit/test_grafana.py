"""What Grafana is provisioned with."""

from __future__ import annotations

import json

from components.campus.dashboards import LokiSource, render_datasources
from tests.unit.programs import assert_golden

SOURCES = [
    LokiSource(name="test", url="http://172.29.12.127:3199"),
    LokiSource(name="aws", url="http://172.29.12.28:3100"),
]


def test_the_data_sources_are_the_agreed_ones() -> None:
    assert_golden("datasources.yaml", render_datasources(SOURCES))


def test_the_order_of_the_settings_changes_nothing() -> None:
    assert render_datasources(SOURCES) == render_datasources(SOURCES[::-1])


def test_one_source_is_the_default_and_none_is_editable() -> None:
    sources = json.loads(render_datasources(SOURCES))["datasources"]
    assert [source["isDefault"] for source in sources] == [True, False]
    assert not any(source["editable"] for source in sources)
