"""The watch: what AWS makes of it, how fast it tells, and Grafana's heartbeat."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from grafana_foundation_sdk.models.alerting import Rule

from components.aws import watch as aws_watch
from components.aws.watch import Heartbeat, Watch, WatchArgs
from components.aws.watch_settings import WATCH_REGION
from components.grafana.alert_rules import render_alert_rules
from components.grafana.dashboards import render_dashboards
from components.grafana.heartbeat import BUT_HEARTBEAT, HeartbeatTopic, render_heartbeat
from components.grafana.provisioning import LokiSource, MetricsSource
from components.stack.campus_server import CampusServer, CampusServerArgs
from components.stack.settings import parse
from local.paths import ROOT
from tests.support.fake_engine import Engine, known, plain
from tests.support.golden import assert_golden
from tests.support.registered import fingerprints, registered
from tests.support.settings import WATCHED, put

MAILS = ["operators@example.org", "team@example.org"]
KEY = "a/secret+key"
TOPIC = HeartbeatTopic(
    arn="arn:aws:sns:us-east-1:123456789012:heartbeat", region=WATCH_REGION, key_id="AKIAEXAMPLE", key=KEY
)


def watched(heartbeat: str | None) -> pulumi.Output[Any]:
    """A watch, and something to wait for."""
    args = WatchArgs(domain="campus.example.org", https_port=8443, mails=MAILS, heartbeat=heartbeat)
    return Watch("watch", args).urn


def made(engine: Engine, kind: str) -> list[dict[str, Any]]:
    """The inputs of all resources of a type."""
    everything = [one for ones in engine.registered.values() for one in ones]
    return [one.inputs for one in everything if one.typ.endswith(f":{kind}")]


def test_aws_asks_grafana_through_caddy_and_mails_everybody(engine: Engine) -> None:
    known(lambda: watched(None))
    [check] = made(engine, "HealthCheck")
    assert check == {
        "type": "HTTPS",
        "fqdn": "campus.example.org",
        "port": 8443,
        "resourcePath": "/api/health",
        "enableSni": True,
        "requestInterval": 30,
        "failureThreshold": 1,
    }
    assert sorted(one["endpoint"] for one in made(engine, "TopicSubscription")) == MAILS
    [alarm] = made(engine, "MetricAlarm")
    assert alarm["dimensions"] == {"HealthCheckId": "watch-id"}
    assert (alarm["namespace"], alarm["metricName"]) == ("AWS/Route53", "HealthCheckStatus")
    # One bad minute rings, and so does silence: somebody may have removed the check.
    assert (alarm["statistic"], alarm["comparisonOperator"], alarm["threshold"]) == (
        "Minimum",
        "LessThanThreshold",
        1,
    )
    assert alarm["treatMissingData"] == "breaching"
    assert alarm["alarmActions"] == alarm["okActions"] == ["arn:watch"]


def test_a_server_that_is_down_is_told_within_three_minutes() -> None:
    """Each step's longest time: all checkers ask again and wait, the metric's minute, the alarm's."""
    connecting, answering = 4, 2
    found = aws_watch.CHECK_SECONDS * aws_watch.FAILED_CHECKS + connecting + answering
    assert found + 2 * aws_watch.ALARM_SECONDS <= 180 - 20


def test_a_silent_grafana_rings_an_alarm_of_its_own(engine: Engine) -> None:
    known(lambda: watched("heartbeat-topic"))
    alarms = {one["namespace"]: one for one in made(engine, "MetricAlarm")}
    assert sorted(alarms) == ["AWS/Route53", "AWS/SNS"]
    silent = alarms["AWS/SNS"]
    assert silent["metricName"] == "NumberOfMessagesPublished"
    assert silent["dimensions"] == {"TopicName": "heartbeat-topic"}
    assert silent["treatMissingData"] == "breaching"
    # Grafana sends every second time: at least twice in each of the alarm's periods.
    assert json.loads(render_heartbeat(TOPIC))["groups"][0]["rules"][0]["notification_settings"] == {
        "receiver": "heartbeat",
        "group_interval": "1m",
        "repeat_interval": "1m",
    }
    assert silent["period"] == 300


def test_the_key_may_publish_to_one_topic_and_nothing_else(engine: Engine) -> None:
    known(lambda: Heartbeat("heartbeat").topic_name)
    [policy] = made(engine, "UserPolicy")
    assert json.loads(policy["policy"])["Statement"] == [
        {"Action": ["sns:Publish"], "Effect": "Allow", "Resource": ["arn:heartbeat"]}
    ]
    # Nobody gets its messages.
    assert made(engine, "TopicSubscription") == []


def test_the_heartbeat_is_as_agreed_and_of_the_sdks_type() -> None:
    text = render_heartbeat(TOPIC)
    assert_golden("grafana_heartbeat.yaml", text)
    [rule] = json.loads(text)["groups"][0]["rules"]
    assert Rule.from_json({**rule, "folderUID": "", "orgID": 1, "ruleGroup": ""}).uid == "campus-heartbeat"
    # Grafana would expand a variable.
    assert "$" not in text


