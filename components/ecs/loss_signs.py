# pyright: strict
"""The sidecars' own messages about lost or refused lines and samples, and the alarm that each rings. Pure.

One table for both outputs, as a service that changes its output has tasks with both for a while.
Sources: Fluent Bit 4.2.3 (src/, plugins/out_loki, plugins/in_forward), Grafana's plugin (loki v3.7.8,
clients/cmd/fluent-bit and clients/pkg/promtail/client); the Collector 0.165 (exporter/exporterhelper,
internal/memorylimiter, contrib's receiver/awsecscontainermetricsreceiver).

A pattern is a regular expression of CloudWatch's kind (Amazon CloudWatch Logs, "Supported regular
expressions"): letters, digits, `=`, `_`, `-` and a few more stand for themselves, a dot for any other
character, and there are no groups.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Alarm = Literal["lines-lost", "pushes-refused", "samples-lost"]
Program = Literal["Fluent Bit", "Fluent Bit's own output", "Grafana's plugin", "Collector"]

# The alarms on the log router's own log, and the one on the collector's, for which a refused push is lost.
ROUTER_ALARMS: tuple[Alarm, ...] = ("lines-lost", "pushes-refused")
COLLECTOR_ALARM: Alarm = "samples-lost"

# The CloudWatch Logs API reference, MetricFilter, filterPattern.
MAX_PATTERN = 1024


@dataclass(frozen=True, kw_only=True)
class Sign:
    """A line of a sidecar's own log: the program that prints it, its words, and its meaning."""

    program: Program
    # The program's own words, or a CloudWatch expression where `is_expression`.
    words: str
    alarm: Alarm
    means: str
    is_expression: bool = False

    @property
    def expression(self) -> str:
        """The words as a CloudWatch expression."""
        return self.words if self.is_expression else re.sub(r"[^A-Za-z0-9=_-]", ".", self.words)


def _lost(program: Program, words: str, means: str, *, is_expression: bool = False) -> Sign:
    return Sign(program=program, words=words, alarm="lines-lost", means=means, is_expression=is_expression)


def _refused(words: str, means: str) -> Sign:
    program: Program = "Fluent Bit's own output"
    return Sign(program=program, words=words, alarm="pushes-refused", means=means, is_expression=True)


def _unsent(words: str, means: str, *, is_expression: bool = False) -> Sign:
    return Sign(
        program="Collector", words=words, alarm=COLLECTOR_ALARM, means=means, is_expression=is_expression
    )


SIGNS: tuple[Sign, ...] = (
    _lost("Fluent Bit", "cannot be retried", "a chunk was given up after its last try"),
    _lost("Fluent Bit", "could not be scheduled", "a chunk was given up: there was no room for another try"),
    _lost("Fluent Bit", "could not be re-scheduled", "the same"),
    _lost("Fluent Bit", "removing retry", "a chunk that waited can't be read any more"),
    _lost("Fluent Bit", "discarding corrupted chunk", "the same"),
    _lost("Fluent Bit", "paused (mem buf overlimit", "an input takes nothing: its memory is full"),
    _lost("Fluent Bit", "paused (storage buf overlimit", "the same, of a queue on disk"),
    _lost("Fluent Bit", "no available chunk", "a line had no place"),
    _lost("Fluent Bit", "error writing data from", "the same"),
    _lost("Fluent Bit", "to drop enough chunks", "the same"),
    _lost("Fluent Bit", "incoming data exceed limit", "a message was too long: its connection was closed"),
    _lost(
        "Fluent Bit",
        "service.has.stopped..[1-9]",
        "it ended with chunks that it couldn't deliver in its 5 s",
        is_expression=True,
    ),
    _lost("Fluent Bit", "caught signal (SIGSEGV", "it crashed, with all that it held in memory"),
    _lost("Fluent Bit", "caught signal (SIGFPE", "the same"),
    _lost("Fluent Bit's own output", "Not retrying", "Loki refused a chunk (400): it is given up at once"),
    _lost("Fluent Bit's own output", "cannot compose request payload", "a chunk can't be made into a push"),
    _lost("Grafana's plugin", "final error sending batch", "a batch was refused, or its tries are over"),
    _lost("Grafana's plugin", "error encoding batch", "a batch can't be made into a push"),
    _lost("Grafana's plugin", "cannot enqueue record", "a line wasn't queued: the disk is full"),
    _lost("Grafana's plugin", "error dequeuing record", "a line of the queue can't be read"),
    _lost("Grafana's plugin", "error dequeued record", "the same"),
    _lost("Grafana's plugin", "error sending record to Loki", "a line can't be read as a record"),
    _lost("Grafana's plugin", "batch add err", "a line has no room in a batch"),
    _lost(
        "Grafana's plugin",
        "^panic.",
        "it crashed, with what it held: as when stopped at a retry",
        is_expression=True,
    ),
    _lost("Grafana's plugin", "^fatal.error.", "the same", is_expression=True),
    # Both outputs: "HTTP status=403", "HTTP status 403". 400 is Loki's (see above); 429 only means later.
    _refused("HTTP.status.3[0-9]", "the gate sends elsewhere: the route or the host is wrong"),
    _refused("HTTP.status.40[1-9]", "401: the password is wrong; 403: the address; 404: the route"),
    _refused("HTTP.status.4[13-9]", "413: a push is over the gate's limit; Fluent Bit tries it for ever"),
    _refused("HTTP.status.42[0-8]", "others of the gate or of Loki"),
    _unsent(
        "Exporting failed. Dropping data",
        "a push was refused for good (400, 401, 403, 404, 413, 415), or it stopped during an outage",
    ),
    _unsent("Exporting failed. Rejecting data", "the queue is full: what is new is dropped"),
    _unsent("Refusing data", "its memory is full: the application's pushes are refused"),
    _unsent("Failed to collect stats", "the task's metadata endpoint didn't answer"),
    _unsent("^Error.", "it can't start: its configuration, or the metadata endpoint", is_expression=True),
    _unsent("^panic.", "it crashed, with its queue", is_expression=True),
    _unsent("^fatal.error.", "the same", is_expression=True),
)


def pattern(alarm: Alarm) -> str:
    """The filter pattern of an alarm: any of its signs."""
    return f"%{'|'.join(sign.expression for sign in SIGNS if sign.alarm == alarm)}%"
