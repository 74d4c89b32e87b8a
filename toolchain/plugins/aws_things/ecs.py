"""aws.ecs TaskDefinition."""

from __future__ import annotations

import json
from typing import Any

from toolchain.plugins.aws_things.emulator import (
    Emulator,
    found_or_none,
    tag_changes,
    tag_list,
    tag_map,
)
from toolchain.plugins.provider import ResourceType, State, settled
from toolchain.plugins.schema import Prop, boolean, mapping, objects, string, strings

_ABSENT = "ClientException"


def meaning(definitions: str) -> list[Any]:
    """Container definitions as the real plugin compares them.

    Fields without a value, defaults, and the order of variables, secrets and ports don't count.
    """
    return [_container(_compact(one)) for one in json.loads(definitions)]


def same_definitions(old: str, new: str) -> bool:
    """Whether two texts of container definitions mean the same."""
    try:
        return meaning(old) == meaning(new)
    except (ValueError, AttributeError, TypeError):
        return old == new


def _compact(value: Any) -> Any:
    if isinstance(value, dict):
        items = {key: _compact(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in (None, [], {})}
    if isinstance(value, list):
        return [_compact(item) for item in value if item is not None]
    return value


def _container(container: dict[str, Any]) -> dict[str, Any]:
    found = {"essential": True, **container}
    if found.get("cpu") == 0:
        del found["cpu"]
    for name in ("environment", "secrets"):
        if name in found:
            found[name] = sorted(found[name], key=lambda one: str(one.get("name")))
    if "portMappings" in found:
        found["portMappings"] = sorted(map(_port, found["portMappings"]), key=repr)
    return found


def _port(port: dict[str, Any]) -> dict[str, Any]:
    found = {key: port[key] for key in sorted(port)}
    if found.get("protocol") == "tcp":
        del found["protocol"]
    if found.get("hostPort") == 0:
        del found["hostPort"]
    return found


def definitions_failure(text: str) -> str | None:
    """What is wrong with the text of container definitions, as the real plugin checks it."""
    try:
        containers = json.loads(text)
    except ValueError as error:
        return f"ECS Task Definition container_definitions is invalid: {error}"
    if not isinstance(containers, list) or not all(isinstance(one, dict) for one in containers):
        return "ECS Task Definition container_definitions is invalid: not a list of objects"
    for container in containers:
        for entry in container.get("environment") or []:
            if not isinstance(entry, dict) or not isinstance(entry.get("value", ""), str):
                return (
                    "ECS Task Definition container_definitions is invalid: an environment entry "
                    f"of {container.get('name')!r} isn't a name and a text"
                )
    return None


class TaskDefinition(ResourceType):
    """A task definition. Every change but that of tags makes a new revision."""

    token = "aws:ecs/taskDefinition:TaskDefinition"
    computed = ("arn", "arnWithoutRevision", "enableFaultInjection", "region", "revision", "tagsAll")
    mirrors = {"tagsAll": "tags"}  # noqa: RUF012
    inputs = {  # noqa: RUF012
        "family": string(required=True, replace=True),
        "containerDefinitions": string(
            required=True, replace=True, same=same_definitions, check=definitions_failure
        ),
        "cpu": string(replace=True),
        "memory": string(replace=True),
        "networkMode": string(computed=True, replace=True),
        "requiresCompatibilities": strings("set", replace=True),
        "executionRoleArn": string(replace=True),
        "taskRoleArn": string(replace=True),
        "ipcMode": string(replace=True),
        "pidMode": string(replace=True),
        "runtimePlatform": Prop(
            kind="object",
            fields={"cpuArchitecture": string(), "operatingSystemFamily": string()},
            replace=True,
        ),
        "volumes": objects("set", {"name": string(required=True), "hostPath": string()}, replace=True),
        "skipDestroy": boolean(default=False),
        "trackLatest": boolean(default=False),
        "tags": mapping(),
    }

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator

    @property
    def _ecs(self) -> Any:
        return self._emulator.client("ecs")

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._ecs.register_task_definition(**_request(inputs))["taskDefinition"]
        state = {**inputs, "arn": made["taskDefinitionArn"]}
        return made["family"], self._read_back(made["family"], state)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        latest = not state.get("arn") or state.get("trackLatest")
        wanted = resource_id if latest else state["arn"]
        answer = found_or_none(
            self._ecs.describe_task_definition,
            _ABSENT,
            taskDefinition=wanted,
            include=["TAGS"],
        )
        if answer is None or answer["taskDefinition"].get("status") == "INACTIVE":
            return None
        seen, tags = answer["taskDefinition"], tag_map(answer.get("tags"), "key", "value")
        arn = seen["taskDefinitionArn"]
        return seen["family"], {
            "skipDestroy": False,
            "trackLatest": False,
            **state,
            **_described(seen, state),
            "arn": arn,
            "arnWithoutRevision": arn.rsplit(":", 1)[0],
            "revision": seen["revision"],
            "enableFaultInjection": seen.get("enableFaultInjection", False),
            "region": self._emulator.region,
            "tags": tags,
            "tagsAll": tags,
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        put, gone = tag_changes(old, new)
        if put:
            tags = tag_list({"tags": put}, "key", "value")
            self._ecs.tag_resource(resourceArn=old["arn"], tags=tags)
        if gone:
            self._ecs.untag_resource(resourceArn=old["arn"], tagKeys=gone)
        return self._read_back(resource_id, settled(self, old, new))

    def delete(self, resource_id: str, state: State) -> None:
        if not state.get("skipDestroy"):
            found_or_none(self._ecs.deregister_task_definition, _ABSENT, taskDefinition=state["arn"])


_SCALARS = ("cpu", "memory", "networkMode", "executionRoleArn", "taskRoleArn", "ipcMode", "pidMode")


def _request(inputs: State) -> dict[str, Any]:
    request: dict[str, Any] = {
        "family": inputs["family"],
        "containerDefinitions": [_compact(one) for one in json.loads(inputs["containerDefinitions"])],
    }
    request |= {name: inputs[name] for name in _SCALARS if inputs.get(name)}
    for name in ("requiresCompatibilities", "runtimePlatform"):
        if inputs.get(name):
            request[name] = inputs[name]
    if inputs.get("volumes"):
        request["volumes"] = [_volume_request(one) for one in inputs["volumes"]]
    if inputs.get("tags"):
        request["tags"] = tag_list(inputs, "key", "value")
    return request


def _volume_request(volume: dict[str, Any]) -> dict[str, Any]:
    path = volume.get("hostPath")
    return {"name": volume["name"], **({"host": {"sourcePath": path}} if path else {})}


def _described(seen: dict[str, Any], state: State) -> State:
    text = json.dumps(seen["containerDefinitions"], separators=(",", ":"), sort_keys=True)
    kept = state.get("containerDefinitions", "")
    volumes = [
        {"name": one["name"], "hostPath": one.get("host", {}).get("sourcePath", "")}
        for one in seen.get("volumes", [])
    ]
    return {
        **{name: seen.get(name, "") for name in _SCALARS},
        "family": seen["family"],
        "containerDefinitions": kept if same_definitions(kept, text) else text,
        "requiresCompatibilities": seen.get("requiresCompatibilities") or [],
        "runtimePlatform": seen.get("runtimePlatform") or {},
        "volumes": volumes,
    }
