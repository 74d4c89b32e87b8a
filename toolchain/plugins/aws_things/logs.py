"""aws.cloudwatch LogGroup."""

from __future__ import annotations

from typing import Any

from toolchain.plugins.aws_things.emulator import Emulator, found_or_none, tag_changes
from toolchain.plugins.provider import ResourceType, State, settled
from toolchain.plugins.schema import boolean, integer, mapping, one_of, string

_ABSENT = "ResourceNotFoundException"
_DAYS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731)
_YEARS = (1096, 1827, 2192, 2557, 2922, 3288, 3653)
_RETENTIONS = (*_DAYS, *_YEARS)


class LogGroup(ResourceType):
    """A group of log streams."""

    token = "aws:cloudwatch/logGroup:LogGroup"
    auto_named = True
    computed = ("arn", "region", "tagsAll")
    mirrors = {"tagsAll": "tags"}  # noqa: RUF012
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "retentionInDays": integer(default=0, check=one_of(_RETENTIONS)),
        "skipDestroy": boolean(default=False),
        "tags": mapping(),
    }

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _logs(self) -> Any:
        return self._emulator.client("logs")

    def create(self, inputs: State) -> tuple[str, State]:
        name, tags = inputs["name"], inputs.get("tags")
        self._logs.create_log_group(logGroupName=name, **({"tags": tags} if tags else {}))
        if inputs["retentionInDays"]:
            self._retain(name, inputs["retentionInDays"])
        return name, self._read_back(name, inputs)

    def _retain(self, name: str, days: int) -> None:
        if days:
            self._logs.put_retention_policy(logGroupName=name, retentionInDays=days)
        else:
            self._logs.delete_retention_policy(logGroupName=name)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        groups = self._logs.describe_log_groups(logGroupNamePrefix=resource_id)["logGroups"]
        seen = next((one for one in groups if one["logGroupName"] == resource_id), None)
        if seen is None:
            return None
        arn = seen["arn"].removesuffix(":*")
        tags = self._logs.list_tags_for_resource(resourceArn=arn)["tags"]
        return resource_id, {
            "skipDestroy": False,
            **state,
            "name": resource_id,
            "arn": arn,
            "logGroupClass": seen.get("logGroupClass", "STANDARD"),
            "region": self._emulator.region,
            "retentionInDays": seen.get("retentionInDays", 0),
            "tags": tags,
            "tagsAll": tags,
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        if old.get("retentionInDays", 0) != new["retentionInDays"]:
            self._retain(resource_id, new["retentionInDays"])
        put, gone = tag_changes(old, new)
        if put:
            self._logs.tag_resource(resourceArn=old["arn"], tags=put)
        if gone:
            self._logs.untag_resource(resourceArn=old["arn"], tagKeys=gone)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        if not state.get("skipDestroy"):
            found_or_none(self._logs.delete_log_group, _ABSENT, logGroupName=resource_id)
