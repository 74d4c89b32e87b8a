"""An SSH server in a namespace, as far as an operator's Docker client and a confirmation need one."""

from __future__ import annotations

import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import paramiko
from paramiko import common

from tests.rig.namespaces import Namespace

USER = "operator"
# What the Docker SDK runs at the other end of an ssh:// connection.
DIAL = b"docker system dial-stdio"
# Whoever is dropped on the way is waited for no longer; the clients give up earlier.
CONNECT_SECONDS = 5.0
# How soon a thread notices that its client has gone.
ACCEPT_SECONDS = 1.0


@dataclass
class SshServer:
    """A running server. It knows one key, and each connection is a new one."""

    namespace: Namespace
    address: tuple[str, int]
    host_key: paramiko.PKey
    # Where Docker answers, for those who dial it.
    docker_socket: str | None
    # The clients, in the order of their connections.
    clients: list[tuple[str, int]] = field(default_factory=list)

    def known_hosts_line(self) -> str:
        """The server, as a client's known_hosts names it."""
        host, port = self.address
        return f"[{host}]:{port} {self.host_key.get_name()} {self.host_key.get_base64()}\n"


@contextmanager
def ssh_server(
    namespace: Namespace, address: tuple[str, int], docker_socket: str | None = None
) -> Iterator[SshServer]:
    """A server for the length of the block; its connections end with it."""
    server = SshServer(namespace, address, paramiko.ECDSAKey.generate(), docker_socket)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with namespace.entered():
        listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(address)
    listener.listen()
    transports: list[paramiko.Transport] = []
    thread = threading.Thread(target=_accept, args=(listener, server, transports), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        # Wakes `accept`, which a close alone doesn't.
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        listener.close()
        for transport in transports:
            transport.close()


def operators_home(folder: Path, *servers: SshServer) -> None:
    """Make a home folder whose ~/.ssh knows these servers, and has a key for them."""
    place = folder / ".ssh"
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(mode=0o700)
    (place / "known_hosts").write_text("".join(server.known_hosts_line() for server in servers))
    paramiko.ECDSAKey.generate().write_private_key_file(str(place / "id_ecdsa"))


def _accept(listener: socket.socket, server: SshServer, transports: list[paramiko.Transport]) -> None:
    while True:
        try:
            connection, client = listener.accept()
        except OSError:
            return
        server.clients.append(client[:2])
        transport = paramiko.Transport(connection)
        transport.add_server_key(server.host_key)
        transports.append(transport)
        threading.Thread(target=_serve, args=(transport, server), daemon=True).start()


def _serve(transport: paramiko.Transport, server: SshServer) -> None:
    """One client, from its greeting to its end."""
    session = _Session(server)
    try:
        transport.start_server(server=session)
        while transport.is_active():
            channel = transport.accept(ACCEPT_SECONDS)
            if channel is not None:
                far_end = session.far_ends.pop(channel.get_id())
                threading.Thread(target=join, args=(channel, far_end), daemon=True).start()
    except (OSError, EOFError, paramiko.SSHException):
        transport.close()


class _Session(paramiko.ServerInterface):
    """What a client may do: dial Docker, and connect on from here."""

    def __init__(self, server: SshServer) -> None:
        self._server = server
        # What each channel leads to.
        self.far_ends: dict[int, socket.socket] = {}

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return common.AUTH_SUCCESSFUL if username == USER else common.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        """A session, which is there for Docker alone."""
        if self._server.docker_socket is None:
            return common.OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED
        self.far_ends[chanid] = socket.socket(socket.AF_UNIX)
        self.far_ends[chanid].connect(self._server.docker_socket)
        return common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        return command == DIAL

    def check_channel_direct_tcpip_request(
        self, chanid: int, origin: tuple[str, int], destination: tuple[str, int]
    ) -> int:
        here = self._server.address[0]
        try:
            onward = self._server.namespace.connect(destination, here, timeout=CONNECT_SECONDS)
        except OSError:
            return common.OPEN_FAILED_CONNECT_FAILED
        onward.settimeout(None)
        self.far_ends[chanid] = onward
        return common.OPEN_SUCCEEDED


def join(near: paramiko.Channel | socket.socket, far: socket.socket) -> None:
    """Carry bytes both ways, until the far end has said all; then both are closed."""

    def inwards() -> None:
        _copy(near.recv, far.sendall)
        with suppress(OSError):
            far.shutdown(socket.SHUT_WR)

    threading.Thread(target=inwards, daemon=True).start()
    _copy(far.recv, near.sendall)
    far.close()
    with suppress(OSError, EOFError):
        near.shutdown(socket.SHUT_RDWR)
        near.close()


def _copy(receive: Callable[[int], bytes], send: Callable[[bytes], None]) -> None:
    with suppress(OSError, EOFError):
        while data := receive(1 << 16):
            send(data)
