# pyright: strict
"""Pieces of a Caddyfile's syntax (its documentation, "Caddyfile concepts"). Pure."""

from __future__ import annotations

from collections.abc import Sequence


def block(head: str, lines: Sequence[str]) -> list[str]:
    """The lines of a block, indented by one tab; `head` is the text before its brace."""
    return [f"{head}{{", *(f"\t{line}" if line else line for line in lines), "}"]


def quoted(text: str) -> str:
    """The text as one token, even with white space or quotation marks."""
    return '"' + text.replace('"', '\\"') + '"'
