"""How a change counts, by the Terraform SDK's rules."""

from __future__ import annotations

from typing import Any

import pytest

from toolchain.plugins.aws_things.documents import same_definitions, same_policy
from toolchain.plugins.docker_things.container_schema import CONTAINER
from toolchain.plugins.docker_things.durations import nanoseconds, written
from toolchain.plugins.loopback import is_loopback
from toolchain.plugins.schema import Prop, changes, failures
from toolchain.plugins.values import UNKNOWN, Secret, from_struct, to_struct

Values = dict[str, Any]


def paths(old: Values, new: Values, props: dict[str, Prop] | None = None) -> dict[str, str]:
    """What changed and how, `!` for a replacement."""
    found = changes(props or CONTAINER, {"image": "i", **old}, {"image": "i", **new})
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


REPLACING: list[tuple[str, Any, Any]] = [
    ("name", "a", "b"),
    ("image", "sha256:1", "sha256:2"),
    ("command", ["a"], ["b"]),
    ("entrypoints", ["a"], ["b"]),
    ("user", "1", "2"),
    ("envs", ["A=1"], ["A=2"]),
    ("labels", [{"label": "a", "value": "1"}], [{"label": "a", "value": "2"}]),
    ("networkMode", "host", "bridge"),
    ("networksAdvanced", [{"name": "n"}], [{"name": "n", "ipv4Address": "10.0.0.2"}]),
    ("hosts", [{"host": "a", "ip": "10.0.0.2"}], [{"host": "a", "ip": "10.0.0.3"}]),
    ("volumes", [{"volumeName": "a", "containerPath": "/a"}], []),
    ("ports", [{"internal": 80, "external": 80}], [{"internal": 80, "external": 81}]),
    ("uploads", [{"file": "/a", "content": "a"}], [{"file": "/a", "content": "b"}]),
    ("capabilities", {"drops": ["ALL"]}, {"drops": ["ALL"], "adds": ["CAP_NET_ADMIN"]}),
    ("securityOpts", ["a"], ["b"]),
    ("readOnly", False, True),
    ("logDriver", "json-file", "local"),
    ("logOpts", {"max-size": "1m"}, {"max-size": "2m"}),
    ("stopTimeout", 1, 2),
]


@pytest.mark.parametrize(("name", "old", "new"), REPLACING, ids=lambda one: str(one)[:20])
def test_a_change_that_replaces_a_container(name: str, old: Any, new: Any) -> None:
    found = paths({name: old}, {name: new})
    assert found
    assert all(kind.endswith("!") for kind in found.values())


IN_PLACE: list[tuple[str, Any, Any]] = [
    ("restart", "no", "always"),
    ("maxRetryCount", 1, 2),
    ("memory", 64, 65),
    ("memorySwap", 64, 65),
    ("memoryReservation", 1, 2),
    ("cpuShares", 1, 2),
    ("cpuSet", "0", "0-1"),
    ("tmpfs", {"/a": ""}, {"/b": ""}),
    ("healthcheck", {"tests": ["NONE"]}, {"tests": ["CMD", "true"]}),
    ("init", False, True),
    ("mustRun", False, True),
    ("wait", False, True),
    ("waitTimeout", 1, 2),
    ("destroyGraceSeconds", 1, 2),
]


@pytest.mark.parametrize(("name", "old", "new"), IN_PLACE, ids=lambda one: str(one)[:20])
def test_a_change_in_place(name: str, old: Any, new: Any) -> None:
    found = paths({name: old}, {name: new})
    assert found
    assert not any(kind.endswith("!") for kind in found.values())


def test_every_input_of_a_container_is_covered_by_those_lists() -> None:
    listed = {name for name, _, _ in REPLACING + IN_PLACE}
    rest = {"workingDir", "hostname", "privileged", "start", "rm", "removeVolumes"}
    assert set(CONTAINER) == listed | rest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"envs": ["A=1", "B=2"]}, {"envs": ["B=2", "A=1"]}),
        ({"envs": ["PATH=/bin"]}, {}),
        (
            {"labels": [{"label": "a", "value": "1"}, {"label": "b", "value": "2"}]},
            {"labels": [{"label": "b", "value": "2"}, {"label": "a", "value": "1"}]},
        ),
        (
            {"ports": [{"internal": 80, "external": 3000, "ip": "0.0.0.0", "protocol": "tcp"}]},
            {"ports": [{"internal": 80}]},
        ),
        (
            {"ports": [{"internal": 1, "external": 1}, {"internal": 2, "external": 2}]},
            {"ports": [{"internal": 2, "external": 2}, {"internal": 1, "external": 1}]},
        ),
        ({"capabilities": {"adds": [], "drops": ["B", "A"]}}, {"capabilities": {"drops": ["A", "B"]}}),
        ({"user": "10001"}, {}),
        ({"workingDir": "/srv"}, {}),
        ({"restart": "no", "readOnly": False, "mustRun": True}, {}),
        ({"memory": 0, "cpuShares": 0, "tmpfs": {}, "logOpts": {}}, {}),
        ({"command": ["caddy"], "entrypoints": [], "healthcheck": {"tests": ["CMD"]}}, {}),
        ({"networksAdvanced": [{"name": "n", "aliases": []}]}, {"networksAdvanced": [{"name": "n"}]}),
        ({"volumes": [{"containerPath": "/a", "readOnly": False}]}, {"volumes": [{"containerPath": "/a"}]}),
    ],
)
def test_what_is_no_change(old: Values, new: Values) -> None:
    assert paths(old, new) == {}


def test_swap_that_the_engine_computed_shows_as_a_change() -> None:
    """As with the real plugin: whoever gives memory has to give memorySwap too."""
    assert paths({"memory": 64, "memorySwap": 128}, {"memory": 64}) == {"memorySwap": "delete"}


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
        ({"image": "i", "healthcheck": {"interval": "10"}}, "healthcheck.interval"),
        ({"image": "i", "volumes": [{"containerPath": "/a", "hostPath": "b"}]}, "volumes[0].hostPath"),
    ],
)
def test_wrong_inputs_are_named(inputs: Values, path: str) -> None:
    assert [one.path for one in failures(CONTAINER, inputs)] == [path]


def test_unknown_and_secret_inputs_pass() -> None:
    assert failures(CONTAINER, {"image": UNKNOWN, "envs": Secret(["A=1"]), "memory": Secret(UNKNOWN)}) == []


@pytest.mark.parametrize(
    ("text", "length", "go"),
    [
        ("0", 0, "0s"),
        ("10s", 10_000_000_000, "10s"),
        ("60s", 60_000_000_000, "1m0s"),
        ("1m30s", 90_000_000_000, "1m30s"),
        ("90m", 5_400_000_000_000, "1h30m0s"),
        ("1.5s", 1_500_000_000, "1.5s"),
        ("250ms", 250_000_000, "250ms"),
        ("3us", 3_000, "3µs"),
    ],
)
def test_durations_are_written_as_go_does(text: str, length: int, go: str) -> None:
    assert nanoseconds(text) == length
    assert written(length) == go


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
