"""The settings' reference and their JSON schema: up to date, complete, and consistent with the models."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from jsonschema import Draft7Validator
from pydantic import BaseModel, ValidationError

from components.stack import settings_schema
from components.stack.reference import render, rows
from components.stack.settings import Settings
from components.values.area import Area
from rig.stack import ROOT
from tests.support.mistakes import MISTAKES
from tests.support.mistakes.mistake import Mistake
from tests.support.settings import TREE, put

STACKS = ("local", "stage", "prod")
SCHEMA = Draft7Validator(settings_schema.schema())


def models(annotation: Any) -> Iterator[type[Area]]:
    """Every settings model in an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, Area):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models(field.annotation)
    for part in get_args(annotation):
        yield from models(part)


def unexplained(model: type[BaseModel]) -> list[str]:
    """The fields without a sentence."""
    fields = model.model_fields.items()
    return [f"{model.__name__}.{name}" for name, one in fields if not (one.description or "").endswith(".")]


def file_of(settings: dict[str, Any]) -> dict[str, Any]:
    """A stack's file with these settings."""
    return {"config": {f"campus-monitor:{area}": one for area, one in settings.items()}}


def problems(document: Any) -> list[str]:
    """The schema's findings in a stack's file."""
    return [error.message for error in SCHEMA.iter_errors(document)]


def is_wrong_in_itself(settings: dict[str, Any]) -> bool:
    """Whether a key or a type is wrong, rather than something that only our own check finds."""
    try:
        Settings.model_validate(settings, by_alias=True, by_name=False)
    except ValidationError as error:
        return any(one["type"] != "value_error" for one in error.errors())
    raise AssertionError("these settings are good")


def test_the_page_and_the_schema_are_fresh() -> None:
    page = (ROOT / "docs/settings.md").read_text()
    assert page == render(page), "run `make reference`"
    assert (ROOT / "docs/settings.schema.json").read_text() == settings_schema.render(), (
        "run `make reference`"
    )


def test_every_setting_has_a_sentence() -> None:
    found = set(models(Settings))
    assert len(found) > 20
    assert [field for model in found for field in unexplained(model)] == []


def test_a_setting_without_a_sentence_is_seen() -> None:
    class Bare(Area):
        explained: int
        """It has a sentence."""
        untold: int

    assert unexplained(Bare) == ["Bare.untold"]


def test_keys_are_written_as_a_file_has_them() -> None:
    keys = {row.key: row for row in rows(Settings)}
    assert keys["services.<name>.containers.<name>.memoryMib"].default == "**required**"
    assert keys["loki.instances.<name>.accounts[].password"].words == "secret text"
    assert keys["edge.httpPort"].rule == "a port is a whole number from 1 to 65535"


def test_the_schema_is_one() -> None:
    Draft7Validator.check_schema(settings_schema.schema())


@pytest.mark.parametrize("stack", STACKS)
def test_a_shipped_file_names_the_schema_and_fits_it(stack: str) -> None:
    text = (ROOT / f"Pulumi.{stack}.yaml").read_text()
    assert text.startswith("# yaml-language-server: $schema=docs/settings.schema.json\n")
    assert problems(yaml.safe_load(text)) == []


def test_the_settings_without_the_mistakes_fit_the_schema() -> None:
    for base in {id(one.base): one.base for one in MISTAKES}.values():
        assert problems(file_of(base)) == []


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_the_schema_refuses_what_the_types_refuse(mistake: Mistake) -> None:
    settings = mistake.put_into(mistake.base)
    if is_wrong_in_itself(settings):
        assert problems(file_of(settings))


def test_a_secret_may_be_encrypted_and_nothing_else() -> None:
    encrypted = {"secure": "v1:abc"}
    assert problems(file_of(put(TREE, {"grafana.adminPassword": encrypted}))) == []
    assert problems(file_of(put(TREE, {"edge.domain": encrypted})))


def test_pulumis_own_keys_and_providers_keys_fit() -> None:
    document = file_of(TREE)
    document["config"]["aws:profile"] = "team"
    assert problems(document | {"encryptionsalt": "v1:abc", "secretsprovider": "awskms://…"}) == []


@pytest.mark.parametrize("key", ["campus-monitor:lokis", "campus-monitor:port_policy"])
def test_an_area_that_isnt_known_is_refused(key: str) -> None:
    document = copy.deepcopy(file_of(TREE))
    document["config"][key] = {}
    assert problems(document)


def test_pulumi_knows_each_area() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    assert list(config) == [field.alias for field in Settings.model_fields.values()]
    left_out = {field.alias for field in Settings.model_fields.values() if not field.is_required()}
    assert {key for key, one in config.items() if one.get("default") == {}} == left_out
