"""Which line of a sidecar's own log rings which alarm."""

from __future__ import annotations

import re

import pytest

from components.ecs.loss_signs import COLLECTOR_ALARM, MAX_PATTERN, ROUTER_ALARMS, SIGNS, Alarm, pattern
from tests.support.alarms import counted

ALARMS: tuple[Alarm, ...] = (*ROUTER_ALARMS, COLLECTOR_ALARM)
NAME = "1-1764471907.123456789.flb"
WAY = "task_id=3, input=forward.0 > output=loki.0"
# Fluent Bit 4.2.3's own lines; test_log_router tests those of Grafana's real plugin.
LOST = [
    f"[error] [engine] chunk '{NAME}' cannot be retried: {WAY}",
    f"[ warn] [engine] retry for chunk '{NAME}' could not be scheduled: input=forward.0 > output=loki.0",
    "[ warn] [task] retry for task 3 could not be re-scheduled",
    "[error] [engine_dispatch] could not retrieve chunk content, removing retry",
    "[error] [input chunk] discarding corrupted chunk",
    "[ warn] [input] forward.0 paused (mem buf overlimit - event of size 844B exceeded limit 9 to 10B)",
    "[ warn] [input] forward.0 paused (storage buf overlimit 128/128)",
    "[error] [input chunk] no available chunk",
    "[error] [input chunk] error writing data from forward.0 instance",
    "[error] [input chunk] fail to drop enough chunks in order to place new data coming from input plugin x",
    "[ warn] [input:forward:forward.0] fd=34 incoming data exceed limit (6144000 bytes)",
    "[ info] [engine] service has stopped (4 pending tasks)",
    "[ info] [engine] service has stopped (10 pending tasks)",
    "[engine] caught signal (SIGSEGV)",
    "[engine] caught signal (SIGFPE)",
    "[error] [output:loki:loki.0] campus.example:443, HTTP status=400 Not retrying.",
    "[error] [output:loki:loki.0] cannot compose request payload",
    "panic: send on closed channel",
    "fatal error: concurrent map writes",
]
REFUSED = [
    f"[error] [output:loki:loki.0] campus.example:443, HTTP status={status}"
    for status in (301, 308, 401, 403, 404, 405, 413, 415, 421, 422, 428, 431, 451, 499)
]
# The Collector 0.165's own lines, shortened; test_task_metrics tests those of the real one.
UNSENT = [
    '{"level":"error","msg":"Exporting failed. Dropping data.","error":"not retryable error"}',
    '{"level":"error","msg":"Exporting failed. Rejecting data.","error":"sending queue is full"}',
    '{"level":"warn","msg":"Memory usage is above soft limit. Refusing data.","cur_mem_mib":150}',
    '{"level":"error","msg":"Failed to collect stats","error":"request GET failed"}',
    "Error: cannot start pipelines: ecs metadata unavailable",
    "panic: send on closed channel",
    "fatal error: concurrent map writes",
]
# Known to the collector's alarm alone.
HARMLESS_TO_THE_COLLECTOR = [
    '{"level":"info","msg":"Exporting failed. Will retry the request after interval.","error":"503"}',
    '{"level":"warn","msg":"failed to execute statement","statement":"set(metric.unit)"}',
    '{"level":"info","msg":"Memory usage back within limits. Resuming normal operation."}',
]
HARMLESS = [
    "[engine] caught signal (SIGTERM)",
    "[ warn] [engine] service will shutdown in max 5 seconds",
    "[ info] [engine] service has stopped (0 pending tasks)",
    "[ info] [engine] pending chunk count: memory=2, filesystem=0; grace_timer=1",
    "[ info] [input] pausing forward.0",
    "[ info] [input] forward.0 resume (mem buf overlimit - buf size 0B now below limit 22000000B)",
    f"[ warn] [engine] failed to flush chunk '{NAME}', retry in 7 seconds: {WAY} (out_id=1)",
    f"[ info] [engine] flush chunk '{NAME}' succeeded at retry 2: {WAY} (out_id=1)",
    "[error] [output:loki:loki.0] could not flush records to campus.example:443 HTTP status=503",
    "[error] [output:loki:loki.0] campus.example:443, HTTP status=429",
    "[error] [output:loki:loki.0] no upstream connections available",
    "[error] [upstream] connection #34 to tcp://a:443 timed out after 10 seconds (connection timeout)",
]


def rung(line: str, alarms: tuple[Alarm, ...] = ROUTER_ALARMS) -> set[Alarm]:
    """The alarms that a line rings: CloudWatch's expressions are a subset of Python's."""
    return {alarm for alarm in alarms if counted(alarm, line)}


@pytest.mark.parametrize("line", UNSENT)
def test_a_line_about_lost_samples_rings(line: str) -> None:
    assert rung(line, (COLLECTOR_ALARM,)) == {COLLECTOR_ALARM}


@pytest.mark.parametrize("line", HARMLESS_TO_THE_COLLECTOR)
def test_what_the_collector_says_without_a_loss_rings_nothing(line: str) -> None:
    assert rung(line, ALARMS) == set()


@pytest.mark.parametrize("line", LOST)
def test_a_line_about_a_loss_rings(line: str) -> None:
    assert rung(line) == {"lines-lost"}


@pytest.mark.parametrize("line", REFUSED)
def test_a_line_about_a_refusal_rings(line: str) -> None:
    assert rung(line) == {"pushes-refused"}


@pytest.mark.parametrize("line", HARMLESS)
def test_what_happens_without_a_loss_rings_nothing(line: str) -> None:
    assert rung(line) == set()


def test_every_sign_is_shown_here_or_by_the_real_plugin() -> None:
    unseen = [
        sign.words
        for sign in SIGNS
        if sign.program != "Grafana's plugin"
        and not any(re.search(sign.expression, line) for line in LOST + REFUSED + UNSENT)
    ]
    assert unseen == []


@pytest.mark.parametrize("alarm", ALARMS)
def test_cloudwatch_takes_the_pattern(alarm: Alarm) -> None:
    text = pattern(alarm)
    assert len(text) <= MAX_PATTERN
    # The syntax in its documentation, without spaces, quotes and groups.
    assert re.fullmatch(r"%[A-Za-z0-9_#=@/;,^$?\[\]{}|\\*+.-]+%", text)
