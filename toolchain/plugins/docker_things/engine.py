"""The Docker Engine that the plugin talks to."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from toolchain.plugins.loopback import is_loopback
from toolchain.plugins.provider import PluginError

if TYPE_CHECKING:
    from docker import APIClient

_PROBE_SECONDS = 5.0
_CALL_SECONDS = 300
_UNREACHABLE = "failed to connect to any docker daemon"


class Engine:
    """One Docker Engine, connected to when first needed."""

    def __init__(self) -> None:
        self._host = ""
        self._lock = threading.Lock()
        self._client: APIClient | None = None

    def use(self, host: str) -> None:
        """Take the address, and fail as the real plugin does if nobody answers there."""
        with self._lock:
            self._host, self._client = host, None
        # The real plugin doesn't try ssh hosts either: a preview without the host must work.
        if not host.startswith("ssh://") and not _answers(host):
            raise PluginError(_UNREACHABLE)

    @property
    def api(self) -> APIClient:
        """The SDK's client. The SDK takes a third of a second to load, so only here."""
        with self._lock:
            if self._client is None:
                self._client = _connected(self._host)
            return self._client


def _connected(host: str) -> APIClient:
    if host.startswith("ssh://") and not is_loopback(host, "ssh"):
        raise PluginError(
            f"the stand-in plugin docker is test equipment and works on no remote host ({host}): "
            "install the official plugin"
        )
    from docker import APIClient
    from docker.errors import DockerException

    try:
        return APIClient(base_url=host, version="auto", timeout=_CALL_SECONDS, use_ssh_client=False)
    except DockerException as error:
        raise PluginError(_UNREACHABLE) from error


def _answers(host: str) -> bool:
    """Whether a Docker Engine answers a ping. A bare socket: no SDK, no HTTP library."""
    try:
        with _socket(host) as connection:
            connection.sendall(b"GET /_ping HTTP/1.0\r\nHost: docker\r\n\r\n")
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
    except (OSError, ValueError):
        return False


def _socket(host: str) -> socket.socket:
    address = urlsplit(host)
    if address.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_PROBE_SECONDS)
        connection.connect(address.path)
        return connection
    if address.scheme in ("tcp", "http"):
        target = (address.hostname or "", address.port or 2375)
        return socket.create_connection(target, _PROBE_SECONDS)
    raise ValueError(f"no Docker host: {host}")
