# pyright: strict
"""Scripts for sh: each is a `.sh` file beside its renderer, where shellcheck sees it. Pure text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path


def read_script(path: Path, words: Mapping[str, object]) -> str:
    """A script with values for its words in capitals.

    The head of a part, up to the first empty line, is for shellcheck and readers, and is left out. A whole
    program, which begins with `#!`, has no head.
    """
    text = path.read_text(encoding="utf-8")
    if not text.startswith("#!"):
        text = text.partition("\n\n")[2]
    return with_words(text, words)


def with_words(text: str, words: Mapping[str, object]) -> str:
    """The text with its words replaced by their values; parts of longer names and variables stay."""
    longest_first = sorted(words, key=len, reverse=True)
    pattern = rf"(?<![A-Za-z_$])({'|'.join(map(re.escape, longest_first))})(?![A-Z])"
    return re.sub(pattern, lambda found: str(words[found[1]]), text)
