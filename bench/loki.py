"""One Loki's throughput and memory with 1, 10 and 100 streams, and its time to search a day.

`python -m bench.loki` runs three Lokis with the stack's configuration side by side in the test rig, without
the gate. It measures all in turns, so that a busy machine slows all alike. There are no targets.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from typing import Any
from urllib.parse import urlencode

from bench.verdict import verdict
from rig.live_loki import AT_ONCE, LiveLoki, rendered, running_loki
from rig.other_processes import Caller, other_processes
from rig.probe import PUSH_PATH
from rig.processes import wait_for
from rig.rig import end_in_order_on_signals, running_rig

STREAMS = (1, 10, 100)
# High enough to measure Loki and not its limits.
UNLIMITED = {"rateMib": 1024, "burstMib": 1024, "streamRateMib": 1024, "streamBurstMib": 1024}
TURNS, PUSHES, LINES = 8, 100, 1000
CONNECTIONS = 4
# Five lines a second; the search finds one in ten thousand.
DAY_NS = 24 * 3600 * 10**9
DAY_PUSHES, NEEDLE_IN = 432, 10_000
QUERY_ROUNDS = 3
MIB = 1 << 20
ANSWER_SECONDS = FLUSH_SECONDS = 120.0


@dataclass
class Measured:
    """One of the Lokis, and its results."""

    loki: LiveLoki
    streams: int
    # Lines per second of each turn.
    rates: list[float] = field(default_factory=list)
    resident_mib: float = 0.0
    # Seconds of each query of the day: a count of all lines, a search for some.
    counting: list[float] = field(default_factory=list)
    searching: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        rate = statistics.median(self.rates)
        bytes_rate = rate * statistics.mean(map(len, texts()))
        return (
            f"{rate:,.0f} lines/s ({bytes_rate / MIB:.1f} MiB/s), {self.resident_mib:.0f} MiB resident; "
            f"of a day {middle(self.searching)} s to search, "
            f"{middle(self.counting)} s to count"
        )


def middle(values: list[float]) -> str:
    """The median, with two decimals."""
    return f"{statistics.median(values):.2f}"


@cache
def texts() -> list[str]:
    """A service's lines: repeated words, and unique numbers."""
    some = random.Random(1)
    return [
        f"level={some.choice(['info', 'info', 'info', 'warn', 'error'])} method=GET "
        f"path=/api/submissions/{some.randrange(10**6)} status={some.choice([200, 200, 200, 304, 404])} "
        f"duration_ms={some.randrange(2000)} user={some.randrange(10**5)} "
        f"request_id={some.getrandbits(128):032x}"
        for _ in range(LINES)
    ]


