"""The socket of a proxy of a Docker engine, asked from outside its client's container."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing
from pathlib import Path

from docker.models.containers import Container

from components.docker_hosts.docker_reader import SOCKET, SOCKET_DIRECTORY


def socket_of(client: Container, folder: Path) -> Path:
    """The socket that a container uses, under a path that is short enough."""
    [volume] = [
        mount["Source"] for mount in client.attrs["Mounts"] if mount["Destination"] == SOCKET_DIRECTORY
    ]
    short = folder / "socket"
    if not short.exists():
        short.symlink_to(volume)
    return short / Path(SOCKET).name


def status(at: Path, method: str, target: str) -> int:
    """The status of a request with exactly this target."""
    with closing(http.client.HTTPConnection("docker")) as connection:
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(60)
        connection.sock.connect(str(at))
        connection.putrequest(method, target)
        connection.endheaders()
        return connection.getresponse().status
