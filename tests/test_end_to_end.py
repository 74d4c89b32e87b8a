"""A log line's whole path with real parts: engine, containers, gate and Loki, in the rig."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rig.deployment import GUARDED_PORT, HTTPS, LOKI, UNNAMED_PORT, Deployment, deployed, docker_contents
from rig.emulator import Emulator
from rig.namespaces import CAMPUS_CLIENT, LATER_NAT, NAT, NAT_6, SERVER, STRANGER, STRANGER_6
from rig.probe import Login, can_connect, wait_for_line
from rig.processes import wait_for
from rig.rig import Rig
from rig.stack import merged

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def deployment(rig: Rig, emulator: Emulator) -> Iterator[Deployment]:
    """The stack after `pulumi up`. Leaving it runs `pulumi destroy`, which has to leave nothing."""
    before = docker_contents(rig), emulator.contents()
    with deployed(rig, emulator) as made:
        yield made
    assert (docker_contents(rig), emulator.contents()) == before


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
    """A foreign container, with two ports that Docker publishes past any ufw."""
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
        itself = (container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"], 8080)
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
    before = deployment.caddy_since()
    changes = {"egress": {"create": {"addresses": [LATER_NAT]}}}
    deployment.stack.configure(merged(deployment.settings, changes))
    try:
        deployment.stack.up()
        assert deployment.stack.outputs()["nat_public_ips"] == [LATER_NAT]
        assert deployment.caddy_since() == before
        assert deployment.push_status(NAT, "aws") == 403
        assert deployment.push_status(LATER_NAT, "aws") == 204
        assert deployment.stack.changes() == {}
    finally:
        deployment.stack.configure(deployment.settings)
        deployment.stack.up()
    assert deployment.caddy_since() == before
    assert deployment.push_status(LATER_NAT, "aws") == 403
    assert deployment.push_status(NAT, "aws") == 204
