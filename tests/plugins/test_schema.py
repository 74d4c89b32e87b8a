"""The effects of changes, by the Terraform SDK's rules."""

from __future__ import annotations

from typing import Any

import pytest

from rig.plugins.aws_things.documents import same_definitions, same_policy
from rig.plugins.loopback import is_loopback
from rig.plugins.schema import (
    Prop,
    boolean,
    changes,
    failures,
    integer,
    mapping,
    objects,
    one_of,
    string,
    strings,
)
from rig.plugins.values import UNKNOWN, Secret, from_struct, to_struct

Values = dict[str, Any]

# An input of every kind, with every rule.
THING: dict[str, Prop] = {
    "name": string(replace=True),
    "image": string(required=True),
    "user": string(computed=True),
    "restart": string(default="no", check=one_of({"no", "always"})),
    "memory": integer(check=lambda value: "negative" if value < 0 else None),
    "readOnly": boolean(default=False),
    "command": strings("list", computed=True),
    "envs": strings("set", replace=True),
    "logOpts": mapping(replace=True),
    "labels": objects("set", {"label": string(required=True), "value": string()}, replace=True),
    "hosts": objects("list", {"host": string(), "ip": string()}, replace=True),
    "ports": objects("list", {"internal": integer(required=True), "external": integer(computed=True)}),
    "health": Prop(kind="object", fields={"tests": strings("set"), "retries": integer()}),
}


def paths(old: Values, new: Values) -> dict[str, str]:
    """The changed paths and their kinds, `!` for a replacement."""
    found = changes(THING, {"image": "i", **old}, {"image": "i", **new})
    return {one.path: one.kind + ("!" if one.replace else "") for one in found}


@pytest.mark.parametrize(
    "value",
    [None, True, 7, 1.5, "text", "", [], {}, [1, [Secret("s")]], {"a": UNKNOWN}, Secret({"a": [1]})],
)
def test_values_survive_the_wire(value: Any) -> None:
    wanted = {} if value is None else {"it": value}
    assert from_struct(to_struct({"it": value})) == wanted


def test_a_secret_is_not_in_its_repr() -> None:
    assert "hunter2" not in repr(Secret("hunter2"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"envs": ["A=1", "B=2"]}, {"envs": ["B=2", "A=1"]}),
        (
            {"labels": [{"label": "a", "value": "1"}, {"label": "b", "value": ""}]},
            {"labels": [{"label": "b"}, {"label": "a", "value": "1"}]},
        ),
        ({"ports": [{"internal": 80, "external": 3000}]}, {"ports": [{"internal": 80}]}),
        ({"health": {"tests": ["B", "A"], "retries": 0}}, {"health": {"tests": ["A", "B"]}}),
        ({"user": "10001", "command": ["caddy"]}, {}),
        ({"restart": "no", "readOnly": False, "memory": 0, "logOpts": {}, "hosts": []}, {}),
    ],
)
def test_what_is_no_change(old: Values, new: Values) -> None:
    assert paths(old, new) == {}


def test_the_paths_of_a_change_are_as_deep_as_both_sides_agree() -> None:
    old = {"labels": [{"label": "a", "value": "1"}, {"label": "b", "value": "2"}], "logOpts": {"x": "1"}}
    new = {"labels": [{"label": "b", "value": "3"}], "logOpts": {"x": "2", "max-size": "1m"}}
    assert paths(old, new) == {
        "labels[0]": "update!",
        "labels[1]": "delete!",
        "logOpts.x": "update!",
        'logOpts["max-size"]': "add!",
    }


def test_an_unknown_value_is_a_change() -> None:
    assert paths({"name": "a"}, {"name": UNKNOWN}) == {"name": "update!"}
    assert paths({"hosts": [{"host": "a", "ip": "1"}]}, {"hosts": [{"host": "a", "ip": UNKNOWN}]}) == {
        "hosts[0]": "update!"
    }


@pytest.mark.parametrize(
    ("inputs", "path"),
    [
        ({"image": "i", "colour": "red"}, "colour"),
        ({"image": "i", "ports": [{"internal": 1, "colour": "red"}]}, "ports[0].colour"),
        ({"image": "i", "ports": [{"external": 1}]}, "ports[0].internal"),
        ({}, "image"),
        ({"image": 7}, "image"),
        ({"image": "i", "memory": "64"}, "memory"),
        ({"image": "i", "memory": True}, "memory"),
        ({"image": "i", "memory": -1}, "memory"),
        ({"image": "i", "restart": "sometimes"}, "restart"),
        ({"image": "i", "envs": ["A=1", 2]}, "envs[1]"),
        ({"image": "i", "health": {"retries": "10"}}, "health.retries"),
    ],
)
def test_wrong_inputs_are_named(inputs: Values, path: str) -> None:
    assert [one.path for one in failures(THING, inputs)] == [path]


def test_unknown_and_secret_inputs_pass() -> None:
    assert failures(THING, {"image": UNKNOWN, "envs": Secret(["A=1"]), "memory": Secret(UNKNOWN)}) == []


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:15000", True),
        ("http://127.9.9.9", True),
        ("http://[::1]:5000", True),
        ("http://localhost:5000", True),
        ("https://ec2.ap-northeast-2.example", False),
        ("http://127.0.0.1.example", False),
        ("http://localhost.example", False),
        ("http://user@10.0.0.1:5000", False),
        ("http://127.0.0.1@10.0.0.1", False),
        ("ftp://127.0.0.1", False),
        ("127.0.0.1:5000", False),
        ("", False),
    ],
)
def test_what_counts_as_this_machine(url: str, local: bool) -> None:
    assert is_loopback(url, "http", "https") is local


def test_policies_compare_by_meaning() -> None:
    one = '{"Statement": [{"Action": ["a"], "Resource": "*"}]}'
    assert same_policy(one, '{"Statement":{"Resource":"*","Action":"a"}}')
    assert not same_policy(one, '{"Statement":{"Resource":"*","Action":"b"}}')


def test_container_definitions_compare_by_meaning() -> None:
    written_by_hand = (
        '[{"name": "a", "environment": [{"name": "B", "value": "2"}, {"name": "A", "value": "1"}],'
        ' "portMappings": [{"containerPort": 80, "protocol": "tcp"}], "user": null, "links": []}]'
    )
    from_the_service = (
        '[{"essential": true, "name": "a", "cpu": 0, "mountPoints": [], "volumesFrom": [],'
        ' "environment": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],'
        ' "portMappings": [{"containerPort": 80, "hostPort": 0}]}]'
    )
    assert same_definitions(written_by_hand, from_the_service)
    assert not same_definitions(written_by_hand, from_the_service.replace('"1"', '"3"'))
