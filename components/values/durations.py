# pyright: strict
"""Durations as Prometheus and Loki write them. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from components.values.value_rule import ValueRule

# Prometheus' model.ParseDuration, which Loki uses too: a year has 365 days.
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}

Duration = Annotated[
    str,
    ValueRule("a duration is a whole number with a unit: s, m, h, d, w or y", r"[1-9][0-9]*(s|m|h|d|w|y)"),
]

DAY_SECONDS = _SECONDS["d"]
YEAR_SECONDS = _SECONDS["y"]


def seconds_of(duration: str) -> int:
    """The seconds of a `Duration`."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def within(shortest_seconds: int, longest_seconds: int, rule: ValueRule) -> Callable[[str], str]:
    """A validator of a `Duration`'s length; it raises ValueError with the rule's words."""

    def check(value: str) -> str:
        if not shortest_seconds <= seconds_of(value) <= longest_seconds:
            raise ValueError(rule.words)
        return value

    return check
