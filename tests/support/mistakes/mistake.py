"""A mistake in the settings, and the one line that says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rig.stack import Settings
from tests.support.settings import LOCAL, put


class Mistake:
    """Good settings with a change, and what the line about it has to say.

    `changes` has the new value by its dotted path, `...` for a key that is removed, from `base`.
    The line begins with `says`, key and rule or the beginning of it, and then has the `words`, such as the
    value that was received.
    """

    def __init__(self, changes: Mapping[str, Any], says: str, *words: str, base: Settings = LOCAL) -> None:
        self.changes = changes
        self.says = says
        self.words = words
        self.base = base

    def put_into(self, good: Settings) -> Settings:
        """A copy of these settings with the mistake in it."""
        return put(good, self.changes)

    def is_told_by(self, line: str) -> bool:
        """Whether a line says so; in a preview there is something in front of it."""
        _, begins, rest = line.partition(f"campus-monitor:{self.says}")
        return begins != "" and all(word in rest for word in self.words)

    def __str__(self) -> str:
        return " ".join((self.says, *self.words))
