"""Metrics come in by the gate alone, and are read by the reader alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.certificate_probe.config import PORT as PROBE_PORT
from components.prometheus.settings import PORT
from rig.deployment import Deployment
from rig.metrics import AGENT, MESSAGE, MESSAGES, OTLP, REMOTE_WRITE, otlp_body, push_otlp, remote_writer
from rig.namespaces import NAT, STRANGER
from rig.probe import Client, Login, can_connect
from tests.support.metric_doors import OTHERS, wait_for_sample

pytestmark = pytest.mark.docker


def test_both_versions_of_remote_write_come_in(
    deployment: Deployment, grafana: Client, login: Login, tmp_path: Path
) -> None:
    with remote_writer(deployment, tmp_path, login):
        for message in MESSAGES:
            wait_for_sample(grafana, f'up{{instance="{AGENT}", {MESSAGE}="{message}"}} == 1')


def test_opentelemetrys_metrics_come_in(deployment: Deployment, grafana: Client, login: Login) -> None:
    client = deployment.client(NAT)
    assert push_otlp(client, "/metrics", otlp_body("otlp.pushed", 1), login).status == 200
    wait_for_sample(grafana, "otlp_pushed")


def test_a_stranger_and_a_wrong_password_are_refused(deployment: Deployment, login: Login) -> None:
    body = otlp_body("otlp.refused", 1)
    assert push_otlp(deployment.client(STRANGER), "/metrics", body, login).status == 403
    wrong = Login(login.user, "wrong")
    assert push_otlp(deployment.client(NAT), "/metrics", body, wrong).status == 401
    for method, path in [*OTHERS, ("GET", REMOTE_WRITE), ("POST", f"{REMOTE_WRITE}?x=1")]:
        if (method, path) not in (("POST", REMOTE_WRITE), ("POST", OTLP)):
            headers = {"Authorization": login.header()}
            answer = deployment.client(NAT).request(method, f"/metrics{path}", b"", headers)
            assert answer.status == 403, (method, path)


def test_grafana_queries_and_does_nothing_else(deployment: Deployment, grafana: Client) -> None:
    wait_for_sample(grafana, "up{job='prometheus'}")
    since = deployment.running_since("prometheus")
    for method, path in OTHERS:
        assert grafana.request(method, path, b"").status == 403, (method, path)
    assert deployment.running_since("prometheus") == since


@pytest.mark.parametrize("door", [("172.29.35.130", PORT), ("172.29.35.155", PROBE_PORT)])
def test_no_container_beside_grafana_reaches_prometheus_or_the_probe_itself(
    deployment: Deployment, grafana: Client, door: tuple[str, int]
) -> None:
    assert can_connect(deployment.rig.network.campus, None, door)
    assert not can_connect(grafana.namespace, None, door)
