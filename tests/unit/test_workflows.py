"""The workflow files, run by `act`, which evaluates their conditions and expressions.

Actions and commands are stubs that record their arguments and environment. Every run is offered every
secret, so what reaches a step is what its file gives it. act doesn't know the filters of `on:` (branches,
paths, tags), permissions, environments and concurrency: for those, `test_pipeline.py` reads the files.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from local.paths import ROOT, VENV

WORKFLOWS = ROOT / ".github" / "workflows"
EXAMPLE = ROOT / "docs" / "examples" / "deploy-service.yml"
PASSPHRASE = "played-passphrase"
TOKEN = "played-token"
VALUES = {
    "AWS_ROLE": "arn:aws:iam::1:role/played",
    "DEPLOY_ROLE_ARN": "arn:aws:iam::1:role/service",
    "PULUMI_BACKEND_URL": "s3://played",
    "VERIFY_FROM": "192.0.2.1 192.0.2.2",
}
# What a step may be given. GITHUB_TOKEN isn't: a step has the token only as what its file names it.
GIVEN = (
    "CAMPUS_MONITOR_OFFICIAL_ONLY",
    "GH_TOKEN",
    "PULL_REQUEST",
    "PULUMI_BACKEND_URL",
    "PULUMI_CONFIG_PASSPHRASE",
    "VERIFY_FROM",
)
RECORDER = """\
#!{python} -I
import json, os, pathlib, sys
me = pathlib.Path(sys.argv[0])
with (me.parent.parent / "calls").open("a") as file:
    file.write(json.dumps([[me.name, *sys.argv[1:]], dict(os.environ)]) + "\\n")
sys.exit(" ".join(sys.argv[1:]) == os.environ.get("FAILS"))
"""
COMMANDS = ("python3", "sudo", "pulumi", "aws", "jq", "used")
STATE = {"PULUMI_BACKEND_URL": VALUES["PULUMI_BACKEND_URL"], "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE}
CHECKOUT = ("used actions/checkout", {"persist-credentials": "false"})
SETUP = ("python3 -m ops.pipeline setup", {})
AWS = (
    "used aws-actions/configure-aws-credentials",
    {"role-to-assume": VALUES["AWS_ROLE"], "aws-region": "ap-northeast-2"},
)
NOTICE = (
    "::notice title=No preview::A preview runs the change's code and packages beside credentials. "
    "Read the change first. A bot's: then close and reopen its pull request. "
    "A fork's: then push it to a branch of this repository. More: docs/ci.md, Roles"
)

Step = tuple[str, dict[str, str]]


@dataclass(frozen=True)
class Run:
    """What a run did: its exit code, act's log, and by job each step's words with what it was given."""

    code: int
    log: str
    jobs: dict[str, list[Step]]


class Act:
    """act in a folder of its own, with stubs in place of every action and command."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name in ("home", "work", "bin"):
            (folder / name).mkdir()
        subprocess.run(["git", "init", "--quiet", folder / "work"], check=True)
        for name in COMMANDS:
            (folder / "bin" / name).write_text(RECORDER.format(python=sys.executable))
            (folder / "bin" / name).chmod(0o755)

    def run(self, path: Path, event: str, payload: dict[str, Any], ref: str, fails: str = "") -> Run:
        """Run a workflow for an event; the command whose arguments are `fails` fails."""
        (self._folder / "event.json").write_text(json.dumps(payload))
        (self._folder / "calls").write_text("")
        words = [VENV / "bin" / "act", event, "--workflows", path, "--eventpath", self._folder / "event.json"]
        words += [
            "--directory",
            self._folder / "work",
            "--no-skip-checkout",
            "--no-cache-server",
            "--pull=false",
        ]
        for label in ("ubuntu-24.04", "self-hosted", "campus"):
            words += ["--platform", f"{label}=-self-hosted"]
        for used in sorted(set(re.findall(r"uses: (\S+)", path.read_text()))):
            words += ["--local-repository", f"{used}={self._action(used.partition('@')[0])}"]
        for name, value in {"GITHUB_REPOSITORY": "Team/judge", "GITHUB_REF": ref, "FAILS": fails}.items():
            words += ["--env", f"{name}={value}"]
        for name, value in VALUES.items():
            words += ["--var", f"{name}={value}"]
        words += ["--secret", f"PULUMI_CONFIG_PASSPHRASE={PASSPHRASE}", "--secret", f"GITHUB_TOKEN={TOKEN}"]
        clean = {"PATH": f"{self._folder / 'bin'}:/usr/bin:/bin", "HOME": str(self._folder / "home")}
        done = subprocess.run(words, env=clean, capture_output=True, text=True, check=False, timeout=300)
        jobs: dict[str, list[Step]] = {}
        for line in (self._folder / "calls").read_text().splitlines():
            called, environment = json.loads(line)
            jobs.setdefault(environment["GITHUB_JOB"], []).append(_step(called, environment))
        return Run(done.returncode, done.stdout + done.stderr, jobs)

    def _action(self, name: str) -> Path:
        """A stub of an action that records what it is given `with`."""
        folder = self._folder / "actions" / name
        folder.mkdir(parents=True, exist_ok=True)
        step = {"shell": "bash", "env": {"WITH": "${{ toJSON(inputs) }}"}, "run": f"used {name}"}
        names = ("persist-credentials", "role-to-assume", "aws-region")
        action = {
            "name": name,
            "description": "a stub",
            "inputs": {one: {"description": one} for one in names},
            "runs": {"using": "composite", "steps": [step]},
        }
        (folder / "action.yml").write_text(json.dumps(action))
        return folder


