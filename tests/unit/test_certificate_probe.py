"""The certificate's probe: its configuration, its container, and its way to Caddy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.certificate_probe.config import render_probe_config
from components.edge.settings import EdgeSettings
from components.port_policy.rules import shut_out
from components.stack.settings import parse
from tests.support.fake_engine import build, running_engine
from tests.support.golden import assert_golden
from tests.support.mistakes.edge import ACME, ROOT_PEM
from tests.support.programs import program_of_image, run
from tests.support.settings import LOCAL, TREE, put

PROBE = "172.29.35.155/32"


def test_the_configuration_is_the_agreed_one() -> None:
    assert_golden("certificate_probe.yml", render_probe_config("campus.example.org"))


@pytest.mark.programs
def test_the_exporter_accepts_it(tmp_path: Path) -> None:
    exporter = program_of_image("blackboxExporter", "bin/blackbox_exporter", tmp_path)
    file = tmp_path / "config.yml"
    file.write_text(render_probe_config("campus.example.org"))
    run(exporter, f"--config.file={file}", "--config.check")


def test_it_runs_as_nobody_on_prometheus_network_alone() -> None:
    images = TREE["images"] | {"prometheus": "prom/prometheus:v3.16.0"}
    area = {"route": "/metrics", "allow": ["nat"], "accounts": [{"user": "aws"}]}
    with running_engine() as engine:
        build(images=images, prometheus=area)
    made = engine.containers()["t-certificate-probe"]
    prometheus = engine.containers()["t-prometheus"]
    assert made["user"] == "65534"
    assert [one["ipv4Address"] for one in made["networksAdvanced"]] == [PROBE.removesuffix("/32")]
    assert made["networksAdvanced"][0]["name"] == prometheus["networksAdvanced"][0]["name"]
    assert "ports" not in made
    for option in ("readOnly", "capabilities", "securityOpts", "logOpts", "restart"):
        assert made[option] == prometheus[option], option


@pytest.mark.parametrize(
    ("rules", "added"),
    [
        ([{"action": "allow", "port": 18443}], 0),
        ([{"action": "allow", "port": 18443, "from": ["198.51.100.0/24"]}], 1),
        (
            [
                {"action": "deny", "port": 18443, "from": ["172.16.0.0/12"]},
                {"action": "allow", "port": 18443},
            ],
            1,
        ),
    ],
)
def test_the_port_policy_lets_it_reach_caddy(rules: list[dict[str, Any]], added: int) -> None:
    made = parse(put(LOCAL, {"portPolicy.rules": rules})).rules_at(None)
    assert len(made) == len(rules) + added
    assert shut_out(made, 18443, "tcp", PROBE) is None
    without = parse(put(LOCAL, {"portPolicy.rules": rules, "prometheus": None})).rules_at(None)
    assert len(without) == len(rules)


@pytest.mark.parametrize(
    ("changes", "lasts_weeks"),
    [
        ({"tls": "internal"}, False),
        ({"tls": "acme"}, True),
        ({"tls": "acme-staging"}, True),
        ({"tls": "acme", "acme": ACME}, True),
        ({"tls": "acme", "acme": ACME | {"root": ROOT_PEM}}, False),
    ],
)
def test_only_certificates_for_weeks_have_alerts(changes: dict[str, Any], lasts_weeks: bool) -> None:
    site = {"domain": "campus.example.org", "email": "operators@example.org"}
    assert EdgeSettings.model_validate(site | changes).certificate_lasts_weeks is lasts_weeks
