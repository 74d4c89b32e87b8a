"""The gate's throughput, compared with a bare reverse proxy and with Loki itself; and pushes by turns."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from bench.own_caddy import OwnCaddy, own_caddy
from bench.verdict import verdict
from components.edge.component import CADDYFILE
from rig.deployment import Deployment
from rig.flood import percentile
from rig.namespaces import NAT, SERVER
from rig.other_processes import Caller, other_processes
from rig.probe import PUSH_PATH, Login
from rig.processes import wait_for
from rig.pusher import numbered_body

BARE_PORT = 8443
ROUNDS, SECONDS = 20, 1.5
# As many connections as some shippers have; a push has one shipper's lines of a busy second.
CONNECTIONS, LINES, LINE_BYTES = 8, 100, 100
ANSWER_SECONDS = 60.0


@dataclass(frozen=True)
class Kind:
    """A kind of push. Its functions are a module's own, as other processes call them."""

    # What a push has this many of.
    unit: str
    number: int
    headers: Mapping[str, str]
    # The body of a push by one of the connections.
    body: Callable[[int], bytes]


def lines_body(place: int) -> bytes:
    """A push of lines to Loki."""
    now, labels = time.time_ns(), {"job": "bench", "connection": str(place)}
    return numbered_body(labels, [(now + line, "x" * LINE_BYTES) for line in range(LINES)])


LOKIS = Kind("lines", LINES, {"Content-Type": "application/json"}, lines_body)


@dataclass(frozen=True)
class Way:
    """One route for a push."""

    name: str
    caller: Caller
    path: str
    login: Login | None = None
    kind: Kind = LOKIS
    connections: int = CONNECTIONS


@dataclass
class Pushed:
    """A route's results: lines or samples per second of each round, seconds of each push."""

    unit: str
    rates: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        p50, p99 = (percentile(self.seconds, part) * 1e3 for part in (0.5, 0.99))
        rate = statistics.median(self.rates)
        return f"{rate:,.0f} {self.unit}/s, a push p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def report_pushes(edge: Deployment) -> bool:
    """Measure, print and record; whether the target is met."""
    with own_caddy(edge, "bench-bare", BARE_PORT) as bare:
        _start_bare(edge, bare)
        gate = Caller.of(edge, NAT)
        campus = edge.rig.network.campus
        straight = replace(gate, namespace=campus, source=SERVER, server=edge.loki("aws"), ca=None)
        ways = (
            Way("straight to Loki, plain HTTP", straight, PUSH_PATH),
            Way("bare reverse proxy, TLS", bare.caller(NAT), PUSH_PATH),
            Way("gate", gate, "/lokiaws" + PUSH_PATH),
            Way("gate and password", gate, "/lokitest" + PUSH_PATH, edge.login()),
        )
        pushed = push_by_turns(ways)
    _, through_bare, through_gate, _ = pushed
    ratios = [ours / bare for ours, bare in zip(through_gate.rates, through_bare.rates, strict=True)]
    versus = f"a bare reverse proxy: {through_bare}; the gate: {through_gate}"
    return verdict("gate_throughput_ratio", round(statistics.median(ratios), 3), len(ratios), versus)


def _start_bare(edge: Deployment, bare: OwnCaddy) -> None:
    """TLS and a reverse proxy to Loki, and nothing else."""
    loki = ":".join(map(str, edge.loki("aws")))
    site = f"https://{edge.settings['edge']['domain']}:{BARE_PORT}"
    options = "{\n\tskip_install_trust\n\tauto_https disable_redirects\n\tadmin off\n}\n"
    bare.start({CADDYFILE: f"{options}{site} {{\n\ttls internal\n\treverse_proxy {loki}\n}}\n"})
    client = bare.caller(NAT).client()

    def answers() -> bool:
        try:
            return client.push("a line", "", {"job": "bench"}).status == 204
        except OSError:
            return False

    wait_for("the bare reverse proxy answers", answers, 30.0)


def push_by_turns(ways: tuple[Way, ...]) -> list[Pushed]:
    """Push over each route in turn, round by round, and print the results."""
    pushed = [Pushed(way.kind.unit) for way in ways]
    with other_processes(1) as processes:
        # The first round is a warm-up, with the only hash of the password.
        for number in range(ROUNDS + 1):
            for way, came in zip(ways, pushed, strict=True):
                took, seconds = processes.submit(push_all_out, way).result()
                if number > 0:
                    came.rates.append(len(seconds) * way.kind.number / took)
                    came.seconds += seconds
    for way, came in zip(ways, pushed, strict=True):
        print(f"  {way.name:29} {came}")
    return pushed


def push_all_out(way: Way) -> tuple[float, list[float]]:
    """Push on each connection after the last push's answer; the seconds in total, and of each.

    Raises RuntimeError if a push is refused.
    """
    took: list[float] = []
    wrong: list[int] = []
    start = time.monotonic()

    def push(place: int) -> None:
        headers = dict(way.kind.headers)
        if way.login is not None:
            headers["Authorization"] = way.login.header()
        with way.caller.client().connected() as connection:
            connection.timeout = ANSWER_SECONDS
            while time.monotonic() < start + SECONDS and not wrong:
                body = way.kind.body(place)
                began = time.monotonic()
                connection.request("POST", way.path, body=body, headers=headers)
                answer = connection.getresponse()
                answer.read()
                took.append(time.monotonic() - began)
                if answer.status != 204:
                    wrong.append(answer.status)

    threads = [threading.Thread(target=push, args=(place,)) for place in range(way.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"{way.name}: a push was answered {wrong[0]}")
    return time.monotonic() - start, took
