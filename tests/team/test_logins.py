"""Many logins at once over SSH, as Pulumi makes them on many cores, and a server with its defaults."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from components.live.ssh_connect import SSH_OPTS
from rig.namespaces import NAT, SERVER, Network, make_network
from rig.run import opened_run
from rig.ssh_server import USER, SshServer, operators_home, ssh_server
from rig.stack import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

PORT = 21541
# More than sshd takes by default before a login is through (10), as many as 10 cores make.
LOGINS = 40


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with opened_run() as run:
        yield make_network(run)


@pytest.fixture
def server(network: Network, tmp_path: Path) -> Iterator[SshServer]:
    """A server that knows the key in the home folder."""
    with ssh_server(network.campus, (SERVER, PORT)) as made:
        operators_home(tmp_path, made)
        yield made


def exit_codes(network: Network, home: Path, options: Sequence[str]) -> list[int]:
    """What ssh ends with, as often as there are logins at once."""
    known = ["-o", f"UserKnownHostsFile={home}/.ssh/known_hosts", "-i", f"{home}/.ssh/id_ecdsa"]
    command = [
        "ssh",
        "-F",
        "none",
        "-o",
        "BatchMode=yes",
        *known,
        *options,
        "-l",
        USER,
        "-p",
        str(PORT),
        SERVER,
    ]
    started = [
        subprocess.Popen(
            ["nsenter", f"--net={network.world.path}", *command, "true"],
            cwd=ROOT,  # where Pulumi starts its plugins: the program's folder
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(LOGINS)
    ]
    return [one.wait() for one in started]


def test_every_login_comes_through_with_what_the_provider_gives_ssh(
    network: Network, server: SshServer, tmp_path: Path
) -> None:
    assert set(exit_codes(network, tmp_path, SSH_OPTS)) == {0}
    # And that isn't because there was room.
    assert server.turned_away > 0
    assert {host for host, _ in server.clients} == {NAT}


def test_without_it_some_are_lost(network: Network, server: SshServer, tmp_path: Path) -> None:
    assert 255 in exit_codes(network, tmp_path, ())
    assert server.turned_away > 0
