"""Every metric and every query of Grafana's dashboards and rules of metrics, asked of the real Prometheus.

The samples are from the real Collector, Caddy, Lokis and Prometheus: a metric with another name is missing.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Iterator
from typing import cast

import pytest

from components.grafana.alert_rules import render_alert_rules
from components.grafana.dashboards import render_dashboards
from components.grafana.promql import site_answers
from components.grafana.provisioning import MetricsSource
from rig.deployment import Deployment
from rig.metrics import REMOTE_WRITE, remote_writer, samples
from rig.namespaces import NAT, STRANGER
from rig.probe import PUSH_PATH, Client, Login
from tests.support.grafana import metric_queries, metrics_in, rule_queries
from tests.support.metric_doors import wait_for_sample

pytestmark = pytest.mark.docker

SOURCE = MetricsSource(
    url="http://unused",
    step_seconds=30,
    memory_limit_bytes=1,
    hosts=("campus",),
    certificate_lasts_weeks=True,
)
QUERIES = metric_queries(render_dashboards([], None, SOURCE))
RULES = rule_queries(render_alert_rules([], None, SOURCE))
EXPIRY = "probe_ssl_earliest_cert_expiry"
NAMES = sorted({name for query in (QUERIES | RULES).values() for name in metrics_in(query)})


@pytest.fixture(scope="module")
def sent(deployment: Deployment, login: Login, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Pushes that programs take and refuse, and another Prometheus that sends its own metrics."""
    assert deployment.push_status(NAT, "aws") == 204
    client = deployment.client(NAT)
    # A year old: Loki refuses it.
    values = [[str((int(time.time()) - 365 * 86400) * 10**9), "an old line"]]
    old = json.dumps({"streams": [{"stream": {"container": "old"}, "values": values}]}).encode()
    as_json = {"Content-Type": "application/json"}
    assert client.request("POST", f"/lokiaws{PUSH_PATH}", old, as_json).status == 400
    broken = {"Authorization": login.header()}
    assert client.request("POST", f"/metrics{REMOTE_WRITE}", b"no snappy", broken).status == 400
    with remote_writer(deployment, tmp_path_factory.mktemp("agent"), login):
        yield


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("name", NAMES)
def test_a_metric_of_the_dashboards_and_rules_exists(grafana: Client, name: str) -> None:
    wait_for_sample(grafana, name)


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("panel", QUERIES)
def test_each_panel_shows_something(grafana: Client, panel: str) -> None:
    wait_for_sample(grafana, QUERIES[panel])


@pytest.mark.usefixtures("sent")
@pytest.mark.parametrize("uid", RULES)
def test_prometheus_answers_each_rule(grafana: Client, uid: str) -> None:
    samples(grafana, RULES[uid])


def test_the_certificates_end_is_caddys(deployment: Deployment, grafana: Client) -> None:
    with deployment.client(STRANGER).connected() as site:
        site.connect()
        shown = cast("ssl.SSLSocket", site.sock).getpeercert()
    assert shown is not None
    wait_for_sample(grafana, EXPIRY)
    [found] = samples(grafana, EXPIRY)
    assert float(found["value"][1]) == ssl.cert_time_to_seconds(str(shown["notAfter"]))  # type: ignore[index]
    assert found["metric"]["instance"] == deployment.settings["edge"]["domain"]  # type: ignore[index]
    wait_for_sample(grafana, f"{site_answers()} == 1")
