"""Pulumi's provider protocol for any `Provider`."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import secrets
import sys
import traceback
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2

from rig.plugins.protos import plugin_pb2, provider_pb2, provider_pb2_grpc, sdk_version
from rig.plugins.provider import PluginError, Provider, ResourceType, State, planned, settled
from rig.plugins.schema import Change, Failure, changes, failures
from rig.plugins.values import UNKNOWN, Secret, from_struct, has_secret, has_unknown, plain, public, to_struct

_DEFAULTS = "__defaults"
_ENGINES_OWN = frozenset({"version", "pluginDownloadURL"})
_WORKERS = 32
_ORPHAN_CHECK_SECONDS = 2.0
_LARGEST_MESSAGE = 400 * 1024 * 1024


def _answered(method: Callable[..., Any]) -> Callable[..., Any]:
    """A protocol method whose errors reach the engine as one line."""

    @functools.wraps(method)
    def answer(self: Server, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request)
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except Exception as error:
            line = self.provider.explain(error)
            if line is None:
                traceback.print_exc(file=sys.stderr)
                line = f"the fake plugin {self.provider.name} failed: {error!r}"
            context.abort(grpc.StatusCode.UNKNOWN, line)

    return answer


class Server(provider_pb2_grpc.ResourceProviderServicer):
    """The protocol's methods."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider

    # The plugin itself

    @_answered
    def Handshake(self, request: Any) -> Any:  # noqa: N802
        """The plugin's capabilities."""
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True)

    @_answered
    def GetPluginInfo(self, request: Any) -> Any:  # noqa: N802
        """The version that the installed SDK asks for."""
        return plugin_pb2.PluginInfo(version=sdk_version(self.provider.sdk))

    @_answered
    def GetSchema(self, request: Any) -> Any:  # noqa: N802
        """Only the names of types and functions; nothing is generated from the schema."""
        resources = {
            token: {
                "inputProperties": {name: {"type": "string"} for name in kind.inputs},
                "description": "Fake for tests.",
            }
            for token, kind in self.provider.types.items()
        }
        schema = {
            "name": self.provider.name,
            "version": sdk_version(self.provider.sdk),
            "resources": resources,
        }
        return provider_pb2.GetSchemaResponse(schema=json.dumps(schema))

    @_answered
    def Cancel(self, request: Any) -> Any:  # noqa: N802
        """Nothing to do: every call ends by itself."""
        return empty_pb2.Empty()

    @_answered
    def Attach(self, request: Any) -> Any:  # noqa: N802
        """The engine's address isn't needed."""
        return empty_pb2.Empty()

    @_answered
    def Invoke(self, request: Any) -> Any:  # noqa: N802
        """Call one of the few functions."""
        function = self.provider.functions.get(request.tok)
        if function is None:
            raise PluginError(f"the fake plugin has no function {request.tok!r} (test equipment)")
        asked = plain(public(from_struct(request.args)))
        found = failures(function.inputs, asked)
        answer = {} if found else function.call(asked)
        return provider_pb2.InvokeResponse(failures=_messages(found), **{"return": to_struct(answer)})

    # The provider's settings

    @_answered
    def CheckConfig(self, request: Any) -> Any:  # noqa: N802
        """Refuse settings that the real plugin or the fake doesn't take."""
        news = from_struct(request.news)
        config = _decoded(news)
        found = failures(self.provider.config, config)
        if not found and not has_unknown(config):
            found = self.provider.config_failures(plain(config))
        return provider_pb2.CheckResponse(inputs=to_struct(news), failures=_messages(found))

    @_answered
    def DiffConfig(self, request: Any) -> Any:  # noqa: N802
        """Changed settings never replace anything."""
        before = request.old_inputs if request.HasField("old_inputs") else request.olds
        old, new = from_struct(before), from_struct(request.news)
        differ = sorted(
            key for key in public(old).keys() | public(new).keys() if old.get(key) != new.get(key)
        )
        kind = provider_pb2.DiffResponse
        return kind(changes=kind.DIFF_SOME if differ else kind.DIFF_NONE, diffs=differ)

    @_answered
    def Configure(self, request: Any) -> Any:  # noqa: N802
        """Take the settings."""
        self.provider.configure(plain(_decoded(from_struct(request.args))))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True)

    # Resources

    def _type(self, urn: str) -> ResourceType:
        token = urn.split("::")[2].split("$")[-1]
        found = self.provider.types.get(token)
        if found is None:
            raise PluginError(
                f"the fake plugin has no resource type {token!r} (test equipment, see "
                "rig/plugins/README.md): install the official plugin"
            )
        return found

    @_answered
    def Check(self, request: Any) -> Any:  # noqa: N802
        """Refuse wrong inputs; generate a missing name."""
        kind = self._type(request.urn)
        news, olds = from_struct(request.news), from_struct(request.olds)
        inputs = public(news)
        found = failures(kind.inputs, inputs)
        if not found:
            found = kind.failures(plain(inputs))
        defaults = {name: value for name, value in planned(kind, {}).items() if name not in inputs}
        if kind.auto_named and "name" not in inputs:
            defaults["name"] = _automatic_name(olds, request)
        if defaults:
            inputs |= {**defaults, _DEFAULTS: sorted(defaults)}
        return provider_pb2.CheckResponse(inputs=to_struct(inputs), failures=_messages(found))

    @_answered
    def Diff(self, request: Any) -> Any:  # noqa: N802
        """The changes, and whether they are in place."""
        kind = self._type(request.urn)
        olds, news = from_struct(request.olds), from_struct(request.news)
        found = changes(kind.inputs, plain(public(olds)), plain(public(news)))
        found = [change for change in found if not _ignored(change, request.ignoreChanges)]
        replaces = sorted({_top(change.path) for change in found if change.replace})
        message = provider_pb2.DiffResponse
        return message(
            changes=message.DIFF_SOME if found else message.DIFF_NONE,
            replaces=replaces,
            diffs=sorted({_top(change.path) for change in found}),
            detailedDiff={change.path: _property_diff(change) for change in found},
            hasDetailedDiff=True,
            deleteBeforeReplace=bool(replaces) and _delete_first(kind, olds, news),
        )

    @_answered
    def Create(self, request: Any) -> Any:  # noqa: N802
        """Make it."""
        kind = self._type(request.urn)
        inputs = from_struct(request.properties)
        if request.preview:
            later = dict.fromkeys(kind.computed, UNKNOWN)
            later |= {name: UNKNOWN for name, prop in kind.inputs.items() if prop.computed}
            state = {**later, **planned(kind, public(inputs)), **_mirrored(kind, inputs)}
            return provider_pb2.CreateResponse(id="", properties=to_struct(state))
        resource_id, state = kind.create(_known(kind, inputs))
        return provider_pb2.CreateResponse(
            id=resource_id, properties=to_struct(_kept_secret(state, inputs, kind))
        )

    @_answered
    def Read(self, request: Any) -> Any:  # noqa: N802
        """The current state, for refresh; an empty answer if it is gone."""
        kind = self._type(request.urn)
        old, inputs = from_struct(request.properties), from_struct(request.inputs)
        found = kind.read(request.id, plain(public(old)))
        if found is None:
            return provider_pb2.ReadResponse(id="")
        resource_id, state = found
        seen = _seen_inputs(kind, inputs, state)
        return provider_pb2.ReadResponse(
            id=resource_id,
            properties=to_struct(_kept_secret(state, {**old, **inputs}, kind)),
            inputs=to_struct(seen),
        )

    @_answered
    def Update(self, request: Any) -> Any:  # noqa: N802
        """Change it in place."""
        kind = self._type(request.urn)
        old, inputs = from_struct(request.olds), from_struct(request.news)
        if request.preview:
            state = {**settled(kind, public(old), public(inputs)), **_mirrored(kind, inputs)}
        else:
            known = _known(kind, inputs)
            state = _kept_secret(kind.update(request.id, plain(public(old)), known), {**old, **inputs}, kind)
        return provider_pb2.UpdateResponse(properties=to_struct(state))

    @_answered
    def Delete(self, request: Any) -> Any:  # noqa: N802
        """Remove it."""
        state = plain(public(from_struct(request.properties)))
        self._type(request.urn).delete(request.id, state)
        return empty_pb2.Empty()


