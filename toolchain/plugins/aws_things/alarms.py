"""aws.cloudwatch LogMetricFilter and MetricAlarm."""

from __future__ import annotations

from typing import Any

from toolchain.plugins.aws_things.ec2 import only
from toolchain.plugins.aws_things.emulator import (
    Emulator,
    found_or_none,
    tag_changes,
    tag_list,
    tag_map,
)
from toolchain.plugins.provider import ResourceType, State, settled
from toolchain.plugins.schema import Prop, boolean, integer, mapping, one_of, string, strings

_ABSENT = "ResourceNotFoundException"
_COMPARISONS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
_MISSING = ("breaching", "notBreaching", "ignore", "missing")


class LogMetricFilter(ResourceType):
    """A count of the lines of a log group that match a pattern."""

    token = "aws:cloudwatch/logMetricFilter:LogMetricFilter"
    auto_named = True
    computed = ("region",)
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "logGroupName": string(required=True, replace=True),
        "pattern": string(required=True, same=lambda old, new: old.strip() == new.strip()),
        "metricTransformation": Prop(
            kind="object",
            required=True,
            fields={
                "name": string(required=True),
                "namespace": string(required=True),
                "value": string(required=True),
                "unit": string(default="None"),
            },
        ),
    }

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _logs(self) -> Any:
        return self._emulator.client("logs")

    def create(self, inputs: State) -> tuple[str, State]:
        self._put(inputs)
        return inputs["name"], self._read_back(inputs["name"], inputs)

    def _put(self, inputs: State) -> None:
        wanted = inputs["metricTransformation"]
        self._logs.put_metric_filter(
            logGroupName=inputs["logGroupName"],
            filterName=inputs["name"],
            filterPattern=inputs["pattern"].strip(),
            metricTransformations=[
                {
                    "metricName": wanted["name"],
                    "metricNamespace": wanted["namespace"],
                    "metricValue": wanted["value"],
                    "unit": wanted.get("unit") or "None",
                }
            ],
        )

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        """An import names it as GROUP:NAME."""
        group, _, name = resource_id.rpartition(":")
        group = state.get("logGroupName") or group
        asked = {"logGroupName": group, "filterNamePrefix": name}
        answer = found_or_none(self._logs.describe_metric_filters, _ABSENT, **asked)
        filters = [] if answer is None else answer["metricFilters"]
        seen = only([one for one in filters if one["filterName"] == name])
        if seen is None:
            return None
        counted = seen["metricTransformations"][0]
        return name, {
            **state,
            "name": name,
            "logGroupName": group,
            "pattern": seen["filterPattern"],
            "region": self._emulator.region,
            "metricTransformation": {
                "name": counted["metricName"],
                "namespace": counted["metricNamespace"],
                "value": counted["metricValue"],
                "unit": counted.get("unit") or "None",
            },
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        # AWS replaces a filter of the same name; the emulator would keep both.
        self.delete(resource_id, old)
        self._put(new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        if self.read(resource_id, state) is not None:
            self._logs.delete_metric_filter(logGroupName=state["logGroupName"], filterName=resource_id)


class MetricAlarm(ResourceType):
    """An alarm on one metric."""

    token = "aws:cloudwatch/metricAlarm:MetricAlarm"
    auto_named = True
    computed = ("arn", "region", "tagsAll")
    mirrors = {"tagsAll": "tags"}  # noqa: RUF012
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "namespace": string(required=True),
        "metricName": string(required=True),
        "statistic": string(required=True),
        "comparisonOperator": string(required=True, check=one_of(_COMPARISONS)),
        "threshold": integer(required=True),
        "period": integer(required=True),
        "evaluationPeriods": integer(required=True),
        "treatMissingData": string(default="missing", check=one_of(_MISSING)),
        "alarmDescription": string(),
        "actionsEnabled": boolean(default=True),
        "alarmActions": strings("set"),
        "okActions": strings("set"),
        "tags": mapping(),
    }

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _cloudwatch(self) -> Any:
        return self._emulator.client("cloudwatch")

    def create(self, inputs: State) -> tuple[str, State]:
        tags = tag_list(inputs)
        self._put(inputs, **({"Tags": tags} if tags else {}))
        return inputs["name"], self._read_back(inputs["name"], inputs)

    def _put(self, inputs: State, **more: Any) -> None:
        self._cloudwatch.put_metric_alarm(
            AlarmName=inputs["name"],
            AlarmDescription=inputs.get("alarmDescription") or "",
            ActionsEnabled=inputs["actionsEnabled"],
            AlarmActions=inputs.get("alarmActions") or [],
            OKActions=inputs.get("okActions") or [],
            Namespace=inputs["namespace"],
            MetricName=inputs["metricName"],
            Statistic=inputs["statistic"],
            ComparisonOperator=inputs["comparisonOperator"],
            Threshold=inputs["threshold"],
            Period=inputs["period"],
            EvaluationPeriods=inputs["evaluationPeriods"],
            TreatMissingData=inputs["treatMissingData"],
            **more,
        )

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        seen = only(self._cloudwatch.describe_alarms(AlarmNames=[resource_id])["MetricAlarms"])
        if seen is None:
            return None
        arn = seen["AlarmArn"]
        tags = tag_map(self._cloudwatch.list_tags_for_resource(ResourceARN=arn)["Tags"])
        return resource_id, {
            **state,
            "name": resource_id,
            "arn": arn,
            "actionsEnabled": seen["ActionsEnabled"],
            "alarmActions": seen.get("AlarmActions") or [],
            "alarmDescription": seen.get("AlarmDescription") or "",
            "comparisonOperator": seen["ComparisonOperator"],
            "evaluationPeriods": seen["EvaluationPeriods"],
            "metricName": seen["MetricName"],
            "namespace": seen["Namespace"],
            "okActions": seen.get("OKActions") or [],
            "period": seen["Period"],
            "region": self._emulator.region,
            "statistic": seen["Statistic"],
            "tags": tags,
            "tagsAll": tags,
            "threshold": int(seen["Threshold"]),
            "treatMissingData": seen.get("TreatMissingData") or "missing",
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._put(new)
        put, gone = tag_changes(old, new)
        if put:
            self._cloudwatch.tag_resource(ResourceARN=old["arn"], Tags=tag_list({"tags": put}))
        if gone:
            self._cloudwatch.untag_resource(ResourceARN=old["arn"], TagKeys=gone)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        self._cloudwatch.delete_alarms(AlarmNames=[resource_id])
