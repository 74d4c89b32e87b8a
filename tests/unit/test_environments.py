"""Stage and prod differ only in the settings that docs/settings.md explains."""

from __future__ import annotations

import re
from typing import Any

from rig.stack import ROOT, settings_of


def differences(one: Any, other: Any, path: str = "") -> set[str]:
    """The settings in which two trees differ; a subtree in only one of them is one difference."""
    if not isinstance(one, dict) or not isinstance(other, dict):
        return {path} if one != other else set()
    below = (
        differences(one.get(key), other.get(key), f"{path}.{key}" if path else key) for key in one | other
    )
    return {path for some in below for path in some}


def explained() -> set[str]:
    """The settings of the table in docs/settings.md."""
    text = (ROOT / "docs/settings.md").read_text()
    table = text.partition("## What stage and prod differ in")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([\w.]+)` \|", table, re.MULTILINE))


def test_stage_and_prod_differ_only_as_explained() -> None:
    assert differences(settings_of("stage"), settings_of("prod")) == explained()
