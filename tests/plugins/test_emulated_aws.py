"""The emulator's additions to moto: CloudWatch in CBOR, for AWS' newest SDKs, and later launches."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import botocore.model
import pytest
from botocore.exceptions import ClientError

from rig.emulator import Emulator

ALARM = {
    "AlarmName": "lost",
    "Namespace": "campus",
    "MetricName": "lost",
    "Statistic": "Sum",
    "ComparisonOperator": "GreaterThanThreshold",
    "Threshold": 0.0,
    "Period": 60,
    "EvaluationPeriods": 1,
    "AlarmActions": ["arn:aws:sns:ap-northeast-2:123456789012:operators"],
}


@pytest.fixture
def cloudwatch(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A client that only speaks CBOR."""
    with monkeypatch.context() as patched:
        patched.setattr(botocore.model, "PRIORITY_ORDERED_SUPPORTED_PROTOCOLS", ("smithy-rpc-v2-cbor",))
        client = emulator.client("cloudwatch")
    assert client.meta.service_model.resolved_protocol == "smithy-rpc-v2-cbor"
    return client


def test_an_alarm_is_made_found_and_deleted(cloudwatch: Any, emulator: Emulator) -> None:
    before = datetime.now(UTC)
    cloudwatch.put_metric_alarm(**ALARM, Tags=[{"Key": "a", "Value": "b"}])
    [found] = cloudwatch.describe_alarms(AlarmNames=["lost"])["MetricAlarms"]
    assert ALARM.items() <= found.items()
    assert isinstance(found["Threshold"], float)
    assert abs((found["StateUpdatedTimestamp"] - before).total_seconds()) < 60
    tags = cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]
    assert tags == [{"Key": "a", "Value": "b"}]
    # JSON clients see the same.
    assert emulator.contents()["alarms"] == 1
    cloudwatch.delete_alarms(AlarmNames=["lost"])
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []


def test_an_error_keeps_its_name(cloudwatch: Any) -> None:
    with pytest.raises(ClientError) as raised:
        cloudwatch.delete_dashboards(DashboardNames=["none"])
    assert raised.value.response["Error"]["Code"] == "ResourceNotFound"


def test_an_instance_is_launched_from_a_later_version(emulator: Emulator) -> None:
    ec2, scaling = emulator.client("ec2"), emulator.client("autoscaling")
    data = {"ImageId": "ami-12345678", "InstanceType": "t4g.nano", "UserData": "IyEvYmluL3NoCg=="}
    made = ec2.create_launch_template(LaunchTemplateName="nat", LaunchTemplateData=data)["LaunchTemplate"]
    of_it = {"LaunchTemplateId": made["LaunchTemplateId"]}
    ec2.create_launch_template_version(**of_it, LaunchTemplateData=data)
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="nat",
        MinSize=1,
        MaxSize=1,
        AvailabilityZones=["ap-northeast-2a"],
        LaunchTemplate={**of_it, "Version": "2"},
    )
    [group] = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    assert len(group["Instances"]) == 1
    scaling.delete_auto_scaling_group(AutoScalingGroupName="nat", ForceDelete=True)
    ec2.delete_launch_template(**of_it)
