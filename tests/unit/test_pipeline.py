"""The workflows' commands, with fakes of the programs and GitHub that check their arguments."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatch
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pulumi
import pytest
import yaml
from pulumi.runtime import mocks

from components.aws.egress import EgressAddresses, EgressAddressesArgs, EgressNetwork, EgressNetworkArgs
from components.aws.watch import Heartbeat, Watch, WatchArgs
from components.stack.services import Services, ServicesArgs
from components.stack.settings import parse
from local import downloads, paths, pulumi_cli, pulumi_plugins
from local.pulumi_plugins import PLUGINS
from ops import github, pipeline
from ops.costs import of_stack
from ops.verify.checks import Result, Verdict
from rig.plugins.aws_things.table import ENTRIES
from rig.stack import settings_of
from tests.support.aws_network import Account
from tests.support.fake_engine import known, running_engine
from tests.support.guide import blocks
from tests.support.http_server import running

WORKFLOWS = sorted((paths.ROOT / ".github" / "workflows").glob("*.yml"))
CAMPUS = ["self-hosted", "campus"]
COSTS = pipeline._costs
READ = {"contents": "read"}
ROLE = {**READ, "id-token": "write"}
PERMISSIONS = {
    "checksums": {"checksums": READ},
    "ci": {"test": READ},
    "deploy": {"stage": ROLE, "prod": ROLE},
    "drift": {"drift": {**ROLE, "issues": "write"}},
    "guard-image": {"push": {**READ, "packages": "write"}},
    "preview": {"preview": {**ROLE, "pull-requests": "write"}, "no-preview": {}},
}
DIGEST = f"sha256:{'ab' * 32}"
PLAYED = """\
#!{python}
import json, os, pathlib, sys
me = pathlib.Path(__file__)
stdin = sys.stdin.read() if "--password-stdin" in sys.argv else ""
with (me.parent / "calls").open("a") as file:
    file.write(json.dumps([me.name, *sys.argv[1:], *([f"< {{stdin}}"] if stdin else [])]) + "\\n")
for line in (me.parent / "answers").read_text().splitlines():
    part, code, text = json.loads(line)
    if part in " ".join([me.name, *sys.argv[1:]]):
        print(text)
        sys.exit(code)
"""


class Programs:
    """Fakes of pulumi and docker on PATH: they record their calls, and give the set answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "answers").touch()
        (folder / "calls").touch()
        for name in ("pulumi", "docker"):
            (folder / name).write_text(PLAYED.format(python=sys.executable))
            (folder / name).chmod(0o755)

    def answer(self, part: str, code: int, text: str = "") -> None:
        """Set the exit code and output of calls whose words contain the part."""
        with (self._folder / "answers").open("a") as file:
            file.write(json.dumps([part, code, text]) + "\n")

    def calls(self) -> list[str]:
        """Each call's words."""
        return [" ".join(json.loads(line)) for line in (self._folder / "calls").read_text().splitlines()]


class GitHub(ThreadingHTTPServer):
    """A fake GitHub: comments and issues in pages, and everything that was written."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.lists: dict[str, list[dict[str, Any]]] = {"comments": [], "issues": []}
        self.written: list[tuple[str, str, dict[str, str]]] = []
        self.tokens: set[str | None] = set()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        page, size = int(query["page"][0]), int(query["per_page"][0])
        things = self._hub.lists[url.path.rpartition("/")[2]]
        if "state" in query:
            things = [thing for thing in things if thing["state"] == query["state"][0]]
        self._answer(things[(page - 1) * size : page * size])

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._hub.written.append((self.command, self.path.removeprefix("/repos/Team/judge/"), body))
        self._answer({})

    do_PATCH = do_POST  # noqa: N815  http.server's name

    @property
    def _hub(self) -> GitHub:
        assert isinstance(self.server, GitHub)
        return self.server

    def _answer(self, body: Any) -> None:
        self._hub.tokens.add(self.headers["Authorization"])
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  http.server's name
        """Nothing: a test's output is its own."""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    # A separate program calculates a stack's costs, in half a second.
    monkeypatch.setattr(pipeline, "_costs", lambda stack: "")
    return Programs(tmp_path)


