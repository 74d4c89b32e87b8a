# pyright: strict
"""A JSON schema of a whole `Pulumi.<stack>.yaml`, for editors. Pure.

It knows keys, types, bounds and patterns; what no schema can say, such as a rule between two settings, only
`pulumi preview` tells.
"""

from __future__ import annotations

import json
from typing import Any, cast

from components.stack.settings import Settings
from components.values.errors import PROJECT

Schema = dict[str, Any]

# As Pulumi writes a secret into the file.
ENCRYPTED: Schema = {
    "type": "object",
    "properties": {"secure": {"type": "string"}},
    "required": ["secure"],
    "additionalProperties": False,
}
# What Pulumi writes or reads beside the settings ("Pulumi stack settings file").
PULUMIS_OWN: Schema = {
    "secretsprovider": {"type": "string"},
    "encryptedkey": {"type": "string"},
    "encryptionsalt": {"type": "string"},
    "environment": {},
}


def schema() -> Schema:
    """The schema; of draft 7, which every editor's plugin knows."""
    areas = cast("Schema", _for_files(Settings.model_json_schema(by_alias=True, mode="validation")))
    config: Schema = {
        "type": "object",
        "properties": {f"{PROJECT}:{area}": one for area, one in areas["properties"].items()},
        "required": [f"{PROJECT}:{area}" for area in areas["required"]],
        # Providers' own keys, such as aws:profile, but no other area of ours.
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
    """A schema of pydantic's as files need it: secrets encrypted or not, names of mappings held."""
    if isinstance(node, list):
        return [_for_files(one) for one in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    found = {key: _for_files(one) for key, one in cast("Schema", node).items() if key != "title"}
    if found.get("format") == "password":
        description = {key: found[key] for key in ("description",) if key in found}
        return {"anyOf": [{"type": "string"}, ENCRYPTED], **description}
    if "patternProperties" in found:
        # A name that the pattern refuses is a mistake.
        found.setdefault("additionalProperties", False)
    return found


def render() -> str:
    """docs/settings.schema.json."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
