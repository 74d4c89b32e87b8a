"""Which rooms may import which: product, operators' tools and test equipment are separated by path."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from local.paths import ROOT
from tests.support.imports import imported

# The rooms that each room may import. A real stack's code never imports the tests' code.
ALLOWED = {
    "components": set[str](),
    "local": set[str](),
    "ops": {"components", "local"},
    "rig": {"components", "local"},
    "bench": {"components", "local", "rig"},
    "tests": {"components", "local", "ops", "rig"},
}
MAX_FILE_LINES, MAX_FUNCTION_LINES = 450, 50
# Exceptions: replacements of images that their registries refuse.
NAMED = {("local/images.py", "rig.stand_ins")}


def imports_between_rooms(room: str) -> set[tuple[str, str]]:
    """The files of a room, each with its imports from other rooms."""
    paths = sorted((ROOT / room).rglob("*.py"))
    assert paths
    return {
        (str(path.relative_to(ROOT)), name)
        for path in paths
        for name in imported(path.read_text())
        if name.partition(".")[0] in ALLOWED.keys() - {room}
    }


def is_named(path: str, name: str) -> bool:
    return any(path == file and (f"{name}.").startswith(f"{place}.") for file, place in NAMED)


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_imports_only_those_that_it_may(room: str) -> None:
    wrong = {
        (path, name)
        for path, name in imports_between_rooms(room)
        if name.partition(".")[0] not in ALLOWED[room] and not is_named(path, name)
    }
    assert wrong == set()


@pytest.mark.parametrize(("file", "place"), sorted(NAMED))
def test_each_exception_is_one(file: str, place: str) -> None:
    assert place in imported(Path(ROOT, file).read_text())


def test_no_room_leads_back_to_itself() -> None:
    """Except by the exceptions, which are listed for that."""
    left = dict(ALLOWED)
    while left:
        free = {room for room, others in left.items() if not others & left.keys()}
        assert free, f"a circle: {sorted(left)}"
        left = {room: others for room, others in left.items() if room not in free}


def test_files_and_functions_of_the_product_are_short() -> None:
    long: list[tuple[str, str, int]] = []
    for path in sorted((ROOT / "components").rglob("*.py")):
        text = path.read_text()
        file, lines = str(path.relative_to(ROOT)), len(text.splitlines())
        long += [(file, "", lines)] if lines > MAX_FILE_LINES else []
        for one in ast.walk(ast.parse(text)):
            if isinstance(one, ast.FunctionDef) and one.end_lineno is not None:
                lines = one.end_lineno - one.lineno + 1
                long += [(file, one.name, lines)] if lines > MAX_FUNCTION_LINES else []
    assert long == []
