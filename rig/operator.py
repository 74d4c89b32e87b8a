"""An operator's machine: its way through the VPN to the campus server's SSH, and a home that knows it."""

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

# The official plugin runs OpenSSH's client, which looks for its files in the home that the system
# names, whatever $HOME says.
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
    """How Pulumi reaches the campus server's Docker Engine from the operator's machine."""

    docker_host: str
    environment: dict[str, str]
    server: SshServer


@contextmanager
def operator_of(rig: Rig, ssh_port: int, home: Path) -> Iterator[Operator]:
    """An operator for the length of the block, who comes in as a client of the campus' VPN.

    The machine's own network has no way into the rig. So a port on a loopback address of this process' own
    leads there, to an SSH server in the campus namespace: what its port policy drops doesn't get through.
    """
    engine = rig.engine.url.removeprefix("unix://")
    with ssh_server(rig.network.campus, (SERVER_IN_PRIVATE, ssh_port), engine) as server:
        near = (str(IPv4Address("127.0.0.0") + os.getpid()), ssh_port)
        with _vpn(near, rig.network.world, server.address):
            operators_home(home, replace(server, address=near))
            host, port = near
            yield Operator(f"ssh://{USER}@{host}:{port}", _environment(home), server)


def _environment(home: Path) -> dict[str, str]:
    """What Pulumi's processes are to see: this home, no agent's keys, and Pulumi's own files as ever."""
    programs, config = home / "bin", home / ".ssh" / "config"
    programs.mkdir()
    config.write_text(SSH_CONFIG.format(home=home))
    (programs / "ssh").write_text(SSH.format(folder=programs, config=config))
    (programs / "ssh").chmod(0o755)
    return {
        "HOME": str(home),
        "PULUMI_HOME": os.environ.get("PULUMI_HOME", str(Path.home() / ".pulumi")),
        "SSH_AUTH_SOCK": "",
        # Pulumi, a Go program, works on four resources per core at once: 64 logins where there are 16.
        "GOMAXPROCS": "16",
        "PATH": os.pathsep.join([str(programs), os.environ["PATH"]]),
    }


@contextmanager
def _vpn(near: tuple[str, int], world: Namespace, far: tuple[str, int]) -> Iterator[None]:
    """Let connections to `near` come out in the world, as those of a client of the VPN to `far`."""

    class Onwards(socketserver.BaseRequestHandler):
        request: socket.socket

        def handle(self) -> None:
            _join(self.request, world.connect(far, PRIVATE_CLIENT))

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        # As many as may come at once.
        request_queue_size = 256

    with Server(near, Onwards) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def _join(near: socket.socket, far: socket.socket) -> None:
    """Carry bytes both ways, until the far end has said all; then both are closed."""
    far.settimeout(None)  # a login that is idle while others work stays

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
