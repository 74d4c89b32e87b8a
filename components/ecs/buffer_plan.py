# pyright: strict
"""How much a log router has to buffer, and how long it has to retry, for a stated outage. Pure.

Example: 20 lines/s of 512 bytes, an outage of 10 minutes, one app container.

Grafana's plugin queues on disk and sends one batch after the other, each until it is delivered or given up:

- tries: its waits are dskit's (backoff.NextDelay, the version that Loki 3.7.8 pins): random, from a lower
  bound to twice that. Both double after each wait, until the upper bound is MaxBackoff; then both stay.
  From MinBackoff 0.5 s and MaxBackoff 30 s: 0.5-1, 1-2, 2-4, 4-8, 8-16, then 16-30 s for ever. At the
  shortest, the first five take 15.5 s, and (600 - 15.5) / 16 = 37 more reach 600 s; with the try before the
  first wait MaxRetries = 1 + 5 + 37 = 43. The last of them begins after 607.5 s at the earliest.
- queue: 20 x 600 s = 12,000 lines x (512 + 448) bytes = 11 MiB of disk
- memory: 64 MiB for Fluent Bit and Go, a batch of 1 MiB three times (collected, encoded, being sent), two
  segments of 500 lines in memory: 500 x 2 x 960 bytes = 0.9 MiB; together 68 MiB

Fluent Bit's own output holds everything in memory, and the ECS agent limits it: Mem_Buf_Limit of the input is
half of `memoryReservation`, in MB of 1,000,000 bytes (agent/taskresource/firelens, resolveMemBufLimit). Over
that the input pauses, and lines are lost:

- memory: 24 MiB for Fluent Bit, 12,000 lines x (512 + 448) bytes = 12 MB, twice: 48 MiB, of which 24 MB hold
  lines
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from components.ecs.firelens import OutputKind, seconds
from components.ecs.log_router_settings import RECORD_BYTES, LogRate

MIB = 1 << 20
# Grafana's plugin, with its defaults except for MaxBackoff (5m): lines flow half a minute after an outage.
GRAFANA_DEFAULTS = {
    "BatchWait": "1s",
    "BatchSize": str(MIB),
    "Timeout": "10s",
    "MinBackoff": "500ms",
    "MaxBackoff": "30s",
    "DqueSegmentSize": "500",
}
# Measured with Fluent Bit 4.2.3 (VmHWM): 57 to 60 MiB in use and over an outage of 10 minutes at 20 lines/s,
# 63 MiB with three containers, 67 MiB at 1,500 lines/s.
_GRAFANA_BASE_MIB = 64
_FLUENT_BIT_BASE_MIB = 24
# A batch is in memory three times: collected, encoded, and in the request.
_BATCH_COPIES = 3
# dque keeps its first and its last segment in memory (its README).
_SEGMENTS_IN_MEMORY = 2
# Fluent Bit flushes each second and waits for 5 s when it is stopped ([SERVICE] Flush and Grace).
_FLUSH_SECONDS, _GRACE_SECONDS = 1, 5
# Fluent Bit's own output: its connection and its answer. Its default net.io_timeout is infinite.
FLUENT_BIT_TRY_SECONDS = 10
# Its longest wait between two tries: scheduler.cap, a second more, and the clock's step of 10 s
# (src/flb_scheduler.c; FireLens can't set another cap).
_FLUENT_BIT_LONGEST_WAIT = 2000 + 1 + 10
# The ECS agent's share of `memoryReservation` for an input's buffer, in MB of 1,000,000 bytes.
_MEM_BUF_SHARE, _MB = 2, 1_000_000


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
    # Lines that the containers' log driver buffers while the log router takes none.
    driver_lines: int
    # The age of the outage's oldest line when it reaches Loki.
    oldest_seconds: int


def buffer_plan(output: OutputKind, rate: LogRate, containers: int, options: Mapping[str, str]) -> BufferPlan:
    """The plan for a log router with hand-written `options`; the module shows the arithmetic."""
    driver_lines = max(1024, rate.held_lines)
    if output == "fluent-bit":
        return BufferPlan(
            max_retries=None,
            queue_mib=0,
            memory_mib=_FLUENT_BIT_BASE_MIB + _MEM_BUF_SHARE * math.ceil(rate.held_bytes / _MB),
            stop_seconds=_FLUSH_SECONDS + _GRACE_SECONDS + 2 * FLUENT_BIT_TRY_SECONDS,
            driver_lines=driver_lines,
            oldest_seconds=rate.outage_seconds
            + _FLUSH_SECONDS
            + _FLUENT_BIT_LONGEST_WAIT
            + 2 * FLUENT_BIT_TRY_SECONDS,
        )
    chosen = GRAFANA_DEFAULTS | dict(options)
    batches = containers * _BATCH_COPIES * int(chosen["BatchSize"]) / MIB
    line_mib = (rate.bytes_per_line + RECORD_BYTES) / MIB
    segments = containers * _SEGMENTS_IN_MEMORY * int(chosen["DqueSegmentSize"]) * line_mib
    first, longest = seconds(chosen["MinBackoff"]), seconds(chosen["MaxBackoff"])
    one_try, batch_wait = seconds(chosen["Timeout"]), seconds(chosen["BatchWait"])
    before_a_try = _FLUSH_SECONDS + batch_wait
    return BufferPlan(
        max_retries=int(chosen.get("MaxRetries", tries_for(rate.outage_seconds, first, longest))),
        queue_mib=math.ceil(rate.held_bytes / MIB),
        memory_mib=_GRAFANA_BASE_MIB + math.ceil(batches + segments),
        stop_seconds=math.ceil(_GRACE_SECONDS + before_a_try + 2 * one_try + min(2 * first, longest)),
        driver_lines=driver_lines,
        oldest_seconds=math.ceil(rate.outage_seconds + before_a_try + max(first, longest) + 2 * one_try),
    )


def tries_for(outage_seconds: float, first: float, longest: float) -> int:
    """How many tries it takes until the last one begins after the outage, at the shortest waits."""
    growing, last = _shortest_waits(first, longest)
    waited = 0.0
    for tries, wait in enumerate(growing, start=1):
        if waited >= outage_seconds:
            return tries
        waited += wait
    return 1 + len(growing) + max(0, math.ceil((outage_seconds - waited) / last))


def tried_seconds(tries: int, first: float, longest: float) -> float:
    """When the last of so many tries begins, at the shortest waits."""
    growing, last = _shortest_waits(first, longest)
    waits = tries - 1
    return sum(growing[:waits]) + max(0, waits - len(growing)) * last


def _shortest_waits(first: float, longest: float) -> tuple[list[float], float]:
    """dskit's shortest waits while they grow, and the shortest wait from then on.

    A wait is random between two bounds. When the upper bound reaches `longest`, the lower stays where it is:
    between half of that and all of it.
    """
    growing: list[float] = []
    low, high = first, min(2 * first, longest)
    while high < longest:
        growing.append(low)
        low, high = 2 * low, min(2 * high, longest)
    return growing, low
