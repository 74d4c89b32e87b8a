"""The renderers' golden files."""

from __future__ import annotations

import difflib
import os

from local.paths import ROOT

GOLDEN = ROOT / "tests" / "unit" / "golden"
# Set to any text, this rewrites the golden files; then read the diff.
WRITE = "CAMPUS_MONITOR_WRITE_GOLDEN"


def assert_golden(name: str, text: str) -> None:
    """The text equals the golden file, byte for byte."""
    path = GOLDEN / name
    if os.environ.get(WRITE):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if that is intended, run with {WRITE}=1"


def assert_golden_variant(base: str, name: str, text: str) -> None:
    """The text equals the golden file `base` with the diff in the golden file `name` applied.

    Byte for byte too: no other text has the same diff (tests/unit/test_golden.py).
    """
    assert_golden(name, difference((GOLDEN / base).read_text(), text))


def difference(base: str, text: str) -> str:
    """The diff from `base` to the text: `diff -u`, with one line of context."""
    before, after = base.split("\n"), text.split("\n")
    return "".join(f"{line}\n" for line in difflib.unified_diff(before, after, n=1, lineterm=""))
