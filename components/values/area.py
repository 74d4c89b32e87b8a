# pyright: strict
"""The base of every part of the settings: an immutable model. Pure."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Area(BaseModel):
    """A part of the settings: immutable, unknown keys refused, keys written in camelCase."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        # By name only in Python. A stack file has the aliases (`validated`).
        validate_by_alias=True,
        validate_by_name=True,
        # docs/settings.md and editors show the sentence below each field.
        use_attribute_docstrings=True,
        # A secret must never be echoed by an error message.
        hide_input_in_errors=True,
    )
