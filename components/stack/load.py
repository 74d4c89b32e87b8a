"""The stack's settings from Pulumi: the only reader of `pulumi.Config`."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from components.stack.settings import Settings, parse
from components.values.errors import PROJECT, SettingsError


def load() -> Settings:
    """The settings of the selected stack. Raises SettingsError."""
    config = pulumi.Config(PROJECT)
    tree: dict[str, Any] = {}
    problems: list[str] = []
    for key, field in Settings.model_fields.items():
        alias = field.alias or key
        text = config.get(alias)
        if text is None:
            continue
        try:
            tree[alias] = json.loads(text)
        except ValueError:
            problems.append(f"{PROJECT}:{alias}: a mapping is needed")
    problems.extend(_unknown_areas())
    if problems:
        raise SettingsError(problems)
    return parse(tree)


def _unknown_areas() -> list[str]:
    """Keys other than the known areas are typing mistakes, which Pulumi itself accepts."""
    known = {field.alias or key for key, field in Settings.model_fields.items()}
    keys = pulumi.runtime.config.CONFIG.get()  # all keys from the engine
    mine = [key.split(":", 1)[1] for key in keys if key.startswith(f"{PROJECT}:")]
    return [
        f"{PROJECT}:{key}: unknown key; known are {', '.join(sorted(known))}"
        for key in sorted(mine)
        if key not in known
    ]
