"""aws.iam Role and RolePolicy."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

from toolchain.plugins.aws_things.emulator import (
    Emulator,
    found_or_none,
    tag_changes,
    tag_list,
    tag_map,
)
from toolchain.plugins.provider import PluginError, ResourceType, State, settled
from toolchain.plugins.schema import boolean, integer, mapping, string

_ABSENT = "NoSuchEntity"


def same_policy(old: str, new: str) -> bool:
    """Whether two policy documents mean the same."""
    try:
        return _meaning(json.loads(old)) == _meaning(json.loads(new))
    except ValueError:
        return old == new


def _meaning(value: Any) -> Any:
    """The document with one-item lists and their item made alike, and lists without order."""
    if isinstance(value, dict):
        return {key: _meaning(item) for key, item in value.items()}
    if isinstance(value, list):
        items = sorted((_meaning(item) for item in value), key=repr)
        return items[0] if len(items) == 1 else items
    return value


def policy_failure(value: str) -> str | None:
    """What is wrong with a policy document's text, as the real plugin checks it."""
    try:
        if isinstance(json.loads(value), dict):
            return None
    except ValueError as error:
        return f"contains an invalid JSON policy: {error}"
    return "contains an invalid JSON policy: not a JSON object"


class _IamType(ResourceType):
    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _iam(self) -> Any:
        return self._emulator.client("iam")


class Role(_IamType):
    """A role."""

    token = "aws:iam/role:Role"
    auto_named = True
    computed = ("arn", "createDate", "inlinePolicies", "managedPolicyArns", "tagsAll", "uniqueId")
    mirrors = {"tagsAll": "tags"}  # noqa: RUF012
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "assumeRolePolicy": string(required=True, same=same_policy, check=policy_failure),
        "description": string(),
        "path": string(default="/", replace=True),
        "maxSessionDuration": integer(default=3600),
        "forceDetachPolicies": boolean(default=False),
        "tags": mapping(),
    }

    def create(self, inputs: State) -> tuple[str, State]:
        tags = tag_list(inputs)
        self._iam.create_role(
            RoleName=inputs["name"],
            Path=inputs["path"],
            AssumeRolePolicyDocument=inputs["assumeRolePolicy"],
            MaxSessionDuration=inputs["maxSessionDuration"],
            **({"Description": inputs["description"]} if inputs.get("description") else {}),
            **({"Tags": tags} if tags else {}),
        )
        return inputs["name"], self._read_back(inputs["name"], inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        answer = found_or_none(self._iam.get_role, _ABSENT, RoleName=resource_id)
        if answer is None:
            return None
        seen = answer["Role"]
        inline = self._iam.list_role_policies(RoleName=resource_id)["PolicyNames"]
        attached = self._iam.list_attached_role_policies(RoleName=resource_id)["AttachedPolicies"]
        tags = tag_map(seen.get("Tags"))
        return resource_id, {
            "forceDetachPolicies": False,
            **state,
            "name": seen["RoleName"],
            "arn": seen["Arn"],
            "assumeRolePolicy": _document(seen["AssumeRolePolicyDocument"], state),
            "createDate": seen["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ"),
            "description": seen.get("Description", ""),
            "inlinePolicies": [{"name": name} for name in inline],
            "managedPolicyArns": sorted(one["PolicyArn"] for one in attached),
            "maxSessionDuration": seen.get("MaxSessionDuration", 3600),
            "path": seen["Path"],
            "tags": tags,
            "tagsAll": tags,
            "uniqueId": seen["RoleId"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        if not same_policy(old.get("assumeRolePolicy", ""), new["assumeRolePolicy"]):
            self._iam.update_assume_role_policy(RoleName=resource_id, PolicyDocument=new["assumeRolePolicy"])
        self._iam.update_role(
            RoleName=resource_id,
            Description=new.get("description", ""),
            MaxSessionDuration=new["maxSessionDuration"],
        )
        put, gone = tag_changes(old, new)
        if put:
            self._iam.tag_role(RoleName=resource_id, Tags=tag_list({"tags": put}))
        if gone:
            self._iam.untag_role(RoleName=resource_id, TagKeys=gone)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        if state.get("forceDetachPolicies"):
            self._strip(resource_id)
        found_or_none(self._iam.delete_role, _ABSENT, RoleName=resource_id)

    def _strip(self, role: str) -> None:
        attached = found_or_none(self._iam.list_attached_role_policies, _ABSENT, RoleName=role)
        for one in (attached or {}).get("AttachedPolicies", []):
            self._iam.detach_role_policy(RoleName=role, PolicyArn=one["PolicyArn"])
        inline = found_or_none(self._iam.list_role_policies, _ABSENT, RoleName=role)
        for name in (inline or {}).get("PolicyNames", []):
            self._iam.delete_role_policy(RoleName=role, PolicyName=name)


class RolePolicy(_IamType):
    """A policy inside a role."""

    token = "aws:iam/rolePolicy:RolePolicy"
    auto_named = True
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "role": string(required=True, replace=True),
        "policy": string(required=True, same=same_policy, check=policy_failure),
    }

    def create(self, inputs: State) -> tuple[str, State]:
        self._put(inputs)
        made = f"{inputs['role']}:{inputs['name']}"
        return made, self._read_back(made, inputs)

    def _put(self, inputs: State) -> None:
        self._iam.put_role_policy(
            RoleName=inputs["role"], PolicyName=inputs["name"], PolicyDocument=inputs["policy"]
        )

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        role, name = _role_and_name(resource_id)
        seen = found_or_none(self._iam.get_role_policy, _ABSENT, RoleName=role, PolicyName=name)
        if seen is None:
            return None
        document = _document(seen["PolicyDocument"], state, "policy")
        return resource_id, {**state, "role": role, "name": name, "policy": document}

    def update(self, resource_id: str, old: State, new: State) -> State:
        self._put(new)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        role, name = _role_and_name(resource_id)
        found_or_none(self._iam.delete_role_policy, _ABSENT, RoleName=role, PolicyName=name)


def _document(seen: Any, state: State, name: str = "assumeRolePolicy") -> str:
    """A policy as text: as the state has it while the meaning is the same."""
    text = unquote(seen) if isinstance(seen, str) else json.dumps(seen, separators=(",", ":"))
    return state[name] if same_policy(state.get(name, ""), text) else text


def _role_and_name(resource_id: str) -> tuple[str, str]:
    role, found, name = resource_id.partition(":")
    if not found:
        raise PluginError(f"the id {resource_id!r} isn't of the form ROLE:NAME")
    return role, name
