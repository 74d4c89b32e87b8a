"""Everything that the program registers with Pulumi's engine, as the engine is told it."""

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

# Where in the program a resource is registered, by which SDK, and what a fake has no use for.
_LEFT_OUT = {"sourcePosition", "stackTrace", "packageRef", "supportsResultReporting"}


class _Answers(Engine):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        made, outputs = super().new_resource(args)
        return made, outputs | {"publicIp": "203.0.113.7"}


class _Monitor(mocks.MockMonitor):
    """Remembers each registration whole."""

    def __init__(self) -> None:
        self.answers = _Answers()
        super().__init__(self.answers)
        self.seen: dict[str, dict[str, Any]] = {}

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802  Pulumi's name
        told = {key: value for key, value in MessageToDict(request).items() if key not in _LEFT_OUT}
        # Sets: their order is the runtime's.
        told["dependencies"] = sorted(told.get("dependencies", []))
        for one in told.get("propertyDependencies", {}).values():
            one["urns"] = sorted(one.get("urns", []))
        self.seen[f"{request.type} {request.name}"] = told
        return super().RegisterResource(request)


def registered(program: Path, stack: str) -> dict[str, Any]:
    """Each resource of a stack by type and name, and what the engine is told of it.

    `program` is the folder with `__main__.py` and the stacks' files.
    """
    settings.set_root_resource(cast(Any, None))  # that of a stack before
    monitor = _Monitor()
    areas = settings_of(stack, program)
    # `make up` turns Grafana off in the local stack's file where its image isn't available.
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
            gc.enable()  # the program, which lives for seconds, does without
    return monitor.seen


def _somewhere(text: str) -> str:
    """The text with a Docker host, and a digest, that the program takes without having them."""
    return text.replace("0" * 64, "1" * 64).replace("unix:///var/run/docker.sock", "ssh://operator@campus")


def fingerprints(seen: Mapping[str, Any]) -> dict[str, str]:
    """A short hash of what the engine is told of each resource."""
    return {
        name: hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]
        for name, told in sorted(seen.items())
    }
