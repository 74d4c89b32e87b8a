"""An HTTP server on loopback, for a test."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def serving(handler: type[http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    """The port of a silent server with this handler, a thread per request."""
    quiet = type("Quiet", (handler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), quiet)
    with running(server):
        yield server.server_port


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    """A server of a test's own, which serves in a thread and is closed at the end."""
    threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
