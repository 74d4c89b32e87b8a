# pyright: strict
"""How mistakes in the settings are reported: one line each, with key, rule and value, but no secret. Pure."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from components.values.area import Area
from components.values.texts import has_password

PROJECT = "campus-monitor"


class SettingsError(Exception):
    """The configuration can't be used. Each argument is one line: key, rule, value."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


Model = TypeVar("Model", bound=Area)


def validated(model: type[Model], tree: dict[str, Any]) -> Model:
    """The model of a stack file's content. Raises SettingsError with one line per mistake."""
    try:
        return model.model_validate(tree, by_alias=True, by_name=False)
    except ValidationError as error:
        items = error.errors(include_url=False)
        raise SettingsError([_problem(dict(item), tree) for item in items]) from None


def _problem(item: dict[str, Any], tree: dict[str, Any]) -> str:
    """One line of an error: key path, rule, value received."""
    location = [str(part) for part in item["loc"] if part != "[key]"]
    path = ".".join(location)
    rule = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        rule = "unknown key; look for a typing mistake, or remove it"
    elif item["type"] == "missing":
        return f"{PROJECT}:{path}: required key is missing"
    if item["type"] == "value_error" and re.match(r"[\w.-]+: ", rule):
        # A check of a whole area names the key below it, and the value, itself.
        return f"{PROJECT}:{path}.{rule}" if path else f"{PROJECT}:{rule}"
    # Under an unknown key, or in place of a mapping with secrets, the value may be a misplaced secret.
    hidden = item["type"] in ("extra_forbidden", "model_type", "dict_type") or location[-1] == "accounts"
    return f"{PROJECT}:{path}: {rule}{'' if hidden else _received(location, tree)}"


# Who knows a webhook's URL can write there.
_SECRET_URLS = ("discord", "slack")


def _received(location: list[str], tree: dict[str, Any]) -> str:
    value: Any = tree
    for part in location:
        if "password" in part.lower() or "secret" in part.lower() or part in _SECRET_URLS:
            return ""
        try:
            value = cast("list[Any]", value)[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, ValueError, TypeError):
            return ""
    # A whole area may hold a password further down.
    if isinstance(value, (dict, list)) or has_password(str(value)):
        return ""
    return f", received {json.dumps(value)}"