def _step(called: list[str], environment: dict[str, str]) -> Step:
    if called[0] == "used":
        assert not {PASSPHRASE, TOKEN} & set(environment.values())
        given = {name: value for name, value in json.loads(environment["WITH"]).items() if value}
    else:
        given = {name: environment[name] for name in GIVEN if name in environment}
        strays = {name for name, value in environment.items() if value in (PASSPHRASE, TOKEN)} - set(GIVEN)
        assert not strays
    return " ".join(called), given


@pytest.fixture
def act(tmp_path: Path) -> Act:
    return Act(tmp_path)


def pull_request(author: str, sender: str = "", home: str | None = "Team/judge") -> dict[str, Any]:
    """GitHub's event of a pull request; a deleted fork has no repository."""
    head = {"ref": "a-branch", "sha": "0" * 40, "repo": home and {"full_name": home}}
    pull = {"number": 5, "user": _account(author), "head": head}
    return {"pull_request": pull, "sender": _account(sender or author)}


def _account(login: str) -> dict[str, str]:
    return {"login": login, "type": "Bot" if login.endswith("[bot]") else "User"}


PULL = "refs/pull/5/merge"
MAIN = "refs/heads/main"
STRANGERS = {
    "fork": pull_request("stranger", home="stranger/judge"),
    "deleted-fork": pull_request("stranger", home=None),
    "fork-reopened": pull_request("stranger", "member", home="stranger/judge"),
    "dependabot": pull_request("dependabot[bot]"),
    "renovate": pull_request("renovate[bot]"),
    "bot-pushed": pull_request("member", "renovate[bot]"),
}


@pytest.mark.parametrize("author", ["member", "renovate[bot]", "dependabot[bot]"])
def test_what_a_member_sends_is_previewed(act: Act, author: str) -> None:
    run = act.run(WORKFLOWS / "preview.yml", "pull_request", pull_request(author, "member"), PULL)
    given = {"GH_TOKEN": TOKEN, "PULL_REQUEST": "5", **STATE}
    assert run.code == 0, run.log
    assert run.jobs == {
        "preview": [CHECKOUT, SETUP, AWS, ("python3 -m ops.pipeline preview stage prod", given)]
    }
    assert NOTICE not in run.log


@pytest.mark.parametrize("payload", STRANGERS.values(), ids=STRANGERS.keys())
def test_strangers_and_bots_are_told_and_run_nothing(act: Act, payload: dict[str, Any]) -> None:
    run = act.run(WORKFLOWS / "preview.yml", "pull_request", payload, PULL)
    assert run.code == 0, run.log
    assert run.jobs == {}
    assert f"{NOTICE}\n" in run.log


def test_a_failed_preview_fails_and_is_not_called_skipped(act: Act) -> None:
    fails = "-m ops.pipeline preview stage prod"
    run = act.run(WORKFLOWS / "preview.yml", "pull_request", pull_request("member"), PULL, fails)
    assert run.code == 1
    assert NOTICE not in run.log


