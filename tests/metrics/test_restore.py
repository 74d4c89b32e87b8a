"""docs/operations.md's backup and restore of Prometheus: no sample is missing afterwards."""

from __future__ import annotations

from pathlib import Path

import pytest

from rig.deployment import Deployment
from rig.metrics import otlp_body, push_otlp, samples
from rig.namespaces import NAT
from rig.probe import Client, Login
from rig.processes import wait_for
from tests.support.backup import run_backup, run_restore

pytestmark = pytest.mark.docker


def test_every_sample_is_read_back_from_a_backup(
    deployment: Deployment, grafana: Client, login: Login, tmp_path: Path
) -> None:
    rig, stack = deployment.rig, deployment.stack
    name = str(deployment.container("prometheus").name)
    pushed = push_otlp(deployment.client(NAT), "/metrics", otlp_body("kept", 7), login)
    assert pushed.status == 200
    assert "is whole" in run_backup(rig, tmp_path, NAME=name, DATA="/prometheus")
    # A server without the stack's resources.
    deployment.container("prometheus").remove(force=True)
    client = rig.engine.client()
    client.volumes.get(f"{name}-data").remove()
    client.close()
    stack.run("refresh", "--yes", "--skip-preview")
    image = deployment.settings["images"]["prometheus"]
    run_restore(rig, tmp_path, NAME=name, DATA="/prometheus", IMAGE=image)
    stack.up("--refresh")
    wait_for("the sample is found", lambda: samples(grafana, "last_over_time(kept[1h])"), 60.0)
    stack.run("preview", "--refresh", "--expect-no-changes")
