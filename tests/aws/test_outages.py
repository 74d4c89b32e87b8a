"""Outages of every stated length, up to the longest, and the lines that Grafana's real plugin then delivers.

The real Loki takes the lines. A proxy before it acts like a server that is away, restarts or is too busy.
Time is compressed: the waits between two tries and the outage are shortened alike.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from components.ecs.firelens import seconds
from components.loki.push_paths import PUSH_PATH
from rig.log_router import running_plugin
from rig.processes import wait_for
from tests.support.alarms import counted
from tests.support.ecs_services import options_of, service
from tests.support.http_server import serving
from tests.support.loki import loki_instance
from tests.support.programs import program_of_image
from tests.support.running_loki import RunningLoki, running_loki

pytestmark = [pytest.mark.programs, pytest.mark.soak, pytest.mark.timeout(900)]

# Up to the settings' maximum.
MINUTES = (1, 2, 5, 10, 30, 60, 240, 720, 1440)
# The duration of each outage here.
OUTAGE_SECONDS = 30.0
LINES = 200
# Busy, away behind the gate, starting, and a connection without an answer.
ANSWERS = (429, 502, 503, None)
# Time for the queue to be sent, one batch after the other.
DELIVERED_SECONDS = 60.0
PROTOBUF = {"Content-Type": "application/x-protobuf"}


@dataclass
class Campus:
    """The proxy between the plugin and a Loki."""

    loki: RunningLoki
    url: str = ""
    is_away: bool = False
    # Its answers while it was away.
    refused: list[int | None] = field(default_factory=list)

    def be_away(self, outage_seconds: float) -> None:
        """Be away for this time."""
        self.is_away = True
        time.sleep(outage_seconds)
        self.is_away = False


@contextmanager
def standing_before(loki: RunningLoki) -> Iterator[Campus]:
    campus = Campus(loki)
    turns = itertools.cycle(ANSWERS)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = next(turns) if campus.is_away else loki.ask("POST", PUSH_PATH, body, PROTOBUF)[0]
            if campus.is_away:
                campus.refused.append(status)
            if status is not None:
                self.send_response(status)
                self.end_headers()

    with serving(Handler) as port:
        campus.url = f"http://127.0.0.1:{port}{PUSH_PATH}"
        yield campus


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Campus]:
    """A Loki for all outages."""
    program = program_of_image("loki", "usr/bin/loki", tmp_path_factory.mktemp("program"))
    with (
        running_loki(program, tmp_path_factory.mktemp("loki"), loki_instance()) as loki,
        standing_before(loki) as made,
    ):
        yield made


def shortened(minutes: int, job: str, url: str, folder: Path) -> dict[str, str]:
    """The stack's options for such an outage, with waits shortened like the outage."""
    options = options_of(service(logRouter={"output": "grafana"}, logRate={"outageMinutes": minutes}))["app"]
    shorter = minutes * 60 / OUTAGE_SECONDS
    waits = {key: f"{round(seconds(options[key]) / shorter * 1e6)}us" for key in ("MinBackoff", "MaxBackoff")}
    own = {"Url": url, "Labels": f'{{job="{job}"}}', "BatchWait": "50ms", "DqueDir": str(folder / "queue")}
    return options | waits | own


def lines(job: str) -> list[dict[str, str]]:
    """The service's lines."""
    return [{"log": f"{job} {number}"} for number in range(LINES)]


@pytest.mark.parametrize("minutes", MINUTES)
def test_an_outage_as_long_as_stated_loses_no_line(minutes: int, campus: Campus, tmp_path: Path) -> None:
    job, log = f"stated-{minutes}", tmp_path / "log"
    options = shortened(minutes, job, campus.url, tmp_path)
    # It prints before, during and after the outage.
    with running_plugin(options, lines(job), 1.2 * OUTAGE_SECONDS / LINES, log):
        wait_for("the first line is in Loki", lambda: campus.loki.lines_of(job) > 0, DELIVERED_SECONDS)
        campus.be_away(OUTAGE_SECONDS)
        wait_for("all lines are in Loki", lambda: campus.loki.lines_of(job) >= LINES, DELIVERED_SECONDS)
    assert campus.loki.lines_of(job) == LINES
    assert not counted("lines-lost", log.read_text())
    print(f"{minutes} minutes: {len(campus.refused)} refusals so far")


@pytest.mark.parametrize("minutes", [MINUTES[0], MINUTES[-1]])
def test_a_much_longer_outage_rings_the_alarm(minutes: int, campus: Campus, tmp_path: Path) -> None:
    job, log = f"longer-{minutes}", tmp_path / "log"
    with running_plugin(shortened(minutes, job, campus.url, tmp_path), lines(job), 0.01, log):
        # Waits are up to twice the plan's shortest; answers take time, too.
        campus.is_away = True
        wait_for(
            "a batch is given up", lambda: bool(counted("lines-lost", log.read_text())), 10 * OUTAGE_SECONDS
        )
        campus.is_away = False
    assert campus.loki.lines_of(job) < LINES


def test_a_task_that_is_stopped_in_an_outage_rings_the_alarm_if_it_loses_a_line(
    campus: Campus, tmp_path: Path
) -> None:
    job, log = "stopped", tmp_path / "log"
    campus.is_away = True
    with running_plugin(shortened(10, job, campus.url, tmp_path), lines(job), 0.001, log):
        wait_for("it tries", lambda: bool(log.read_text()), DELIVERED_SECONDS)
    campus.is_away = False
    assert campus.loki.lines_of(job) < LINES
    assert counted("lines-lost", log.read_text())
