"""The slowdown of Grafana's visitors while other clients guess passwords.

The clients run in their own processes. On one machine they share the processor with the servers: so the
visitor has the highest priority and the guessers the lowest, to measure the server's time and not the
clients'.
"""

from __future__ import annotations

import os
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Any

from rig.deployment import Deployment
from rig.namespaces import CAMPUS_CLIENT, STRANGER
from rig.other_processes import Caller, other_processes
from rig.probe import PUSH_PATH, Login, can_connect
from rig.processes import wait_for

GUARDED = "/lokitest" + PUSH_PATH
USER = "admin"
VISITS_PER_SECOND = 200.0
GUESSERS = 8
# Two cores hash some two guesses a second: this is eight times as much, and no load by itself.
GUESSES_PER_SECOND = 16.0
# The size of an answer of Grafana's API.
PAGE = "G" * 2048
PAGE_PORT = 3000
# A guess waits until earlier guesses are hashed.
ANSWER_SECONDS = 120.0
# For nine handshakes at most, on a busy machine.
CONNECT_SECONDS = 0.5


@dataclass
class Slowdown:
    """The seconds that visits took, turn by turn, without and with guesses."""

    without: list[list[float]] = field(default_factory=list, repr=False)
    during: list[list[float]] = field(default_factory=list, repr=False)
    # How many guesses got each answer.
    guesses: Counter[int] = field(default_factory=Counter)

    @property
    def ratio(self) -> float:
        """The 99th percentile with guesses ÷ without, each the median of all turns.

        So a disturbed turn has no more weight than any other.
        """
        return middle(self.during, 0.99) / middle(self.without, 0.99)

    @property
    def visits(self) -> int:
        """How many visits were measured with guesses, and as many without."""
        return sum(map(len, self.during))

    @property
    def visits_per_second(self) -> float:
        """How many visits a second were answered in the slowest turn with guesses."""
        return min(len(turn) / (len(turn) / VISITS_PER_SECOND + turn[-1]) for turn in self.during)

    def __str__(self) -> str:
        return (
            f"{self.visits} visits each; without guesses {_percentiles(self.without)}; "
            f"with {_percentiles(self.during)}; guesses by answer: {dict(self.guesses)}"
        )


def _percentiles(turns: list[list[float]]) -> str:
    return f"p50 {middle(turns, 0.5) * 1e3:.2f} ms, p99 {middle(turns, 0.99) * 1e3:.2f} ms"


def middle(turns: list[list[float]], part: float) -> float:
    """The median of the turns' percentiles."""
    return statistics.median(percentile(turn, part) for turn in turns)


def percentile(values: list[float], part: float) -> float:
    """The value below which this part of all values is."""
    return sorted(values)[int(len(values) * part)]


@contextmanager
def page_behind_caddy(deployment: Deployment) -> Iterator[str]:
    """A small real server on the campus network, at host:port, in place of Grafana."""
    settings = deployment.settings
    engine = deployment.rig.engine.client()
    network = settings["campus"]["namePrefix"] + "network"
    container = engine.containers.run(
        settings["images"]["caddy"],
        ["caddy", "respond", "--listen", f":{PAGE_PORT}", "--body", PAGE],
        detach=True,
        network=network,
    )
    try:
        container.reload()
        address = container.attrs["NetworkSettings"]["Networks"][network]["IPAddress"]
        campus = deployment.rig.network.campus
        wait_for("the page is served", lambda: can_connect(campus, None, (address, PAGE_PORT)), 20.0)
        yield f"{address}:{PAGE_PORT}"
    finally:
        container.remove(force=True, v=True)
        engine.close()


def slowdown(deployment: Deployment, turns: int, seconds: float, source: str = STRANGER) -> Slowdown:
    """Visit without and with guesses in turns, so that other load slows both alike."""
    visitor, guesser = Caller.of(deployment, CAMPUS_CLIENT), Caller.of(deployment, source)
    measured = Slowdown()
    with other_processes(2) as processes:
        for _ in range(turns):
            measured.without.append(processes.submit(visit, visitor, seconds, soon()).result())
            start = soon()
            guesses = processes.submit(guess, guesser, seconds, start)
            measured.during.append(processes.submit(visit, visitor, seconds, start).result())
            measured.guesses += guesses.result()
    return measured


def soon() -> float:
    """The start of a turn, on the clock of all processes: its clients are connected by then."""
    return time.monotonic() + CONNECT_SECONDS


def visit(caller: Caller, seconds: float, start: float) -> list[float]:
    """Request Grafana's page at a fixed rate; the seconds from each visit's due time to its end.

    Raises RuntimeError if a visit isn't answered with the page.
    """
    os.setpriority(os.PRIO_PROCESS, 0, -10)
    took: list[float] = []
    with caller.client().connected() as connection:
        connection.timeout = ANSWER_SECONDS
        connection.connect()
        # The process may have started late.
        start = max(start, time.monotonic())
        for number in range(int(seconds * VISITS_PER_SECOND)):
            due = start + number / VISITS_PER_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            connection.request("GET", "/")
            answer = connection.getresponse()
            if answer.read().decode() != PAGE:
                raise RuntimeError(f"Grafana's route answered {answer.status}, not with the page")
            took.append(time.monotonic() - due)
    return took


def guess(caller: Caller, seconds: float, start: float) -> Counter[int]:
    """Guess passwords, each client at a fixed rate and one guess at a time; the count of each answer.

    Each client keeps its connection, as a long-running guesser does.
    """
    os.setpriority(os.PRIO_PROCESS, 0, 10)
    every = GUESSERS / GUESSES_PER_SECOND

    def one(statuses: Counter[int], place: int, connection: HTTPConnection) -> None:
        due = start + every * place / GUESSERS
        while due < start + seconds:
            time.sleep(max(0.0, due - time.monotonic()))
            headers = {"Authorization": Login(USER, f"wrong {place} {time.time_ns()}").header()}
            connection.request("POST", GUARDED, body=b"{}", headers=headers)
            answer = connection.getresponse()
            answer.read()
            statuses[answer.status] += 1
            due = max(due + every, time.monotonic())

    client = caller.client()
    counts = [Counter[int]() for _ in range(GUESSERS)]
    with ExitStack() as open_ones:
        threads: list[threading.Thread] = []
        for place, count in enumerate(counts):
            connection = open_ones.enter_context(client.connected())
            connection.timeout = ANSWER_SECONDS
            connection.connect()
            threads.append(threading.Thread(target=one, args=(count, place, connection)))
        start = max(start, time.monotonic())
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return sum(counts, Counter())


def caddy_cpu_seconds(deployment: Deployment) -> float:
    """The processor time that the Caddy container has used so far."""
    stats: Any = deployment.caddy().stats(stream=False, one_shot=True)
    return stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
