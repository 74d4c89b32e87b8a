"""A Loki whose disk fills up: it refuses in time, keeps accepted lines, and goes on once there is space."""

from __future__ import annotations

import time

import pytest

from components.live.docker_host import HostFile, put_files
from components.loki.config import DATA, LOKI_UID
from rig.live_loki import AT_ONCE, LiveLoki, rendered, running_loki
from rig.processes import wait_for
from rig.pusher import Pusher, Retries
from rig.rig import Rig

pytestmark = pytest.mark.docker

JOB = "disk-full"
# A small file system, on which one file just exceeds nine tenths.
MIB = 1 << 20
SIZE_MIB, BALLAST_MIB = 64, 59
DISK = {"type": "tmpfs", "device": "tmpfs", "o": f"size={SIZE_MIB}m,uid={LOKI_UID}"}
# Loki checks every 10 s.
SECONDS = 60.0
# Loki's answer, after which shippers retry.
REFUSED = "500"


def fill(loki: LiveLoki, mib: int) -> None:
    """Fill this much of the disk with another file, instead of the one before."""
    put_files(loki.container, DATA, {"ballast": HostFile(content=bytes(mib * MIB))})


def test_a_loki_refuses_on_a_nearly_full_disk_and_goes_on_with_space(rig: Rig) -> None:
    began = time.time_ns()
    with running_loki(rig, "disk-full", rendered({}, AT_ONCE), DISK) as loki:
        started = loki.container.attrs["State"]["StartedAt"]
        patient = Retries(last_seconds=1.0, tries=1000)
        shippers = Pusher(
            loki.client, "", JOB, lines_per_second=200.0, shippers=2, batch_wait=0.2, retries=patient
        )
        tally = shippers.tally
        with shippers.running():
            wait_for("lines are taken", lambda: len(tally.acknowledged) > 500, SECONDS)
            fill(loki, BALLAST_MIB)
            wait_for("pushes are refused", lambda: tally.retried[REFUSED], SECONDS)
            refused = loki.push("refused", [0])
            taken = set(tally.acknowledged)
            assert not loki.found(JOB, began).missing(taken)
            fill(loki, 0)
            wait_for("lines are taken again", lambda: len(tally.acknowledged) > len(taken), SECONDS)
        found = loki.found(JOB, began)
        assert loki.container.attrs["State"]["StartedAt"] == started
    print(f"{tally}; refused with {refused.body!r}")
    assert refused.status == int(REFUSED)
    assert set(tally.retried) == {REFUSED}
    assert not tally.drops
    assert not found.missing(range(tally.lines))
