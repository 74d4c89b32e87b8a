"""Pulumi.stage.yaml and Pulumi.prod.yaml themselves, deployed, changed and destroyed in the rig.

Over SSH, like their operators: through the port policy of the update itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from components.docker_hosts.settings import CampusSettings
from rig.deployment import Deployment, configured_as, docker_contents
from rig.emulator import Emulator
from rig.idle_alloy import make_idle_image
from rig.live_grafana import PLAYED, make_played_image
from rig.namespaces import LATER_NAT, NAT, PRIVATE_CLIENT, SERVER, SERVER_IN_PRIVATE, STRANGER
from rig.operator import Operator, operator_of
from rig.probe import Login, can_connect, lines_in_loki, wait_for_line
from rig.rig import Rig
from rig.stack import PulumiFailedError, Settings, local_settings, merged, running_stack, settings_of
from tests.team.verified import ADMIN, Looking, data_sources

pytestmark = pytest.mark.docker

PLACEHOLDER = "images.portGuard: the digest is a placeholder"
IDLE = "campus-monitor/idle-alloy:test"
HTTPS = 443
# The NAT gateways' addresses by the settings of each.
ADDRESSES = {"stage": [NAT], "prod": [NAT, LATER_NAT]}


def data_of(environment: str) -> set[str]:
    """The volumes with unique content: certificates, Grafana's database and each Loki's lines."""
    lokis = settings_of(environment)["loki"]["instances"]
    return {"caddy-data", "grafana-data"} | {f"loki-{name}-data" for name in lokis}


def in_the_rig(environment: str, docker_host: str, emulator: Emulator) -> Settings:
    """The file's settings, except the Docker host, the images, the certificate and AWS' addresses."""
    of_the_file = settings_of(environment)
    changes: dict[str, Any] = {
        # With the default, which `Deployment` needs.
        "campus": {
            "dockerHost": docker_host,
            "namePrefix": CampusSettings.model_fields["name_prefix"].default,
        },
        "images": local_settings()["images"] | {"grafana": PLAYED, "alloy": IDLE},
        "edge": {"tls": "internal", "httpsPort": HTTPS},
        "aws": {"emulator": emulator.url},
        "egress": {"create": {"addresses": ADDRESSES[environment]}},
        "grafana": {"enabled": True, "adminPassword": ADMIN.password},
    }
    return merged(of_the_file, changes)


@contextmanager
def operated(
    environment: str, rig: Rig, emulator: Emulator, operator: Operator, changes: Settings | None = None
) -> Iterator[Deployment]:
    """The environment before its first `pulumi up`; at the end it is destroyed."""
    settings = merged(in_the_rig(environment, operator.docker_host, emulator), changes or {})
    ports = {f"loki-{name}": one["port"] for name, one in settings["loki"]["instances"].items()}
    make_played_image(rig, data_sources(ports))
    make_idle_image(rig, IDLE)
    with configured_as(rig, settings) as made:
        made.stack.set_environment(operator.environment)
        yield made


@contextmanager
def brought_up(environment: str, rig: Rig, emulator: Emulator, operator: Operator) -> Iterator[Deployment]:
    """The environment in the rig; at the end its data is unprotected, as by a person, and it is destroyed."""
    with operated(environment, rig, emulator, operator) as made:
        try:
            made.up()
            yield made
        finally:
            made.stack.run("destroy", "--yes", "--skip-preview", "--ignore-protect")


@contextmanager
def clearing_up(rig: Rig, emulator: Emulator) -> Iterator[None]:
    """Remove the volumes and release the addresses that remain of a destroyed stack."""
    before = volumes(rig)
    try:
        yield
    finally:
        with closing(rig.engine.client()) as engine:
            for name in volumes(rig) - before:
                engine.volumes.get(name).remove()
        for address, allocation in addresses(emulator).items():
            if address in (NAT, LATER_NAT):
                emulator.client("ec2").release_address(AllocationId=allocation)


def volumes(rig: Rig) -> set[str]:
    """The volumes in the rig's Docker, by name."""
    return {name.removeprefix("volume ") for name in docker_contents(rig) if name.startswith("volume ")}


def addresses(emulator: Emulator) -> dict[str, str]:
    """The Elastic IPs, with their allocation ids."""
    found = emulator.client("ec2").describe_addresses()["Addresses"]
    return {one["PublicIp"]: one["AllocationId"] for one in found}


# Stage's file differs from prod's only as docs/settings.md lists, and both are previewed below.
@pytest.mark.parametrize("environment", [pytest.param("stage", marks=pytest.mark.soak), "prod"])
def test_the_file_is_deployed_verified_changed_and_destroyed(
    environment: str, rig: Rig, emulator: Emulator, tmp_path: Path
) -> None:
    before = docker_contents(rig)
    came_in = operator_of(rig, ssh_port(environment), tmp_path)
    with clearing_up(rig, emulator), came_in as operator:
        with brought_up(environment, rig, emulator, operator) as made:
            does_what_it_is_for(made, environment)
            is_proven(made, tmp_path)
            assert made.stack.changes() == {}
            takes_a_change(made)
            is_as_declared(made)
            keeps_its_data(made, environment)
        # Lines and certificates outlive the stack, and so do addresses on others' lists.
        assert docker_contents(rig) - before == {f"volume {name}" for name in data_of(environment)}
        assert set(ADDRESSES[environment]) <= set(addresses(emulator))


