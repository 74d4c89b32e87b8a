"""Property values in the plugins, and their form on the wire.

Plain values are Python's own (str, int, float, bool, None, list, dict). Two more kinds exist:
`UNKNOWN`, a value that a preview can't know yet, and `Secret`, a value that must stay encrypted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import struct_pb2

_SIGNATURE = "4dabf18193072939515e22adb298388d"
_SECRET = "1b47061264138c4ac30d75fd1eb44270"
_OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
_ASSET = "c44067f5952c0a294b673a41bacd8c17"
_ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
_UNKNOWNS = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # bool
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # string
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # array
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
_UNKNOWN_STRING = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"


class _Unknown:
    """A preview's value that isn't known yet."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Secret:
    """A value that is stored encrypted and never shown."""

    value: Any = field(repr=False)


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The properties of a message, without nulls, like the engine's own."""
    found = {key: _from_wire(value) for key, value in struct.fields.items()}
    return {key: value for key, value in found.items() if value is not None}


def _from_wire(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        return UNKNOWN if text in _UNKNOWNS else text
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return value.bool_value
    if kind == "list_value":
        return [_from_wire(item) for item in value.list_value.values]
    if kind == "struct_value":
        return _from_object(value.struct_value)
    return None


def _from_object(struct: struct_pb2.Struct) -> Any:
    signature = struct.fields.get(_SIGNATURE)
    if signature is None:
        return from_struct(struct)
    if signature.string_value == _SECRET:
        return Secret(_from_wire(struct.fields["value"]))
    if signature.string_value == _OUTPUT:
        inner = _from_wire(struct.fields["value"]) if "value" in struct.fields else UNKNOWN
        secret = "secret" in struct.fields and struct.fields["secret"].bool_value
        return Secret(inner) if secret else inner
    if signature.string_value in (_ASSET, _ARCHIVE):
        raise ValueError("the fake plugins don't support assets")
    return from_struct(struct)


def to_struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    """The message of some properties."""
    struct = struct_pb2.Struct()
    for key, value in properties.items():
        _to_wire(value, struct.fields[key])
    return struct


def _to_wire(value: Any, into: struct_pb2.Value) -> None:
    if value is None:
        into.null_value = struct_pb2.NULL_VALUE
    elif value is UNKNOWN:
        into.string_value = _UNKNOWN_STRING
    elif isinstance(value, Secret):
        into.struct_value.fields[_SIGNATURE].string_value = _SECRET
        _to_wire(value.value, into.struct_value.fields["value"])
    elif isinstance(value, bool):
        into.bool_value = value
    elif isinstance(value, int | float):
        into.number_value = value
    elif isinstance(value, str):
        into.string_value = value
    elif isinstance(value, Mapping):
        into.struct_value.SetInParent()
        for key, item in value.items():
            _to_wire(item, into.struct_value.fields[str(key)])
    elif isinstance(value, list | tuple):
        into.list_value.SetInParent()
        for item in value:
            _to_wire(item, into.list_value.values.add())
    else:
        raise TypeError(f"a {type(value).__name__} can't be a property")


def plain(value: Any) -> Any:
    """The value without secret marks."""
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def has_secret(value: Any) -> bool:
    """Whether a secret is anywhere in the value."""
    if isinstance(value, Secret):
        return True
    if isinstance(value, dict):
        return any(has_secret(item) for item in value.values())
    return isinstance(value, list) and any(has_secret(item) for item in value)


def has_unknown(value: Any) -> bool:
    """Whether anything in the value isn't known yet."""
    if isinstance(value, Secret):
        return has_unknown(value.value)
    if isinstance(value, dict):
        return any(has_unknown(item) for item in value.values())
    return value is UNKNOWN or (isinstance(value, list) and any(has_unknown(i) for i in value))


def public(properties: Mapping[str, Any]) -> dict[str, Any]:
    """The properties without Pulumi's own marks (`__defaults`, `__internal`)."""
    return {key: value for key, value in properties.items() if not key.startswith("__")}
