# pyright: strict
"""How much a collector has to keep for a stated outage, and the memory for it. Pure.

Example: 500 samples a minute of the application's own, an outage of 10 minutes, one app container.

- queue: a sample with three attributes takes 130 bytes (measured; counted are 200). A container of the task,
  log router and collector included, takes 1,300 every 30 seconds, and so does the task itself:
  10 x (500 x 200 + 2 x 4 x 1,300) = 1.1 MB. It is 2 MB at least: the largest push that the collector takes
  has to fit in.
- memory: 192 MiB for the program, and six bytes for each in the queue, garbage included: 204 MiB. Measured
  with the rig's Collector, which has few components: 66 MiB at rest, of which 54 are the program's own file;
  72 MiB with 1 MB in the queue, 124 MiB with 10 MB. Contrib's own file is five times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

INTERVAL_SECONDS = 30
# The largest push of the application's.
MAX_PUSH_BYTES = 2_000_000
# The log router and the collector.
_SIDECARS = 2

_SAMPLE_BYTES = 200
_CONTAINER_BYTES = 1300
_BASE_MIB = 192
_MEMORY_PER_QUEUED = 6
_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class CollectorPlan:
    """What a collector needs."""

    queue_bytes: int
    memory_mib: int


def collector_plan(samples_per_minute: int, outage_minutes: int, containers: int) -> CollectorPlan:
    """The plan for a task with this many containers of the team's own; the module shows the arithmetic."""
    measured = (containers + _SIDECARS + 1) * _CONTAINER_BYTES * 60 // INTERVAL_SECONDS
    outage = outage_minutes * (samples_per_minute * _SAMPLE_BYTES + measured)
    queue = max(MAX_PUSH_BYTES, outage)
    return CollectorPlan(
        queue_bytes=queue, memory_mib=_BASE_MIB + math.ceil(_MEMORY_PER_QUEUED * queue / _MIB)
    )
