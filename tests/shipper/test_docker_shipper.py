"""The campus host's own log shipper, deployed: its allowed requests to the engine, and its lines."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from components.docker_hosts.docker_reader import SOCKET
from components.docker_hosts.push_destination import PASSWORD_FILE, Destination
from components.log_shipper.alloy_config import (
    ALLOY_UID,
    CONFIG_FILE,
    DIRECTORY,
    render_alloy_config,
)
from components.log_shipper.component import DATA
from rig.deployment import Deployment
from rig.live_caddy import printed
from rig.probe import lines_in_loki
from rig.processes import wait_for
from tests.shipper.alloy import IMAGE, alloy_is_available
from tests.shipper.conftest import OUTSIDE
from tests.support.agent_outside import agent_outside
from tests.support.engine_socket import socket_of, status

pytestmark = pytest.mark.docker

SHIPPER = "log-shipper-campus"
# Docker 20.10's own version. This client would ask elsewhere for it; Alloy's gets it from a ping's answer.
API_VERSION = "1.41"
ARRIVES_SECONDS = 120.0


@pytest.fixture
def engine(deployment: Deployment, tmp_path: Path) -> Iterator[docker.DockerClient]:
    """A Docker client on the reader's socket."""
    at = socket_of(deployment.container(SHIPPER), tmp_path)
    with closing(docker.DockerClient(f"unix://{at}", version=API_VERSION, timeout=60)) as client:
        yield client


@contextmanager
def printing(deployment: Deployment, line: str) -> Iterator[Container]:
    """A container that prints a line, and keeps running."""
    caddy = deployment.settings["images"]["caddy"]
    with closing(deployment.rig.engine.client()) as engine:
        command = ["sh", "-c", f"echo '{line}'; trap exit TERM; while :; do sleep 1; done"]
        made = engine.containers.run(caddy, command, detach=True, network_mode="none")
        try:
            yield made
        finally:
            made.remove(force=True)


def test_requests_for_reading_logs_are_answered(deployment: Deployment, engine: docker.DockerClient) -> None:
    line = f"a line {secrets.token_hex(8)}"
    with printing(deployment, line) as made:
        assert engine.ping()
        assert made.id in {one.id for one in engine.containers.list()}
        assert engine.networks.list()
        found = engine.containers.get(str(made.id))
        assert found.name == made.name
        # It comes while the stream is open.
        assert next(iter(found.logs(stream=True, follow=True))) == f"{line}\n".encode()


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/version"),
        ("GET", "/info"),
        ("GET", "/events"),
        ("GET", "/images/json"),
        ("GET", "/volumes"),
        ("GET", "/containers/{id}/archive?path=/etc/shadow"),
        ("GET", "/containers/{id}/export"),
        ("GET", "/containers/{id}/top"),
        ("GET", "/containers/{id}/attach/ws?logs=1"),
        ("GET", "/v1.41/containers/{id}/logs/../archive?path=/etc/shadow"),
        ("GET", "/v1.41/containers/{id}/archive/../logs?path=/etc/shadow"),
        ("GET", "/containers/{id}/json%2f..%2farchive?path=/etc/shadow"),
        ("GET", "/containers/{id}/archive%3f/json?path=/etc/shadow"),
        ("GET", "//containers/json"),
        ("GET", "/images/json?/containers/json"),
        ("GET", "http://docker/images/json"),
        ("HEAD", "/containers/{id}/archive?path=/etc/shadow"),
        ("POST", "/containers/create"),
        ("POST", "/containers/json"),
        ("POST", "/containers/{id}/exec"),
        ("POST", "/containers/{id}/kill"),
        ("PUT", "/containers/{id}/archive?path=/"),
        ("DELETE", "/containers/{id}"),
        ("DELETE", "/containers/{id}/logs"),
        ("POST", "/build"),
        ("POST", "/images/create?fromImage=x"),
    ],
)
def test_all_other_requests_are_refused(
    deployment: Deployment, tmp_path: Path, method: str, target: str
) -> None:
    shipper = deployment.container(SHIPPER)
    assert status(socket_of(shipper, tmp_path), method, target.format(id=shipper.id)) == 403


def test_a_reader_that_was_killed_serves_again(
    deployment: Deployment, engine: docker.DockerClient, tmp_path: Path
) -> None:
    assert engine.ping()
    reader = deployment.container(f"{SHIPPER}-reader")
    reader.kill()
    reader.start()
    wait_until_read(deployment, tmp_path)


def wait_until_read(deployment: Deployment, folder: Path) -> None:
    """Return when the engine answers through the reader."""
    at = socket_of(deployment.container(SHIPPER), folder)

    def answers() -> bool:
        try:
            return status(at, "GET", "/_ping") == 200
        except OSError:
            return False

    wait_for("the engine answers through the reader", answers, 60.0)


def test_the_shipper_reads_its_files_and_keeps_its_positions(deployment: Deployment) -> None:
    shipper = deployment.container(SHIPPER)
    assert printed(shipper, "id -u").strip() == str(ALLOY_UID)
    assert "loki.write" in printed(shipper, f"cat {DIRECTORY}/{CONFIG_FILE}")
    printed(shipper, f"test -S {SOCKET} && test -w {SOCKET} && touch {DATA}/x && rm {DATA}/x")
    status, _ = shipper.exec_run(["sh", "-c", f": >{DIRECTORY}/x || : >/x"])
    assert status != 0


def test_a_preview_shows_no_changes(deployment: Deployment) -> None:
    assert deployment.stack.changes() == {}


@pytest.fixture
def alloy() -> None:
    """The real Alloy."""
    if not alloy_is_available():
        pytest.skip(f"the registry of {IMAGE} refuses it here: nothing ships")


@pytest.mark.usefixtures("alloy")
def test_a_line_of_a_container_arrives_under_its_name(deployment: Deployment) -> None:
    assert_ships(deployment, "campus")


@pytest.mark.usefixtures("alloy")
def test_a_line_arrives_through_the_gate(deployment: Deployment) -> None:
    """Like another host: to the route with a password, over TLS."""
    with shipper_outside(deployment, "outside"):
        assert_ships(deployment, "outside")


def assert_ships(deployment: Deployment, host: str) -> None:
    """A container's line arrives unchanged, with the names of the host and the container."""
    line = f"a line {secrets.token_hex(8)}"
    with printing(deployment, line) as made:
        query = f'{{source="docker",host="{host}",container="{made.name}"}}'
        network = deployment.rig.network
        wait_for(
            "the line is in Loki",
            lambda: line in lines_in_loki(network.campus, deployment.loki("test"), query),
            ARRIVES_SECONDS,
        )


@contextmanager
def shipper_outside(deployment: Deployment, host: str) -> Iterator[None]:
    """An Alloy as on another host."""
    login = deployment.login()
    destination = Destination(url=deployment.outputs["loki_push_urls"]["test"], user=login.user)
    files = {CONFIG_FILE: render_alloy_config(host, destination), PASSWORD_FILE: login.password}
    with agent_outside(deployment, deployment.container(SHIPPER), files, DIRECTORY, OUTSIDE):
        yield


def test_after_a_restart_of_docker_the_reader_serves_again(deployment: Deployment, tmp_path: Path) -> None:
    """The engine recreates its socket: the reader's old socket leads nowhere."""
    deployment.rig.engine.restart()
    wait_until_read(deployment, tmp_path)
    # The next tests find the stack as this one did.
    wait_for("every Loki accepts lines again", deployment.accepts_lines, 60.0)
