# pyright: strict
"""How much a collector has to keep for a stated outage, and the memory for it. Pure.

Example: 500 samples a minute of the application's own, an outage of 10 minutes, one app container.

- the task's queue: each container, log router and collector included, takes 1,300 bytes every 30 seconds, and
  so does the task itself: 10 x 2 x 4 x 1,300 = 104,000. It is two pushes at least.
- the application's queue: a sample with three attributes takes 130 bytes (measured; counted are 200):
  10 x 500 x 200 = 1 MB. It is 2 MB at least: the largest push that the collector takes has to fit in.
- memory: 192 MiB for the program, and six bytes for each in the queues, garbage included: 205 MiB. Measured
  with the rig's Collector, which has few components: 66 MiB at rest, of which 54 are the program's own file;
  72 MiB with 1 MB in a queue, 124 MiB with 10 MB. Contrib's own file is five times as large.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from components.prometheus.otlp_exporter import PUSH_BYTES

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

    # Two queues, so that neither the application's rate nor a refused sample of its own costs the task's.
    task_queue_bytes: int
    app_queue_bytes: int
    memory_mib: int
    # What it pushes.
    bytes_per_minute: int


def collector_plan(samples_per_minute: int, outage_minutes: int, containers: int) -> CollectorPlan:
    """The plan for a task with this many containers of the team's own; the module shows the arithmetic."""
    of_task = (containers + _SIDECARS + 1) * _CONTAINER_BYTES * 60 // INTERVAL_SECONDS
    of_app = samples_per_minute * _SAMPLE_BYTES
    task_queue = max(2 * PUSH_BYTES, outage_minutes * of_task)
    app_queue = max(MAX_PUSH_BYTES, outage_minutes * of_app)
    queued_mib = math.ceil(_MEMORY_PER_QUEUED * (task_queue + app_queue) / _MIB)
    return CollectorPlan(
        task_queue_bytes=task_queue,
        app_queue_bytes=app_queue,
        memory_mib=_BASE_MIB + queued_mib,
        bytes_per_minute=of_task + of_app,
    )
