"""An operator's machine: its route through the VPN to the campus server's SSH, and its home folder."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from pathlib import Path

from rig.namespaces import PRIVATE_CLIENT, SERVER_IN_PRIVATE, Namespace
from rig.rig import Rig
from rig.ssh_server import USER, SshServer, operators_home, ssh_server

# The official plugin runs OpenSSH's client, which looks for its files in the home of the system's user
# database, whatever $HOME is.
SSH = """\
#!/bin/sh
PATH=${{PATH#{folder}:}} exec ssh -F {config} "$@"
"""
SSH_CONFIG = """\
IdentityFile {home}/.ssh/id_ecdsa
UserKnownHostsFile {home}/.ssh/known_hosts
BatchMode yes
"""


@dataclass(frozen=True)
class Operator:
    """Pulumi's route from the operator's machine to the campus server's Docker Engine."""

    docker_host: str
    environment: dict[str, str]
    server: SshServer


@contextmanager
def operator_of(rig: Rig, ssh_port: int, home: Path) -> Iterator[Operator]:
    """An operator for the duration of the block, who connects as a client of the campus' VPN.

    The machine's own network has no route into the rig. So a loopback port of this process leads to an SSH
    server in the campus namespace, through its port policy.
    """
    engine = rig.engine.url.removeprefix("unix://")
    with ssh_server(rig.network.campus, (SERVER_IN_PRIVATE, ssh_port), engine) as server:
        near = (str(IPv4Address("127.0.0.0") + os.getpid()), ssh_port)
        with _vpn(near, rig.network.world, server.address):
            operators_home(home, replace(server, address=near))
            host, port = near
            yield Operator(f"ssh://{USER}@{host}:{port}", _environment(home), server)


def _environment(home: Path) -> dict[str, str]:
    """The environment of Pulumi's processes: this home, no agent's keys, and Pulumi's usual files."""
    programs, config = home / "bin", home / ".ssh" / "config"
    programs.mkdir()
    config.write_text(SSH_CONFIG.format(home=home))
    (programs / "ssh").write_text(SSH.format(folder=programs, config=config))
    (programs / "ssh").chmod(0o755)
    return {
        "HOME": str(home),
        "PULUMI_HOME": os.environ.get("PULUMI_HOME", str(Path.home() / ".pulumi")),
        "SSH_AUTH_SOCK": "",
        # Pulumi, a Go program, works on four resources per core in parallel: 64 logins with 16 cores.
        "GOMAXPROCS": "16",
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
    }


@contextmanager
def _vpn(near: tuple[str, int], world: Namespace, far: tuple[str, int]) -> Iterator[None]:
    """Forward connections to `near` to `far`, from a client of the VPN in the world."""

    class Onwards(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            _join(self.request, world.connect(far, PRIVATE_CLIENT))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        # As many as may come in parallel.
        request_queue_size = 256

    with Server(near, Onwards) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _join(near: socket.socket, far: socket.socket) -> None:
    """Copy bytes both ways until the far end has finished; then close both."""
    far.settimeout(None)  # an idle login stays while others work

    def inwards() -> None:
        _copy(near.recv, far.sendall)
        with suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    threading.Thread(target=inwards, daemon=True).start()
    _copy(far.recv, near.sendall)
    far.close()
    with suppress(OSError):
        near.shutdown(socket.SHUT_RDWR)
        near.close()


def _copy(receive: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
    with suppress(OSError):
        while data := receive(1 << 16):
            send(data)
