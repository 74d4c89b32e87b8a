"""`python3 -m ops.pipeline <command>`: what the workflows do (docs/ci.md).

It works on real stacks, with official plugins; it uses nothing of the local stack.
"""

from __future__ import annotations

import argparse
import html
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local import cache, downloads, pulumi_cli, pulumi_plugins, say, system, venv
from local.paths import ROOT, VENV
from local.say import Problem
from ops.github import Repository, variable
from ops.verify import checks, proof

REGISTRY = "ghcr.io"
MARKER = "<!-- campus-monitor: preview -->"
DRIFT_TITLE = "Drift: what runs is not what main declares"
# A comment or an issue has 65,536 characters at most (GitHub), shared by the stacks.
TEXT_CHARACTERS = 40_000
COSTS_CHARACTERS = 20_000
# A terminal's colours, and every control character but a tab and a line's end.
CONTROLS = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]")
QUIET = ("--non-interactive", "--color", "never")
PREVIEW_SECONDS = 1800


def setup(_: Sequence[str]) -> None:
    """Install the virtualenv and Pulumi with its plugins, and put them on the next steps' PATH."""
    system.check_machine()
    venv.ensure()
    with cache.lock():
        pulumi = pulumi_cli.ensure(cache.Refusals())
        pulumi_plugins.install_official(pulumi)
    if downloads.unpinned:
        print("::warning::what was downloaded isn't pinned yet: see the summary", flush=True)
        _tell_unpinned()
    # The last line is first on PATH.
    _append("GITHUB_PATH", f"{pulumi}\n{VENV / 'bin'}\n")


def preview(stacks: Sequence[str]) -> None:
    """Write what the pull request would change into its comment. Touches no Docker host."""
    runs = {stack: _pulumi_preview(stack, "--diff") for stack in stacks}
    monthly = {stack: _costs(stack) for stack in stacks}
    text = _report(runs, "can be deployed", "fails", monthly)
    Repository().put_comment(variable("PULL_REQUEST"), MARKER, text)
    failed = [stack for stack, run in runs.items() if run.returncode != 0]
    if failed:
        raise Problem(f"the preview of {' and '.join(failed)} fails: see above what to fix")


def deploy(stacks: Sequence[str]) -> None:
    """Bring a stack up, then prove it; stop at the first thing that fails."""
    for stack in stacks:
        _must(
            ["pulumi", "up", "--stack", stack, "--yes", *QUIET],
            f"the update of {stack} failed. What it has changed stays changed, the rest is as before. "
            "Fix the cause and run this job again: the update resumes where this one stopped",
        )
        _prove(stack)


def drift(stacks: Sequence[str]) -> None:
    """Create or overwrite the issue on drift; close it when the drift is gone."""
    options = ("--refresh", "--expect-no-changes", "--diff")
    runs = {stack: _pulumi_preview(stack, *options) for stack in stacks}
    text = _report(runs, "is as declared", "is not as declared, or could not be asked")
    if any(run.returncode != 0 for run in runs.values()):
        Repository().put_issue(DRIFT_TITLE, text)
    else:
        Repository().close_issue(DRIFT_TITLE, text)


def checksums(_: Sequence[str]) -> None:
    """Download every archive, compare it with the repository's checksums, and print missing lines."""
    machines = ("x86_64", "aarch64")
    urls = [pulumi_cli.release_url(machine) for machine in machines]
    urls += [
        pulumi_plugins.release_url(name, machine) for name in pulumi_plugins.PLUGINS for machine in machines
    ]
    with tempfile.TemporaryDirectory() as folder:
        for url in filter(None, urls):
            downloads.fetch(url, Path(folder) / "archive")
    if downloads.unpinned:
        _tell_unpinned()
        raise Problem(f"local/{downloads.CHECKSUMS.name} lacks lines: add them from the summary")


def _tell_unpinned() -> None:
    lines = "\n".join(downloads.unpinned)
    _summarise(f"For `local/{downloads.CHECKSUMS.name}`, in a pull request:\n\n```\n{lines}\n```\n")


def guard_image(_: Sequence[str]) -> None:
    """Build port-guard's image, push it to the repository's registry, and print the line for the settings."""
    name = f"{REGISTRY}/{variable('GITHUB_REPOSITORY').lower()}/port-guard"
    tagged = f"{name}:{variable('GITHUB_SHA')[:12]}"
    login = ["docker", "login", REGISTRY, "--username", variable("GITHUB_ACTOR"), "--password-stdin"]
    _must(login, f"{REGISTRY} refuses the login", stdin=variable("GH_TOKEN"))
    _must(["docker", "build", "--pull", "--tag", tagged, "images/port-guard"], "the image can't be built")
    _must(["docker", "push", tagged], f"{REGISTRY} refuses {tagged}")
    reference = f"{tagged}@{_pushed_digest(name, tagged)}"
    print(reference)
    _summarise(f"In `Pulumi.stage.yaml` and `Pulumi.prod.yaml`:\n\n```yaml\nportGuard: {reference}\n```\n")


