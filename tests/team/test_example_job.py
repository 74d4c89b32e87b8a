"""docs/examples/deploy-service.yml, its scripts run like GitHub's, with the real Pulumi and a fake AWS."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.environment import backend_url
from local.paths import ROOT

EXAMPLE = ROOT / "docs/examples/deploy-service.yml"
JOB: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())["jobs"]["deploy"]
ARN = "arn:aws:ecs:ap-northeast-2:123456789012:task-definition"
AWS = """\
#!/bin/sh
echo "$@" >>"$(dirname "$0")/calls"
exit "$(cat "$(dirname "$0")/status")"
"""


class Runner:
    """A runner's machine, in a folder without this project."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._work, self._environment = folder / "work", folder / "environment"
        self._programs = folder / "bin"
        self._variables = {
            "PULUMI_BACKEND_URL": backend_url(state),
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase",
        }
        for made in (self._work, self._programs):
            made.mkdir()
        for file in (self._environment, self._programs / "calls"):
            file.touch()
        (self._programs / "aws").write_text(AWS)
        (self._programs / "aws").chmod(0o755)
        self.aws_ends_with(0)

    def aws_ends_with(self, status: int) -> None:
        """Set the exit code of `aws`."""
        (self._programs / "status").write_text(str(status))

    def calls(self) -> list[str]:
        """The arguments of `aws`."""
        return (self._programs / "calls").read_text().splitlines()

    def run_job(self) -> None:
        """Run its scripts in turn, until one fails."""
        for step in JOB["steps"]:
            if "run" in step:
                # https://docs.github.com/actions/reference/workflow-syntax: a Linux runner's default shell.
                self._run("bash", "-e", "-c", step["run"])

    def pulumi(self, *arguments: str, text: str | None = None) -> None:
        """Run Pulumi here, like a person."""
        self._run("pulumi", *arguments, "--non-interactive", text=text)

    def _run(self, *command: str, text: str | None = None) -> None:
        kept = dict(line.split("=", 1) for line in self._environment.read_text().splitlines())
        ours = {
            **self._variables,
            **JOB["env"],
            **kept,
            "GITHUB_ENV": str(self._environment),
            "PATH": os.pathsep.join([str(self._programs), os.environ["PATH"]]),
        }
        subprocess.run(command, cwd=self._work, env=os.environ | ours, input=text, check=True, text=True)


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """A runner that may read a stack `prod` with two services."""
    state, elsewhere = tmp_path / "state", tmp_path / "this project"
    for made in (state, elsewhere):
        made.mkdir()
    owner = Runner(elsewhere, state)
    (elsewhere / "work" / "Pulumi.yaml").write_text("name: campus-monitor\nruntime: python\n")
    owner.pulumi("stack", "init", "organization/campus-monitor/prod")
    urn = "urn:pulumi:prod::campus-monitor::pulumi:pulumi:Stack::campus-monitor-prod"
    arns = {name: f"{ARN}/{name}:7" for name in ("client-api", "admin-api")}
    made = {"urn": urn, "custom": False, "type": "pulumi:pulumi:Stack"}
    resources = [made | {"outputs": {"task_definition_arns": arns}}]
    deployment = {"version": 3, "deployment": {"manifest": {}, "resources": resources}}
    owner.pulumi("stack", "import", text=json.dumps(deployment))
    service = tmp_path / "service"
    service.mkdir()
    return Runner(service, state)


def test_the_service_runs_the_stacks_revision(runner: Runner) -> None:
    runner.run_job()
    update, wait = runner.calls()
    assert update.startswith("ecs update-service --cluster judge --service client-api ")
    assert update.endswith(f" --task-definition {ARN}/client-api:7")
    assert wait == "ecs wait services-stable --cluster judge --services client-api"


def test_an_unknown_service_fails_the_job(runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOB["env"], "SERVICE", "iris")
    with pytest.raises(subprocess.CalledProcessError):
        runner.run_job()
    assert runner.calls() == []


def test_the_job_does_not_wait_for_a_refused_update(runner: Runner) -> None:
    runner.aws_ends_with(254)
    with pytest.raises(subprocess.CalledProcessError):
        runner.run_job()
    assert len(runner.calls()) == 1
