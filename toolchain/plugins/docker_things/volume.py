"""docker.Volume."""

from __future__ import annotations

import time

from toolchain.plugins.docker_things.engine import Engine
from toolchain.plugins.provider import PluginError, ResourceType, State, settled
from toolchain.plugins.schema import mapping, objects, string

_REMOVAL_SECONDS = 30.0
_RETRY_SECONDS = 0.25

LABELS = {"label": string(required=True, replace=True), "value": string(required=True)}


class Volume(ResourceType):
    """A named volume."""

    token = "docker:index/volume:Volume"
    auto_named = True
    computed = ("mountpoint",)
    inputs = {  # noqa: RUF012
        "name": string(computed=True, replace=True),
        "driver": string(computed=True, replace=True),
        "driverOpts": mapping(replace=True),
        "labels": objects("set", LABELS, replace=True),
    }

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def create(self, inputs: State) -> tuple[str, State]:
        made = self._engine.api.create_volume(
            name=inputs["name"],
            driver=inputs.get("driver"),
            driver_opts=inputs.get("driverOpts"),
            labels=label_map(inputs),
        )
        found = self.read(made["Name"], inputs)
        if found is None:
            raise PluginError(f"volume {made['Name']} vanished while it was made")
        return found

    def read(self, resource_id: str, state: State) -> tuple[str, State] | None:
        from docker.errors import NotFound

        try:
            seen = self._engine.api.inspect_volume(resource_id)
        except NotFound:
            return None
        return resource_id, {
            **state,
            "name": seen["Name"],
            "driver": seen["Driver"],
            "driverOpts": seen.get("Options") or {},
            "labels": label_list(seen.get("Labels"), state),
            "mountpoint": seen["Mountpoint"],
        }

    def update(self, resource_id: str, old: State, new: State) -> State:
        return settled(self, old, new)

    def delete(self, resource_id: str, state: State) -> None:
        from docker.errors import APIError, NotFound

        deadline = time.monotonic() + _REMOVAL_SECONDS
        while True:
            try:
                self._engine.api.remove_volume(resource_id, force=True)
                return
            except NotFound:
                return
            except APIError as error:
                in_use = "volume is in use" in str(error)
                if not in_use or time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)


def label_map(inputs: State) -> dict[str, str]:
    """Pulumi's list of labels as Docker wants it."""
    return {one["label"]: one["value"] for one in inputs.get("labels", [])}


def label_list(labels: dict[str, str] | None, state: State) -> list[dict[str, str]]:
    """Docker's labels as Pulumi's list, in the order that the state has already."""
    order = [one["label"] for one in state.get("labels", [])]
    known = [name for name in order if name in (labels or {})]
    names = known + sorted(set(labels or {}) - set(known))
    return [{"label": name, "value": (labels or {})[name]} for name in names]
