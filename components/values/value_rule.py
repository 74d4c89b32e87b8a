# pyright: strict
"""What a value has to be, in words shared by errors, docs/settings.md and the JSON schema. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class ValueRule:
    """A type's rule. With a pattern, a text has to match it whole; without, another check enforces it."""

    words: str
    pattern: str | None = None

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = handler(source)
        if self.pattern is None:
            return inner
        return core_schema.no_info_after_validator_function(self._matched, inner)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        found = {**handler(schema), "description": self.words}
        return found if self.pattern is None else found | {"pattern": f"^(?:{self.pattern})$"}

    def _matched(self, value: str) -> str:
        if not re.fullmatch(self.pattern or "", value):
            raise ValueError(self.words)
        return value
