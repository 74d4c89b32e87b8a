"""Canary secrets: made so that they can be found in whatever form a program has written them."""

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

# What JSON, URLs, shells, YAML and HTML write in other words, between two ends that all leave alone.
AWKWARD = "%/+ \"\\&<'$é"
# The same where a rule of the settings allows less.
AWKWARD_ASCII = "%/+\"\\&<'$"
AWKWARD_IN_URL = "/%2F+~=:"


@dataclass(frozen=True)
class Canary:
    """A secret: what it is called, and its text, whose ends are enough to know it by."""

    name: str
    text: str
    ends: tuple[str, ...]

    @classmethod
    def make(cls, name: str, awkward: str = AWKWARD, before: str = "") -> Canary:
        """A new secret that nobody else has."""
        head, tail = (f"canary{secrets.token_hex(8)}" for _ in range(2))
        return cls(name, f"{before}{head}{awkward}{tail}", (head, tail))

    @classmethod
    def of(cls, name: str, text: str) -> Canary:
        """A secret that somebody else has made."""
        return cls(name, text, (text,))

    @cached_property
    def needles(self) -> tuple[bytes, ...]:
        """What stands where the secret does: itself, encoded, or a hash that it can be guessed by."""
        ends = [end.encode() for end in self.ends]
        return (
            *ends,
            *(form for end in ends for form in _in_base64(end)),
            *(end.hex().encode() for end in ends),
            *(form(self.text.encode()).hexdigest().encode() for form in (hashlib.sha256, hashlib.sha1)),
        )


def _in_base64(text: bytes) -> Iterator[bytes]:
    """How a text is written in the midst of another: three ways, after where it begins."""
    for before in range(3):
        whole = base64.b64encode(bytes(before) + text)
        # What its neighbours share a character with is left away.
        yield whole[(before * 8 + 5) // 6 : (before + len(text)) * 8 // 6]


def leaks(canaries: Iterable[Canary], sinks: Mapping[str, bytes]) -> list[str]:
    """Which secret stands in which sink: their names alone, so that a failed test tells no more."""
    return [
        f"{canary.name} in {sink}"
        for sink, data in sinks.items()
        for canary in canaries
        if any(needle in data for needle in canary.needles)
    ]


def secret_settings(area: type[Area]) -> set[str]:
    """The path of every secret in the settings, from this area on; `*` is any name or number."""
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
