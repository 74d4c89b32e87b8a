"""The shippers of Docker hosts: Alloy's configuration, the containers, and the password's file."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.docker_hosts.docker_reader import (
    ENGINE_SOCKET,
    SOCKET,
    SOCKET_DIRECTORY,
    render_docker_reader,
)
from components.docker_hosts.push_destination import Destination
from components.log_shipper.alloy_config import render_alloy_config
from components.log_shipper.component import READING
from components.stack.docker_shippers import DockerShippers, DockerShippersArgs
from components.stack.settings import parse
from rig.programs import alloy_syntax
from tests.support.fake_engine import Engine, build, running_engine
from tests.support.golden import assert_golden
from tests.support.programs import program_of_image, run
from tests.support.settings import SECRET, TREE

GATE = Destination(url="https://grafana.codedang.com/lokitest/loki/api/v1/push", user="admin")
READER = Destination(url="http://172.30.0.2:3199/loki/api/v1/push")
CONFIGURATIONS = {
    "log_shipper_gate.alloy": render_alloy_config("stage", GATE),
    "log_shipper_campus.alloy": render_alloy_config("campus", READER),
}
SHIPPERS = {
    "stage": {"dockerHost": "ssh://deploy@198.51.100.7:21541", "loki": "test", "account": "admin"},
    "judge": {"dockerHost": "unix:///run/judge/docker.sock", "loki": "test", "account": "other"},
}
CHANGES: dict[str, Any] = {
    "edge": {"domain": "campus.example.org", "tls": "acme", "email": "operators@example.org"},
    "shippers": SHIPPERS,
}
PUSH_URLS = {"test": GATE.url}
PASSWORDS = {"admin": SECRET, "other": "another one"}


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The fake engine."""
    with running_engine() as made:
        yield made


def build_shippers(engine: Engine) -> dict[str, dict[str, Any]]:
    """The shippers of the other Docker hosts; their containers."""

    @pulumi.runtime.test
    def program() -> None:
        settings = parse(TREE | CHANGES)
        secret = {user: pulumi.Output.secret(password) for user, password in PASSWORDS.items()}
        args = DockerShippersArgs(settings=settings, push_urls=PUSH_URLS, passwords={"test": secret})
        DockerShippers("shippers", args)

    program()
    return engine.containers()


def files_of(engine: Engine, name: str) -> dict[str, Any]:
    """The files for a volume, which are a secret."""
    return engine.made[name].inputs["files"]["value"]


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_the_configuration_is_the_agreed_one(name: str) -> None:
    assert_golden(name, CONFIGURATIONS[name])


@pytest.mark.programs
@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_alloys_own_parser_takes_it(name: str) -> None:
    assert parsed(CONFIGURATIONS[name]) == (0, "")


@pytest.mark.programs
def test_a_text_ends_where_it_should_for_alloys_parser() -> None:
    odd = 'https://example.org/"} // \\ ü %'
    text = render_alloy_config("a", Destination(url=odd, user='us"er\\'))
    assert parsed(text) == (0, "")


@pytest.mark.programs
def test_alloys_parser_refuses_what_is_wrong() -> None:
    text = CONFIGURATIONS["log_shipper_gate.alloy"]
    status, said = parsed(text.replace('refresh_interval = "5s"', "refresh_interval = 5s"))
    assert status == 1
    assert said.startswith("config.alloy:10:")


