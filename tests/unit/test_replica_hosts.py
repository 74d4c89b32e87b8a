"""Replicas of a Loki on different Docker hosts: settings, rules, configuration, and the wiring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.port_policy.nftables import render_policy
from components.port_policy.rules import lets_in, shut_out
from components.stack.settings import parse
from components.values.errors import SettingsError
from tests.support.fake_engine import build, running_engine
from tests.support.golden import assert_golden_variant
from tests.support.loki import replica_config, verify
from tests.support.programs import nft_check
from tests.support.settings import HERE, SECOND, THIRD, THREE, TREE, on_three_hosts, with_aws

STRANGER = "10.40.0.9/32"
ROLES = ["loki-aws", "loki-aws-log2", "loki-aws-log3"]


# --- configuration ---

CONFIG = replica_config(on_three_hosts(), 1)


def test_the_configuration_is_the_agreed_one() -> None:
    assert_golden_variant("loki.yaml", "loki_replica_host.diff", CONFIG)


@pytest.mark.programs
def test_loki_accepts_it_and_every_ring_has_the_shared_name(loki: str, tmp_path: Path) -> None:
    found = yaml.safe_load(verify(loki, tmp_path, CONFIG))
    assert found["ingester"]["lifecycler"]["address"] == found["frontend"]["address"] == ROLES[1]
    assert found["server"]["grpc_listen_port"] == 13100
    members = found["memberlist"]
    assert (members["advertise_addr"], members["advertise_port"], members["bind_port"]) == (
        SECOND,
        23100,
        23100,
    )
    assert members["join_members"] == f"{HERE}:23100,{THIRD}:23100"


# --- rules ---


@pytest.mark.parametrize("host", [None, "log2", "log3"])
@pytest.mark.parametrize("port", [13100, 23100])
def test_only_replicas_reach_each_others_ports(host: str | None, port: int) -> None:
    rules = parse(on_three_hosts()).rules_at(host)
    addresses = {None: HERE, "log2": SECOND, "log3": THIRD}
    for other, address in addresses.items():
        assert (shut_out(rules, port, "tcp", f"{address}/32") is None) == (other != host)
    assert shut_out(rules, port, "tcp", STRANGER)
    assert lets_in(rules, port, "tcp") == "some"


@pytest.mark.parametrize("host", ["log2", "log3"])
def test_only_the_campus_server_reaches_a_loki_on_another_host(host: str) -> None:
    rules = parse(on_three_hosts()).rules_at(host)
    assert shut_out(rules, 3100, "tcp", f"{HERE}/32") is None
    assert shut_out(rules, 3100, "tcp", f"{THIRD if host == 'log2' else SECOND}/32")
    assert shut_out(rules, 3100, "tcp", STRANGER)


def test_only_the_campus_server_publishes_a_loki() -> None:
    made = on_three_hosts(published=True)
    made["portPolicy"]["rules"] = TREE["portPolicy"]["rules"] + [{"action": "limit", "port": 21541}]
    settings = parse(made)
    assert shut_out(settings.rules_at(None), 3100, "tcp", "198.51.100.5/32") is None
    for host in ("log2", "log3"):
        assert shut_out(settings.rules_at(host), 3100, "tcp", "198.51.100.5/32")


def test_without_other_hosts_there_are_no_such_rules() -> None:
    for one in (TREE, with_aws(**THREE)):
        settings = parse(one)
        assert settings.rules_at(None) == list(settings.port_policy.plain_rules)
        assert settings.kept_at(None) == []


@pytest.mark.programs
@pytest.mark.parametrize("host", [None, "log2"])
def test_nft_accepts_the_policy_of_each_host(host: str | None, tmp_path: Path) -> None:
    settings = parse(on_three_hosts())
    nft_check(render_policy(settings.rules_at(host), settings.kept_at(host)), tmp_path)


def test_another_container_does_not_pass_for_its_host() -> None:
    settings = parse(on_three_hosts())
    policies = {host: render_policy([], settings.kept_at(host)).split("\n") for host in (None, "log2")}
    foreign = "iifname @container_bridges ip saddr != 172.29.0.0/16 ip daddr"
    for host, refused in (
        (None, f"{foreign} {{ {SECOND}, {THIRD} }} tcp dport {{ 3100, 13100, 23100 }} drop"),
        ("log2", f"{foreign} {{ {HERE}, {THIRD} }} tcp dport {{ 13100, 23100 }} drop"),
    ):
        lines = [line.strip() for line in policies[host]]
        assert lines.index(refused) < lines.index("iifname @container_bridges fib daddr type != local accept")


# --- settings ---


def test_nothing_is_left_unguarded_between_hosts() -> None:
    made = on_three_hosts()
    made["portPolicy"]["namespace"] = "own"
    with pytest.raises(
        SettingsError, match=r"aws\.replicaHosts: with portPolicy\.namespace own nothing guards"
    ):
        parse(made)


def test_replicas_cannot_have_sshs_port() -> None:
    made = on_three_hosts()
    made["loki"]["instances"]["aws"]["port"] = 1541
    made["campus"]["dockerHost"] = "ssh://deploy@log1.example.org:21541"
    with pytest.raises(SettingsError, match=r"instances: port 21541 is SSH's, and replicas need it"):
        parse(made)


def test_an_instance_cannot_have_the_name_of_anothers_replica() -> None:
    made = on_three_hosts()
    made["loki"]["instances"]["aws-log2"] = made["loki"]["instances"].pop("test")
    with pytest.raises(SettingsError, match=r"\.aws-log2\.replicas: 'aws-log2' is already used by"):
        parse(made)


def test_operators_can_reach_every_host() -> None:
    made = on_three_hosts()
    made["campus"]["otherHosts"]["log3"]["dockerHost"] = "ssh://deploy@log3.example.org:2022"
    made["portPolicy"]["rules"].pop()
    with pytest.raises(SettingsError, match=r"operators would be locked out of SSH \(port 2022\)"):
        parse(made)


# --- requests to Docker ---


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The registered resources by name."""
    with running_engine() as engine:
        given = on_three_hosts()
        build(**{area: given[area] for area in ("campus", "loki", "portPolicy")})
        return dict(engine.made)


