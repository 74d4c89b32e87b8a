"""A resource type's inputs, and the effects of their changes.

The rules are the Terraform SDK's, on which both real plugins are built: a missing input counts as its
default, else as the provider's computed value, else as zero; a zero value equals a missing value; sets
compare without order.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from rig.plugins.values import UNKNOWN, has_unknown, plain

Kind = Literal["string", "int", "bool", "list", "set", "map", "object"]
_ZEROS: dict[Kind, Any] = {
    "string": "",
    "int": 0,
    "bool": False,
    "list": [],
    "set": [],
    "map": {},
    "object": {},
}
_PYTHON: dict[Kind, type] = {
    "string": str,
    "int": int,
    "bool": bool,
    "list": list,
    "set": list,
    "map": dict,
    "object": dict,
}


@dataclass(frozen=True, kw_only=True)
class Prop:
    """One input: its kind, and the effect of a change."""

    kind: Kind
    required: bool = False
    replace: bool = False
    replace_if_it_comes_or_goes: bool = False
    computed: bool = False
    default: Any = None
    items: Prop | None = None
    fields: Mapping[str, Prop] | None = None
    same: Callable[[Any, Any], bool] | None = None
    """Optional: whether an old and a new value count as equal."""
    check: Callable[[Any], str | None] | None = None
    """Optional: what is wrong with a value, or None."""


def string(**rules: Any) -> Prop:
    """A text."""
    return Prop(kind="string", **rules)


def integer(**rules: Any) -> Prop:
    """A whole number."""
    return Prop(kind="int", **rules)


def boolean(**rules: Any) -> Prop:
    """True or false."""
    return Prop(kind="bool", **rules)


def one_of(known: Collection[object]) -> Callable[[Any], str | None]:
    """A check that accepts only these values."""
    return lambda value: None if value in known else f"expected one of {list(known)}, got {value!r}"


def strings(kind: Literal["list", "set"], **rules: Any) -> Prop:
    """Texts, with an order (list) or without (set)."""
    return Prop(kind=kind, items=string(), **rules)


def objects(kind: Literal["list", "set"], fields: Mapping[str, Prop], **rules: Any) -> Prop:
    """Objects, with an order (list) or without (set)."""
    return Prop(kind=kind, items=Prop(kind="object", fields=fields), **rules)


def mapping(**rules: Any) -> Prop:
    """Texts by name."""
    return Prop(kind="map", items=string(), **rules)


@dataclass(frozen=True)
class Failure:
    """One mistake in the inputs."""

    path: str
    reason: str


@dataclass(frozen=True)
class Change:
    """One difference: its path, its kind, and whether it needs a new resource."""

    path: str
    kind: Literal["add", "delete", "update"]
    replace: bool


def failures(props: Mapping[str, Prop], inputs: Mapping[str, Any], path: str = "") -> list[Failure]:
    """Every mistake in the inputs."""
    found = [
        Failure(f"{path}{name}", "the fake plugin doesn't know or doesn't support this property")
        for name in inputs
        if name not in props
    ]
    for name, prop in props.items():
        value = plain(inputs.get(name))
        if value is None:
            if prop.required:
                found.append(Failure(f"{path}{name}", "missing required property"))
        else:
            found += _value_failures(prop, value, f"{path}{name}")
    return found


def _value_failures(prop: Prop, value: Any, path: str) -> Iterator[Failure]:
    if value is UNKNOWN:
        return
    wanted = _PYTHON[prop.kind]
    if not isinstance(value, wanted) or (prop.kind == "int" and isinstance(value, bool)):
        yield Failure(path, f"expected a {prop.kind}, got a {type(value).__name__}")
        return
    if prop.fields is not None:
        yield from failures(prop.fields, value, f"{path}.")
    elif prop.items is not None:
        entries = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in entries:
            yield from _value_failures(prop.items, item, _inside(path, key))
    if prop.check is not None and not has_unknown(value):
        reason = prop.check(value)
        if reason is not None:
            yield Failure(path, reason)


def changes(props: Mapping[str, Prop], old: Mapping[str, Any], new: Mapping[str, Any]) -> list[Change]:
    """The differences between a resource's plain state and new plain inputs."""
    found: list[Change] = []
    for name, prop in props.items():
        given = new.get(name)
        if given is None and prop.default is not None:
            given = prop.default
        if _keeps_what_was_computed(prop, given):
            continue
        before, after = normal(prop, old.get(name)), normal(prop, given, old.get(name))
        if _equal(prop, before, after):
            continue
        replace = prop.replace or (prop.replace_if_it_comes_or_goes and bool(before) != bool(after))
        found += [
            Change(path, kind, replace)
            for path, kind in _paths(prop, name, old.get(name), new.get(name), before, after)
        ]
    return found


