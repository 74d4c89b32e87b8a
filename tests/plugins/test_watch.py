"""The watch on the real engine: made, changed and removed in the emulator, in a region of its own.

The emulator checks no site, has no metrics and mails nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.aws.watch_settings import WATCH_REGION
from local.paths import ROOT
from rig.emulator import Emulator
from rig.stack import Settings, Stack, running_stack
from tests.support.settings import WATCHED, put

# As in the stack's own program, without the campus server.
PROGRAM = """
import pulumi
from pulumi import ResourceOptions

from components.aws.provider import watch_provider
from components.aws.watch import Heartbeat, Watch, WatchArgs
from components.stack.load import load

settings = load()
watching = ResourceOptions(providers=[watch_provider(settings.aws)])
heartbeat = Heartbeat("heartbeat", opts=watching)
args = WatchArgs(
    domain=settings.edge.domain,
    https_port=settings.edge.https_port,
    mails=settings.watch.mails,
    heartbeat=heartbeat.topic_name,
)
Watch("watch", args, opts=watching)
pulumi.export("key", heartbeat.key.key)
"""


def settings_for(emulator: Emulator, **changes: Any) -> Settings:
    return put(WATCHED, {"aws.emulator": emulator.url, **changes})


@pytest.fixture
def stack(emulator: Emulator, tmp_path: Path) -> Iterator[Stack]:
    """The watch alone, in an empty emulator; at the end nothing is left."""
    emulator.reset()
    project = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())
    project["runtime"]["options"]["virtualenv"] = str(ROOT / ".venv")
    (tmp_path / "Pulumi.yaml").write_text(yaml.safe_dump(project))
    (tmp_path / "__main__.py").write_text(PROGRAM)
    with running_stack(settings_for(emulator), tmp_path) as made:
        made.set_environment({"PYTHONPATH": str(ROOT)})
        made.up()
        yield made
    assert emulator.client("route53").list_health_checks()["HealthChecks"] == []
    assert emulator.client("sns", WATCH_REGION).list_topics()["Topics"] == []
    assert alarms(emulator) == {}
    assert emulator.client("iam").list_users()["Users"] == []


def alarms(emulator: Emulator) -> dict[str, dict[str, Any]]:
    """The watch's alarms by metric."""
    found = emulator.client("cloudwatch", WATCH_REGION).describe_alarms()["MetricAlarms"]
    return {one["MetricName"]: one for one in found}


def mails(emulator: Emulator, topic: str) -> list[str]:
    sns = emulator.client("sns", WATCH_REGION)
    found = sns.list_subscriptions_by_topic(TopicArn=topic)["Subscriptions"]
    return sorted(one["Endpoint"] for one in found if one["Protocol"] == "email")


def test_the_watch_is_made_changed_and_removed(stack: Stack, emulator: Emulator) -> None:
    assert stack.changes() == {}
    [check] = emulator.client("route53").list_health_checks()["HealthChecks"]
    assert check["HealthCheckConfig"]["FullyQualifiedDomainName"] == "campus.example.org"
    down, silent = (alarms(emulator)[name] for name in ("HealthCheckStatus", "NumberOfMessagesPublished"))
    assert down["Dimensions"] == [{"Name": "HealthCheckId", "Value": check["Id"]}]
    [topic] = down["AlarmActions"]
    assert f":{WATCH_REGION}:" in topic
    assert silent["AlarmActions"] == [topic]
    assert mails(emulator, topic) == ["operators@example.org", "team@example.org"]

    # The key is one of the heartbeat's user, who may publish to the topic that the alarm counts.
    iam = emulator.client("iam")
    [user] = [one["UserName"] for one in iam.list_users()["Users"]]
    assert len(iam.list_access_keys(UserName=user)["AccessKeyMetadata"]) == 1
    [name] = iam.list_user_policies(UserName=user)["PolicyNames"]
    [statement] = iam.get_user_policy(UserName=user, PolicyName=name)["PolicyDocument"]["Statement"]
    [dimension] = silent["Dimensions"]
    assert statement["Resource"] == [topic.rpartition(":")[0] + f":{dimension['Value']}"]
    key = stack.outputs()["key"]
    assert key
    assert key not in stack.run("stack", "export")

    changed = {"watch.mails": ["team@example.org"], "edge.domain": "other.example.org"}
    stack.configure(settings_for(emulator, **changed))
    stack.up()
    [now] = emulator.client("route53").list_health_checks()["HealthChecks"]
    assert now["Id"] == check["Id"]
    assert now["HealthCheckConfig"]["FullyQualifiedDomainName"] == "other.example.org"
    assert mails(emulator, topic) == ["team@example.org"]
    assert stack.changes() == {}

    # Somebody removes the check by hand.
    emulator.client("route53").delete_health_check(HealthCheckId=check["Id"])
    stack.up("--refresh")
    [again] = emulator.client("route53").list_health_checks()["HealthChecks"]
    assert alarms(emulator)["HealthCheckStatus"]["Dimensions"][0]["Value"] == again["Id"]
    assert stack.changes() == {}
