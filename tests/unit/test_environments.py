"""Stage and prod differ in what docs/settings.md explains, and in nothing else."""

from __future__ import annotations

import re
from typing import Any

from tests.rig.stack import ROOT, settings_of


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Each setting by its path; a list is one setting."""
    if not isinstance(value, dict):
        return {path: value}
    return {
        inner: leaf
        for key, below in value.items()
        for inner, leaf in leaves(below, f"{path}.{key}" if path else key).items()
    }


def explained() -> set[str]:
    """The settings of the table in docs/settings.md."""
    text = (ROOT / "docs/settings.md").read_text()
    table = text.partition("## What stage and prod differ in")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE))


def test_stage_and_prod_differ_in_what_is_explained() -> None:
    stage, prod = leaves(settings_of("stage")), leaves(settings_of("prod"))
    differing = {path for path in stage | prod if stage.get(path) != prod.get(path)}
    # An instance that one of them lacks is one difference.
    differing = {re.sub(r"^(loki\.instances\.stage)\..*", r"\1", path) for path in differing}
    assert differing == explained()
