"""The whole way of a log line, for real: engine, containers, gate and Loki, in the rig."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from docker.models.containers import Container

from tests.rig.deployment import (
    GUARDED_PORT,
    HTTPS,
    LOKI,
    UNNAMED_PORT,
    docker_contents,
    load_images,
    settings_for,
)
from tests.rig.emulator import Emulator
from tests.rig.namespaces import (
    CAMPUS_CLIENT,
    LATER_NAT,
    NAT,
    NAT_6,
    SERVER,
    SERVER_6,
    STRANGER,
    STRANGER_6,
)
from tests.rig.probe import Client, Login, can_connect, trust_of, wait_for_line
from tests.rig.processes import wait_for
from tests.rig.rig import Rig
from tests.rig.stack import Settings, Stack, merged, running_stack

pytestmark = pytest.mark.docker


@dataclass
class Deployment:
    """The local stack, deployed into the rig."""

    rig: Rig
    stack: Stack
    settings: Settings
    outputs: dict[str, Any]
    trust: ssl.SSLContext

    def client(self, source: str) -> Client:
        """Somebody in the world with this address."""
        edge = self.settings["edge"]
        server = SERVER_6 if ":" in source else SERVER
        return Client(
            self.rig.network.world,
            source,
            (server, edge["httpsPort"]),
            edge["domain"],
            self.trust,
        )

    def push_status(self, source: str, instance: str, login: Login | None = None) -> int:
        """What an address is answered when it pushes a line."""
        route = self.settings["loki"]["instances"][instance]["route"]
        return self.client(source).push("a line", route, login=login).status

    def loki(self, instance: str) -> tuple[str, int]:
        """Where an instance answers on the campus server's private network."""
        port = self.settings["loki"]["instances"][instance]["port"]
        network = IPv4Network(self.settings["campus"]["networkCidr"])
        return str(IPv4Address(int(network.network_address) + port)), port

    def login(self) -> Login:
        """The account of the route that wants one, as the stack hands it out."""
        [(user, password)] = self.outputs["shipper_credentials"]["test"].items()
        return Login(user, password)


@pytest.fixture(scope="module")
def deployment(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack after `pulumi up`. Leaving it runs `pulumi destroy`, which has to leave nothing."""
    settings = settings_for(rig, emulator)
    load_images(rig, settings)
    before = docker_contents(rig), emulator.contents()
    with running_stack(settings) as stack:
        outputs = {name: output.value for name, output in stack.up().items()}
        yield Deployment(rig, stack, settings, outputs, trust_of(caddy_of(rig, settings)))
    # The policy outlives the stack, so that a host is never open: here the next suite wants none.
    rig.network.campus.run("nft", "delete", "table", "inet", "campus_policy")
    assert (docker_contents(rig), emulator.contents()) == before


def caddy_of(rig: Rig, settings: Settings) -> Container:
    """The caddy container as it is now."""
    client = rig.engine.client()
    try:
        return client.containers.get(settings["campus"]["namePrefix"] + "caddy")
    finally:
        client.close()


def running_since(rig: Rig, settings: Settings) -> tuple[str, str]:
    """Which caddy container runs, and since when: neither may change with a configuration."""
    caddy = caddy_of(rig, settings)
    return str(caddy.id), caddy.attrs["State"]["StartedAt"]


def test_a_line_from_the_nat_address_is_found_in_loki(deployment: Deployment) -> None:
    line = f"from the NAT address {time.time_ns()}"
    assert deployment.client(NAT).push(line, "/lokiaws").status == 204
    wait_for_line(deployment.rig.network.campus, deployment.loki("aws"), line)


@pytest.mark.parametrize("source", [STRANGER, LATER_NAT, CAMPUS_CLIENT, STRANGER_6, NAT_6])
def test_every_other_address_is_refused(deployment: Deployment, source: str) -> None:
    assert deployment.push_status(source, "aws") == 403
    assert deployment.push_status(source, "test", deployment.login()) == 403


def test_the_password_comes_on_top_of_the_address(deployment: Deployment) -> None:
    login = deployment.login()
    assert deployment.push_status(NAT, "test") == 401
    assert deployment.push_status(NAT, "test", Login(login.user, login.password + "x")) == 401
    line = f"with the password {time.time_ns()}"
    assert deployment.client(NAT).push(line, "/lokitest", login=login).status == 204
    wait_for_line(deployment.rig.network.campus, deployment.loki("test"), line)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/loki/api/v1/push"),
        ("GET", "/ingester/shutdown"),
        ("POST", "/ingester/shutdown"),
        ("GET", "/config"),
        ("POST", "/loki/api/v1/push/../../../../config"),
    ],
)
def test_nothing_but_a_push_passes(deployment: Deployment, method: str, path: str) -> None:
    for route in ("/lokiaws", "/lokitest"):
        assert deployment.client(NAT).request(method, route + path).status == 403


@pytest.fixture
def published_ports(deployment: Deployment) -> Iterator[None]:
    """A container of somebody else's, with two ports that Docker publishes past any ufw."""
    client = deployment.rig.engine.client()
    container = client.containers.run(
        deployment.settings["images"]["caddy"],
        ["caddy", "respond", "--listen", ":8080"],
        detach=True,
        ports={"8080/tcp": [GUARDED_PORT, UNNAMED_PORT]},
    )
    campus = deployment.rig.network.campus
    try:
        container.reload()
        itself = (container.attrs["NetworkSettings"]["IPAddress"], 8080)
        wait_for("the container answers", lambda: can_connect(campus, None, itself), 20.0)
        yield
    finally:
        container.remove(force=True, v=True)
        client.close()


@pytest.mark.usefixtures("published_ports")
def test_a_port_is_open_to_whom_the_policy_names_and_to_nobody_else(
    deployment: Deployment,
) -> None:
    network = deployment.rig.network
    loaded = network.campus.run("nft", "list", "table", "inet", "campus_policy").stdout
    assert "21541" in loaded
    for source, port, reached in (
        (STRANGER, HTTPS, True),
        (CAMPUS_CLIENT, HTTPS, True),
        *((CAMPUS_CLIENT, port, True) for port in (LOKI, GUARDED_PORT)),
        *((STRANGER, port, False) for port in (LOKI, GUARDED_PORT, UNNAMED_PORT)),
        *((NAT, port, False) for port in (LOKI, GUARDED_PORT, UNNAMED_PORT)),
        (CAMPUS_CLIENT, UNNAMED_PORT, False),
    ):
        assert can_connect(network.world, source, (SERVER, port)) is reached, (source, port)


def test_a_preview_shows_no_changes(deployment: Deployment) -> None:
    assert deployment.stack.changes() == {}


def test_another_nat_address_is_let_in_without_a_restart(deployment: Deployment) -> None:
    before = running_since(deployment.rig, deployment.settings)
    changes = {"egress": {"create": {"addresses": [LATER_NAT]}}}
    deployment.stack.configure(merged(deployment.settings, changes))
    try:
        outputs = deployment.stack.up()
        assert outputs["nat_public_ips"].value == [LATER_NAT]
        assert running_since(deployment.rig, deployment.settings) == before
        assert deployment.push_status(NAT, "aws") == 403
        assert deployment.push_status(LATER_NAT, "aws") == 204
        assert deployment.stack.changes() == {}
    finally:
        deployment.stack.configure(deployment.settings)
        deployment.stack.up()
    assert running_since(deployment.rig, deployment.settings) == before
    assert deployment.push_status(LATER_NAT, "aws") == 403
    assert deployment.push_status(NAT, "aws") == 204
