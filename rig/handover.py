"""The fate of connections that wait at a closing listener, such as Caddy's at each reload."""

from __future__ import annotations

import socket
from contextlib import ExitStack

from rig.namespaces import Namespace

# Linux spreads them over both listeners: so many never all go to one.
WAITING = 64
PORT = 8443


def handed_over(namespace: Namespace) -> int:
    """How many of 64 connections a second listener gets if the first closes without accepting any."""
    with ExitStack() as sockets:
        with namespace.entered():
            first, second = (sockets.enter_context(_listener()) for _ in range(2))
        for _ in range(WAITING):
            sockets.enter_context(namespace.connect(("127.0.0.1", PORT)))
        first.close()
        return _waiting_at(second)


def _listener() -> socket.socket:
    """A listener beside another on the same port, as Caddy opens it (its listen_unix.go)."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    made.bind(("127.0.0.1", PORT))
    made.listen(WAITING)
    made.setblocking(False)
    return made


def _waiting_at(listener: socket.socket) -> int:
    """How many connections wait. They arrive at once: both ends are in this machine's kernel."""
    taken = 0
    while True:
        try:
            listener.accept()[0].close()
        except BlockingIOError:
            return taken
        taken += 1
