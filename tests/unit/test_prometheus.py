"""Prometheus' configuration and routes: as agreed, and read by the real Prometheus as intended."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.certificate_probe.config import probed
from components.edge.caddyfile import render_caddyfile
from components.grafana.provisioning import ALERT_RULES_FILE, DATASOURCES_FILE
from components.prometheus.config import prometheus_command, render_prometheus_config
from components.prometheus.memory_limit import number_below, stopped_at
from components.stack.campus_routes import guarded_routes, measured_programs, reader_caddyfile
from components.stack.grafana_sources import metrics_source
from components.stack.settings import parse
from tests.support.fake_engine import build, plain, running_engine
from tests.support.golden import assert_golden, assert_golden_variant
from tests.support.programs import program_of_image, run
from tests.support.running_prometheus import prometheus_settings
from tests.support.settings import LOCAL, TREE, put

SETTINGS = parse(LOCAL)
PROGRAMS = measured_programs(SETTINGS)
READER = "172.29.0.2:9090"
SITE = probed(SETTINGS.campus, SETTINGS.edge)


def test_the_configuration_is_the_agreed_one() -> None:
    text = render_prometheus_config(prometheus_settings(), READER, PROGRAMS, SITE)
    assert_golden("prometheus.yml", text)
    assert_golden("prometheus_command", "\n".join(prometheus_command(prometheus_settings(), "FILE")) + "\n")


@pytest.mark.programs
def test_prometheus_accepts_the_configuration(tmp_path: Path) -> None:
    promtool = program_of_image("prometheus", "bin/promtool", tmp_path)
    for number, changes in enumerate(({}, {"retention": "100y", "maxAge": "2w", "retentionGib": 5000})):
        file = tmp_path / f"{number}.yml"
        file.write_text(render_prometheus_config(prometheus_settings(**changes), READER, PROGRAMS, SITE))
        run(promtool, "check", "config", str(file))


@given(limit=st.integers(1, 10**12), number=st.integers(0, 10**13))
def test_a_number_below_the_limit_matches(limit: int, number: int) -> None:
    pattern = re.compile(number_below(limit))
    for one in (number, limit - 1, limit, limit + 1, 0):
        assert bool(pattern.fullmatch(str(one))) == (one < limit)


def caddyfiles(tree: dict[str, object]) -> str:
    """The edge's and the reader's Caddyfiles."""
    settings = parse(tree)
    measured = settings.prometheus is not None
    routes = guarded_routes(settings)
    edge = render_caddyfile(settings.edge, routes, "grafana:3000", [], is_measured=measured)
    return f"{edge}\n{reader_caddyfile(settings)}"


def test_prometheus_has_its_route_and_its_readers_port_and_nothing_else_changes() -> None:
    assert_golden("caddyfiles", caddyfiles(put(LOCAL, {"prometheus": None})))
    assert_golden_variant("caddyfiles", "caddyfiles_prometheus.diff", caddyfiles(LOCAL))


def test_hosts_metrics_have_a_way_through_the_reader() -> None:
    tree = put(LOCAL, {"hostMetrics.enabled": True})
    assert_golden_variant("caddyfiles", "caddyfiles_host_metrics.diff", caddyfiles(tree))


def test_prometheus_runs_as_nobody_beside_the_lokis_and_grafana_finds_it() -> None:
    images = TREE["images"] | {"prometheus": "prom/prometheus:v3.16.0"}
    area = {"route": "/metrics", "allow": ["nat"], "accounts": [{"user": "aws"}]}
    with running_engine() as engine:
        build(images=images, prometheus=area)
    made = engine.containers()["t-prometheus"]
    assert made["user"] == "65534"
    assert [one["ipv4Address"] for one in made["networksAdvanced"]] == ["172.29.35.130"]
    assert "ports" not in made
    files = plain(engine.made["campus-grafana-provisioned"].inputs["files"])
    sources = json.loads(files[DATASOURCES_FILE])["datasources"]
    assert sources[-1]["url"] == "http://172.30.0.2:9090"
    assert sources[-1]["jsonData"]["httpMethod"] == "GET"


def test_with_the_hosts_metrics_grafana_begins_with_the_overview_and_its_dashboards_know_the_hosts() -> None:
    changes = {"hostMetrics.enabled": True, "images.otelCollector": "otel/x:1", "images.prometheus": "p/p:1"}
    tree = put(
        TREE, changes | {"prometheus": {"route": "/metrics", "allow": ["nat"], "natWithoutPassword": True}}
    )
    own = metrics_source(parse(tree))
    assert own is not None
    assert (own.hosts, own.memory_limit_bytes) == (("campus",), stopped_at(2 << 30))
    with running_engine() as engine:
        build(**{key: tree[key] for key in ("images", "prometheus", "hostMetrics")})
    assert "GF_USERS_HOME_PAGE=/d/campus-overview" in engine.containers()["t-grafana"]["envs"]
    files = plain(engine.made["campus-grafana-dashboards"].inputs["files"])
    assert {"overview.json", "host.json"} < set(files)
    provisioned = plain(engine.made["campus-grafana-provisioned"].inputs["files"])
    assert "campus-disk-used-up" in provisioned[ALERT_RULES_FILE]
