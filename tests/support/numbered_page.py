"""A page of metrics whose answers are numbered, to find those that get lost."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer

from rig.namespaces import Namespace
from tests.support.http_server import running

NUMBERED, SERIES = "numbered", 20


@dataclass
class NumberedPage:
    """A page in the world: all its series have the number of the answer, which is counted up."""

    target: str
    answered: int = 0

    def text(self) -> bytes:
        """The next answer."""
        self.answered += 1
        lines = (f'{NUMBERED}{{series="{at}"}} {self.answered}\n' for at in range(SERIES))
        return "".join(lines).encode()


@contextmanager
def numbered_page(world: Namespace) -> Iterator[NumberedPage]:
    """A page that is there for the length of the block."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = page.text()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with world.entered():
        server = HTTPServer(("127.0.0.1", 0), Answers)
    page = NumberedPage(f"127.0.0.1:{server.server_port}")
    with running(server):
        yield page