def _known(kind: ResourceType, inputs: State) -> State:
    """The plain inputs, defaults filled in."""
    found = plain(public(inputs))
    if has_unknown(found):
        raise PluginError("an input isn't known yet, but has to be to create the resource")
    return planned(kind, found)


def _decoded(config: State) -> State:
    """Provider settings: the SDK writes everything except text as JSON."""
    return {key: _from_json(value) for key, value in public(config).items() if key not in _ENGINES_OWN}


def _from_json(value: Any) -> Any:
    if isinstance(value, Secret):
        return Secret(_from_json(value.value))
    if isinstance(value, str) and (value[:1] in ("[", "{") or value in ("true", "false")):
        try:
            return json.loads(value)
        except json.JSONDecodeError:
            return value
    return value


def _messages(found: Iterable[Failure]) -> list[Any]:
    return [provider_pb2.CheckFailure(property=one.path, reason=one.reason) for one in found]


def _automatic_name(olds: State, request: Any) -> str:
    """The old generated name, or the logical name with seven hex digits."""
    if "name" in olds.get(_DEFAULTS, []) and "name" in olds:
        return olds["name"]
    seed = request.randomSeed or secrets.token_bytes(16)
    logical = request.name or request.urn.rsplit("::", 1)[-1]
    return f"{logical}-{hashlib.sha256(seed + logical.encode()).hexdigest()[:7]}"


