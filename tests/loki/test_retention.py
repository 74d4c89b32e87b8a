"""Retention, fast-forwarded: older lines leave the index and the disk, and no others.

The lines have old stamps, and Loki works every second instead of every few minutes; the retention is the
stack's own.
"""

from __future__ import annotations

import time

import pytest

from rig.live_loki import AT_ONCE, LiveLoki, rendered, running_loki
from rig.processes import wait_for
from rig.rig import Rig
from rig.stack import merged

pytestmark = pytest.mark.docker

JOB = "retention"
LINES = 100
SHORT = {
    "compactor": {"compaction_interval": "1s", "retention_delete_delay": "1s"},
    "ingester": {"wal": {"checkpoint_duration": "1s"}},
}
# In the order of their pushes: a stream accepts no lines much older than its last.
HOURS_OLD = (60, 30, 20, 0)
RETENTION_HOURS = 24
KEPT = [age < RETENTION_HOURS for age in HOURS_OLD]
MARKED = "loki_compactor_apply_retention_last_successful_run_timestamp_seconds"
CHECKPOINTS = "loki_ingester_checkpoint_creations_total"
SECONDS = 120.0


def test_old_lines_leave_and_no_others(rig: Rig) -> None:
    began = time.time_ns()
    config = rendered({"retention": f"{RETENTION_HOURS}h"}, merged(AT_ONCE, SHORT))
    since = began - 7 * 86400 * 10**9
    with running_loki(rig, "retention", config) as loki:
        for place, age in enumerate(HOURS_OLD):
            stamp = began - age * 3600 * 10**9
            assert loki.push(JOB, of_age(place), stamp).status == 204
            # A chunk for each age, as over time.
            loki.flush()
            wait_for("the chunk is written", lambda count=place + 1: len(chunks(loki)) == count, SECONDS)
        assert not loki.found(JOB, since).missing(range(LINES * len(HOURS_OLD)))
        # A day later the write-ahead log has no old lines any more.
        begun = loki.metric(CHECKPOINTS)
        wait_for("a checkpoint was made", lambda: loki.metric(CHECKPOINTS) >= begun + 2, SECONDS)
        # A stopping Loki gives its index to the compactor; otherwise that takes a quarter of an hour.
        loki.container.restart()
        loki.wait_until_ready()
        wait_for("retention was applied", lambda: loki.metric(MARKED), SECONDS)
        # Marked chunks are deleted every minute, and at each start.
        loki.container.restart()
        wait_for("chunks are removed", lambda: len(chunks(loki)) == sum(KEPT), SECONDS)
        loki.wait_until_ready()
        found = loki.found(JOB, since)
    for place, kept in enumerate(KEPT):
        missing = found.missing(of_age(place))
        assert missing == ([] if kept else list(of_age(place))), f"{HOURS_OLD[place]} hours old"


def of_age(place: int) -> range:
    """The numbers of the lines with this age."""
    return range(LINES * place, LINES * (place + 1))


def chunks(loki: LiveLoki) -> list[str]:
    """The chunks on the disk, of Loki's only tenant, `fake`."""
    return loki.files("chunks/fake")
