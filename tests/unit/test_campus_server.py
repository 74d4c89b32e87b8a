"""The campus server's wiring, with a stand-in for the engine: what is asked of Docker."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest
from pulumi.runtime import mocks

from components.campus import loki, port_policy
from components.campus.server import CampusServer, CampusServerArgs
from components.settings import parse

SECRET = "a secret that nobody may read"

TREE: dict[str, Any] = {
    "campus": {"dockerHost": "unix:///nowhere.sock", "namePrefix": "t-", "protectData": False},
    "images": {
        "requireDigest": False,
        "caddy": "caddy:2.11.7-alpine",
        "loki": "grafana/loki:3.7.8",
        "grafana": "grafana/grafana:13.0.1",
        "portGuard": "campus-monitor/port-guard:dev",
    },
    "edge": {"domain": "campus.localhost", "tls": "internal"},
    "loki": {
        "instances": {
            "aws": {"port": 3100, "route": "/lokiaws", "allow": ["nat"], "published": True},
            "test": {
                "port": 3199,
                "route": "/lokitest",
                "allow": ["nat"],
                "accounts": [{"user": "admin", "password": SECRET}, {"user": "other"}],
            },
        }
    },
    "portPolicy": {
        "operatorCidrs": ["198.51.100.0/24"],
        "rules": [
            {"action": "limit", "port": 22},
            {"action": "allow", "port": 80},
            {"action": "allow", "port": 443},
            {"action": "allow", "port": 3100, "from": ["198.51.100.0/24"]},
        ],
    },
    "egress": {"create": {"zones": ["ap-northeast-2a", "ap-northeast-2b"]}},
    "aws": {"region": "ap-northeast-2"},
}

AWS = {"port": 3100, "route": "/lokiaws", "allow": ["nat"]}

CONTAINER = "docker:index/container:Container"
DYNAMIC = "pulumi-python:dynamic"


@dataclass
class Engine(mocks.Mocks):
    """Remembers what was registered, and gives every resource an id."""

    made: dict[str, mocks.MockResourceArgs] = field(default_factory=dict)
    # All of them, by the first word of their names: a component's own children.
    registered: dict[str, list[mocks.MockResourceArgs]] = field(default_factory=lambda: defaultdict(list))

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        self.made[args.name] = args
        if not args.typ.startswith(("campus-monitor:", "pulumi:")):
            self.registered[args.name.split("-")[0]].append(args)
        outputs = {"arn": f"arn:{args.name}", **args.inputs}
        if "imageId" not in outputs:
            outputs["imageId"] = f"sha256:{args.name}"
        # What a dynamic resource gives back; its inputs hold the names already.
        outputs |= {"bcrypt_hash": "$2b$14$hash", "value": "generated", "content_sha256": "0" * 64}
        return f"{args.name}-id", outputs

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]]]:
        return {}, []

    def containers(self) -> dict[str, dict[str, Any]]:
        """The containers' inputs by physical name."""
        found = [one.inputs for one in self.made.values() if one.typ == CONTAINER]
        return {one["name"]: one for one in found}


@contextmanager
def running_engine(engine: Engine | None = None) -> Iterator[Engine]:
    """Pulumi's runtime on the stand-in engine, for the length of the block."""
    asyncio.set_event_loop(asyncio.new_event_loop())
    engine = engine or Engine()
    mocks.set_mocks(engine, project="campus-monitor", stack="test")
    yield engine
    asyncio.get_event_loop().close()


@pytest.fixture
def engine() -> Iterator[Engine]:
    """The stand-in engine."""
    with running_engine() as made:
        yield made


def plain(secret: dict[str, Any]) -> dict[str, Any]:
    """What a secret input holds; it is refused if it isn't marked as one."""
    return secret["value"]


def policy_files(engine: Engine) -> dict[str, Any]:
    """The inputs of the policy's LiveFiles."""
    return engine.made["campus-port-policy-policy"].inputs


def build(**changes: Any) -> CampusServer:
    """The campus server, and one address that is let in."""
    made: list[CampusServer] = []

    @pulumi.runtime.test
    def program() -> pulumi.Output[Any]:
        server = CampusServer("campus", CampusServerArgs(settings=parse(TREE | changes)))
        server.allow_address("nat-0", pulumi.Output.from_input("203.0.113.7"))
        made.append(server)
        return pulumi.Output.all(
            server.edge.container_id,
            server.caddy_config_sha256(["203.0.113.7"]),
            server.port_policy_rows,
            server.shipper_credentials,
        )

    program()
    return made[0]


