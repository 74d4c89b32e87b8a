"""The whole stack, watched from an emulated AWS: Grafana (a fake) gets its heartbeat, and loses it again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from components.aws.watch_settings import WATCH_REGION
from components.grafana.component import PROVISIONING
from components.grafana.heartbeat import HEARTBEAT_FILE
from rig.deployment import Deployment, deployed
from rig.emulator import Emulator
from rig.live_caddy import printed
from rig.live_grafana import PLAYED, make_played_image
from rig.rig import Rig
from rig.stack import merged

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def stack(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """A public site, whose Caddy asks an authority in vain: no update waits for its first certificate."""
    make_played_image(rig)
    changes = {
        "images": {"grafana": PLAYED},
        "grafana": {"enabled": True},
        "edge": {"domain": "campus.example.org", "tls": "acme-staging", "email": "team@example.org"},
        "watch": {"mails": ["team@example.org"]},
    }
    with deployed(rig, emulator, changes) as made:
        yield made
    assert alarms(emulator) == []


def alarms(emulator: Emulator) -> list[str]:
    found = emulator.client("cloudwatch", WATCH_REGION).describe_alarms()["MetricAlarms"]
    return sorted(one["MetricName"] for one in found)


def heartbeat(stack: Deployment) -> dict[str, Any]:
    return json.loads(printed(stack.container("grafana"), f"cat {PROVISIONING}/{HEARTBEAT_FILE}"))


def test_grafana_gets_a_heartbeat_and_loses_it_before_the_watch_ends(
    stack: Deployment, emulator: Emulator
) -> None:
    assert stack.stack.changes() == {}
    assert alarms(emulator) == ["HealthCheckStatus", "NumberOfMessagesPublished"]
    [receiver] = heartbeat(stack)["contactPoints"][0]["receivers"]
    topics = emulator.client("sns", WATCH_REGION).list_topics()["Topics"]
    assert receiver["settings"]["topic_arn"] in [one["TopicArn"] for one in topics]
    key = receiver["settings"]["sigv4"]
    iam = emulator.client("iam")
    [user] = [one["UserName"] for one in iam.list_users()["Users"]]
    known = iam.list_access_keys(UserName=user)["AccessKeyMetadata"]
    assert [one["AccessKeyId"] for one in known] == [key["access_key"]]
    assert key["secret_key"] not in stack.stack.run("stack", "export")

    stack.stack.configure(merged(stack.settings, {"watch": {"heartbeat": False}}))
    stack.stack.up()
    assert heartbeat(stack)["deleteContactPoints"] == [{"orgId": 1, "uid": receiver["uid"]}]
    assert iam.list_users()["Users"] == []
    assert alarms(emulator) == ["HealthCheckStatus"]
    assert stack.stack.changes() == {}

    stack.stack.configure({**stack.settings, "watch": {}})
    stack.stack.up()
    assert alarms(emulator) == []
    assert emulator.client("route53").list_health_checks()["HealthChecks"] == []