def _pushed_digest(name: str, tagged: str) -> str:
    """The image's digest in the registry."""
    done = say.capture(["docker", "image", "inspect", "--format", "{{json .RepoDigests}}", tagged])
    digests = json.loads(done.stdout) if done.returncode == 0 else []
    found = [digest.partition("@")[2] for digest in digests if digest.startswith(f"{name}@")]
    if not found:
        raise Problem(f"Docker knows no digest of {tagged}")
    return found[0]


def _prove(stack: str) -> None:
    """Run `make verify` from the runner's addresses; a Problem if anything is wrong."""
    say.step(f"make verify STACK={stack}")
    results = proof.of_stack(stack, os.environ.get("VERIFY_FROM", "").split())
    table, summary = checks.table(results), checks.summary(results)
    print(table, summary, sep="", flush=True)
    _summarise(f"### {stack}: {summary}\n\n{_as_text(table, TEXT_CHARACTERS)}\n")
    code = checks.exit_code(results)
    if code == 1:
        raise Problem(
            f"{stack} is updated, but doesn't work as it should: see above. "
            "No other stack is deployed. Merge a fix, or a revert of the change"
        )
    if code == 2:
        print(f"::warning::{stack}: {summary}. docs/verify.md says from where it can be checked", flush=True)


def _pulumi_preview(stack: str, *options: str) -> subprocess.CompletedProcess[str]:
    say.step(f"pulumi preview of {stack}")
    command = ["pulumi", "preview", "--stack", stack, *options, *QUIET]
    done = say.capture(command, cwd=ROOT, seconds=PREVIEW_SECONDS)
    print(done.stdout, done.stderr, sep="\n", flush=True)
    return done


def _costs(stack: str) -> str:
    """What the stack's AWS half would cost, or why that isn't known; never a failure."""
    done = say.capture([VENV / "bin" / "python", "-m", "ops.costs", stack], cwd=ROOT)
    return (
        done.stdout if done.returncode == 0 else _as_text(f"(costs: {done.stderr.strip()})", COSTS_CHARACTERS)
    )


def _report(
    runs: dict[str, subprocess.CompletedProcess[str]],
    good: str,
    bad: str,
    monthly: Mapping[str, str] | None = None,
) -> str:
    """Each stack's verdict, its costs and Pulumi's output, which shows a secret as [secret]."""
    link = f"{variable('GITHUB_SERVER_URL')}/{variable('GITHUB_REPOSITORY')}/actions/runs/"
    parts = [f"Commit {variable('GITHUB_SHA')[:12]}, [the whole log]({link}{variable('GITHUB_RUN_ID')}).\n"]
    for stack, run in runs.items():
        verdict = good if run.returncode == 0 else bad
        output = _as_text(f"{run.stdout}\n{run.stderr}", TEXT_CHARACTERS // len(runs))
        costs = _folded("costs", _bounded(monthly[stack], COSTS_CHARACTERS // len(runs))) if monthly else ""
        parts.append(f"### {stack} {verdict}\n\n{costs}{_folded('preview', output)}")
    text = "\n".join(parts)
    _summarise(text)
    return text


def _folded(title: str, text: str) -> str:
    """Markdown that is folded until the reader opens it."""
    return f"<details><summary>{title}</summary>\n\n{text}\n</details>\n\n"


def _bounded(table: str, most: int) -> str:
    """The table, or where to find it if it is too long: half a table would be no table."""
    return table if len(table) <= most else "(costs: too long for a comment, see `make costs`)"


def _as_text(output: str, most: int) -> str:
    """A program's output in a form that it can't leave: no markup, mention or link in it has an effect.

    Only `<pre>` at the beginning of a line spans blank lines (CommonMark, section 4.6). If the output is too
    long, its end is kept: Pulumi's summary and errors are there.
    """
    text = html.escape(CONTROLS.sub("", output).strip(), quote=False)
    if len(text) > most:
        text = f"(the beginning is in the log)\n{text[-most:]}"
    return f"<pre>\n{text}\n</pre>"


def _must(command: Sequence[str], failure: str, *, stdin: str | None = None) -> None:
    """Run a command and show its output; a Problem with the text `failure` if it fails."""
    if subprocess.run(command, cwd=ROOT, input=stdin, text=True, check=False).returncode != 0:
        raise Problem(failure)


def _summarise(text: str) -> None:
    _append("GITHUB_STEP_SUMMARY", f"{text}\n")


def _append(name: str, text: str) -> None:
    with Path(variable(name)).open("a") as file:
        file.write(text)


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "setup": setup,
    "preview": preview,
    "deploy": deploy,
    "drift": drift,
    "checksums": checksums,
    "guard-image": guard_image,
}


def main() -> int:
    """Run a command; a Problem becomes an error in the workflow's log and summary, and exit code 1."""
    parser = argparse.ArgumentParser(prog="ops.pipeline", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    parser.add_argument("stacks", nargs="*")
    arguments = parser.parse_args()
    try:
        COMMANDS[arguments.command](arguments.stacks)
    except Problem as problem:
        print(f"::error::{problem}", flush=True)
        if os.environ.get("GITHUB_STEP_SUMMARY"):
            _summarise(f"**Stopped**: {problem}.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
