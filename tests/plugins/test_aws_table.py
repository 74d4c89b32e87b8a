"""The fake aws plugin's table, compared with the real provider's plans and with AWS' own models."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel

from rig.plugins.aws_things.resource import TAGGING, Call, Entry
from rig.plugins.aws_things.table import ENTRIES
from rig.plugins.schema import Prop, changes

# Terraform's names are EC2's with `aws_` before them, but for these services and types.
PREFIXES = {
    "autoscaling": "autoscaling_",
    "logs": "cloudwatch_",
    "cloudwatch": "cloudwatch_",
    "iam": "iam_",
    "ssm": "ssm_",
    "ecs": "ecs_",
    "route53": "route53_",
    "sns": "sns_",
}
every_entry = pytest.mark.parametrize(
    "entry", ENTRIES.values(), ids=[token.split(":")[-1] for token in ENTRIES]
)


def terraform_name(entry: Entry) -> str:
    """Terraform's name of the type."""
    _, module, name = re.split(r"[:/]", entry.token)[:3]
    rule = "vpc_" if module == "vpc" else PREFIXES.get(entry.service, "")
    return f"aws_{rule}{xform_name(name)}"


def real_plans() -> list[list[str]]:
    """Type, property and the effect of a change."""
    lines = Path(__file__).with_name("aws_replacements.txt").read_text(encoding="utf-8").splitlines()
    return [line.split()[:3] for line in lines if not line.startswith("#")]


def sample(prop: Prop, text: str) -> Any:
    """A value of that kind, different for a different text."""
    if prop.kind in ("list", "set"):
        assert prop.items
        return [sample(prop.items, text)]
    if prop.kind == "object":
        assert prop.fields
        return {name: sample(one, text) for name, one in prop.fields.items()}
    values: dict[str, Any] = {"int": len(text), "bool": len(text) > 1, "map": {"a": text}}
    return values.get(prop.kind, text)


@pytest.mark.parametrize(("kind", "name", "plan"), real_plans(), ids=lambda word: word.removeprefix("aws_"))
def test_a_change_counts_as_with_the_real_provider(kind: str, name: str, plan: str) -> None:
    [entry] = [entry for entry in ENTRIES.values() if terraform_name(entry) == kind]
    prop = entry.inputs[name]
    new = {} if plan == "no-op" else {name: sample(prop, "longer")}
    found = changes({name: prop}, {name: sample(prop, "a")}, new)
    assert {"replace" if one.replace else "update" for one in found} == {plan} - {"no-op"}


@every_entry
def test_every_property_was_looked_up(entry: Entry) -> None:
    assert {name for kind, name, _ in real_plans() if kind == terraform_name(entry)} == set(entry.inputs)


@cache
def operations(service: str) -> dict[str, Any]:
    """The service's operations by the names that boto3 gives them."""
    model = ServiceModel(Loader().load_service_model(service, "service-2"))
    names: Any = model.operation_names
    return {xform_name(name): model.operation_model(name).input_shape for name in names}


def calls(entry: Entry) -> Iterator[Call]:
    """Every call of an entry."""
    yield from (
        entry.create,
        *entry.first,
        *entry.settle,
        *entry.update,
        entry.find,
        *entry.asks,
        *entry.delete,
    )
    if entry.has_tags:
        yield from entry.tagging or TAGGING[entry.service]


@every_entry
def test_every_call_is_one_that_the_service_takes(entry: Entry) -> None:
    for call in calls(entry):
        shape = operations(entry.service)[call.operation]
        assert call.given.keys() <= shape.members.keys(), call.operation
        sent = {entry.names.get(name, name).lower() for name in (*entry.inputs, "tagKeys")}
        sent |= {entry.key.lower(), f"{entry.key}s".lower(), *map(str.lower, call.given)}
        assert {name.lower() for name in shape.required_members} <= sent, call.operation


@every_entry
def test_what_creation_must_have_is_asked_for_at_preview(entry: Entry) -> None:
    """Otherwise the plugin's own check would pass, and the service would refuse."""
    must = {name.lower() for name in operations(entry.service)[entry.create.operation].required_members}
    optional = {
        name
        for name, prop in entry.inputs.items()
        if not (prop.required or prop.default is not None or name == "name")
    }
    assert not must & {entry.names.get(name, name).lower() for name in optional}


@every_entry
def test_every_input_goes_somewhere(entry: Entry) -> None:
    """An input that no call sends would be accepted and lost."""
    written = (entry.create, *entry.first, *entry.settle, *entry.update, *entry.delete)
    text = " ".join(part for call in written for part in (call.when, *call.given.values()))
    filled = {
        name.lower()
        for call in (entry.create, *entry.update)
        for name in operations(entry.service)[call.operation].members
    }
    # The real provider's waits and polls, which the emulator can't do.
    nowhere = {"tags", "trackLatest", "waitForCapacityTimeout", "instanceRefresh"}
    for name in entry.inputs.keys() - nowhere:
        assert entry.names.get(name, name).lower() in filled or re.search(rf"\b{name}\b", text), name