def test_without_a_topic_the_heartbeat_is_taken_out_of_grafana() -> None:
    found = json.loads(render_heartbeat(None))
    sent = json.loads(render_heartbeat(TOPIC))
    [receiver] = sent["contactPoints"][0]["receivers"]
    assert found["deleteContactPoints"] == [{"orgId": 1, "uid": receiver["uid"]}]
    [rule], [before] = found["groups"][0]["rules"], sent["groups"][0]["rules"]
    assert rule["uid"] == before["uid"]
    assert rule["isPaused"] is True
    # Grafana deletes no contact point that a rule names.
    assert "notification_settings" not in rule
    assert "contactPoints" not in found


def test_dashboards_show_all_alerts_but_the_heartbeat_which_always_fires() -> None:
    [rule] = json.loads(render_heartbeat(TOPIC))["groups"][0]["rules"]
    loki = LokiSource(name="aws", url="http://reader", retention="31d", retention_seconds=2678400)
    metrics = MetricsSource(url="http://reader", step_seconds=15, memory_limit_bytes=1, hosts=("campus",))
    files = render_dashboards([loki], None, metrics, BUT_HEARTBEAT)
    panels = [
        one for text in files.values() for one in json.loads(text)["panels"] if one["type"] == "alertlist"
    ]
    assert len(panels) == 2
    for panel in panels:
        assert panel["options"]["alertInstanceLabelFilter"] == f'{{severity!="{rule["labels"]["severity"]}"}}'
    others = json.loads(render_alert_rules([loki], None, metrics))["groups"]
    assert rule["labels"]["severity"] not in {
        one["labels"]["severity"] for group in others for one in group["rules"]
    }


@pytest.mark.usefixtures("engine")
def test_the_key_is_a_secret_from_the_beginning() -> None:
    made: list[aws_watch.HeartbeatKey] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        made.append(Heartbeat("heartbeat").key)
        return made[0].topic_arn

    program()
    assert asyncio.get_event_loop().run_until_complete(made[0].key.is_secret())


def test_the_key_is_a_secret_in_the_state(engine: Engine) -> None:
    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        secret = pulumi.Output.secret(KEY)
        key = aws_watch.HeartbeatKey(
            topic_arn=pulumi.Output.from_input(TOPIC.arn),
            key_id=pulumi.Output.from_input(TOPIC.key_id),
            key=secret,
        )
        server = CampusServer("campus", CampusServerArgs(settings=parse(WATCHED), heartbeat=key))
        return pulumi.Output.all(server.edge.container_id, server.grafana_url)

    program()
    files = engine.made["campus-grafana-provisioned"].inputs["files"]
    heartbeat = plain(files)["alerting/heartbeat.yaml"]
    assert KEY in json.dumps(heartbeat)
    others = {name: one.inputs for name, one in engine.made.items() if name != "campus-grafana-provisioned"}
    assert KEY not in repr(others)


def test_the_watch_and_its_heartbeat_can_be_off() -> None:
    assert parse(put(WATCHED, {"watch": {}})).watch.is_on is False
    assert parse(put(WATCHED, {"watch.heartbeat": False})).watch.hears_grafana is False


@pytest.fixture
def watched_prod(tmp_path: Path) -> Path:
    """The program, and prod's file with a watch."""
    (tmp_path / "__main__.py").write_text((ROOT / "__main__.py").read_text())
    tree = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())
    tree["config"]["campus-monitor:watch"] = {"mails": MAILS}
    (tmp_path / "Pulumi.prod.yaml").write_text(yaml.safe_dump(tree, sort_keys=False))
    return tmp_path


def test_a_watched_stack_has_this_and_nothing_else_is_changed(
    watched_prod: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        monkeypatch.delenv(variable, raising=False)
    seen = registered(watched_prod, "prod")
    before, after = fingerprints(registered(ROOT, "prod")), fingerprints(seen)
    assert sorted(after.keys() - before.keys()) == [
        "aws:cloudwatch/metricAlarm:MetricAlarm watch-grafana-silent",
        "aws:cloudwatch/metricAlarm:MetricAlarm watch-site-down",
        "aws:iam/accessKey:AccessKey heartbeat",
        "aws:iam/user:User heartbeat",
        "aws:iam/userPolicy:UserPolicy heartbeat",
        "aws:route53/healthCheck:HealthCheck watch",
        "aws:sns/topic:Topic heartbeat",
        "aws:sns/topic:Topic watch",
        *(f"aws:sns/topicSubscription:TopicSubscription watch-{mail}" for mail in MAILS),
        "campus-monitor:aws:Heartbeat heartbeat",
        "campus-monitor:aws:Watch watch",
        "pulumi:providers:aws aws-watch",
    ]
    assert before.keys() <= after.keys()
    changed = [name for name in before if before[name] != after[name]]
    assert sorted(name.split()[-1] for name in changed) == [
        "campus-grafana-dashboards",
        "campus-grafana-provisioned",
    ]
    # The metrics of Route 53, and so the alarms and their topic, are there alone.
    assert seen["pulumi:providers:aws aws-watch"]["object"]["region"] == "us-east-1"
    # A server that is being made rings nothing.
    waits_for = {one.rpartition("::")[2] for one in seen["campus-monitor:aws:Watch watch"]["dependencies"]}
    assert {"campus-edge-caddyfile", "campus-grafana-provisioned"} <= waits_for
