"""A task's lines on their whole path: the real plugin, with the stack's options, into the real Loki."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from components.ecs.loss_signs import Alarm
from rig.deployment import Deployment
from rig.emulator import Emulator
from rig.log_router import Ran, run_plugin
from rig.namespaces import SERVER
from rig.probe import ca_of, lines_in_loki
from rig.processes import wait_for
from tests.aws.conftest import login_of
from tests.support.alarms import counted

pytestmark = pytest.mark.docker

SERVICE = "iris"


def ship(stack: Deployment, emulator: Emulator, folder: Path, url: str, line: str) -> Ran:
    """Ship a line like a task of the service: from the NAT address, with the definition's options."""
    (folder / "ca.crt").write_text(ca_of(stack.caddy()))
    (folder / "hosts").write_text(f"{SERVER} {stack.settings['edge']['domain']}\n")
    options = log_configuration(stack, emulator)["options"]
    own = {
        "Url": url,
        # The rig's certificate is Caddy's own; a folder is the task's disk; few tries are enough.
        "ca_file": str(folder / "ca.crt"),
        "DqueDir": str(folder / "queue"),
        "MaxRetries": "3",
    }
    record = {
        "log": line,
        "source": "stdout",
        "container_id": "0123",
        "container_name": "/ecs-iris-7-app-0123",
        "ecs_cluster": "judge",
        "ecs_task_arn": "arn:aws:ecs:ap-northeast-2:123456789012:task/judge/0123",
        "ecs_task_definition": "iris:7",
    }
    return run_plugin(options | own, [record], namespace=stack.rig.network.world, hosts=folder / "hosts")


def log_configuration(stack: Deployment, emulator: Emulator) -> dict[str, Any]:
    """The log configuration of the app's container."""
    arn = stack.outputs["task_definition_arns"][SERVICE]
    definition = emulator.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    [app] = [one for one in definition["containerDefinitions"] if one["name"] == "app"]
    return app["logConfiguration"]


def secret_url(stack: Deployment, emulator: Emulator) -> str:
    """The value of the secret option: the parameter that the definition names."""
    [secret] = log_configuration(stack, emulator)["secretOptions"]
    name = secret["valueFrom"].partition(":parameter/")[2]
    ssm = emulator.client("ssm")
    return ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]["Value"]


def test_a_line_arrives_with_its_labels_and_without_its_own_fields(
    stack: Deployment, emulator: Emulator, tmp_path: Path
) -> None:
    line = f"from a task {secrets.token_hex(8)}"
    ran = ship(stack, emulator, tmp_path, secret_url(stack, emulator), line)
    assert ran.status == 0, ran.log
    assert "error" not in ran.log
    labels = 'job="firelens",service="iris",container="app",team="judge",source="stdout",ecs_cluster="judge"'
    query = f"{{{labels}}}"
    found: list[str] = []

    def arrived() -> bool:
        found[:] = [
            one for one in lines_in_loki(stack.rig.network.campus, stack.loki("aws"), query) if line in one
        ]
        return bool(found)

    wait_for("the line is in Loki", arrived, 60.0)
    [text] = found
    # The task is in the line, where it makes no stream.
    assert json.loads(text) == {
        "log": line,
        "container_name": "/ecs-iris-7-app-0123",
        "ecs_task_arn": "arn:aws:ecs:ap-northeast-2:123456789012:task/judge/0123",
        "ecs_task_definition": "iris:7",
    }


def test_a_wrong_password_is_a_line_that_rings_both_alarms(
    stack: Deployment, emulator: Emulator, tmp_path: Path
) -> None:
    url = secret_url(stack, emulator).replace(login_of(stack).password, "wrong")
    line = f"refused {secrets.token_hex(8)}"
    log = ship(stack, emulator, tmp_path, url, line).log
    assert "final error sending batch" in log
    assert "server returned HTTP status 401" in log
    alarms: tuple[Alarm, ...] = ("lines-lost", "pushes-refused")
    for alarm in alarms:
        assert counted(alarm, log), alarm
    assert "wrong" not in log
