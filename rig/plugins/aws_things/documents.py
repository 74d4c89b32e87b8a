"""Inputs that are JSON documents: their equality, and their mistakes."""

from __future__ import annotations

import json
from typing import Any

_EMPTY = (None, [], {})


def compact(value: Any) -> Any:
    """The value without nulls, empty lists and empty objects, which count as missing."""
    if isinstance(value, dict):
        items = {key: compact(item) for key, item in value.items()}
        return {key: item for key, item in items.items() if item not in _EMPTY}
    if isinstance(value, list):
        return [compact(item) for item in value if item is not None]
    return value


def same_policy(old: str, new: str) -> bool:
    """Whether two policy documents mean the same."""
    try:
        return _meaning(json.loads(old)) == _meaning(json.loads(new))
    except ValueError:
        return old == new


def _meaning(value: Any) -> Any:
    """The document with one-item lists equal to their item, and lists without order."""
    if isinstance(value, dict):
        return {key: _meaning(item) for key, item in value.items()}
    if isinstance(value, list):
        items = sorted((_meaning(item) for item in value), key=repr)
        return items[0] if len(items) == 1 else items
    return value


def same_definitions(old: str, new: str) -> bool:
    """Whether two texts of container definitions mean the same, as the real plugin compares them.

    Fields without a value, defaults, and the order of variables, secrets and ports don't count.
    """
    try:
        before, after = ([_container(compact(one)) for one in json.loads(text)] for text in (old, new))
    except (ValueError, AttributeError, TypeError):
        return old == new
    return before == after


def _container(container: dict[str, Any]) -> dict[str, Any]:
    ports = [{"protocol": "tcp", "hostPort": 0, **one} for one in container.get("portMappings", [])]
    lists = {name: container.get(name, []) for name in ("environment", "secrets")} | {"portMappings": ports}
    unordered = {
        name: sorted(items, key=lambda one: sorted(map(str, one.items()))) for name, items in lists.items()
    }
    return {"essential": True, "cpu": 0, **container, **unordered}


def json_failure(text: str) -> str | None:
    """What is wrong with a document's text."""
    try:
        json.loads(text)
    except ValueError as error:
        return f"contains invalid JSON: {error}"
    return None
