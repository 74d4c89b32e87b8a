"""Imports run one way, and modules marked as pure reach no SDK. No module imports a test."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.imports import imported

ROOT = Path(__file__).resolve().parents[2]
SDKS = ("pulumi", "docker", "boto")
# The first line of every module that reaches no SDK, which also makes pyright strict.
MARK = "# pyright: strict\n"

# The rooms that belong to no thing, by layer. A thing's pure modules are layer 2, its others layer 3.
OTHERS = {"live": 0, "values": 1, "stack": 4, "__main__": 5}

# Sources by module, without empty ones.
Tree = dict[str, str]
Arrows = dict[str, set[str]]


def own_tree() -> Tree:
    """The program's own sources."""
    paths = [ROOT / "__main__.py", *(ROOT / "components").rglob("*.py")]
    found = {".".join(path.relative_to(ROOT).with_suffix("").parts): path.read_text() for path in paths}
    return {module: source for module, source in found.items() if source}


def folder(module: str) -> str:
    """A module's room; `__main__` has none."""
    return module.split(".")[1] if "." in module else module


def is_settings(module: str) -> bool:
    """Whether a module has settings' models."""
    return module.endswith("settings")


def are_two_things(one: str, other: str) -> bool:
    """Whether the modules belong to different things of the stack."""
    return folder(one) != folder(other) and not {folder(one), folder(other)} & OTHERS.keys()


def layer(module: str, source: str) -> int:
    """From modules that all may import to modules that none may import."""
    return OTHERS.get(folder(module), 2 if source.startswith(MARK) else 3)


def arrows_of(tree: Tree) -> Arrows:
    """Each module's imports from the tree."""
    return {module: imported(source) & tree.keys() - {module} for module, source in tree.items()}


def reached(arrows: Arrows, module: str) -> set[str]:
    """A module, and all its direct and indirect imports."""
    found, left = set[str](), {module}
    while left:
        found |= left
        left = set[str]().union(*(arrows[one] for one in left)) - found
    return found


def circles(arrows: Arrows) -> Iterator[str]:
    """Modules that import themselves indirectly."""
    for one, others in arrows.items():
        for other in sorted(others):
            if one in reached(arrows, other):
                yield f"{one} -> {other}: a circle"


def wrong_arrows(tree: Tree, arrows: Arrows) -> Iterator[str]:
    """Imports from a higher layer, and settings that import another thing's modules beside its settings."""
    for one, others in arrows.items():
        for other in sorted(others):
            if layer(other, tree[other]) > layer(one, tree[one]):
                yield f"{one} -> {other}: up"
            elif is_settings(one) and not is_settings(other) and are_two_things(one, other):
                yield f"{one} -> {other}: settings know another thing by its settings alone"


def wrong_marks(tree: Tree, arrows: Arrows) -> Iterator[str]:
    """Marked modules that reach an SDK, and unmarked modules that don't."""
    for module, source in tree.items():
        names = set[str]().union(*(imported(tree[one]) for one in reached(arrows, module)))
        sdks = sorted(name for name in names if name.split(".")[0].startswith(SDKS))
        if source.startswith(MARK) and sdks:
            yield f"{module}: marked, and reaches {sdks[0]}"
        if not source.startswith(MARK) and not sdks:
            yield f"{module}: reaches no SDK, and isn't marked"
        if "Pure" in (ast.get_docstring(ast.parse(source)) or "") and not source.startswith(MARK):
            yield f"{module}: says that it is pure, and isn't marked"


def problems(tree: Tree) -> list[str]:
    """Every import and every mark that breaks the rules."""
    arrows = arrows_of(tree)
    folders: Arrows = {folder(module): set() for module in tree}
    for one, others in arrows.items():
        folders[folder(one)] |= {folder(other) for other in others} - {folder(one)}
    return [*wrong_arrows(tree, arrows), *circles(arrows), *circles(folders), *wrong_marks(tree, arrows)]


def test_imports_run_one_way_and_what_is_pure_is_marked() -> None:
    tree = own_tree()
    assert len(tree) > 50
    assert problems(tree) == []


