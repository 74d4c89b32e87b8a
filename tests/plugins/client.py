"""A plugin from the engine's view: a process, and calls of Pulumi's protocol."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc

from local.paths import STAND_IN_PLUGINS
from local.pulumi_plugins import PLUGINS
from rig.plugins.protos import provider_pb2, provider_pb2_grpc, status_pb2
from rig.plugins.values import from_struct, to_struct

CALL_SECONDS = 120
_SEED = b"0123456789abcdef"


class Refused(Exception):  # noqa: N818
    """The plugin's answer was an error."""


@dataclass(frozen=True)
class Diff:
    """A plugin's answer about a change."""

    paths: dict[str, str]
    replaces: tuple[str, ...]
    delete_first: bool


class Outputs(dict[str, Any]):
    """A resource's outputs; the engine's state also keeps the inputs that they came from."""

    def __init__(self, outputs: dict[str, Any], inputs: dict[str, Any]) -> None:
        super().__init__(outputs)
        self.inputs = inputs


@dataclass
class Plugin:
    """A running plugin, called as by the engine (pulumi: pkg/resource/deploy/step_generator.go, step.go)."""

    stub: Any
    made: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def _call(self, method: str, **request: Any) -> Any:
        kind = {
            "Configure": provider_pb2.ConfigureRequest,
            "Diff": provider_pb2.DiffRequest,
            "Create": provider_pb2.CreateRequest,
            "Read": provider_pb2.ReadRequest,
            "Update": provider_pb2.UpdateRequest,
            "Delete": provider_pb2.DeleteRequest,
            "Invoke": provider_pb2.InvokeRequest,
        }.get(method, provider_pb2.CheckRequest)
        try:
            return getattr(self.stub, method)(kind(**request), timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            raise Refused(error.details()) from error  # type: ignore[attr-defined]

    def check_config(self, config: dict[str, Any]) -> dict[str, str]:
        """What is wrong with the provider's settings, by property."""
        answer = self._call("CheckConfig", urn=urn("pulumi:providers:x"), news=to_struct(config))
        return {one.property: one.reason for one in answer.failures}

    def configure(self, config: dict[str, Any]) -> Any:
        """Give the plugin its settings."""
        return self._call("Configure", args=to_struct(config), acceptSecrets=True)

    def failures(self, token: str, inputs: dict[str, Any]) -> dict[str, str]:
        """What is wrong with the inputs, by property."""
        answer = self._call("Check", urn=urn(token), news=to_struct(inputs), randomSeed=_SEED)
        return {one.property: one.reason for one in answer.failures}

    def check(self, token: str, inputs: dict[str, Any], old: dict[str, Any] | None = None) -> dict[str, Any]:
        """The plugin's checked inputs, which must be right."""
        answer = self._call(
            "Check",
            urn=urn(token),
            news=to_struct(inputs),
            olds=to_struct(_inputs(old or {})),
            randomSeed=_SEED,
        )
        assert not list(answer.failures)
        return from_struct(answer.inputs)

    def create(
        self, token: str, inputs: dict[str, Any], *, preview: bool = False
    ) -> tuple[str, dict[str, Any]]:
        """Create a resource; its id and outputs."""
        checked = self.check(token, inputs)
        try:
            answer = self._call("Create", urn=urn(token), properties=to_struct(checked), preview=preview)
        except Refused as error:
            self._remember_half_made(token, error)
            raise
        outputs = Outputs(from_struct(answer.properties), checked)
        if not preview:
            self.made.append((token, answer.id, outputs))
        return answer.id, outputs

    def _remember_half_made(self, token: str, error: Refused) -> None:
        half = half_made(error)
        if half is not None:
            self.made.append((token, *half))

    def diff(self, token: str, outputs: dict[str, Any], inputs: dict[str, Any]) -> Diff:
        """The changes by new inputs."""
        news = self.check(token, inputs, outputs)
        old, old_inputs = to_struct(outputs), to_struct(_inputs(outputs))
        request = {"olds": old, "old_inputs": old_inputs, "news": to_struct(news)}
        answer = self._call("Diff", id="x", urn=urn(token), **request)
        kinds = provider_pb2.PropertyDiff.Kind
        paths = {path: kinds.Name(one.kind) for path, one in answer.detailedDiff.items()}
        assert bool(paths) == (answer.changes == provider_pb2.DiffResponse.DIFF_SOME)
        return Diff(paths, tuple(answer.replaces), answer.deleteBeforeReplace)

    def read(
        self, token: str, resource_id: str, outputs: dict[str, Any] | None = None
    ) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """Current id, outputs and inputs; without old outputs it is an import."""
        known = outputs or {}
        old, old_inputs = to_struct(known), to_struct(_inputs(known))
        answer = self._call("Read", id=resource_id, urn=urn(token), properties=old, inputs=old_inputs)
        inputs = from_struct(answer.inputs)
        return answer.id, Outputs(from_struct(answer.properties), inputs), inputs

    def update(
        self,
        token: str,
        resource_id: str,
        outputs: dict[str, Any],
        inputs: dict[str, Any],
        *,
        preview: bool = False,
    ) -> dict[str, Any]:
        """Change a resource in place; its new outputs."""
        news = self.check(token, inputs, outputs)
        answer = self._call(
            "Update",
            id=resource_id,
            urn=urn(token),
            olds=to_struct(outputs),
            old_inputs=to_struct(_inputs(outputs)),
            news=to_struct(news),
            preview=preview,
        )
        return Outputs(from_struct(answer.properties), news)

    def delete(self, token: str, resource_id: str, outputs: dict[str, Any]) -> None:
        """Remove a resource."""
        self._call("Delete", id=resource_id, urn=urn(token), properties=to_struct(outputs))

    def invoke(self, token: str, asked: dict[str, Any]) -> dict[str, Any]:
        """A function's result; its inputs must be right."""
        answer = self._call("Invoke", tok=token, args=to_struct(asked))
        assert not list(answer.failures)
        return from_struct(getattr(answer, "return"))

    def clear(self) -> None:
        """Remove all created resources, the newest first."""
        while self.made:
            token, resource_id, outputs = self.made.pop()
            self.delete(token, resource_id, outputs)


def _inputs(outputs: dict[str, Any]) -> dict[str, Any]:
    return outputs.inputs if isinstance(outputs, Outputs) else outputs


def urn(token: str, name: str = "thing") -> str:
    """The URN of a resource of that type."""
    return f"urn:pulumi:stack::project::{token}::{name}"


def half_made(error: Refused) -> tuple[str, dict[str, Any]] | None:
    """The id and state of a resource that a failed creation left."""
    cause: Any = error.__cause__
    for key, value in cause.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            detail = provider_pb2.ErrorResourceInitFailed()
            status = status_pb2.Status.FromString(value)
            assert status.details[0].Unpack(detail)
            return detail.id, from_struct(detail.properties)
    return None


def _program(name: str) -> Path:
    """The fake for AWS; for Docker the plugin on PATH, else the official one."""
    file = f"pulumi-resource-{name}"
    if name == "aws":
        return STAND_IN_PLUGINS / file
    home = Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi")
    return Path(shutil.which(file) or home / "plugins" / f"resource-{name}-v{PLUGINS[name]}" / file)


@contextmanager
def running_plugin(name: str) -> Iterator[Plugin]:
    """A plugin, started like the engine does."""
    command = [str(_program(name)), "127.0.0.1:1"]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd="/") as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                yield Plugin(provider_pb2_grpc.ResourceProviderStub(channel))
        finally:
            process.kill()
