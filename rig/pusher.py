"""Log shippers with numbered lines: they push and retry as Grafana's Fluent Bit plugin does.

Afterwards the numbers are read back from Loki, to find missing and duplicate lines.
"""

from __future__ import annotations

import http.client
import json
import random
import select
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlencode

from rig.namespaces import Namespace
from rig.probe import PUSH_PATH, Client, Login

# Loki's own limit of lines per query (limits_config, max_entries_limit_per_query).
PAGE = 5000
# The plugin's Timeout; its BatchSize of 1 MiB in our lines, rounded down.
TIMEOUT_SECONDS = 10.0
BATCH_LINES = 5000


@dataclass(frozen=True)
class Retries:
    """The plugin's retries: the delay doubles with each try, up to a number of tries.

    By its own MinBackoff, MaxBackoff and MaxRetries.
    """

    first_seconds: float = 0.5
    last_seconds: float = 300.0
    tries: int = 10

    def delay(self, failed: int) -> float:
        """The seconds to wait after this number of failed tries (at least one), random as in the plugin."""
        longest = min(self.last_seconds, self.first_seconds * 2**failed)
        return random.uniform(longest / 2, longest)


@dataclass
class Tally:
    """The outcome of the lines and of the tries to push them."""

    # The numbers of the lines given to a shipper.
    lines: int = 0
    acknowledged: set[int] = field(default_factory=set, repr=False)
    # The numbers that the shipper gave up: refused for good, or after too many tries.
    dropped: set[int] = field(default_factory=set, repr=False)
    pushes: int = 0
    # Retries, by reason.
    retried: Counter[str] = field(default_factory=Counter)
    # Why lines were dropped, by reason.
    drops: Counter[str] = field(default_factory=Counter)
    # Idle connections that the server closed: no error, a new connection is made.
    closed_idle: int = 0