def test_a_first_update_that_locks_its_operator_out_leaves_nothing_half_made(
    rig: Rig, emulator: Emulator, tmp_path: Path
) -> None:
    """The likeliest mistake: the operator's address is in neither `operatorCidrs` nor a rule for SSH."""
    before = docker_contents(rig)
    elsewhere = "10.99.0.0/16"
    rules = [
        {"action": "allow", "port": ssh_port("stage"), "from": [elsewhere]},
        *({"action": "allow", "port": port} for port in (80, HTTPS, 3100, 3199)),
    ]
    policy = {"operatorCidrs": [elsewhere], "rules": rules, "confirmSeconds": 3}
    unpublished = {"instances": {name: {"published": False} for name in ("aws", "test")}}
    changes: Settings = {"portPolicy": policy, "loki": unpublished, "campus": {"protectData": False}}
    with (
        clearing_up(rig, emulator),
        operator_of(rig, ssh_port("stage"), tmp_path) as operator,
        operated("stage", rig, emulator, operator, changes) as made,
    ):
        with pytest.raises(PulumiFailedError, match="were not confirmed within 3 s") as raised:
            made.stack.up()
        assert "do portPolicy's rules let SSH in" in str(raised.value)
        [guard] = [one for one in docker_contents(rig) - before if one.startswith("container ")]
        assert guard == "container port-guard"


@pytest.mark.parametrize("environment", ["stage", "prod"])
def test_the_file_is_previewed_without_its_docker_host(environment: str, emulator: Emulator) -> None:
    """As on GitHub's machines. Nothing listens there, so a connection would fail at once."""
    nowhere = f"ssh://nobody@127.0.0.1:{ssh_port(environment)}"
    here = {"campus": {"dockerHost": nowhere}, "aws": {"emulator": emulator.url}}
    with running_stack(merged(settings_of(environment), here)) as stack:
        assert set(stack.changes()) == {"create"}
        said = stack.run("preview")
        assert PLACEHOLDER in said
        # The file's port-guard image is a placeholder, with which no update begins.
        before = emulator.contents()
        with pytest.raises(PulumiFailedError, match=PLACEHOLDER):
            stack.up()
        assert emulator.contents() == before


def ssh_port(environment: str) -> int:
    """The port of the Docker host's SSH, from its URL."""
    port = urlsplit(settings_of(environment)["campus"]["dockerHost"]).port
    assert port is not None
    return port


def login(made: Deployment, instance: str) -> Login | None:
    """A route's account, from the outputs; None if it has none."""
    accounts = made.outputs["shipper_credentials"].get(instance, {})
    return next((Login(user, password) for user, password in accounts.items()), None)


def does_what_it_is_for(made: Deployment, environment: str) -> None:
    """Only allowed addresses push to each Loki; only the campus reaches a published one."""
    assert made.outputs["nat_public_ips"] == ADDRESSES[environment]
    for instance, settings in made.settings["loki"]["instances"].items():
        allowed = login(made, instance)
        assert (allowed is not None) == ("accounts" in settings)
        for nat in ADDRESSES[environment]:
            line = f"from {nat} to {instance}"
            route = settings["route"]
            assert made.client(nat).push(line, route, {"job": "environment"}, allowed).status == 204
            wait_for_line(made.rig.network.campus, made.loki(instance), line, "environment")
        assert made.push_status(STRANGER, instance, allowed) == 403
        if allowed is not None:
            assert made.push_status(NAT, instance, Login(allowed.user, "wrong")) == 401
        world, port = made.rig.network.world, settings["port"]
        assert can_connect(world, PRIVATE_CLIENT, (SERVER_IN_PRIVATE, port))
        assert not can_connect(world, STRANGER, (SERVER, port))


def is_proven(made: Deployment, folder: Path) -> None:
    """`make verify` passes from an allowed address and, by IPv6, from another."""
    seen = Looking(made, folder).verify()
    assert seen.code == 0, seen.text
    proven = seen.having("ok")
    for instance, settings in made.settings["loki"]["instances"].items():
        wanted = ["allowed push", "line in Loki", "stranger"]
        wanted += ["wrong password"] if "accounts" in settings else []
        assert all(any(one.startswith(f"{what} {instance},") for one in proven) for what in wanted)


def takes_a_change(made: Deployment) -> None:
    """Change an operator's address, an account and the retention: only the Loki's container is replaced."""
    since = [made.running_since(name) for name in ("caddy", "grafana", "loki-aws")]
    changes: dict[str, Any] = {
        "edge": {"extraAllowedCidrs": [f"{STRANGER}/32"]},
        "loki": {
            "instances": {"test": {"accounts": [{"user": "admin"}, {"user": "second"}], "retention": "5d"}}
        },
    }
    kept = login(made, "test")
    made.stack.configure(merged(made.settings, changes))
    made.up()
    assert made.push_status(STRANGER, "aws", login(made, "aws")) == 204
    assert made.push_status(NAT, "test", kept) == 204
    second = Login("second", made.outputs["shipper_credentials"]["test"]["second"])
    assert made.push_status(NAT, "test", second) == 204
    assert [made.running_since(name) for name in ("caddy", "grafana", "loki-aws")] == since
    assert made.stack.changes() == {}
    lines = lines_in_loki(made.rig.network.campus, made.loki("test"), '{job="environment"}')
    assert f"from {NAT} to test" in lines


def is_as_declared(made: Deployment) -> None:
    """Check for drift like the drift job, and like an operator."""
    made.stack.run("preview", "--refresh", "--expect-no-changes")
    made.stack.run("refresh", "--yes")
    assert made.stack.changes() == {}


def keeps_its_data(made: Deployment, environment: str) -> None:
    """Pulumi's destroy removes the rest, and then fails at protected resources."""
    with pytest.raises(PulumiFailedError, match="protected"):
        made.stack.destroy()
    assert volumes(made.rig) >= data_of(environment)
