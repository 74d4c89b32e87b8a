"""Canary secrets, which can be found in any form that a program writes."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

from pydantic import SecretStr

from components.values.area import Area

# Characters that JSON, URLs, shells, YAML and HTML escape, between two ends that all leave unchanged.
AWKWARD = "%/+ \"\\&<'$é"
# The same for settings that allow only ASCII.
AWKWARD_ASCII = "%/+\"\\&<'$"
AWKWARD_IN_URL = "/%2F+~=:"


@dataclass(frozen=True)
class Canary:
    """A secret: its name, and its text, whose ends identify it."""

    name: str
    text: str
    ends: tuple[str, ...]

    @classmethod
    def make(cls, name: str, awkward: str = AWKWARD, before: str = "") -> Canary:
        """A new, unique secret."""
        head, tail = (f"canary{secrets.token_hex(8)}" for _ in range(2))
        return cls(name, f"{before}{head}{awkward}{tail}", (head, tail))

    @classmethod
    def of(cls, name: str, text: str) -> Canary:
        """An existing secret."""
        return cls(name, text, (text,))

    @cached_property
    def needles(self) -> tuple[bytes, ...]:
        """The secret's forms: itself, encoded, or as a hash from which it could be guessed."""
        ends = [end.encode() for end in self.ends]
        return (
            *ends,
            *(form for end in ends for form in _in_base64(end)),
            *(end.hex().encode() for end in ends),
            *(form(self.text.encode()).hexdigest().encode() for form in (hashlib.sha256, hashlib.sha1)),
        )


def _in_base64(text: bytes) -> Iterator[bytes]:
    """A text's three forms inside a longer one, depending on where it begins."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + text)
        # Without characters that it shares with its neighbours.
        yield whole[(before * 8 + 5) // 6 : (before + len(text)) * 8 // 6]


def leaks(canaries: Iterable[Canary], sinks: Mapping[str, bytes]) -> list[str]:
    """Which secret is in which sink: only names, so that a failed test shows no secret."""
    return [
        f"{canary.name} in {sink}"
        for sink, data in sinks.items()
        for canary in canaries
        if any(needle in data for needle in canary.needles)
    ]


def secret_settings(area: type[Area]) -> set[str]:
    """The path of every secret in the settings below this area; `*` is any name or number."""
    return {
        f"{field.alias or name}{path}"
        for name, field in area.model_fields.items()
        for path in _secrets_in(field.annotation)
    }


def _secrets_in(annotation: Any) -> Iterator[str]:
    if annotation is SecretStr:
        yield ""
    elif isinstance(annotation, type) and issubclass(annotation, Area):
        yield from (f".{path}" for path in secret_settings(annotation))
    else:
        many = getattr(annotation, "__origin__", None) in (dict, tuple)
        for inner in get_args(annotation):
            yield from (f".*{path}" if many else path for path in _secrets_in(inner))
