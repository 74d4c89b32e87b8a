"""Go's durations, as Docker keeps them (nanoseconds) and as the real plugin writes them."""

from __future__ import annotations

import re
from decimal import Decimal

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def nanoseconds(text: str) -> int:
    """The length of a duration like `1m30s`. Raises ValueError on any other text."""
    if text == "0":
        return 0
    parts = list(_PART.finditer(text))
    if not parts or "".join(part.group(0) for part in parts) != text:
        raise ValueError(f"not a duration: {text!r}")
    return sum(int(Decimal(part.group(1)) * _UNITS[part.group(2)]) for part in parts)


def written(length: int) -> str:
    """The duration in Go's own spelling: 60 seconds are `1m0s`."""
    if length < 10**9:
        for unit in ("ms", "µs", "ns"):
            if length >= _UNITS[unit]:
                return f"{_number(length, _UNITS[unit])}{unit}"
        return "0s"
    minutes, rest = divmod(length, _UNITS["m"])
    hours, minutes = divmod(minutes, 60)
    seconds = f"{_number(rest, _UNITS['s'])}s"
    if hours:
        return f"{hours}h{minutes}m{seconds}"
    return f"{minutes}m{seconds}" if minutes else seconds


def _number(length: int, unit: int) -> str:
    text = f"{Decimal(length) / unit:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