def parsed(text: str) -> tuple[int, str]:
    """The verdict of Alloy's own parser on a configuration."""
    program = alloy_syntax.program()
    if not program.exists():
        pytest.fail(f"{program.name} is missing: run `make install` once")
    done = subprocess.run([program], input=text, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.programs
def test_the_real_caddy_takes_the_readers_file(tmp_path: Path) -> None:
    caddy = program_of_image("caddy", "usr/bin/caddy", tmp_path)
    (tmp_path / "Caddyfile").write_text(render_docker_reader(READING))
    page = json.loads(run(caddy, "adapt", "--config", "Caddyfile", "--validate", cwd=tmp_path))
    [server] = page["apps"]["http"]["servers"].values()
    assert server["listen"] == [f"unix/{SOCKET}|0666"]
    # It logs nothing of a request or a line.
    assert "logs" not in server


def test_each_host_has_its_shipper_and_its_reader(engine: Engine) -> None:
    containers = build_shippers(engine)
    assert set(containers) == {
        *("t-log-shipper-stage", "t-log-shipper-stage-reader"),
        *("t-log-shipper-judge", "t-log-shipper-judge-reader"),
    }
    providers = {
        name: one.inputs["host"] for name, one in engine.made.items() if one.typ.startswith("pulumi:prov")
    }
    assert providers == {f"shippers-{name}-docker": one["dockerHost"] for name, one in SHIPPERS.items()}
    hosts = {
        name: one.inputs["docker_host"] for name, one in engine.made.items() if "docker_host" in one.inputs
    }
    for name, one in SHIPPERS.items():
        assert hosts[f"shippers-{name}-files"] == one["dockerHost"]
        assert hosts[f"shippers-{name}-reader-files"] == one["dockerHost"]


def test_only_the_reader_has_the_engines_socket(engine: Engine) -> None:
    containers = build_shippers(engine)
    from_host = {
        name: [one["hostPath"] for one in inputs["volumes"] if "hostPath" in one]
        for name, inputs in containers.items()
    }
    assert from_host == {
        "t-log-shipper-stage": [],
        "t-log-shipper-stage-reader": ["/var/run/docker.sock"],
        "t-log-shipper-judge": [],
        "t-log-shipper-judge-reader": ["/run/judge/docker.sock"],
    }
    reader = containers["t-log-shipper-stage-reader"]
    assert {one["containerPath"] for one in reader["volumes"]} >= {ENGINE_SOCKET, SOCKET_DIRECTORY}
    assert reader["networkMode"] == "none"


def test_the_containers_are_hardened(engine: Engine) -> None:
    for name, inputs in build_shippers(engine).items():
        assert inputs["readOnly"] is True, name
        adds = ["CAP_NET_BIND_SERVICE"] if name.endswith("-reader") else []
        assert inputs["capabilities"] == {"drops": ["ALL"], "adds": adds}, name
        assert inputs["securityOpts"] == ["no-new-privileges:true"], name
        assert inputs["memory"] == inputs["memorySwap"] > 0, name
        assert not inputs.get("ports"), name
        assert inputs["restart"] == "unless-stopped", name
        assert inputs["logDriver"] == "json-file", name
    alloy = engine.containers()["t-log-shipper-stage"]
    assert alloy["user"] == "473"
    assert {"--disable-reporting", "--server.http.listen-addr=127.0.0.1:12345"} <= set(alloy["command"])


def test_positions_outlive_the_container(engine: Engine) -> None:
    alloy = build_shippers(engine)["t-log-shipper-stage"]
    [storage] = [one for one in alloy["command"] if one.startswith("--storage.path=")]
    mounted = {one["containerPath"]: one for one in alloy["volumes"]}
    data = mounted[storage.partition("=")[2]]
    assert (data["volumeName"], data["readOnly"]) == ("t-log-shipper-stage-data", False)


def test_the_password_is_a_file_and_nothing_else(engine: Engine) -> None:
    containers = build_shippers(engine)
    files = files_of(engine, "shippers-stage-files")
    assert files["password"] == {"content": SECRET, "uid": 473, "gid": 0, "mode": 0o400}
    assert files_of(engine, "shippers-judge-files")["password"]["content"] == "another one"
    assert SECRET not in files["config.alloy"]["content"]
    assert SECRET not in str(containers)
    assert files["config.alloy"]["content"] == CONFIGURATIONS["log_shipper_gate.alloy"]


def test_another_configuration_is_another_container(engine: Engine) -> None:
    containers = build_shippers(engine)
    labels = [containers[f"t-log-shipper-{name}"]["labels"][0]["value"] for name in SHIPPERS]
    assert len(set(labels)) == 2


def test_the_campus_hosts_own_logs_go_by_the_reader(engine: Engine) -> None:
    build(campus=TREE["campus"] | {"logsTo": "test"})
    containers = engine.containers()
    alloy, reader = containers["t-log-shipper-campus"], containers["t-log-shipper-campus-reader"]
    files = files_of(engine, "campus-log-shipper-files")
    assert {name: one["content"] for name, one in files.items()} == {
        "config.alloy": CONFIGURATIONS["log_shipper_campus.alloy"]
    }
    assert alloy["networksAdvanced"] == [{"name": "t-readers-network", "ipv4Address": "172.30.0.4"}]
    assert "/nowhere.sock" in [one.get("hostPath") for one in reader["volumes"]]


def test_without_shippers_nothing_of_them_is_made(usual: Engine) -> None:
    assert not [name for name in usual.made if "shipper" in name or "alloy" in name]
