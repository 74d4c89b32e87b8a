"""docker.RemoteImage."""

from __future__ import annotations

from typing import Any

from toolchain.plugins.docker_things.engine import Engine
from toolchain.plugins.provider import PluginError, ResourceType, State, settled
from toolchain.plugins.schema import boolean, mapping, string, strings


class RemoteImage(ResourceType):
    """An image: the local one if there is one, else pulled."""

    token = "docker:index/remoteImage:RemoteImage"
    computed = ("imageId", "repoDigest")
    inputs = {  # noqa: RUF012
        "name": string(required=True, replace=True),
        "keepLocally": boolean(),
        "forceRemove": boolean(),
        "pullTriggers": strings("set", replace=True),
        "triggers": mapping(replace=True),
    }

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, inputs: State) -> tuple[str, State]:
        seen = find_image(self._engine, inputs["name"])
        return self._described(seen, inputs)

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        if not state:
            raise PluginError("docker:index/remoteImage:RemoteImage can't be imported")
        seen = local_image(self._engine, state["name"])
        return None if seen is None else self._described(seen, state)

    def update(self, resource_id: str, old: State, new: State) -> State:
        seen = find_image(self._engine, new["name"])
        return self._described(seen, settled(self, old, new))[1]

    def delete(self, resource_id: str, state: State) -> None:
        if state.get("keepLocally") or local_image(self._engine, state["name"]) is None:
            return
        from docker.errors import APIError

        try:
            self._engine.api.remove_image(state["name"], force=state.get("forceRemove", False))
        except APIError as error:
            raise PluginError(f"Unable to remove Docker image: {error.explanation or error}") from error

    def _described(self, seen: dict[str, Any], state: State) -> tuple[str, State]:
        outputs = {"imageId": seen["Id"], "repoDigest": _digest(state["name"], seen)}
        return seen["Id"] + state["name"], {**state, **outputs}


def local_image(engine: Engine, name: str) -> dict[str, Any] | None:
    """What the engine knows of an image that it has, None if it has none of that name."""
    from docker.errors import ImageNotFound, NotFound

    try:
        return engine.api.inspect_image(name)
    except (ImageNotFound, NotFound):
        return None


def find_image(engine: Engine, name: str) -> dict[str, Any]:
    """The local image, else the pulled one."""
    from docker.errors import APIError

    if not name:
        raise PluginError("empty image name is not allowed")
    seen = local_image(engine, name)
    if seen is not None:
        return seen
    try:
        for step in engine.api.pull(name, stream=True, decode=True):
            if "error" in step:
                raise PluginError(f"unable to pull image {name}: {step['error']}")
    except APIError as error:
        reason = error.explanation or error
        raise PluginError(f"unable to pull image {name}: error pulling image: {reason}") from error
    seen = local_image(engine, name)
    if seen is None:
        raise PluginError(f"unable to find or pull image {name}")
    return seen


def _digest(name: str, seen: dict[str, Any]) -> str:
    """The digest as the real plugin picks it, "" for an image that was never in a registry."""
    digests = seen.get("RepoDigests") or []
    repository = name.split(":", 1)[0]
    own = (one for one in digests if len(digests) == 1 or one.startswith(repository))
    return next(own, digests[0] if digests else "")