def _keeps_what_was_computed(prop: Prop, given: Any) -> bool:
    return prop.computed and (given is None or given in ([], {}))


def _equal(prop: Prop, before: Any, after: Any) -> bool:
    if has_unknown(after):
        return False
    if prop.same is not None:
        return prop.same(before, after)
    if prop.kind == "set":
        return _as_bag(before) == _as_bag(after)
    return before == after


def _as_bag(items: list[Any]) -> list[str]:
    return sorted({repr(item) for item in items})


def normal(prop: Prop, value: Any, old: Any = None) -> Any:
    """The value with defaults and zeros filled in, so that equal meanings compare equal.

    `old` has the provider's computed values for missing fields.
    """
    if value is UNKNOWN:
        return UNKNOWN
    if value is None:
        value = prop.default if prop.default is not None else _ZEROS[prop.kind]
    if prop.kind == "object" and prop.fields is not None and value != {}:
        return _normal_object(prop.fields, value, old if isinstance(old, dict) else {})
    if prop.kind in ("list", "set") and prop.items is not None:
        olds = old if prop.kind == "list" and isinstance(old, list) else []
        items = [
            normal(prop.items, item, olds[at] if at < len(olds) else None) for at, item in enumerate(value)
        ]
        return sorted(items, key=repr) if prop.kind == "set" else items
    return value


def _normal_object(
    fields: Mapping[str, Prop], value: Mapping[str, Any], old: Mapping[str, Any]
) -> dict[str, Any]:
    filled = {}
    for name, prop in fields.items():
        given = value.get(name)
        if given is None and prop.computed:
            given = old.get(name)
        filled[name] = normal(prop, given, old.get(name))
    return filled


def _paths(
    prop: Prop, name: str, old: Any, new: Any, before: Any, after: Any
) -> Iterator[tuple[str, Literal["add", "delete", "update"]]]:
    """The paths to show for a changed property, as deep as both sides have the same shape."""
    if new is UNKNOWN or old is UNKNOWN:
        yield name, "update" if old else "add"
    elif old in (None, "", [], {}):
        yield name, "add"
    elif new in (None, "", [], {}):
        yield name, "delete"
    elif prop.kind in ("map", "object"):
        yield from _keyed_paths(name, before, after)
    elif prop.kind in ("list", "set"):
        yield from _item_paths(prop, name, old, new)
    else:
        yield name, "update"


def _keyed_paths(
    name: str, before: dict[str, Any], after: dict[str, Any]
) -> Iterator[tuple[str, Literal["add", "delete", "update"]]]:
    for key in sorted(before.keys() | after.keys()):
        if before.get(key) != after.get(key):
            kind = "update" if key in before and key in after else "add"
            yield _inside(name, key), "delete" if key not in after else kind


def _item_paths(
    prop: Prop, name: str, old: list[Any], new: list[Any]
) -> Iterator[tuple[str, Literal["add", "delete", "update"]]]:
    item = prop.items or string()
    olds = [normal(item, entry) for entry in old]
    news = [normal(item, entry) for entry in new]
    if prop.kind == "set":
        gone = {at for at, entry in enumerate(olds) if entry not in news}
        come = {at for at, entry in enumerate(news) if entry not in olds}
    else:
        shared = min(len(olds), len(news))
        differ = {at for at in range(shared) if olds[at] != news[at]}
        gone = differ | set(range(shared, len(olds)))
        come = differ | set(range(shared, len(news)))
    if not gone | come:
        yield name, "update"
    for at in sorted(gone | come):
        kind = "update" if at in gone and at in come else "add"
        yield _inside(name, at), "delete" if at not in come else kind


def _inside(path: str, key: str | int) -> str:
    """The path of an entry, in Pulumi's notation."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if key.replace("_", "a").isalnum() else f'{path}["{key}"]'
