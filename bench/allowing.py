"""The time until an allowed address can push: our update, compared with the manual ways."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from bench.own_caddy import DIRECTORY, OwnCaddy, own_caddy
from bench.verdict import verdict
from components.edge.component import CADDYFILE
from rig.deployment import Deployment
from rig.edge_files import EdgeFiles, edge_files, fragment
from rig.namespaces import LATER_NAT, NAT
from rig.probe import Client
from rig.processes import wait_for

TWIN_PORT, TWIN_HTTP_PORT = 8444, 8081
ROUNDS = 15
CLOSED, OPEN = 403, 204
RELOAD = ("caddy", "reload", "--config", f"{DIRECTORY}/{CADDYFILE}", "--adapter", "caddyfile")
ADMIN = ("--address", "unix//run/caddy/admin.sock")


def report_allowing(edge: Deployment) -> bool:
    """Measure, print and record; whether the target is met."""
    ours: list[float] = []
    copied: list[float] = []
    recreated: list[float] = []
    with edge_files(edge) as live, own_caddy(edge, "bench-twin", TWIN_PORT) as twin:
        by_hand = ByHand(twin, live.deployed)
        for _ in range(ROUNDS):
            ours.append(_ours(live, edge.client(LATER_NAT)))
            copied.append(by_hand.copy_and_reload())
            recreated.append(by_hand.recreate())
    middle = statistics.median
    versus = (
        f"recreating the container {middle(recreated):.2f} s, "
        f"docker cp and caddy reload {middle(copied):.2f} s"
    )
    print(f"  from the change to the address's first 204, medians of {ROUNDS}: {versus};")
    print(
        f"  our update {middle(ours):.2f} s (slowest {max(ours):.2f} s), "
        f"{middle(ours) / middle(recreated):.2f} of recreating"
    )
    return verdict("allowlist_enforced_seconds", round(middle(ours), 3), ROUNDS, versus)


def _ours(live: EdgeFiles, client: Client) -> float:
    """One update of a resource that allows the address."""
    _wait_for_answer(client, CLOSED)
    seconds = _until_open(client, lambda: live.allow(LATER_NAT))
    live.disallow(LATER_NAT)
    return seconds


class ByHand:
    """The same Caddyfile on a twin of the edge, changed without our code."""

    def __init__(self, twin: OwnCaddy, caddyfile: str) -> None:
        for ours, others in (
            ("https_port 443\n", f"https_port {TWIN_PORT}\n"),
            ("http_port 80\n", f"http_port {TWIN_HTTP_PORT}\n"),
        ):
            caddyfile = caddyfile.replace(ours, others)
        self._twin = twin
        self._closed = {CADDYFILE: caddyfile} | fragment(NAT)
        self._fragment = fragment(LATER_NAT)
        twin.start(self._closed)
        self._client = twin.caller(LATER_NAT).client()
        self._close()

    def copy_and_reload(self) -> float:
        """`docker cp` and `caddy reload`: no validation, no rollback."""

        def change() -> None:
            self._twin.put(self._fragment)
            self._twin.run(*RELOAD, *ADMIN)

        seconds = _until_open(self._client, change)
        self._close()
        return seconds

    def recreate(self) -> float:
        """Replace the container by one with the new files."""

        def change() -> None:
            self._twin.stop()
            self._twin.start(self._closed | self._fragment)

        seconds = _until_open(self._client, change)
        self._close()
        return seconds

    def _close(self) -> None:
        for path in self._fragment:
            self._twin.run("rm", "-f", f"{DIRECTORY}/{path}")
        _wait_for_answer(self._client, OPEN, CLOSED)
        self._twin.run(*RELOAD, *ADMIN)
        _wait_for_answer(self._client, CLOSED)


def _until_open(client: Client, change: Callable[[], None]) -> float:
    """The seconds from the beginning of a change to the first accepted push."""
    start = time.monotonic()
    change()
    while _answer(client) != OPEN:
        time.sleep(0.005)
    return time.monotonic() - start


def _wait_for_answer(client: Client, *statuses: int) -> None:
    wait_for(f"the twin answers {statuses}", lambda: _answer(client) in statuses, 30.0)


def _answer(client: Client) -> int | None:
    try:
        return client.push("a line", "/lokiaws", {"job": "bench"}).status
    except OSError:
        return None
