"""Each test that docs/security.md names exists, and checks running programs."""

from __future__ import annotations

import ast
import re

from local.paths import ROOT


def rows() -> list[list[str]]:
    """The cells of the table "Who can do what"."""
    text = (ROOT / "docs" / "security.md").read_text()
    table = text.partition("## Who can do what")[2].partition("\n## ")[0]
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[1:]]


def test_every_refusal_names_an_existing_test() -> None:
    assert len(rows()) > 5
    for who, _, cannot, test in rows():
        assert bool(cannot) == bool(test), who
        if not test or test.startswith("none: "):
            continue
        found = re.fullmatch(r"`(tests/[\w/]+\.py)::(test_\w+)`", test)
        assert found, test
        tree = ast.parse((ROOT / found[1]).read_text())
        assert found[2] in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, test
