"""docs/operations.md's backup and restore of a Loki: no line is missing afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from rig.deployment import Deployment
from rig.live_loki import AT_ONCE, LiveLoki, rendered, running_loki
from rig.namespaces import NAT
from rig.probe import lines_in_loki
from rig.processes import wait_for
from rig.pusher import answers_ready
from rig.rig import Rig
from tests.support.backup import run_backup, run_restore

pytestmark = pytest.mark.docker

JOB = "restore"
LINES = 1000


def stopped(_: LiveLoki) -> None:
    """The Loki runs, and the backup stops it."""


def killed(loki: LiveLoki) -> None:
    """The Loki is killed without flushing."""
    loki.container.kill("KILL")


@pytest.mark.parametrize("ended", [stopped, killed])
def test_every_line_is_read_back_from_a_backup(
    rig: Rig, tmp_path: Path, ended: Callable[[LiveLoki], None]
) -> None:
    began = time.time_ns()
    with running_loki(rig, "loki-aws", rendered({}, AT_ONCE)) as loki:
        # Lines with written chunks and index, then some with only the chunks, and some in memory and in
        # the write-ahead log.
        assert loki.push(JOB, range(LINES)).status == 204
        loki.container.restart()
        loki.wait_until_ready()
        assert loki.push(JOB, range(LINES, 2 * LINES)).status == 204
        written = len(loki.files("chunks/fake"))
        loki.flush()
        wait_for("the chunk is written", lambda: len(loki.files("chunks/fake")) > written, 30.0)
        assert loki.push(JOB, range(2 * LINES, 3 * LINES)).status == 204
        ended(loki)
        assert "loki-aws.tar is whole" in run_backup(rig, tmp_path)
        # It has gone on. New lines aren't in the backup: if they were found later, nothing was restored.
        loki.wait_until_ready()
        assert loki.push(JOB, [3 * LINES]).status == 204
        assert not loki.found(JOB, began).missing(range(3 * LINES + 1))
        run_restore(rig, tmp_path)
        # Like `pulumi up`.
        loki.start()
        loki.wait_until_ready()
        assert loki.found(JOB, began).missing(range(3 * LINES + 1)) == [3 * LINES]


@pytest.mark.soak
def test_the_stack_takes_over_a_restored_volume(replicated: Deployment, tmp_path: Path) -> None:
    name, campus = replicated.container("loki-test").name, replicated.rig.network.campus
    assert name is not None
    assert replicated.push_status(NAT, "test", replicated.login()) == 204
    [line] = lines_in_loki(campus, replicated.loki("test"), '{job="rig"}')
    run_backup(replicated.rig, tmp_path, NAME=name)
    # A server without the stack's resources: its state has no volume.
    replicated.container("loki-test").remove(force=True)
    client = replicated.rig.engine.client()
    client.volumes.get(f"{name}-data").remove()
    client.close()
    replicated.stack.run("refresh", "--yes", "--skip-preview")
    run_restore(replicated.rig, tmp_path, NAME=name)
    replicated.stack.up("--refresh")
    wait_for("it is ready", lambda: answers_ready(campus, replicated.loki("test")), 120.0)
    assert lines_in_loki(campus, replicated.loki("test"), '{job="rig"}') == [line]