GOOD: Tree = {
    "__main__": "import pulumi\nfrom components.stack.server import Server",
    "components.live.files": "from pulumi import dynamic",
    "components.values.area": MARK + "import pydantic",
    "components.loki.settings": MARK + "from components.values.area import Area",
    "components.loki.config": MARK + "from components.loki import settings",
    "components.loki.component": "import pulumi_docker\nfrom components.loki import config\n"
    "from components.live.files import LiveFiles",
    "components.edge.settings": MARK + '"""Pure."""',
    "components.edge.caddyfile": MARK + '"""Pure."""',
    "components.edge.component": "from pulumi import Output",
    "components.stack.settings": MARK
    + "from components.loki.config import A\nimport components.edge.settings",
    "components.stack.server": "from components.loki.component import Loki\nimport components.stack.settings",
}


def changed(module: str, line: str) -> Callable[[], Tree]:
    """The good tree with another line in a module, or a new module."""
    return lambda: GOOD | {module: GOOD.get(module, "") + "\n" + line}


def unmarked(module: str) -> Callable[[], Tree]:
    """The good tree with a module whose mark was forgotten."""
    return lambda: GOOD | {module: GOOD[module].removeprefix(MARK)}


def test_a_good_tree_has_no_problem() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("seeded", "found"),
    [
        (
            changed("components.values.area", "import components.loki.settings"),
            "components.values.area -> components.loki.settings: up",
        ),
        (
            changed("components.loki.config", "def f():\n    from components.loki.component import Loki"),
            "components.loki.config -> components.loki.component: up",
        ),
        (
            changed("components.loki.component", "from components.stack.settings import Settings"),
            "components.loki.component -> components.stack.settings: up",
        ),
        (
            changed("components.live.files", "from components.edge import caddyfile"),
            "components.live.files -> components.edge.caddyfile: up",
        ),
        (changed("components.stack.server", "import __main__"), "components.stack.server -> __main__: up"),
        (
            changed("components.loki.settings", "from components.edge.caddyfile import A"),
            "components.loki.settings -> components.edge.caddyfile: settings know another thing by its "
            "settings alone",
        ),
        (
            changed("components.loki.settings", "from components.loki import config"),
            "components.loki.settings -> components.loki.config: a circle",
        ),
        (
            lambda: {
                **changed("components.loki.component", "import components.edge.caddyfile")(),
                "components.edge.component": "import pulumi\nfrom components.loki.config import A",
            },
            "edge -> loki: a circle",
        ),
        (changed("components.edge.caddyfile", "import docker.errors"), "marked, and reaches docker.errors"),
        (
            changed("components.values.area", "import boto3"),
            "components.loki.config: marked, and reaches boto3",
        ),
        (
            changed("components.edge.caddyfile", "def f():\n    from components.live.files import LiveFiles"),
            "components.edge.caddyfile: marked, and reaches pulumi",
        ),
        (unmarked("components.loki.config"), "components.loki.config: reaches no SDK, and isn't marked"),
        (unmarked("components.edge.caddyfile"), "components.edge.caddyfile: says that it is pure"),
    ],
)
def test_a_seeded_fault_is_seen(seeded: Callable[[], Tree], found: str) -> None:
    assert [line for line in problems(seeded()) if found in line]


def imported_tests(source: str) -> set[str]:
    """The test modules that the source imports from."""
    return {name for name in imported(source) if any(part.startswith("test_") for part in name.split("."))}


def test_shared_code_of_tests_is_in_support() -> None:
    """Or in a module beside them: changing a test changes no other test."""
    paths = [path for folder in ("tests", "bench", "rig") for path in (ROOT / folder).rglob("*.py")]
    assert paths
    found = {str(path.relative_to(ROOT)): imported_tests(path.read_text()) for path in paths}
    assert {path: names for path, names in found.items() if names} == {}


def test_an_import_from_a_test_is_found() -> None:
    assert imported_tests("from tests.unit.test_live import Live")
    assert imported_tests("from tests.unit import test_live")
