"""A mistake in the settings, and its one-line message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rig.stack import Settings
from tests.support.settings import LOCAL, put


class Mistake:
    """A change to good settings, and its message.

    `changes` has the new value by its dotted path, `...` to remove a key, from `base`. The message begins
    with `says`, the key and the rule or its beginning, and then has the `words`, such as the received value.
    """

    def __init__(self, changes: Mapping[str, Any], says: str, *words: str, base: Settings = LOCAL) -> None:
        self.changes = changes
        self.says = says
        self.words = words
        self.base = base

    def put_into(self, good: Settings) -> Settings:
        """A copy of these settings with the mistake in it."""
        return put(good, self.changes)

    def matches(self, line: str) -> bool:
        """Whether a line is its message; a preview puts a prefix in front."""
        _, begins, rest = line.partition(f"campus-monitor:{self.says}")
        return begins != "" and all(word in rest for word in self.words)

    def __str__(self) -> str:
        return " ".join((self.says, *self.words))
