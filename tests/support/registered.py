"""Everything that the program registers with Pulumi's engine."""

from __future__ import annotations

import gc
import hashlib
import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, settings

from components.values.errors import PROJECT
from rig.stack import settings_of
from tests.support.fake_engine import Engine, running_engine

# The place in the program, the SDK, and fields that a fake doesn't need.
_LEFT_OUT = {"sourcePosition", "stackTrace", "packageRef", "supportsResultReporting"}


class _Answers(Engine):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        made, outputs = super().new_resource(args)
        return made, outputs | {"publicIp": "203.0.113.7"}


class _Monitor(mocks.MockMonitor):
    """Records each complete registration."""

    def __init__(self) -> None:
        self.answers = _Answers()
        super().__init__(self.answers)
        self.seen: dict[str, dict[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  Pulumi's name
        inputs = {key: value for key, value in MessageToDict(request).items() if key not in _LEFT_OUT}
        # Sets: their order is the runtime's.
        inputs["dependencies"] = sorted(inputs.get("dependencies", []))
        for one in inputs.get("propertyDependencies", {}).values():
            one["urns"] = sorted(one.get("urns", []))
        self.seen[f"{request.type} {request.name}"] = inputs
        return super().RegisterResource(request)


def registered(program: Path, stack: str) -> dict[str, Any]:
    """Each resource of a stack by type and name, with its registration.

    `program` is the folder with `__main__.py` and the stacks' files.
    """
    settings.set_root_resource(cast(Any, None))  # a former stack's
    monitor = _Monitor()
    areas = settings_of(stack, program)
    # `make up` turns Grafana off in the local stack's file if its image isn't available.
    areas["grafana"] = areas.get("grafana", {}) | {"enabled": True}
    texts = {f"{PROJECT}:{area}": _somewhere(json.dumps(value)) for area, value in areas.items()}

    @pulumi.runtime.test
    def run() -> None:
        runpy.run_path(str(program / "__main__.py"), run_name="__main__")

    with running_engine(monitor.answers, stack, monitor):
        pulumi.runtime.set_all_config(texts)
        try:
            run()
        finally:
            gc.enable()  # the program turns it off, as it is short-lived
    return monitor.seen


def _somewhere(text: str) -> str:
    """The text with a Docker host and a digest that needn't exist."""
    return text.replace("0" * 64, "1" * 64).replace("unix:///var/run/docker.sock", "ssh://operator@campus")


def fingerprints(seen: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of each resource's registration."""
    return {
        name: hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]
        for name, inputs in sorted(seen.items())
    }