class Pusher:
    """Some shippers with one connection each; a line's number decides its shipper.

    Each sends the lines since its last batch, at the earliest `batch_wait` seconds after it, and holds later
    lines back while it retries.
    """

    def __init__(
        self,
        client: Client,
        route: str,
        job: str,
        *,
        lines_per_second: float,
        shippers: int,
        batch_wait: float = 1.0,
        login: Login | None = None,
        retries: Retries | None = None,
    ) -> None:
        self.tally = Tally()
        self._client, self._path, self._job = client, route + PUSH_PATH, job
        self._rate, self._shippers, self._batch_wait = lines_per_second, shippers, batch_wait
        self._retries = retries or Retries()
        self._headers = {"Content-Type": "application/json"}
        if login is not None:
            self._headers["Authorization"] = login.header()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._start = 0.0
        self._broken: BaseException | None = None

    @contextmanager
    def running(self) -> Iterator[None]:
        """Push for the duration of the block, and until the last line is acknowledged or dropped."""
        self._start = time.monotonic()
        threads = [threading.Thread(target=self._ship, args=(one,)) for one in range(self._shippers)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            with self._lock:
                self.tally.lines = self._appeared()
                self._stop.set()
            for thread in threads:
                thread.join()
        if self._broken is not None:
            raise self._broken

    def _appeared(self) -> int:
        """How many lines have been written so far."""
        return int((time.monotonic() - self._start) * self._rate)

    def _ship(self, shipper: int) -> None:
        try:
            with self._client.connected() as connection:
                connection.timeout = TIMEOUT_SECONDS
                for numbers in self._batches(shipper):
                    self._deliver(connection, shipper, numbers)
        except BaseException as error:
            self._broken = error

    def _batches(self, shipper: int) -> Iterator[range]:
        """The numbers of this shipper, batch by batch, until it is stopped and has sent the last."""
        first = shipper
        due = self._start + self._batch_wait * (1 + shipper / self._shippers)
        while True:
            self._stop.wait(max(0.0, due - time.monotonic()))
            due = max(due, time.monotonic() - self._batch_wait) + self._batch_wait
            with self._lock:
                stopped = self._stop.is_set()
                last = self.tally.lines if stopped else self._appeared()
            numbers = range(first, last, self._shippers)[:BATCH_LINES]
            if numbers:
                yield numbers
                first = numbers[-1] + self._shippers
            elif stopped:
                return

    def _deliver(self, connection: http.client.HTTPConnection, shipper: int, numbers: Sequence[int]) -> None:
        now = time.time_ns()
        values = [(now + place, line_of(number)) for place, number in enumerate(numbers)]
        body = numbered_body({"job": self._job, "shipper": str(shipper)}, values)
        failed = 0
        while is_retried(said := self._push(connection, body)):
            failed += 1
            if failed == self._retries.tries:
                said = f"too often: {said}"
                break
            self._count(retried=said)
            time.sleep(self._retries.delay(failed))
        if said == "204":
            self._count(acknowledged=numbers)
        else:
            self._count(dropped=numbers, why=said)

    def _push(self, connection: http.client.HTTPConnection, body: bytes) -> str:
        """Push once; the status, or the kind of error that ended the connection."""
        if is_closed(connection):
            connection.close()
            with self._lock:
                self.tally.closed_idle += 1
        try:
            connection.request("POST", self._path, body=body, headers=self._headers)
            answer = connection.getresponse()
            answer.read()
            return str(answer.status)
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # the next push makes a new connection
            return type(error).__name__

    def _count(
        self,
        acknowledged: Sequence[int] = (),
        retried: str | None = None,
        dropped: Sequence[int] = (),
        why: str | None = None,
    ) -> None:
        with self._lock:
            self.tally.pushes += 1
            self.tally.acknowledged.update(acknowledged)
            self.tally.dropped.update(dropped)
            if retried is not None:
                self.tally.retried[retried] += 1
            if why is not None:
                self.tally.drops[why] += len(dropped)


def is_closed(connection: http.client.HTTPConnection) -> bool:
    """Whether the server closed an idle connection, which Go's client notices too."""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


def is_retried(said: str) -> bool:
    """Whether the plugin retries: 429, any 5xx and connection errors; nothing else."""
    return said == "429" or not said.isdigit() or said.startswith("5")


def line_of(number: int) -> str:
    """The line with this number; all lines have the same length."""
    return f"line {number:012d}"


def numbered_body(labels: Mapping[str, str], values: Sequence[tuple[int, str]]) -> bytes:
    """Loki's push request for lines with their stamps (nanoseconds)."""
    stream = {"stream": dict(labels), "values": [[str(stamp), line] for stamp, line in values]}
    return json.dumps({"streams": [stream]}).encode()


@dataclass(frozen=True)
class Found:
    """The numbered lines that Loki returns: how often it has each number."""

    times: Counter[int] = field(repr=False)

    def missing(self, wanted: Iterator[int] | Sequence[int] | set[int]) -> list[int]:
        """The wanted numbers that Loki doesn't have, in order."""
        return sorted(number for number in wanted if number not in self.times)

    @property
    def duplicates(self) -> int:
        """How many lines Loki has more than once."""
        return sum(times - 1 for times in self.times.values())


def found_in_loki(campus: Namespace, loki: tuple[str, int], job: str, since_ns: int) -> Found:
    """All numbered lines of a job since a moment, read from Loki page by page."""
    times: Counter[int] = Counter()
    end, start = time.time_ns() + 10**9, since_ns
    seen_at_start: set[tuple[str, str]] = set()
    with _connected(campus, loki) as connection:
        while page := _page(connection, job, start, end):
            new = [entry for entry in page if entry not in seen_at_start]
            times.update(int(line.removeprefix("line ")) for _, line in new)
            if len(page) < PAGE:
                break
            if not new:
                raise RuntimeError(f"{job}: a page of Loki's is full of one nanosecond's lines")
            start = max(int(stamp) for stamp, _ in page)
            seen_at_start = {entry for entry in page if int(entry[0]) == start}
    return Found(times)


def _page(connection: http.client.HTTPConnection, job: str, start: int, end: int) -> list[tuple[str, str]]:
    asked = {"query": f'{{job="{job}"}}', "start": start, "end": end, "limit": PAGE, "direction": "forward"}
    connection.request("GET", "/loki/api/v1/query_range?" + urlencode(asked))
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"Loki answered {answer.status}: {body[:200]!r}")
    streams = json.loads(body)["data"]["result"]
    return [(stamp, line) for stream in streams for stamp, line in stream["values"]]


def answers_ready(campus: Namespace, loki: tuple[str, int]) -> bool:
    """Whether Loki says that it is ready."""
    try:
        with _connected(campus, loki) as connection:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


@contextmanager
def _connected(campus: Namespace, loki: tuple[str, int]) -> Iterator[http.client.HTTPConnection]:
    """A connection to Loki from the campus server itself."""
    connection = http.client.HTTPConnection(loki[0], loki[1], timeout=60)
    try:
        connection.sock = campus.connect(loki, timeout=60)
        yield connection
    finally:
        connection.close()