def test_every_container_is_hardened_and_its_log_is_rotated(engine: Engine) -> None:
    build()
    containers = engine.containers()
    assert set(containers) == {"t-caddy", "t-loki-aws", "t-loki-test", "t-grafana", "t-port-guard"}
    for name, inputs in containers.items():
        assert inputs["readOnly"] is True, name
        assert inputs["capabilities"]["drops"] == ["ALL"], name
        assert inputs["securityOpts"] == ["no-new-privileges:true"], name
        assert inputs["restart"] == "unless-stopped", name
        assert inputs["memory"] == inputs["memorySwap"] > 0, name
        assert inputs["logDriver"] == "json-file", name
        assert {"max-size", "max-file"} == set(inputs["logOpts"]), name
        assert inputs["image"].startswith("sha256:"), name


def test_each_container_has_no_more_capabilities_than_it_needs(engine: Engine) -> None:
    build()
    adds = {name: one["capabilities"].get("adds") for name, one in engine.containers().items()}
    assert adds["t-caddy"] == ["CAP_NET_BIND_SERVICE"]
    assert adds["t-port-guard"] == ["CAP_NET_ADMIN"]
    assert not any(adds[name] for name in ("t-loki-aws", "t-loki-test", "t-grafana"))


def test_each_loki_has_its_own_limits(engine: Engine) -> None:
    instances = TREE["loki"]["instances"]
    bigger = instances["aws"] | {"memoryBytes": 2 << 30}
    build(loki={"instances": instances | {"aws": bigger}})
    containers = engine.containers()
    found = {name: (containers[f"t-loki-{name}"]["memory"], containers[f"t-loki-{name}"]["envs"])
             for name in ("aws", "test")}  # fmt: skip
    assert found == {"aws": (2048, ["GOMEMLIMIT=1843MiB"]), "test": (1024, ["GOMEMLIMIT=921MiB"])}


