"""The code blocks of the documents, for tests that follow them exactly."""

from __future__ import annotations

import re

from local.paths import ROOT


def blocks(document: str, kind: str = "") -> dict[str, list[str]]:
    """The blocks of one kind (the word after the opening fence) in a document, by their section's heading.

    Only sections (`##`) with a block, in order.
    """
    text = (ROOT / "docs" / document).read_text()
    _, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    found = {
        heading: re.findall(rf"^```{kind}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        for heading, section in zip(parts[::2], parts[1::2], strict=True)
    }
    return {heading: made for heading, made in found.items() if made}
