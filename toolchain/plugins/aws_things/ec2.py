"""What the EC2 types have in common."""

from __future__ import annotations

from typing import Any

from toolchain.plugins.aws_things.emulator import Emulator, tag_changes, tag_list, tag_map
from toolchain.plugins.provider import ResourceType, State
from toolchain.plugins.schema import mapping

ACCOUNT = "123456789012"
TAGS = mapping()


class Ec2Type(ResourceType):
    """A thing of EC2 with an id of EC2's own, and tags."""

    mirrors = {"tagsAll": "tags"}  # noqa: RUF012

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _ec2(self) -> Any:
        return self._emulator.client("ec2")

    def _retag(self, resource_id: str, old: State, new: State) -> None:
        put, gone = tag_changes(old, new)
        if put:
            tags = tag_list({"tags": put})
            self._ec2.create_tags(Resources=[resource_id], Tags=tags)
        if gone:
            self._ec2.delete_tags(Resources=[resource_id], Tags=[{"Key": name} for name in gone])

    def _common(self, tags: Any) -> State:
        found = tag_map(tags)
        return {"tags": found, "tagsAll": found, "region": self._emulator.region}

    def _arn(self, kind: str, name: str, owner: str = ACCOUNT) -> str:
        return f"arn:aws:ec2:{self._emulator.region}:{owner}:{kind}/{name}"


def tag_specifications(kind: str, inputs: State) -> dict[str, Any]:
    """The argument that tags a thing while it is made."""
    tags = tag_list(inputs)
    return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags}]} if tags else {}


def only(items: list[Any]) -> Any | None:
    """The one item of a list, None of an empty one."""
    return items[0] if items else None