def test_a_changed_health_check_replaces_the_container(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin changes the check of a running container on paper only."""
    checks: list[dict[str, Any]] = []
    labels: list[list[dict[str, str]]] = []
    for period in ("45s", "46s"):
        health = loki._health(3100) | {"start_period": period}
        monkeypatch.setattr(loki, "_health", lambda _port, health=health: health)
        with running_engine() as engine:
            build()
            made = engine.containers()["t-loki-aws"]
        checks.append(made["healthcheck"])
        labels.append(made["labels"])
    assert [check["startPeriod"] for check in checks] == ["45s", "46s"]
    assert labels[0] != labels[1]


def test_a_loki_has_time_to_start_before_it_counts_as_unhealthy(engine: Engine) -> None:
    build()
    period = engine.containers()["t-loki-aws"]["healthcheck"]["startPeriod"]
    assert int(period.removesuffix("s")) >= 30


def test_caddy_finds_its_upstreams_without_dns(engine: Engine) -> None:
    build()
    caddy = engine.containers()["t-caddy"]
    assert caddy["networkMode"] == "host"
    assert {one["host"]: one["ip"] for one in caddy["hosts"]} == {
        "grafana": "172.29.11.184",
        "loki-aws": "172.29.12.28",
        "loki-test": "172.29.12.127",
    }


def test_a_port_is_published_only_where_the_settings_say_so(engine: Engine) -> None:
    build()
    ports = {name: one.get("ports") for name, one in engine.containers().items()}
    published = {name: value for name, value in ports.items() if value}
    assert published == {
        "t-loki-aws": [{"internal": 3100, "external": 3100, "ip": "0.0.0.0", "protocol": "tcp"}]
    }


def test_a_policy_in_a_namespace_of_its_own_reaches_no_network(engine: Engine) -> None:
    build(portPolicy={"namespace": "own"}, loki={"instances": {"aws": AWS}})
    guard = engine.containers()["t-port-guard"]
    assert guard["networkMode"] == "none"
    assert "confirmation" not in policy_files(engine)


def test_only_the_guard_of_the_host_has_its_settings(engine: Engine) -> None:
    def mounted_from_host(policy: dict[str, Any]) -> list[str]:
        build(portPolicy=TREE["portPolicy"] | policy, loki={"instances": {"aws": AWS}})
        volumes = engine.containers()["t-port-guard"]["volumes"]
        return [one["hostPath"] for one in volumes if "hostPath" in one]

    assert mounted_from_host({}) == ["/proc/sys/net/ipv4"]
    assert mounted_from_host({"namespace": "own"}) == []


def test_new_rules_of_the_host_are_on_trial(engine: Engine) -> None:
    changes = {"confirmTarget": "probe@198.51.100.9", "confirmSeconds": 7, "sshPort": 80}
    build(portPolicy=TREE["portPolicy"] | changes)
    wanted = {"seconds": 7, "target": "probe@198.51.100.9", "ssh_port": 80}
    assert policy_files(engine)["confirmation"] == wanted


@pytest.mark.parametrize(
    ("docker_host", "policy", "told"),
    [
        ("unix:///nowhere.sock", {}, 1),
        ("unix:///nowhere.sock", {"confirmTarget": "probe@198.51.100.9"}, 0),
        ("unix:///nowhere.sock", {"namespace": "own"}, 0),
        ("ssh://deploy@198.51.100.1", {}, 0),
    ],
)
def test_what_is_not_proved_is_told_once(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, docker_host: str, policy: dict[str, Any], told: int
) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lambda text, **_: warnings.append(text))
    build(
        campus=TREE["campus"] | {"dockerHost": docker_host},
        portPolicy=TREE["portPolicy"] | policy,
        loki={"instances": {"aws": AWS}},
    )
    assert len(warnings) == told
    assert all("only the check of the rules" in text for text in warnings)


def test_a_changed_health_check_makes_a_new_guard(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def label() -> Any:
        build()
        guard = engine.containers()["t-port-guard"]
        assert guard["healthcheck"]["tests"] == port_policy.HEALTH_COMMAND
        return guard["labels"]

    before = label()
    health = port_policy._health() | {"interval": "11s"}
    with monkeypatch.context() as patched:
        patched.setattr(port_policy, "_health", lambda: health)
        assert label() != before
    monkeypatch.setattr(port_policy, "HEALTH_COMMAND", ["CMD", "true"])
    assert label() != before


def test_no_secret_reaches_a_container(engine: Engine) -> None:
    build()
    for inputs in engine.containers().values():
        assert SECRET not in str(inputs)
        assert "generated" not in str(inputs.get("envs"))


def test_without_grafana_nothing_of_it_is_made(engine: Engine) -> None:
    build(grafana={"enabled": False})
    assert "t-grafana" not in engine.containers()
    assert not [name for name in engine.made if "grafana" in name]


def test_the_live_files_are_in_the_containers_that_serve_them(engine: Engine) -> None:
    build()
    live = {
        name: one.inputs | {"files": plain(one.inputs["files"])}
        for name, one in engine.made.items()
        if one.typ.startswith(DYNAMIC) and "program" in one.inputs
    }
    assert {
        name: (one["program"], one["container_name"], sorted(one["files"])) for name, one in live.items()
    } == {
        "campus-edge-caddyfile": ("caddy", "t-caddy", ["Caddyfile"]),
        "campus-port-policy-policy": ("nft", "t-port-guard", ["policy.nft"]),
        "nat-0-fragment": ("caddy", "t-caddy", ["allowed/nat/203.0.113.7.caddy"]),
    }
    page = live["campus-edge-caddyfile"]["files"]["Caddyfile"]
    assert page.count("admin $2b$14$hash") == page.count("other $2b$14$hash") == 1


def test_outputs_name_the_urls_and_keep_the_passwords_secret(engine: Engine) -> None:
    server = build()
    found: dict[str, Any] = {}

    @pulumi.runtime.test
    def read() -> pulumi.Output[Any]:
        named = pulumi.Output.all(
            urls=server.loki_push_urls,
            grafana=server.grafana_url,
            credentials=server.shipper_credentials,
        )
        return named.apply(found.update)

    read()
    assert found["grafana"] == "https://campus.localhost"
    assert found["urls"]["aws"] == "https://campus.localhost/lokiaws/loki/api/v1/push"
    assert found["credentials"] == {"test": {"admin": SECRET, "other": "generated"}}
    assert asyncio.get_event_loop().run_until_complete(server.shipper_credentials.is_secret())
