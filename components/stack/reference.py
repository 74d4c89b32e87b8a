# pyright: strict
"""The reference of all settings, generated from their models. Pure.

`python -m components.stack.reference` writes the tables of docs/settings.md (its other text is written by
hand) and docs/settings.schema.json (components/stack/settings_schema.py).
"""

from __future__ import annotations

import json
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

from annotated_types import Ge, Gt, Le, MaxLen, MinLen
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_json

from components.stack import settings_schema
from components.stack.settings import Settings
from components.values.area import Area
from components.values.value_rule import ValueRule

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN = "<!-- Made by `make reference` from here on: the models' docstrings say it. -->\n"
END = "<!-- Made by `make reference` up to here. -->\n"

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "boolean",
    SecretStr: "secret text",
}


@dataclass
class Shape:
    """An annotation's content: words for the type, its rules, and the model below it with its path."""

    words: str
    rules: list[str] = field(default_factory=list[str])
    model: type[Area] | None = None
    way: str = ""


@dataclass(frozen=True)
class Row:
    """One setting."""

    key: str
    words: str
    default: str
    rule: str
    sentence: str


def render(text: str) -> str:
    """docs/settings.md with new tables."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    return head + begin + "\n" + "\n".join(map(_area, Settings.model_fields.values())) + "\n" + end + tail


def rows(model: type[Area], path: str = "") -> Iterator[Row]:
    """Every setting of a model and of the models below it."""
    for name, info in model.model_fields.items():
        yield from _rows_of(info, f"{path}{info.alias or name}")


def _area(info: FieldInfo) -> str:
    """The section of one area."""
    shape = _shape_of(info)
    assert shape.model is not None
    required = " The area is required." if info.is_required() else ""
    title = f"### `{info.alias}`\n\n{_line(info.description)}{required}\n\n"
    path = f"{shape.way}.".removeprefix(".")
    table = "| key | type | default | rule | what it does |\n|---|---|---|---|---|\n"
    return title + table + "".join(map(_cells, rows(shape.model, path)))


def _cells(row: Row) -> str:
    cells = (f"`{row.key}`", row.words, row.default, row.rule.replace("<", "\\<"), row.sentence)
    return "| " + " | ".join(one.replace("|", "\\|") for one in cells) + " |\n"


def _rows_of(info: FieldInfo, key: str) -> Iterator[Row]:
    shape = _shape_of(info)
    yield Row(key, shape.words, _default(info), "; ".join(shape.rules), _line(info.description))
    if shape.model is not None:
        yield from rows(shape.model, f"{key}{shape.way}.")


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "**required**"
    value: object = info.get_default(call_default_factory=False)
    if value is None:
        return "none"
    text = to_json(value, by_alias=True, exclude_none=True).decode()
    return (
        "that of its keys" if isinstance(value, Area) else f"`{json.dumps(_without_defaults(value, text))}`"
    )


def _without_defaults(value: object, text: str) -> object:
    """A default as in a stack's file: in a list of models, only the keys that were set."""
    if not isinstance(value, tuple):
        return json.loads(text)
    items = cast("tuple[object, ...]", value)
    return [
        one.model_dump(mode="json", by_alias=True, exclude_unset=True) if isinstance(one, Area) else one
        for one in items
    ]


def _shape_of(info: FieldInfo) -> Shape:
    shape = _shape(info.annotation)
    return _with_rules(shape, info.metadata)


def _shape(annotation: Any) -> Shape:
    """An annotation's shape, with its parts' rules."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _with_rules(_shape(parts[0]), parts[1:])
    if origin is Literal:
        return Shape(", ".join(f"`{one}`" for one in _literals(annotation)))
    if origin in (Union, types.UnionType):
        return _either([one for one in parts if one is not type(None)])
    if origin is dict:
        name, inner = _shape(parts[0]), _shape(parts[1])
        rules = [*(f"keys: {one}" for one in name.rules), *inner.rules]
        return Shape(f"mapping of {inner.words}", rules, inner.model, f".<name>{inner.way}")
    if origin is tuple:
        inner = _shape(parts[0])
        return Shape(f"list of {inner.words}", inner.rules, inner.model, f"[]{inner.way}")
    if isinstance(annotation, type) and issubclass(annotation, Area):
        return Shape("area", model=annotation)
    return Shape(_WORDS[annotation])


def _either(parts: list[Any]) -> Shape:
    """The shape of a union; of its only part, if only one is left."""
    shapes = [_shape(one) for one in parts]
    if len(shapes) == 1:
        return shapes[0]
    return Shape(" or ".join(one.words for one in shapes), [rule for one in shapes for rule in one.rules])


def _literals(annotation: Any) -> Iterator[object]:
    """The values of a Literal, nested ones included."""
    for one in get_args(annotation):
        yield from _literals(one) if get_origin(one) is Literal else (one,)


def _with_rules(shape: Shape, metadata: Any) -> Shape:
    found = [words for one in metadata for words in _rule(one)]
    return Shape(shape.words, [*shape.rules, *found], shape.model, shape.way)


def _rule(constraint: object) -> Iterator[str]:
    match constraint:
        case ValueRule(words):
            yield words
        case Gt(limit):
            yield f"more than {limit}"
        case Ge(limit):
            yield f"at least {limit}"
        case Le(limit):
            yield f"at most {limit}"
        case MinLen(limit):
            yield f"at least {limit} long"
        case MaxLen(limit):
            yield f"at most {limit} long"
        case _:
            pass


def main() -> None:
    """Write both files."""
    page = DOCS / "settings.md"
    page.write_text(render(page.read_text()))
    (DOCS / "settings.schema.json").write_text(settings_schema.render())


if __name__ == "__main__":
    main()
