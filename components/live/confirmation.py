# pyright: strict
"""How new files are confirmed: a connection to make, from where, and by when."""

from __future__ import annotations

import time
from dataclasses import dataclass
from socket import socket
from typing import cast
from urllib.parse import urlsplit

from components.live.ssh_connect import GREETING

SSH_PORT = 22
RETRY_SECONDS = 0.25


@dataclass(frozen=True, kw_only=True)
class Confirmation:
    """New files stay only if a new connection to the Docker Engine is made within `seconds`.

    Over `ssh://` that shows that the operator can still log in. Over a unix socket it shows nothing, so
    `target` names another machine, `user@host` or `user@host:port`, from which this machine's own
    `ssh_port` is tried too.
    """

    seconds: float
    ssh_port: float
    target: str | None = None


def reaches(confirmation: Confirmation) -> str | None:
    """Try this machine's SSH port from the target until it answers or the time is up; the last problem."""
    if confirmation.target is None:
        return None
    end = time.monotonic() + confirmation.seconds
    while (problem := _problem(confirmation, end - time.monotonic())) is not None:
        if time.monotonic() + RETRY_SECONDS > end:
            return problem
        time.sleep(RETRY_SECONDS)
    return None


def _problem(confirmation: Confirmation, seconds: float) -> str | None:
    """Why a connection from there to here fails; None if it works."""
    import paramiko

    place = urlsplit(f"ssh://{confirmation.target}")
    limit = max(seconds, RETRY_SECONDS)
    try:
        with paramiko.SSHClient() as other:
            # As for the Docker host: a server that isn't in known_hosts is refused.
            other.load_system_host_keys()
            other.connect(
                place.hostname or "",
                place.port or SSH_PORT,
                place.username,
                timeout=limit,
                banner_timeout=limit,
                auth_timeout=limit,
            )
            transport = other.get_transport()
            if transport is None:
                return f"{confirmation.target}: the connection ended"
            # This machine's address, as the target sees it.
            own: str = cast("socket", transport.sock).getsockname()[0]
            here = (own, int(confirmation.ssh_port))
            channel = transport.open_channel("direct-tcpip", here, ("127.0.0.1", 0), timeout=limit)
            channel.settimeout(limit)
            if channel.recv(len(GREETING)) == GREETING:
                return None
            return f"{confirmation.target}: no SSH server greets at {own} port {here[1]}"
    except (OSError, EOFError, paramiko.SSHException) as error:
        return f"{confirmation.target}: {type(error).__name__}: {error}"
