"""What the renderers' output is agreed to be."""

from __future__ import annotations

import difflib
import os

from local.paths import ROOT

GOLDEN = ROOT / "tests" / "unit" / "golden"
# Set to any text, this writes the golden files anew; then read the difference.
WRITE = "CAMPUS_MONITOR_WRITE_GOLDEN"


def assert_golden(name: str, text: str) -> None:
    """The text is what the golden file holds, byte for byte."""
    path = GOLDEN / name
    if os.environ.get(WRITE):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if that is wanted, run with {WRITE}=1"


def assert_golden_variant(base: str, name: str, text: str) -> None:
    """The text is what the difference in the golden file `name` makes of the golden file `base`.

    Byte for byte too: no other text has the same difference (tests/unit/test_golden.py).
    """
    assert_golden(name, difference((GOLDEN / base).read_text(), text))


def difference(base: str, text: str) -> str:
    """What has to be done to `base` to get the text: `diff -u`, with a line around each change."""
    before, after = base.split("\n"), text.split("\n")
    return "".join(f"{line}\n" for line in difflib.unified_diff(before, after, n=1, lineterm=""))
