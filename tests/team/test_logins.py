"""Many simultaneous SSH logins, like Pulumi's on many cores, and a server with its defaults."""

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
# More unfinished logins than sshd's default (10), as many as with 10 cores.
LOGINS = 40


@pytest.fixture(scope="module")
def network() -> Iterator[Network]:
    with opened_run() as run:
        yield make_network(run)


@pytest.fixture
def server(network: Network, tmp_path: Path) -> Iterator[SshServer]:
    """A server that accepts the key in the home folder."""
    with ssh_server(network.campus, (SERVER, PORT)) as made:
        operators_home(tmp_path, made)
        yield made


def exit_codes(network: Network, home: Path, options: Sequence[str]) -> list[int]:
    """ssh's exit code for each simultaneous login."""
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
            cwd=ROOT,  # like Pulumi's plugins, in the program's folder
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(LOGINS)
    ]
    return [one.wait() for one in started]


def test_every_login_succeeds_with_the_providers_ssh_options(
    network: Network, server: SshServer, tmp_path: Path
) -> None:
    assert set(exit_codes(network, tmp_path, SSH_OPTS)) == {0}
    # And not because there was room.
    assert server.turned_away > 0
    assert {host for host, _ in server.clients} == {NAT}


def test_without_the_options_some_fail(network: Network, server: SshServer, tmp_path: Path) -> None:
    assert 255 in exit_codes(network, tmp_path, ())
    assert server.turned_away > 0