@pytest.mark.parametrize("event", ["pull_request", "push"])
def test_ci_gets_no_secret(act: Act, event: str) -> None:
    payload = STRANGERS["fork"] if event == "pull_request" else {}
    run = act.run(WORKFLOWS / "ci.yml", event, payload, PULL if payload else MAIN)
    assert run.code == 0, run.log
    kept = "--preserve-env=CI,PATH,CAMPUS_MONITOR_OFFICIAL_ONLY"
    assert run.jobs == {
        "test": [CHECKOUT, (f"sudo {kept} bash .ci/run", {"CAMPUS_MONITOR_OFFICIAL_ONLY": "1"})]
    }


def deployed(stack: str) -> list[Step]:
    """A deploy's steps."""
    given = {**STATE, "VERIFY_FROM": VALUES["VERIFY_FROM"]}
    return [CHECKOUT, SETUP, AWS, (f"python3 -m ops.pipeline deploy {stack}", given)]


def test_a_push_to_main_deploys_stage_then_prod(act: Act) -> None:
    run = act.run(WORKFLOWS / "deploy.yml", "push", {}, MAIN)
    assert run.code == 0, run.log
    assert list(run.jobs.items()) == [("stage", deployed("stage")), ("prod", deployed("prod"))]


def test_prod_is_left_alone_after_a_failed_stage(act: Act) -> None:
    run = act.run(WORKFLOWS / "deploy.yml", "push", {}, MAIN, "-m ops.pipeline deploy stage")
    assert run.code == 1
    assert run.jobs == {"stage": deployed("stage")}


@pytest.mark.parametrize("event", ["schedule", "workflow_dispatch"])
def test_drift(act: Act, event: str) -> None:
    run = act.run(WORKFLOWS / "drift.yml", event, {}, MAIN)
    assert run.code == 0, run.log
    given = {"GH_TOKEN": TOKEN, **STATE}
    assert run.jobs == {"drift": [CHECKOUT, SETUP, AWS, ("python3 -m ops.pipeline drift stage prod", given)]}


@pytest.mark.parametrize("event", ["push", "workflow_dispatch"])
def test_checksums_get_no_secret(act: Act, event: str) -> None:
    run = act.run(WORKFLOWS / "checksums.yml", event, {}, MAIN)
    assert run.code == 0, run.log
    assert run.jobs == {"checksums": [CHECKOUT, ("python3 -m ops.pipeline checksums", {})]}


@pytest.mark.parametrize(
    ("event", "ref", "pushed"),
    [
        ("push", MAIN, True),
        ("workflow_dispatch", MAIN, True),
        ("workflow_dispatch", "refs/heads/a-branch", False),
        ("workflow_dispatch", "refs/tags/main", False),
    ],
)
def test_the_guards_image_is_pushed_from_main_alone(act: Act, event: str, ref: str, pushed: bool) -> None:
    run = act.run(WORKFLOWS / "guard-image.yml", event, {}, ref)
    assert run.code == 0, run.log
    steps = [CHECKOUT, ("python3 -m ops.pipeline guard-image", {"GH_TOKEN": TOKEN})]
    assert run.jobs == ({"push": steps} if pushed else {})


def test_the_example_gives_the_state_to_pulumi_alone(act: Act) -> None:
    run = act.run(EXAMPLE, "workflow_dispatch", {}, MAIN)
    assert run.code == 0, run.log
    name, given = AWS
    role = (name, given | {"role-to-assume": VALUES["DEPLOY_ROLE_ARN"]})
    stack = "organization/campus-monitor/prod"
    service = "--cluster judge --service"
    [steps] = run.jobs.values()
    assert steps[:2] == [role, (f"pulumi stack output --stack {stack} --json task_definition_arns", STATE)]
    assert [words for words, _ in steps[3:]] == [
        f"aws ecs update-service {service} client-api --task-definition ",
        f"aws ecs wait services-stable {service}s client-api",
    ]
    assert [given for _, given in steps[3:]] == [{}, {}]


def test_every_workflow_is_run_here() -> None:
    source = Path(__file__).read_text()
    assert [path.name for path in WORKFLOWS.glob("*.yml") if f'WORKFLOWS / "{path.name}"' not in source] == []
