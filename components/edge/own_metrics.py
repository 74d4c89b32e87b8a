# pyright: strict
"""The programs' own metrics: Prometheus reads them through the reader, each by one exact path. Pure text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.edge.syntax import block
from components.live.container_facts import CADDY

# The edge serves its own on a socket in a volume that only the reader has, too: a port would be open to
# whatever runs on the host, and its admin API could do more.
SOCKET_DIRECTORY = "/run/caddy-metrics"
SOCKET = f"{SOCKET_DIRECTORY}/caddy.sock"


@dataclass(frozen=True, kw_only=True)
class MeasuredProgram:
    """A program of the campus server with metrics of its own."""

    # Unique: the label `instance`, and in the path.
    name: str
    # What kind of program it is: the label `job`.
    job: str
    # Where Caddy reaches it; None is the reader itself.
    upstream: str | None

    @property
    def path(self) -> str:
        """Its path at the reader."""
        return f"/metrics/{self.name}"


def edges_metrics() -> list[str]:
    """The edge's site for its own metrics."""
    return block(f"http://{CADDY} ", [f"bind unix/{SOCKET}|0666", "metrics"])


def readers_metrics(programs: Sequence[MeasuredProgram], source: str) -> list[str]:
    """The reader's answers to Prometheus, which has the address `source`."""
    return [line for one in programs for line in _answer(one, source)]


def _answer(one: MeasuredProgram, source: str) -> list[str]:
    matcher = f"@own_{one.name}"
    asks = ["method GET", f"vars {{http.request.orig_uri}} {one.path}", f"remote_ip {source}"]
    inner = ["metrics"]
    if one.upstream is not None:
        inner = block(f"reverse_proxy {one.upstream} ", [f"header_up Host {one.name}"])
    return [
        *block(f"{matcher} ", asks),
        *block(f"handle {matcher} ", block("route ", ["rewrite * /metrics", *inner])),
    ]