def ports_of(made: dict[str, Any], name: str) -> set[tuple[str, int, int]]:
    return {(one["ip"], one["external"], one["internal"]) for one in made[name].inputs.get("ports", [])}


def test_each_replica_is_on_its_host_and_finds_the_others(made: dict[str, Any]) -> None:
    own = "172.29.12.28"
    names = [f"campus-{role}-container" for role in ROLES]
    assert [made[name].inputs["name"] for name in names] == [f"t-{role}" for role in ROLES]
    addresses = [HERE, SECOND, THIRD]
    for number, name in enumerate(names):
        inputs = made[name].inputs
        assert inputs["networksAdvanced"][0]["ipv4Address"] == own
        assert {one["host"]: one["ip"] for one in inputs["hosts"]} == {
            role: own if other == number else addresses[other] for other, role in enumerate(ROLES)
        }
    mesh = {("0.0.0.0", port, port) for port in (13100, 23100)}
    assert ports_of(made, names[0]) == mesh
    assert ports_of(made, names[1]) == ports_of(made, names[2]) == mesh | {("0.0.0.0", 3100, 3100)}
    providers = [made[name].provider.rsplit("::", 1)[0].rsplit("::", 1)[1] for name in names]
    assert providers == ["campus-docker", "campus-host-log2-docker", "campus-host-log3-docker"]


def test_each_host_has_a_guard_with_its_own_rules(made: dict[str, Any]) -> None:
    guards = {
        name: str(made[name].inputs["files"])
        for name in ("campus-port-policy-policy", "campus-host-log2-port-policy-policy")
    }
    assert f"ip saddr {SECOND}/32 tcp dport 13100" in guards["campus-port-policy-policy"]
    assert f"ip saddr {HERE}/32 tcp dport 3100" in guards["campus-host-log2-port-policy-policy"]
    # Caddy is only on the campus server.
    assert [name for name, policy in guards.items() if "ct count over" in policy] == [
        "campus-port-policy-policy"
    ]


@pytest.mark.parametrize("name", ["campus-edge-container", "campus-reader-container"])
def test_caddy_and_the_reader_reach_every_replica(made: dict[str, Any], name: str) -> None:
    known = {(one["host"], one["ip"]) for one in made[name].inputs["hosts"] if "aws" in one["host"]}
    assert known == set(zip(ROLES, ["172.29.12.28", SECOND, THIRD], strict=True))
