"""The outputs as an API: all exports are listed, and the list is documented."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

from components.stack.outputs import OUTPUTS, problems, render_docs
from tests.support.outputs import GOOD, SECRETS

ROOT = Path(__file__).resolve().parents[2]


def exported(program: str) -> list[str]:
    """The names of a program's exports, from its source."""
    return [
        ast.literal_eval(node.args[0])
        for node in ast.walk(ast.parse(program))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pulumi.export"
    ]


def test_the_program_exports_exactly_the_listed_outputs() -> None:
    names = [one.name for one in OUTPUTS]
    assert sorted(exported((ROOT / "__main__.py").read_text())) == sorted(names)
    assert len(set(names)) == len(names)


def test_the_documentation_is_fresh() -> None:
    assert (ROOT / "docs/outputs.md").read_text() == render_docs()


def test_names_shapes_and_secretness_are_frozen() -> None:
    assert problems(GOOD, SECRETS) == []
    assert {one.name for one in OUTPUTS if one.secret} == SECRETS


@pytest.mark.parametrize("name", ["grafana_admin_password", "vpc_id"])
def test_an_optional_output_may_be_missing(name: str) -> None:
    assert problems({key: value for key, value in GOOD.items() if key != name}, SECRETS) == []


@pytest.mark.parametrize(
    ("changes", "secrets", "said"),
    [
        ({"nat_public_ips": None}, SECRETS, "nat_public_ips: is missing"),
        ({"extra": 1}, SECRETS, "extra: isn't listed in components/stack/outputs.py"),
        ({"nat_public_ips": "203.0.113.7"}, SECRETS, "nat_public_ips: must be list of text"),
        (
            {"shipper_credentials": {"test": "another canary"}},
            SECRETS,
            "shipper_credentials: must be text by name, by name",
        ),
        ({}, {"shipper_credentials"}, "grafana_admin_password: must be secret"),
        ({}, SECRETS | {"vpc_id"}, "vpc_id: must not be secret"),
    ],
)
def test_a_difference_is_named_without_values(changes: dict[str, Any], secrets: set[str], said: str) -> None:
    assert problems(GOOD | changes, secrets) == [said]
