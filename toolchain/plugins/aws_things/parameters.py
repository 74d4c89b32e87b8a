"""aws.ssm Parameter."""

from __future__ import annotations

from typing import Any

from toolchain.plugins.aws_things.emulator import (
    Emulator,
    found_or_none,
    tag_changes,
    tag_list,
    tag_map,
)
from toolchain.plugins.provider import ResourceType, State, settled
from toolchain.plugins.schema import mapping, one_of, string

_ABSENT = "ParameterNotFound"
_TYPES = ("String", "StringList", "SecureString")


class Parameter(ResourceType):
    """A parameter, and for `SecureString` a secret one."""

    token = "aws:ssm/parameter:Parameter"
    auto_named = True
    computed = ("arn", "dataType", "region", "tagsAll", "version")
    mirrors = {"tagsAll": "tags"}  # noqa: RUF012
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "type": string(required=True, check=one_of(_TYPES)),
        "value": string(required=True),
        "description": string(),
        "tags": mapping(),
    }

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _ssm(self) -> Any:
        return self._emulator.client("ssm")

    def create(self, inputs: State) -> tuple[str, State]:
        tags = tag_list(inputs)
        self._put(inputs, **({"Tags": tags} if tags else {}))
        return inputs["name"], self._read_back(inputs["name"], inputs)

    def _put(self, inputs: State, **more: Any) -> None:
        self._ssm.put_parameter(
            Name=inputs["name"],
            Type=inputs["type"],
            Value=inputs["value"],
            Description=inputs.get("description") or "",
            **more,
        )

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(self._ssm.get_parameter, _ABSENT, Name=resource_id, WithDecryption=True)
        if answer is None:
            return None
        seen = answer["Parameter"]
        named = [{"Key": "Name", "Option": "Equals", "Values": [resource_id]}]
        [described] = self._ssm.describe_parameters(ParameterFilters=named)["Parameters"]
        listed = self._ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=resource_id)
        tags = tag_map(listed["TagList"])
        return resource_id, {
            **state,
            "name": resource_id,
            "arn": seen["ARN"],
            "dataType": seen["DataType"],
            "description": described.get("Description", ""),
            "region": self._emulator.region,
            "tags": tags,
            "tagsAll": tags,
            "type": seen["Type"],
            "value": seen["Value"],
            "version": seen["Version"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        if any(old.get(key) != new.get(key) for key in ("type", "value", "description")):
            self._put(new, Overwrite=True)
        put, gone = tag_changes(old, new)
        which = {"ResourceType": "Parameter", "ResourceId": resource_id}
        if put:
            self._ssm.add_tags_to_resource(**which, Tags=tag_list({"tags": put}))
        if gone:
            self._ssm.remove_tags_from_resource(**which, TagKeys=gone)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        found_or_none(self._ssm.delete_parameter, _ABSENT, Name=resource_id)
