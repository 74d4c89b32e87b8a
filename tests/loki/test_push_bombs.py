"""The worst pushes that the gate allows, and an honest shipper meanwhile.

The real Caddy in front of the real Loki, both with the stack's configuration and Loki with its memory limit.
"""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from components.loki.config import MAX_UNPACKED
from tests.support.loki import loki_instance
from tests.support.memory_limit import MemoryLimit, memory_limit
from tests.support.programs import program_of_image
from tests.support.push_bombs import LOKI_PATH, Bomb, bombs
from tests.support.running_caddy import SITE, RunningCaddy, running_caddy
from tests.support.running_loki import RunningLoki, running_loki

# The Caddyfile's limits, in bytes.
BOMBS = bombs(MAX_UNPACKED, plain=5_000_000, plain_otlp=2_000_000)
AT_ONCE = 8
LOGIN = {"Host": SITE.domain, "Authorization": "Basic " + base64.b64encode(b"admin:right").decode()}
# Grafana's plugin: its Timeout, and its longest pause between tries.
TIMEOUT_SECONDS, PAUSE_SECONDS = 10.0, 1.0
LINES = 100
# Not tried (docs/security.md): clients that disconnect after the whole push, or after half of 5 MB of empty
# streams, which the gate no longer counts while Loki goes on.
PATIENCE_SECONDS = 600.0
# The bombs in each run; the others take too long.
QUICK = (
    "entries, snappy in gzip",
    "entries, JSON",
    "half of short lines, JSON",
    "a resource's attributes, OpenTelemetry",
)


@dataclass
class Field:
    """The gate, the Loki behind it, and Loki's memory limit."""

    caddy: RunningCaddy
    loki: RunningLoki
    memory: MemoryLimit
    # For how long a soak sends each bomb.
    soak_seconds: float

    def push(self, path: str, body: bytes, headers: dict[str, str], seconds: float) -> int | None:
        """The status of a push; None without one in time."""
        try:
            with self.caddy.connected() as connection:
                if connection.sock is not None:
                    connection.sock.settimeout(seconds)
                connection.request("POST", path, body, LOGIN | headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status
        except (OSError, http.client.HTTPException):
            return None

    def push_half(self, bomb: Bomb) -> None:
        """Send half of the body, and disconnect."""
        with suppress(OSError), self.caddy.connected() as connection:
            connection.putrequest("POST", bomb.path, skip_host=True)
            for key, value in (LOGIN | {"Content-Length": str(len(bomb.body)), **bomb.headers}).items():
                connection.putheader(key, value)
            connection.endheaders(bomb.body[: len(bomb.body) // 2])


@pytest.fixture(scope="module", params=(({}, 60), ({"memoryBytes": 512 << 20}, 10)), ids=("usual", "least"))
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Field]:
    """One gate and one Loki for all bombs, which thus find the former ones' leftovers.

    With the usual memory, and with the least.
    """
    program = program_of_image("loki", "usr/bin/loki", tmp_path_factory.mktemp("program"))
    changes, soak_seconds = request.param
    instance = loki_instance(otlp=True, accounts=[{"user": "admin"}], **changes)
    folder = tmp_path_factory.mktemp("caddy")
    with (
        memory_limit("bombs", instance.memory_bytes) as memory,
        running_loki(program, tmp_path_factory.mktemp("loki"), instance, memory) as loki,
        running_caddy(folder, has_grafana=False, loki=(instance, loki.port)) as caddy,
    ):
        yield Field(caddy, loki, memory, soak_seconds)


@dataclass
class Honest:
    """A shipper that pushes batch after batch, each until it is accepted."""

    place: Field
    job: str
    taken: int = 0
    # Batches refused with a status after which shippers don't retry.
    dropped: list[int] = field(default_factory=list)

    def ship(self, until: threading.Event) -> None:
        """Push until then, and finish the last batch, unless the Loki has ended."""
        while not until.is_set():
            stamp = time.time_ns()
            lines = [[str(stamp + at), f"line {self.taken + at}"] for at in range(LINES)]
            body = json.dumps({"streams": [{"stream": {"job": self.job}, "values": lines}]}).encode()
            while self.place.loki.process.poll() is None:
                status = self.place.push(
                    LOKI_PATH, body, {"Content-Type": "application/json"}, TIMEOUT_SECONDS
                )
                if status == 204:
                    self.taken += LINES
                    break
                if status is not None and 400 <= status < 500 and status != 429:
                    self.dropped.append(status)
                    return
                time.sleep(PAUSE_SECONDS)
            until.wait(PAUSE_SECONDS)


def bombard(place: Field, bomb: Bomb, seconds: float) -> list[int | None]:
    """Send several at once, for this long; their answers."""
    answers: list[int | None] = []
    end = time.monotonic() + seconds

    def send() -> None:
        while time.monotonic() < end:
            if bomb.is_cut:
                place.push_half(bomb)
                answers.append(None)
                continue
            answers.append(place.push(bomb.path, bomb.body, dict(bomb.headers), PATIENCE_SECONDS))

    threads = [threading.Thread(target=send) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def endure(place: Field, name: str, seconds: float) -> None:
    """The Loki survives, and the honest shipper loses nothing."""
    until = threading.Event()
    honest = Honest(place, f"honest {name} for {seconds} s")
    shipping = threading.Thread(target=honest.ship, args=(until,))
    shipping.start()
    answers = bombard(place, BOMBS[name](), seconds)
    until.set()
    shipping.join()
    assert place.loki.process.poll() is None, f"Loki has ended: {answers}"
    assert not honest.dropped
    assert honest.taken
    assert place.loki.lines_of(honest.job) == honest.taken
    print(f"{name}: {len(answers)} bombs, {honest.taken} lines, peak {place.memory.peak() >> 20} MiB")


@pytest.mark.parametrize("name", QUICK)
def test_a_bomb_kills_no_loki_and_costs_no_line(place: Field, name: str) -> None:
    endure(place, name, 3)


@pytest.mark.soak
@pytest.mark.parametrize("name", BOMBS)
def test_long_bombing_kills_no_loki_and_costs_no_line(place: Field, name: str) -> None:
    endure(place, name, place.soak_seconds)
