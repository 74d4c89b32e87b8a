"""Any resource type of AWS, made from its entry in the table.

botocore's models of the services know each operation's members and their shapes. So an entry only has the
names that differ between Pulumi and AWS: `cidrBlock` is sent, and read back, as `CidrBlock`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rig.plugins.aws_things.documents import compact
from rig.plugins.aws_things.emulator import Emulator
from rig.plugins.provider import PluginError, ResourceType, State, planned, settled
from rig.plugins.schema import Failure, Prop, normal

ACCOUNT = "123456789012"
_TAG_OWNER = "aws:"
_LEFT_OUT = (None, "", [], {})
# The services' errors for a missing resource; ECS uses `ClientException` for a task definition.
_GONE = re.compile(r"NotFound|NoSuchEntity|NoSuchHealthCheck|^ClientException$")


class Call:
    """One call of the service: its members by JMESPath over the resource's values, `id` and `old` values.

    If `when`, a JMESPath too, finds nothing, there is no call.
    """

    def __init__(self, operation: str, *, when: str = "", **given: str) -> None:
        self.operation, self.when, self.given = operation, when, given


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The description of one resource type."""

    token: str
    service: str
    inputs: Mapping[str, Prop]
    outputs: tuple[str, ...] = ()
    """Outputs beside `region`, and, with tags, `arn` and `tagsAll`."""
    once: Mapping[str, str] = field(default_factory=dict)
    """Outputs that only creation's answer has, by JMESPath over it."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Members whose name differs from the property's by more than case."""
    reads: Mapping[str, str] = field(default_factory=dict)
    """Properties to read by JMESPath over the answer."""
    local: tuple[str, ...] = ()
    """Inputs that AWS doesn't return: they stay as given."""
    exactly_one_of: tuple[str, ...] = ()
    tagging: tuple[Call, Call] | None = None
    """Setting and removing tags, if it differs from the rest of the service."""

    key: str = ""
    """The member for the id; if a call takes several ids, with an `s`."""
    kind: str = ""
    """EC2's name of the type, in ARNs and for tags."""

    create: Call
    """Gets every input that is one of its members, like each of `update`."""
    made: str | Callable[[State], str]
    """The id: by JMESPath over inputs and the creation's answer, or computed from the state."""
    first: tuple[Call, ...] = ()
    """Called once after creation."""
    settle: tuple[Call, ...] = ()
    """Called after creation, for what it leaves out, and when their arguments change."""
    update: tuple[Call, ...] = ()
    """Called when their arguments change."""
    find: Call
    at: str
    """The path of the resources in its answer."""
    match: Mapping[str, str] = field(default_factory=dict)
    """The resource's identity among them: members by JMESPath over the state."""
    asks: tuple[Call, ...] = ()
    """More calls whose answers, by JMESPath over the first, belong to it."""
    delete: tuple[Call, ...]

    @property
    def has_tags(self) -> bool:
        """Whether it has tags by name, as all types except Auto Scaling groups have."""
        return "tags" in self.inputs and self.inputs["tags"].kind == "map"


# Setting and removing tags, by service.
_BY_ARN = (Call("tag_resource", resourceArn="arn"), Call("untag_resource", resourceArn="arn"))
_PARAMETER = {"ResourceType": "'Parameter'", "ResourceId": "id"}
TAGGING: Mapping[str, tuple[Call, Call]] = {
    "ec2": (
        Call("create_tags", Resources="[id]"),
        Call("delete_tags", Resources="[id]", Tags="tagKeys[].{Key: @}"),
    ),
    "iam": (Call("tag_role"), Call("untag_role")),
    "logs": _BY_ARN,
    "cloudwatch": (Call("tag_resource", ResourceARN="arn"), Call("untag_resource", ResourceARN="arn")),
    "ssm": (Call("add_tags_to_resource", **_PARAMETER), Call("remove_tags_from_resource", **_PARAMETER)),
    "ecs": _BY_ARN,
}