def _delete_first(kind: ResourceType, olds: State, news: State) -> bool:
    """Whether old and new can't exist in parallel: a given name that stays the same."""
    given = kind.auto_named and "name" not in news.get(_DEFAULTS, [])
    return given and plain(olds.get("name")) == plain(news.get("name"))


def _top(path: str) -> str:
    return path.split(".", 1)[0].split("[", 1)[0]


def _ignored(change: Change, ignored: Iterable[str]) -> bool:
    return any(change.path == one or change.path.startswith((f"{one}.", f"{one}[")) for one in ignored)


def _property_diff(change: Change) -> Any:
    kinds = provider_pb2.PropertyDiff
    kind = {
        ("add", False): kinds.ADD,
        ("add", True): kinds.ADD_REPLACE,
        ("delete", False): kinds.DELETE,
        ("delete", True): kinds.DELETE_REPLACE,
        ("update", False): kinds.UPDATE,
        ("update", True): kinds.UPDATE_REPLACE,
    }[change.kind, change.replace]
    return kinds(kind=kind)


def _mirrored(kind: ResourceType, inputs: State) -> State:
    return {name: inputs[source] for name, source in kind.mirrors.items() if source in inputs}


def _kept_secret(state: State, known: State, kind: ResourceType) -> State:
    """The state with every property secret that is secret in `known`."""
    return {
        name: Secret(value)
        if has_secret(known.get(name)) or has_secret(known.get(kind.mirrors.get(name, name)))
        else value
        for name, value in state.items()
    }


def _seen_inputs(kind: ResourceType, inputs: State, state: State) -> State:
    """The inputs as refresh found them: unchanged if the meaning is the same."""
    seen = dict(inputs)
    for name, value in inputs.items():
        prop = kind.inputs.get(name)
        if prop is None:
            continue
        drifted = changes({name: prop}, state, {name: plain(value)})
        if drifted:
            seen[name] = Secret(state.get(name)) if has_secret(value) else state.get(name)
    return {name: value for name, value in seen.items() if value is not None}


def serve(provider: Provider) -> None:
    """Serve on a free loopback port, print it to stdout, and end with the engine."""
    options = [
        ("grpc.max_receive_message_length", _LARGEST_MESSAGE),
        ("grpc.max_send_message_length", _LARGEST_MESSAGE),
    ]
    server = grpc.server(ThreadPoolExecutor(max_workers=_WORKERS), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(Server(provider), server)
    port = server.add_insecure_port("127.0.0.1:0")
    engine = os.getppid()
    server.start()
    print(port, flush=True)
    while server.wait_for_termination(timeout=_ORPHAN_CHECK_SECONDS):
        if os.getppid() != engine:
            server.stop(grace=None)
