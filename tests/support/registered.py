"""Everything that the program registers with Pulumi's engine, as the engine is told it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pulumi
import yaml
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import mocks, settings

PROJECT = "campus-monitor"
# Where in the program a resource is registered, by which SDK, and what a fake has no use for.
_LEFT_OUT = {"sourcePosition", "stackTrace", "packageRef", "supportsResultReporting"}


class _Answers(mocks.Mocks):
    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        # What a dynamic resource, and AWS, give back.
        given = {"bcrypt_hash": "$2b$14$hash", "value": "generated", "content_sha256": "0" * 64}
        given["publicIp"] = "203.0.113.7"
        return f"{args.name}-id", {
            "arn": f"arn:{args.name}",
            "imageId": f"sha256:{args.name}",
        } | args.inputs | given

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        return {"accountId": "123456789012"} if "getCallerIdentity" in args.token else {}, []


class _Monitor(mocks.MockMonitor):
    """Remembers each registration whole."""

    def __init__(self) -> None:
        super().__init__(_Answers())
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
    config = yaml.safe_load((program / f"Pulumi.{stack}.yaml").read_text())["config"]
    texts = {
        key: _somewhere(value if isinstance(value, str) else json.dumps(value))
        for key, value in config.items()
    }
    asyncio.set_event_loop(asyncio.new_event_loop())
    settings.set_root_resource(cast(Any, None))  # that of a stack before
    monitor = _Monitor()
    mocks.set_mocks(_Answers(), project=PROJECT, stack=stack, preview=False, monitor=monitor)
    pulumi.runtime.set_all_config({key: _somewhere(text) for key, text in texts.items()})

    @pulumi.runtime.test
    def run() -> None:
        runpy.run_path(str(program / "__main__.py"), run_name="__main__")

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
