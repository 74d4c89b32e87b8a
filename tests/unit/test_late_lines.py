"""Loki takes lines that a task can only send after an outage, for every outage that the settings allow."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.loki.config import render_loki_config
from components.stack.settings import Settings, parse
from rig.stack import settings_of
from tests.support.mistakes.services import AT
from tests.support.running_loki import RunningLoki, running_loki
from tests.support.settings import put

LABELS = {"job": "firelens", "service": "client-api", "container": "app", "source": "stdout"}
# The time between the calculation of an age and Loki's check.
MARGIN = 5


def stated(output: str, minutes: int) -> Settings:
    """The local stack, with its service's stated outage."""
    changes: dict[str, Any] = {
        "memoryMib": 8192,
        "logRouter": {"output": output},
        "logRate": {"outageMinutes": minutes},
    }
    return parse(put(settings_of("local"), {AT + key: value for key, value in changes.items()}))


def push(loki: RunningLoki, age: float, line: str) -> tuple[int, str]:
    """Push one line of this age into the stream that all tasks of a service share."""
    at = time.time_ns() - int(age * 1e9)
    body = json.dumps({"streams": [{"stream": LABELS, "values": [[str(at), line]]}]}).encode()
    return loki.ask("POST", "/loki/api/v1/push", body, {"Content-Type": "application/json"})


def found(loki: RunningLoki, age: float) -> set[str]:
    """The lines of the stream that are about as old."""
    at = time.time() - age
    asked = {"query": '{job="firelens"}', "start": at - 60, "end": at + 60}
    status, text = loki.ask("GET", f"/loki/api/v1/query_range?{urlencode(asked)}")
    assert status == 200, text
    return {line for stream in json.loads(text)["data"]["result"] for _, line in stream["values"]}


@pytest.mark.programs
@pytest.mark.parametrize("minutes", [10, 26, 27, 60, 120, 600, 1440])
@pytest.mark.parametrize("output", ["grafana", "fluent-bit"])
def test_a_second_tasks_late_lines_are_taken_and_found(
    loki: str, tmp_path: Path, output: str, minutes: int
) -> None:
    settings = stated(output, minutes)
    oldest = settings.services["client-api"].plan.oldest_seconds
    instance = settings.loki.instances["aws"]
    with running_loki(loki, tmp_path, instance, oldest_seconds=settings.oldest_seconds("aws")) as running:
        # The first task's lines arrive at once; the second's after the outage, oldest line last.
        assert push(running, 0, "now")[0] == 204
        ages = [minutes * 30, minutes * 60, oldest - MARGIN]
        for age in ages:
            assert push(running, age, f"{age} s old") == (204, "")
        for age in ages:
            assert f"{age} s old" in found(running, age)


@given(output=st.sampled_from(["grafana", "fluent-bit"]), minutes=st.integers(1, 24 * 60))
def test_the_window_is_as_long_as_any_outage_needs(output: str, minutes: int) -> None:
    settings = stated(output, minutes)
    oldest = settings.oldest_seconds("aws")
    config = json.loads(render_loki_config(settings.loki.instances["aws"], oldest_seconds=oldest))
    age = config["ingester"].get("max_chunk_age", "7200s")
    assert int(age.removesuffix("s")) / 2 >= oldest >= minutes * 60
    # The other Loki isn't changed: it gets no late lines.
    assert settings.oldest_seconds("test") == 0
