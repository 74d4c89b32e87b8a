# pyright: strict
"""A JSON schema of a whole `Pulumi.<stack>.yaml`, for editors. Pure.

It has keys, types, bounds and patterns; only `pulumi preview` checks rules between settings.
"""

from __future__ import annotations

import json
from typing import Any, cast

from components.stack.settings import Settings
from components.values.errors import PROJECT

Schema = dict[str, Any]

# A secret in the file.
ENCRYPTED: Schema = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
# Pulumi's own keys ("Pulumi stack settings file").
PULUMIS_OWN: Schema = {
    "secretsprovider": {"type": "string"},
    "encryptedkey": {"type": "string"},
    "encryptionsalt": {"type": "string"},
    "environment": {},
}


def schema() -> Schema:
    """The schema, in draft 7, which every editor's plugin supports."""
    areas = cast("Schema", _for_files(Settings.model_json_schema(by_alias=True, mode="validation")))
    config: Schema = {
        "type": "object",
        "properties": {f"{PROJECT}:{area}": one for area, one in areas["properties"].items()},
        "required": [f"{PROJECT}:{area}" for area in areas["required"]],
        # Also providers' own keys, such as aws:profile, but no unknown area of ours.
        "propertyNames": {
            "anyOf": [
                {"enum": [f"{PROJECT}:{area}" for area in areas["properties"]]},
                {"not": {"pattern": f"^{PROJECT}:"}},
            ]
        },
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": f"Pulumi.<stack>.yaml of {PROJECT}",
        "type": "object",
        "properties": {**PULUMIS_OWN, "config": config},
        "required": ["config"],
        "additionalProperties": False,
        "$defs": areas["$defs"],
    }


def _for_files(node: Any) -> Any:
    """pydantic's schema adapted to files: secrets may be encrypted, and mappings' names are checked."""
    if isinstance(node, list):
        return [_for_files(one) for one in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = {key: _for_files(one) for key, one in cast("Schema", node).items() if key != "title"}
    if found.get("format") == "password":
        description = {key: found[key] for key in ("description",) if key in found}
        return {"anyOf": [{"type": "string"}, ENCRYPTED], **description}
    if "patternProperties" in found:
        # Names that don't match the pattern are mistakes.
        found.setdefault("additionalProperties", False)
    return found


def render() -> str:
    """docs/settings.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