def push_all(
    caller: Caller, job: str, streams: int, pushes: int, connections: int, first_ns: int, step_ns: int
) -> float:
    """Push numbered lines on some connections, each push after the last one's answer; the seconds.

    Stamps are `step_ns` apart; each push has lines of all streams. Raises RuntimeError if a push is refused.
    """
    wrong: list[int] = []

    def push(place: int) -> None:
        with caller.client().connected() as connection:
            connection.timeout = ANSWER_SECONDS
            for number in range(place, pushes, connections):
                body = body_of(job, streams, number * LINES, first_ns, step_ns)
                connection.request("POST", PUSH_PATH, body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
                answer.read()
                if answer.status != 204:
                    wrong.append(answer.status)
                    return

    threads = [threading.Thread(target=push, args=(place,)) for place in range(connections)]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if wrong:
        raise RuntimeError(f"{streams} streams: a push was answered {wrong[0]}")
    return time.monotonic() - start


def body_of(job: str, streams: int, first: int, first_ns: int, step_ns: int) -> bytes:
    """A push of the lines from a number on, distributed to the streams in turn."""
    values = [
        [
            str(first_ns + number * step_ns),
            f"{'needle' if number % NEEDLE_IN == 0 else 'n'}={number} {text}",
        ]
        for number, text in enumerate(texts(), first)
    ]
    dealt = [
        {"stream": {"job": job, "stream": str(place)}, "values": values[place::streams]}
        for place in range(streams)
    ]
    return json.dumps({"streams": dealt}).encode()


def ingest(lokis: list[Measured], processes: ProcessPoolExecutor) -> None:
    """Push as fast as possible, in turns; then measure their memory, after equally many lines."""
    # The first turn is a warm-up.
    for turn in range(TURNS + 1):
        for one in lokis:
            arguments = ("turns", one.streams, PUSHES, CONNECTIONS, time.time_ns(), 1)
            seconds = processes.submit(push_all, caller_of(one.loki), *arguments).result()
            if turn > 0:
                one.rates.append(PUSHES * LINES / seconds)
    for one in lokis:
        one.resident_mib = one.loki.metric("process_resident_memory_bytes") / MIB


def ask_for_a_day(lokis: list[Measured], processes: ProcessPoolExecutor) -> None:
    """Push a day's lines, flush them to disk, and query them in turns."""
    lines, now = DAY_PUSHES * LINES, time.time_ns()
    step_ns = DAY_NS // lines
    for one in lokis:
        # In order: a stream accepts no lines that are much older than its last.
        # No stamp is a whole number of hours before the query, where Loki splits it.
        arguments = ("day", one.streams, DAY_PUSHES, 1, now - DAY_NS + step_ns // 2, step_ns)
        processes.submit(push_all, caller_of(one.loki), *arguments).result()
        one.loki.flush()
    for one in lokis:
        # Loki searches only the disk for lines that old.
        wait_for(
            "the day is on the disk",
            lambda one=one: count(one.loki, now) == lines,
            FLUSH_SECONDS,
        )
    for _ in range(QUERY_ROUNDS):
        for one in lokis:
            one.searching.append(timed(lambda one=one: search(one.loki, now), lines // NEEDLE_IN + 1))
            one.counting.append(timed(lambda one=one: count(one.loki, now), lines))


def caller_of(loki: LiveLoki) -> Caller:
    """A caller on the campus server itself."""
    client = loki.client
    return Caller(client.namespace, client.source, client.server, client.domain, None)


def timed(ask: Callable[[], int], wanted: int) -> float:
    """The seconds of a query; RuntimeError if its result is wrong."""
    start = time.monotonic()
    found = ask()
    seconds = time.monotonic() - start
    if found != wanted:
        raise RuntimeError(f"a query found {found}, not {wanted}")
    return seconds


def search(loki: LiveLoki, now: int) -> int:
    """The number of the day's lines, up to a moment, with the word."""
    asked = {"query": '{job="day"} |= "needle="', "start": now - DAY_NS, "end": now, "limit": 5000}
    return sum(len(stream["values"]) for stream in get(loki, "query_range", asked))


def count(loki: LiveLoki, now: int) -> int:
    """The number of the day's lines up to a moment."""
    asked = {"query": 'sum(count_over_time({job="day"}[25h]))', "time": now}
    return sum(int(one["value"][1]) for one in get(loki, "query", asked))


def get(loki: LiveLoki, what: str, asked: dict[str, Any]) -> list[dict[str, Any]]:
    """A query's result."""
    with loki.client.connected() as connection:
        connection.timeout = ANSWER_SECONDS
        connection.request("GET", f"/loki/api/v1/{what}?{urlencode(asked)}")
        answer = connection.getresponse()
        body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"Loki answered {answer.status}: {body[:200]!r}")
    return json.loads(body)["data"]["result"]


def report(lokis: list[Measured]) -> None:
    """Print and record the results."""
    for one in lokis:
        print(f"  {one.streams:3} streams: {one}")
    few, usual, many = lokis
    lines = (TURNS + 1) * PUSHES * LINES
    details = "; ".join(f"{one.streams} streams: {statistics.median(one.rates):,.0f}" for one in lokis)
    verdict("loki_lines_per_second", round(statistics.median(usual.rates)), TURNS, f"{details} lines/s")
    ratio = statistics.median(one / other for one, other in zip(few.rates, many.rates, strict=True))
    verdict("loki_streams_slowdown", round(ratio, 2), TURNS, "lines/s with 1 stream ÷ with 100")
    details = "; ".join(f"{one.streams} streams: {one.resident_mib:.0f}" for one in lokis)
    verdict("loki_resident_mib", round(usual.resident_mib), lines, f"{details} MiB after as many lines")
    details = "; ".join(
        f"{one.streams} streams: {middle(one.searching)}, {middle(one.counting)}" for one in lokis
    )
    versus = f"{details} s to search a day of {DAY_PUSHES * LINES:,} lines, and to count them"
    verdict("loki_day_query_seconds", float(middle(usual.searching)), QUERY_ROUNDS, versus)


def main() -> int:
    """Measure and record all; 0, as there are no targets."""
    end_in_order_on_signals()
    config = rendered({"limits": UNLIMITED}, AT_ONCE)
    with running_rig() as rig, other_processes(1) as processes, ExitStack() as stack:
        lokis = [
            Measured(stack.enter_context(running_loki(rig, f"bench-{streams}", config)), streams)
            for streams in STREAMS
        ]
        ingest(lokis, processes)
        ask_for_a_day(lokis, processes)
    report(lokis)
    return 0


if __name__ == "__main__":
    sys.exit(main())