@pytest.fixture
def hub() -> Iterator[GitHub]:
    server = GitHub()
    with running(server):
        yield server


@pytest.fixture
def summary(tmp_path: Path, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The workflow's variables, and its summary."""
    for name, value in {
        "GITHUB_API_URL": f"http://127.0.0.1:{hub.server_port}",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_REPOSITORY": "Team/judge",
        "GITHUB_RUN_ID": "77",
        "GITHUB_SHA": "0123456789abcdef" * 2,
        "GITHUB_ACTOR": "someone",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
        "GH_TOKEN": "token-of-the-job",
        "PULL_REQUEST": "5",
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path / "summary"


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """The program's exit code."""
    monkeypatch.setattr(sys, "argv", ["pipeline", *words])
    return pipeline.main()


def thing(number: int, login: str = github.AUTHOR, **more: str) -> dict[str, Any]:
    """A comment or an issue."""
    return {"id": number, "number": number, "user": {"login": login}, "state": "open", **more}


@pytest.mark.usefixtures("summary")
class TestPreview:
    def test_asks_for_each_stack_and_refreshes_none(
        self, programs: Programs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A refresh would contact the Docker host."""
        assert run(monkeypatch, "preview", "stage", "prod") == 0
        assert programs.calls() == [
            f"pulumi preview --stack {stack} --diff --non-interactive --color never"
            for stack in ("stage", "prod")
        ]

    def test_first_comment(
        self, programs: Programs, hub: GitHub, monkeypatch: pytest.MonkeyPatch, summary: Path
    ) -> None:
        programs.answer("stage", 0, "+ 1 to create </pre> @everyone")
        assert run(monkeypatch, "preview", "stage", "prod") == 0
        [(method, where, body)] = hub.written
        assert (method, where) == ("POST", "issues/5/comments")
        assert body["body"].startswith(pipeline.MARKER)
        assert "+ 1 to create &lt;/pre&gt;" in body["body"]
        # The beginning of an HTML block that only `</pre>` ends (CommonMark, section 4.6).
        assert "<summary>preview</summary>\n\n<pre>\n+ 1 to create" in body["body"]
        assert "### stage can be deployed" in body["body"]
        assert "https://github.com/Team/judge/actions/runs/77" in body["body"]
        assert "### prod can be deployed" in summary.read_text()
        assert hub.tokens == {"Bearer token-of-the-job"}

    @pytest.mark.usefixtures("programs")
    def test_its_own_comment_is_overwritten_wherever_it_is(
        self, hub: GitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        others = [thing(n, body="hello") for n in range(99)]
        forged = [thing(99, "stranger", body=f"{pipeline.MARKER} mine")]
        hub.lists["comments"] = [*others, *forged, thing(100, body=f"{pipeline.MARKER}\nold")]
        assert run(monkeypatch, "preview", "stage") == 0
        assert [(method, where) for method, where, _ in hub.written] == [("PATCH", "issues/comments/100")]

    @pytest.mark.usefixtures("programs")
    def test_what_it_costs_is_in_the_comment(self, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "_costs", COSTS)
        assert run(monkeypatch, "preview", "stage", "prod") == 0
        text = hub.written[0][2]["body"]
        for stack in ("stage", "prod"):
            part = text.partition(f"### {stack} can be deployed")[2]
            assert f"<summary>costs</summary>\n\n{of_stack(stack)}" in part

    @pytest.mark.usefixtures("programs")
    def test_unknown_costs_stop_nothing(self, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "_costs", COSTS)
        assert run(monkeypatch, "preview", "nowhere") == 0
        assert "<pre>\n(costs: there is no Pulumi.nowhere.yaml)\n</pre>" in hub.written[0][2]["body"]

    def test_a_failure_is_in_the_comment_and_in_the_exit_code(
        self,
        programs: Programs,
        hub: GitHub,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        programs.answer("prod", 255, "campus-monitor:edge.domain: not a domain")
        assert run(monkeypatch, "preview", "stage", "prod") == 1
        [(_, _, body)] = hub.written
        assert "### stage can be deployed" in body["body"]
        assert "### prod fails" in body["body"]
        assert "edge.domain: not a domain" in body["body"]
        assert "::error::the preview of prod fails" in capfd.readouterr().out

    @pytest.mark.parametrize(
        ("output", "shown"),
        [
            ("</details>\n\n# loud", "&lt;/details&gt;\n\n# loud"),
            ("</pre>\n\n[a link](https://example.org)", "&lt;/pre&gt;\n\n[a link](https://example.org)"),
            ("```\n\n@everyone #1", "```\n\n@everyone #1"),
            ("</textarea></script></style>", "&lt;/textarea&gt;&lt;/script&gt;&lt;/style&gt;"),
            ("<!-- &lt; -->", "&lt;!-- &amp;lt; --&gt;"),
            ("\x1b[1;32m+ create\x1b[0m \x00\x07\x9b", "+ create "),
        ],
    )
    def test_nothing_in_an_output_leaves_its_form(
        self, programs: Programs, hub: GitHub, monkeypatch: pytest.MonkeyPatch, output: str, shown: str
    ) -> None:
        programs.answer("preview", 0, f"before\n\n{output}\nafter")
        assert run(monkeypatch, "preview", "stage") == 0
        text = hub.written[0][2]["body"]
        inside = text.partition("<summary>preview</summary>\n\n<pre>\n")[2].partition(
            "\n</pre>\n</details>\n"
        )
        assert inside[0] == f"before\n\n{shown}\nafter"
        assert not inside[2].strip()

    @pytest.mark.usefixtures("programs")
    def test_costs_of_many_services_leave_room(self, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pipeline, "_costs", lambda stack: "| a service |\n" * 5000)
        assert run(monkeypatch, "preview", "stage", "prod") == 0
        text = hub.written[0][2]["body"]
        assert text.count("(costs: too long for a comment, see `make costs`)") == 2
        assert "a service" not in text

    def test_a_text_that_is_too_long_for_github_is_shortened_to_its_end(
        self, programs: Programs, hub: GitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs.answer("preview", 0, "<" * 100_000 + "the end")
        assert run(monkeypatch, "preview", "stage", "prod") == 0
        text = hub.written[0][2]["body"]
        assert len(text) < 65_536
        assert text.count("the end\n") == 2

    def test_a_missing_variable_is_named(
        self, programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.delenv("GH_TOKEN")
        assert run(monkeypatch, "preview", "stage") == 1
        assert "::error::GH_TOKEN is not set" in capfd.readouterr().out


@pytest.mark.usefixtures("summary")
class TestDeploy:
    UP = "pulumi up --stack stage --yes --non-interactive --color never"

    @pytest.fixture
    def proven(self, monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
        """The checks' verdicts; the checks themselves have their own tests."""
        verdicts = [Verdict.OK]

        def of_stack(stack: str, sources: list[str]) -> list[Result]:
            assert sources == ["192.0.2.1", "192.0.2.2"]
            return [Result("a check", stack, verdict, "what was seen </pre>") for verdict in verdicts]

        monkeypatch.setattr(pipeline.proof, "of_stack", of_stack)
        monkeypatch.setenv("VERIFY_FROM", "192.0.2.1 192.0.2.2")
        return verdicts

    @pytest.mark.usefixtures("proven")
    def test_updates_then_proves(
        self, programs: Programs, monkeypatch: pytest.MonkeyPatch, summary: Path
    ) -> None:
        assert run(monkeypatch, "deploy", "stage") == 0
        assert programs.calls() == [self.UP]
        # What a check has seen comes from the network.
        assert "a check  stage   ok: what was seen &lt;/pre&gt;" in summary.read_text()

    @pytest.mark.usefixtures("proven")
    def test_after_a_failed_update_nothing_is_asked(
        self,
        programs: Programs,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
        summary: Path,
    ) -> None:
        programs.answer("pulumi up", 255)
        assert run(monkeypatch, "deploy", "stage", "prod") == 1
        assert programs.calls() == [self.UP]
        assert "::error::the update of stage failed. What it has changed stays" in capfd.readouterr().out
        assert "a check" not in summary.read_text()

    def test_anything_wrong_stops_too(
        self, programs: Programs, proven: list[Verdict], monkeypatch: pytest.MonkeyPatch, summary: Path
    ) -> None:
        proven += [Verdict.UNPROVEN, Verdict.WRONG]
        assert run(monkeypatch, "deploy", "stage", "prod") == 1
        assert programs.calls() == [self.UP]
        assert "a check  stage   WRONG: what was seen" in summary.read_text()
        assert "**Stopped**: stage is updated, but doesn't work as it should" in summary.read_text()

    def test_unchecked_results_are_a_warning(
        self,
        programs: Programs,
        proven: list[Verdict],
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        proven.append(Verdict.UNPROVEN)
        assert run(monkeypatch, "deploy", "stage", "prod") == 0
        assert len(programs.calls()) == 2
        assert "::warning::stage: 1 right, 1 not checked from here" in capfd.readouterr().out

    def test_outputs_that_cannot_be_read_stop_it(
        self, programs: Programs, monkeypatch: pytest.MonkeyPatch, summary: Path
    ) -> None:
        programs.answer("stack output", 255)
        assert run(monkeypatch, "deploy", "stage", "prod") == 1
        assert len(programs.calls()) == 2
        assert "**Stopped**: the outputs of stage can't be read" in summary.read_text()


@pytest.mark.usefixtures("summary")
class TestDrift:
    def test_asks_what_runs_and_expects_nothing(
        self, programs: Programs, hub: GitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert run(monkeypatch, "drift", "stage", "prod") == 0
        assert programs.calls() == [
            f"pulumi preview --stack {stack} --refresh --expect-no-changes --diff"
            " --non-interactive --color never"
            for stack in ("stage", "prod")
        ]
        assert hub.written == []

    def test_drift_opens_one_issue(
        self, programs: Programs, hub: GitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs.answer("prod", 255, "- caddy deleted")
        hub.lists["issues"] = [
            thing(1, title=pipeline.DRIFT_TITLE) | {"state": "closed"},
            thing(2, "stranger", title=pipeline.DRIFT_TITLE),
            thing(3, title="another"),
        ]
        assert run(monkeypatch, "drift", "stage", "prod") == 0
        [(method, where, body)] = hub.written
        assert (method, where, body["title"]) == ("POST", "issues", pipeline.DRIFT_TITLE)
        assert "### stage is as declared" in body["body"]
        assert "### prod is not as declared" in body["body"]
        assert "- caddy deleted" in body["body"]

    def test_drift_that_lasts_rewrites_it(
        self, programs: Programs, hub: GitHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs.answer("prod", 255)
        hub.lists["issues"] = [thing(4, title=pipeline.DRIFT_TITLE)]
        assert run(monkeypatch, "drift", "prod") == 0
        assert [(method, where, set(body)) for method, where, body in hub.written] == [
            ("PATCH", "issues/4", {"body"})
        ]

    @pytest.mark.usefixtures("programs")
    def test_no_drift_any_more_closes_it(self, hub: GitHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.lists["issues"] = [thing(4, title=pipeline.DRIFT_TITLE)]
        assert run(monkeypatch, "drift", "prod") == 0
        [(method, where, body)] = hub.written
        assert (method, where, body["state"]) == ("PATCH", "issues/4", "closed")


def test_setup_puts_the_virtualenv_before_pulumi_and_no_fake_plugin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GitHub puts each line before the line above it."""
    made: list[str] = []
    monkeypatch.setattr(downloads, "unpinned", [])
    monkeypatch.setattr(pipeline.pulumi_plugins, "install_official", lambda _: made.append("plugins"))
    monkeypatch.setenv("CAMPUS_MONITOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GITHUB_PATH", str(tmp_path / "path"))
    monkeypatch.setattr(pipeline.venv, "ensure", lambda: made.append("venv"))
    monkeypatch.setattr(pipeline.pulumi_cli, "ensure", lambda _: tmp_path / "pulumi")
    assert run(monkeypatch, "setup") == 0
    assert made == ["venv", "plugins"]
    assert (tmp_path / "path").read_text() == f"{tmp_path / 'pulumi'}\n{paths.VENV / 'bin'}\n"


class TestChecksums:
    NAMES = (
        f"pulumi-v{pulumi_cli.VERSION}-linux-x64.tar.gz",
        f"pulumi-v{pulumi_cli.VERSION}-linux-arm64.tar.gz",
        *(
            f"pulumi-resource-{name}-v{version}-linux-{kind}.tar.gz"
            for name, version in PLUGINS.items()
            for kind in ("amd64", "arm64")
        ),
    )

    @pytest.fixture(autouse=True)
    def site(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A fake of Pulumi's site with an archive of each name, and a repository without checksums."""
        for name in self.NAMES:
            (tmp_path / name).write_text(name)
        here = tmp_path.as_uri()
        there = pulumi_cli.release_url
        monkeypatch.setattr(
            pulumi_cli, "release_url", lambda machine: f"{here}/{str(there(machine)).rpartition('/')[2]}"
        )
        monkeypatch.setattr(pulumi_plugins, "RELEASES", here)
        monkeypatch.setattr(downloads, "CHECKSUMS", tmp_path / "checksums.txt")
        monkeypatch.setattr(downloads, "unpinned", [])

    def test_the_first_download_prints_every_line_and_the_next_none(
        self, monkeypatch: pytest.MonkeyPatch, summary: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(monkeypatch, "checksums") == 1
        assert "::error::local/checksums.txt lacks lines" in capfd.readouterr().out
        lines = [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in self.NAMES]
        assert "\n".join(lines) in summary.read_text()
        downloads.CHECKSUMS.write_text("\n".join(lines) + "\n")
        monkeypatch.setattr(downloads, "unpinned", [])
        assert run(monkeypatch, "checksums") == 0

    def test_an_archive_with_another_checksum_stops_it(
        self, monkeypatch: pytest.MonkeyPatch, summary: Path
    ) -> None:
        downloads.CHECKSUMS.write_text(f"{'0' * 64}  {self.NAMES[-1]}\n")
        assert run(monkeypatch, "checksums") == 1
        assert f"{self.NAMES[-1]} doesn't match local/checksums.txt" in summary.read_text()


class TestGuardImage:
    NAME = "ghcr.io/team/judge/port-guard"
    TAGGED = f"{NAME}:0123456789ab"

    def test_is_pushed_and_named_by_digest(
        self,
        programs: Programs,
        monkeypatch: pytest.MonkeyPatch,
        summary: Path,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        elsewhere = f"elsewhere/port-guard@sha256:{'00' * 32}"
        programs.answer("inspect", 0, json.dumps([elsewhere, f"{self.NAME}@{DIGEST}"]))
        assert run(monkeypatch, "guard-image") == 0
        assert programs.calls() == [
            "docker login ghcr.io --username someone --password-stdin < token-of-the-job",
            f"docker build --pull --tag {self.TAGGED} images/port-guard",
            f"docker push {self.TAGGED}",
            f"docker image inspect --format {{{{json .RepoDigests}}}} {self.TAGGED}",
        ]
        assert f"portGuard: {self.TAGGED}@{DIGEST}" in summary.read_text()
        assert f"{self.TAGGED}@{DIGEST}\n" in capfd.readouterr().out

    @pytest.mark.usefixtures("summary")
    def test_a_refused_push_names_no_digest(
        self, programs: Programs, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        programs.answer("docker push", 1)
        assert run(monkeypatch, "guard-image") == 1
        assert len(programs.calls()) == 3
        assert f"::error::ghcr.io refuses {self.TAGGED}" in capfd.readouterr().out


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
class TestWorkflows:
    """Rules that no linter checks: where a fork's code may run, and with which credentials."""

    def test_forks_reach_neither_credentials_nor_the_campus(self, path: Path) -> None:
        workflow = _workflow(path)
        assert "pull_request_target" not in workflow["on"]
        if "pull_request" not in workflow["on"]:
            return
        for job in workflow["jobs"].values():
            assert job["runs-on"] == "ubuntu-24.04"
            trusted = "head.repo.full_name == github.repository" in job.get("if", "")
            wants = "environment" in job or "id-token" in job.get("permissions", {}) or "secrets." in str(job)
            assert trusted or not wants

    def test_a_job_with_a_role_has_an_environment(self, path: Path) -> None:
        """A role trusts environments, and an environment restricts its branches."""
        for job in _workflow(path)["jobs"].values():
            assert ("id-token" in job.get("permissions", {})) == ("environment" in job)

    def test_permissions_are_what_the_commands_need(self, path: Path) -> None:
        workflow = _workflow(path)
        jobs = {
            name: job.get("permissions", workflow["permissions"]) for name, job in workflow["jobs"].items()
        }
        assert jobs == PERMISSIONS[path.stem]

    def test_the_campus_runner_works_for_main_alone(self, path: Path) -> None:
        workflow = _workflow(path)
        if any(job["runs-on"] == CAMPUS for job in workflow["jobs"].values()):
            assert set(workflow["on"]) <= {"push", "schedule", "workflow_dispatch"}
            assert workflow["on"].get("push", {"branches": ["main"]}) == {"branches": ["main"]}

    def test_actions_are_pinned_and_shell_is_one_command(self, path: Path) -> None:
        for job in _workflow(path)["jobs"].values():
            for step in job["steps"]:
                assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", step.get("uses", f"a/b@{'0' * 40}"))
                assert not set(step.get("run", "")) & set("\n;|&$`")


class TestRoles:
    """docs/ci.md's policies, without asking AWS."""

    TRUST, PREVIEW, DRIFT = (json.loads(one) for one in blocks("ci.md", "json")["What to set up once"])
    # Actions that reveal a secret, and are only allowed for the stack's own.
    TELLING = frozenset({"kms:Decrypt", "s3:GetObject", "ssm:GetParameter"})

    def test_each_role_is_for_one_environment(self) -> None:
        [statement] = self.TRUST["Statement"]
        subject = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
        assert subject == "repo:OWNER/REPOSITORY:environment:preview"

    @pytest.mark.parametrize("policy", [PREVIEW, DRIFT], ids=["preview", "drift"])
    def test_nothing_is_written_and_no_secret_of_others_read(self, policy: dict[str, Any]) -> None:
        for action, resource in _allowed(policy):
            assert re.fullmatch(r"(kms:Decrypt|\w+:(Get|List|Describe)[A-Za-z]+)", action)
            assert (resource == "*") <= (action not in self.TELLING)

    def test_a_preview_reads_no_parameter(self) -> None:
        assert {action for action, _ in _allowed(self.PREVIEW)} & self.TELLING == {
            "kms:Decrypt",
            "s3:GetObject",
        }

    def test_a_preview_asks_what_the_functions_ask(self) -> None:
        asked = {call for token, calls in READS.items() if "/get" in token for call in calls}
        assert {action for action, where in _allowed(self.PREVIEW) if where == "*"} == asked

    @pytest.mark.parametrize("nat", ["gateway", "instance"])
    def test_drift_reads_every_type_that_a_stack_has(self, nat: str) -> None:
        """The parameters by their names."""
        may = {action for policy in (self.PREVIEW, self.DRIFT) for action, _ in _allowed(policy)}
        made = _made_in_aws(nat)
        assert {one.typ for one in made} <= READS.keys()
        assert {call for one in made for call in READS[one.typ]} <= may
        [pattern] = [where for action, where in _allowed(self.DRIFT) if action == "ssm:GetParameter"]
        for one in made:
            if one.typ.endswith(":Parameter"):
                assert fnmatch(f"arn:aws:ssm:REGION:ACCOUNT:parameter/{one.name}-1234567", pattern)

    def test_drift_may_read_nothing_that_no_type_needs(self) -> None:
        types = {one.typ for nat in ("gateway", "instance") for one in _made_in_aws(nat)}
        needed = {call for token in types for call in READS[token]}
        assert {action for action, _ in _allowed(self.DRIFT)} <= needed

    def test_every_type_that_is_emulated_has_a_line(self) -> None:
        assert set(ENTRIES) <= READS.keys()


def _reads() -> dict[str, list[str]]:
    """The calls for reading a type, or for a function."""
    lines = (paths.ROOT / "tests" / "support" / "aws_reads.txt").read_text().splitlines()
    return {words[0]: words[1:] for line in lines if not line.startswith("#") for words in [line.split()]}


READS = _reads()


def _made_in_aws(nat: str) -> list[mocks.MockResourceArgs]:
    """All of production's AWS resources, with a service on Fargate too, and watched."""
    tree = settings_of("prod")
    tree["egress"]["create"]["nat"] = nat
    app = tree["services"]["client-api"]
    tree["services"]["on-fargate"] = app | {
        "launch": "fargate",
        "memoryMib": 1024,
        "ingress": [{"action": "allow", "port": 80, "from": ["10.0.0.0/16"]}],
    }
    settings = parse(tree)
    create = settings.egress.create
    assert create is not None
    passwords = {name: defaultdict[str, str](str) for name in settings.loki.instances}
    urls = dict.fromkeys(passwords, "https://grafana.codedang.com/lokiaws/loki/api/v1/push")
    args = ServicesArgs(settings=settings, push_urls=urls, passwords=passwords, vpc_id="vpc-1")

    def make() -> pulumi.Output[Any]:
        addresses = EgressAddresses("egress", EgressAddressesArgs(egress=settings.egress))
        network = EgressNetworkArgs(
            create=create,
            region=settings.aws.region,
            allocation_ids=addresses.allocation_ids,
            public_ips=addresses.by_zone,
        )
        arns = Services("services", args).task_definition_arns
        vpc_id = EgressNetwork("network", network).vpc_id
        heartbeat = Heartbeat("heartbeat")
        watch = Watch(
            "watch",
            WatchArgs(
                domain=settings.edge.domain,
                https_port=settings.edge.https_port,
                mails=["team@example.org"],
                heartbeat=heartbeat.topic_name,
            ),
        )
        return pulumi.Output.all(vpc_id, watch.urn, *arns.values())

    with running_engine(Account()) as engine:
        known(make)
    return [one for parts in engine.registered.values() for one in parts]


def _allowed(policy: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each action, and its resource."""
    for statement in policy["Statement"]:
        actions = statement["Action"]
        for action in [actions] if isinstance(actions, str) else actions:
            yield action, statement["Resource"]


def test_each_stack_is_deployed_alone() -> None:
    jobs = _workflow(paths.ROOT / ".github" / "workflows" / "deploy.yml")["jobs"]
    for stack, job in jobs.items():
        assert job["environment"] == stack
        assert job["runs-on"] == CAMPUS
        assert job["concurrency"] == {"group": f"deploy-{stack}", "cancel-in-progress": False}


def _workflow(path: Path) -> dict[str, Any]:
    """The workflow; YAML's loader reads a bare `on` as true."""
    text = re.sub(r"^on:", '"on":', path.read_text(), flags=re.MULTILINE)
    return yaml.safe_load(text)
