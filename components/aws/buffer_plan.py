"""How much a log router has to hold, and how long it has to try, for a stated outage. Pure.

Example: 20 lines/s of 512 bytes, an outage of 10 minutes, one app container.

Grafana's plugin queues on disk and sends one batch after the other, each until it is through or given up:

- tries: waits double from MinBackoff 0.5 s to MaxBackoff 30 s; 0.5+1+2+4+8+16 = 31.5 s are six of them,
  (600 - 31.5) / 30 = 19 more, and one try before the first: MaxRetries = 6 + 19 + 1 = 26
- queue: 20 x 600 s = 12,000 lines x (512 + 320) bytes = 9.6 MiB of disk
- memory: 48 MiB for Fluent Bit and Go, a batch of 1 MiB three times (collected, encoded, being sent), two
  segments of 500 lines in memory: 500 x 2 x 832 bytes = 0.8 MiB; together 52 MiB

Fluent Bit's own output holds everything in memory, and FireLens sets no limit to it. AWS's rule of thumb is
twice the buffered bytes (amazon-ecs-firelens-examples, "oomkill-prevention"):

- memory: 24 MiB for Fluent Bit, 12,000 lines x (512 + 320) bytes = 9.6 MiB, twice: 44 MiB
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from components.aws.firelens import OutputKind, seconds

MIB = 1 << 20
# Grafana's plugin, own defaults but for MaxBackoff (5m): half a minute after an outage lines flow again.
GRAFANA_DEFAULTS = {
    "BatchWait": "1s",
    "BatchSize": str(MIB),
    "Timeout": "10s",
    "MinBackoff": "500ms",
    "MaxBackoff": "30s",
    "DqueSegmentSize": "500",
}
# What a line carries beside itself: FireLens' fields (about 320 bytes of task ARN, container id and so on).
RECORD_BYTES = 320
_GRAFANA_BASE_MIB = 48
_FLUENT_BIT_BASE_MIB = 24
# A batch is collected, encoded, and in the request at once.
_BATCH_COPIES = 3
# dque keeps its first and its last segment in memory (its README).
_SEGMENTS_IN_MEMORY = 2
# Fluent Bit flushes each second and waits for 5 s when it is stopped ([SERVICE] Flush and Grace).
_FLUSH_SECONDS, _GRACE_SECONDS = 1, 5
# Fluent Bit's own output: its connection and its answer ("net.connect_timeout", "net.io_timeout").
_FLUENT_BIT_TRY_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class LogRate:
    """What a service logs at most, and how long campus may be away without a lost line."""

    lines_per_second: float
    bytes_per_line: int
    outage_minutes: int

    @property
    def outage_seconds(self) -> int:
        """The outage in seconds."""
        return self.outage_minutes * 60

    @property
    def held_lines(self) -> int:
        """The lines of a whole outage."""
        return math.ceil(self.lines_per_second * self.outage_seconds)

    @property
    def held_mib(self) -> float:
        """The size of those lines, with their fields."""
        return self.held_lines * (self.bytes_per_line + RECORD_BYTES) / MIB


@dataclass(frozen=True, kw_only=True)
class BufferPlan:
    """What a log router needs."""

    # Tries of one batch; None where there is no limit.
    max_retries: int | None
    # Disk for its queues.
    queue_mib: int
    memory_mib: int
    # How long a stop may take: a flush, a try that times out, the first wait, one more try.
    stop_seconds: int
    # Lines that the containers' log driver holds while the log router takes none.
    driver_lines: int


def buffer_plan(output: OutputKind, rate: LogRate, containers: int, options: Mapping[str, str]) -> BufferPlan:
    """The plan for a log router with hand-written `options`; see the module for the arithmetic."""
    driver_lines = max(1024, rate.held_lines)
    if output == "fluent-bit":
        return BufferPlan(
            max_retries=None,
            queue_mib=0,
            memory_mib=_FLUENT_BIT_BASE_MIB + math.ceil(2 * rate.held_mib),
            stop_seconds=_FLUSH_SECONDS + _GRACE_SECONDS + 2 * _FLUENT_BIT_TRY_SECONDS,
            driver_lines=driver_lines,
        )
    chosen = GRAFANA_DEFAULTS | dict(options)
    batches = containers * _BATCH_COPIES * int(chosen["BatchSize"]) / MIB
    line_mib = (rate.bytes_per_line + RECORD_BYTES) / MIB
    segments = containers * _SEGMENTS_IN_MEMORY * int(chosen["DqueSegmentSize"]) * line_mib
    first, longest = seconds(chosen["MinBackoff"]), seconds(chosen["MaxBackoff"])
    one_try = seconds(chosen["Timeout"])
    return BufferPlan(
        max_retries=int(chosen.get("MaxRetries", tries_for(rate.outage_seconds, first, longest))),
        queue_mib=math.ceil(rate.held_mib),
        memory_mib=_GRAFANA_BASE_MIB + math.ceil(batches + segments),
        stop_seconds=math.ceil(
            _FLUSH_SECONDS
            + _GRACE_SECONDS
            + seconds(chosen["BatchWait"])
            + 2 * one_try
            + min(2 * first, longest)
        ),
        driver_lines=driver_lines,
    )


def tries_for(outage_seconds: float, first: float, longest: float) -> int:
    """How many tries it takes until the last one begins after the outage, at the shortest waits.

    The plugin waits between one and two times MinBackoff first, then double, and never over MaxBackoff.
    """
    tries, waited, wait = 1, 0.0, first
    while waited < outage_seconds:
        waited += min(wait, longest)
        wait = min(2 * wait, longest)
        tries += 1
    return tries


def tried_seconds(tries: int, first: float, longest: float) -> float:
    """When the last of so many tries begins, at the shortest waits."""
    waited, wait, left = 0.0, first, tries - 1
    while left > 0 and wait < longest:
        waited, wait, left = waited + wait, 2 * wait, left - 1
    return waited + left * longest