class AwsResource(ResourceType):
    """One resource type, by its entry."""

    def __init__(self, entry: Entry, emulator: Emulator) -> None:
        self._entry, self._emulator = entry, emulator
        self.token, self.inputs = entry.token, entry.inputs
        self.auto_named = "name" in entry.inputs
        self.mirrors = {"tagsAll": "tags"} if entry.has_tags else {}
        self._outputs = (*entry.outputs, "arn") if self.mirrors else entry.outputs
        self.computed = (*self._outputs, *entry.once, *self.mirrors, "region")

    def failures(self, inputs: State) -> list[Failure]:
        names = self._entry.exactly_one_of
        if not names or sum(bool(inputs.get(name)) for name in names) == 1:
            return []
        return [Failure(names[0], f"exactly one of {' and '.join(names)} must be given")]

    def create(self, inputs: State) -> tuple[str, State]:
        entry, given = self._entry, _given(inputs)
        values = {**given, **self._call(self._asked(entry.create, given, fill=True))}
        made = entry.made(given) if callable(entry.made) else search(entry.made, values)
        for one in entry.first:
            self._call(self._asked(one, {**given, "id": made}))
        self._change(entry.settle, made, planned(self, {}), given)
        once = {name: search(path, values) for name, path in entry.once.items()}
        return made, self._read_back(made, inputs) | once

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        if not state:
            raise PluginError(f"the fake plugin aws doesn't import: {self.token} {resource_id}")
        found = self._found(resource_id, state)
        return None if found is None else (found[0], {**state, **found[1]})

    def update(self, resource_id: str, old: State, new: State) -> State:
        found = self._found(resource_id, old)
        if found is None:
            raise PluginError(f"{self.token} {resource_id} is gone: pulumi refresh")
        current, after = found[0], settled(self, old, new)
        # Removed inputs have to be sent as empty.
        before = _given(old)
        cleared = {name: normal(self.inputs[name], None) for name in before if name in self.inputs}
        sent = cleared | _given(after)
        self._change(self._entry.settle, current, before, sent)
        self._change(self._entry.update, current, before, sent, fill=True)
        if self.mirrors:
            self._retag({**after, "id": current}, old.get("tags") or {}, new.get("tags") or {})
        return self._read_back(current, after)

    def delete(self, resource_id: str, state: State) -> None:
        found = self._found(resource_id, state)
        if found is None:
            return
        values = {**state, **found[1], "id": found[0]}
        for one in self._entry.delete:
            self._call(self._asked(one, values))

    # Calling

    @property
    def _client(self) -> Any:
        return self._emulator.client(self._entry.service)

    def _call(self, asked: tuple[str, State] | None) -> State:
        return {} if asked is None else getattr(self._client, asked[0])(**asked[1])

    def _asked(self, call: Call, values: State, *, fill: bool = False) -> tuple[str, State] | None:
        """The operation and its arguments; None if there is nothing to call."""
        values = {**values, "region": self._emulator.region}
        if call.when and search(call.when, values) in (*_LEFT_OUT, False):
            return None
        model = self._client.meta.service_model
        members = model.operation_model(self._client.meta.method_to_api_mapping[call.operation])
        members = members.input_shape.members
        given = self._filled(members, values) if fill else self._named(members, values.get("id"))
        given |= {name: search(path, values) for name, path in call.given.items()}
        return call.operation, compact(
            {name: to_api(members[name], value) for name, value in given.items() if value is not None}
        )

    def _named(self, members: Mapping[str, Any], resource_id: str | None) -> State:
        if not resource_id:
            return {}
        ids = {self._entry.key: resource_id, f"{self._entry.key}s": [resource_id]}
        return {name: value for name, value in ids.items() if name in members}

    def _filled(self, members: Mapping[str, Any], values: State) -> State:
        """Every input that is a member."""
        names = {name.lower(): name for name in members}
        known = {name: value for name, value in values.items() if name in self.inputs or name == "tagKeys"}
        asked = {self._entry.names.get(name, name).lower(): value for name, value in known.items()}
        found = {names[name]: value for name, value in asked.items() if name in names}
        if "TagSpecifications" in members and self.mirrors and values.get("tags"):
            found["TagSpecifications"] = [{"resourceType": self._entry.kind, "tags": values["tags"]}]
        return self._named(members, values.get("id")) | found

    def _change(
        self, calls: tuple[Call, ...], resource_id: str, old: State, new: State, *, fill: bool = False
    ) -> None:
        """Make the calls whose `when` matches, or, without `when`, whose arguments have changed."""
        before = {**old, "id": resource_id, "tags": None}
        after = {**new, "id": resource_id, "tags": None, "old": old}
        for call in calls:
            asked = self._asked(call, after, fill=fill)
            if call.when or asked != self._asked(call, before, fill=fill):
                self._call(asked)

    def _retag(self, values: State, old: State, new: State) -> None:
        calls = self._entry.tagging or TAGGING[self._entry.service]
        put = {name: text for name, text in new.items() if old.get(name) != text}
        gone = sorted(old.keys() - new.keys())
        for call, tags in zip(calls, ({"tags": put}, {"tagKeys": gone}), strict=True):
            if any(tags.values()):
                which = {name: values.get(name) for name in ("id", "arn")}
                self._call(self._asked(call, {**which, **tags}, fill=True))

    # Reading

    def _found(self, resource_id: str, state: State) -> tuple[str, State] | None:
        """The current id and properties; None if it is gone."""
        from botocore.exceptions import ClientError

        entry, values = self._entry, {**state, "id": resource_id}
        try:
            answer = self._call(self._asked(entry.find, values))
        except ClientError as error:
            if _GONE.search(error.response.get("Error", {}).get("Code", "")):
                return None
            raise
        wanted = {name: search(path, values) for name, path in entry.match.items()}
        for item in search(entry.at, answer) or []:
            if wanted.items() <= {name: item.get(name) for name in wanted}.items():
                return self._as_state(resource_id, item, state)
        return None

    def _as_state(self, resource_id: str, item: State, state: State) -> tuple[str, State]:
        entry = self._entry
        item = {**item, "id": item.get(entry.key, resource_id), "region": self._emulator.region}
        for one in entry.asks:
            item |= self._call(self._asked(one, item))
        members = {name.lower(): value for name, value in item.items()}
        current: State = {}
        for name in (*self.inputs, *self._outputs):
            if name in entry.local:
                continue
            member = entry.names.get(name, name).lower()
            value = search(entry.reads[name], item) if name in entry.reads else members.get(member)
            current[name] = self._property(name, value, state)
        current |= {name: current[source] for name, source in self.mirrors.items()}
        if entry.kind and self.mirrors:
            owner = item.get("OwnerId", ACCOUNT)
            current["arn"] = f"arn:aws:{entry.service}:{item['region']}:{owner}:{entry.kind}/{item['id']}"
        made = entry.made({**state, **current}) if callable(entry.made) else item["id"]
        return made, {**current, "region": item["region"]}

    def _property(self, name: str, value: Any, state: State) -> Any:
        if name not in self.inputs:
            return "" if value is None else value
        prop = self.inputs[name]
        found = from_api(prop, value)
        kept = state.get(name)
        return kept if kept is not None and prop.same and prop.same(kept, found) else found


