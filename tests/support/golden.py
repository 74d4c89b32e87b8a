"""What the renderers' output is agreed to be."""

from __future__ import annotations

import os

from toolchain.paths import ROOT

GOLDEN = ROOT / "tests" / "unit" / "golden"
# Set to any text, this writes the golden files anew; then read the difference.
WRITE = "CAMPUS_MONITOR_WRITE_GOLDEN"


def assert_golden(name: str, text: str) -> None:
    """The text is what the golden file holds, byte for byte."""
    path = GOLDEN / name
    if os.environ.get(WRITE):
        path.write_text(text)
    assert text == path.read_text(), f"{path} differs; if that is wanted, run with {WRITE}=1"