def search(path: str, values: Any) -> Any:
    """The result of a JMESPath over the values."""
    import jmespath

    return jmespath.search(path, values)


def _given(values: Mapping[str, Any]) -> State:
    """The values without empty ones."""
    return {name: value for name, value in values.items() if value not in _LEFT_OUT}


def to_api(shape: Any, value: Any) -> Any:
    """A property for the service: botocore's shape says how names and tags are written."""
    if isinstance(value, str) and shape.type_name in ("list", "structure"):
        value = compact(json.loads(value))
    if shape.type_name == "list":
        if isinstance(value, dict):
            # Tags have keys, a metric's dimensions names.
            key_member = "name" if "Name" in shape.member.members else "key"
            value = [{key_member: key, "value": text} for key, text in sorted(value.items())]
        return [to_api(shape.member, one) for one in value]
    if shape.type_name == "structure" and isinstance(value, dict):
        names = {name.lower(): name for name in shape.members}
        renamed = {names.get(name.lower(), name): one for name, one in value.items() if one is not None}
        return {
            name: to_api(shape.members[name], one) if name in shape.members else one
            for name, one in renamed.items()
        }
    known = getattr(shape, "enum", None)
    if known and value not in known:
        raise PluginError(f"{shape.name}: expected one of {known}, got {value!r}")
    return value


def from_api(prop: Prop, value: Any) -> Any:
    """A property from a service's answer."""
    if value is None:
        return normal(prop, None)
    if prop.kind == "map":
        return _tags(value)
    if prop.kind == "string":
        written = isinstance(value, str)
        return value if written else json.dumps(value, separators=(",", ":"), sort_keys=True)
    if prop.kind == "object" and prop.fields is not None:
        members = {name.lower(): one for name, one in value.items()}
        return {name: from_api(one, members.get(name.lower())) for name, one in prop.fields.items()}
    if prop.kind in ("list", "set") and prop.items is not None:
        return [from_api(prop.items, one) for one in value]
    return int(value) if prop.kind == "int" else value


def _tags(value: Any) -> dict[str, str]:
    """Tags by name, without those that AWS sets itself."""
    listed = value if isinstance(value, list) else []
    lowered = [{name.lower(): text for name, text in one.items()} for one in listed]
    found = {one.get("key") or one["name"]: one["value"] for one in lowered} if lowered else dict(value)
    return {name: text for name, text in found.items() if not name.startswith(_TAG_OWNER)}
