"""A stack of the project's own program, on the real engine, that writes nothing to the work tree.

The stack's project folder, settings, state and passphrase are in a temporary folder; its program is in
the work tree. Its settings start from the local stack's.
"""

from __future__ import annotations

import copy
import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pulumi import automation

from components.stack import settings_file
from local import stack_file
from local.environment import backend_url
from rig.run import Run, opened_run

ROOT = Path(__file__).resolve().parent.parent
UNCHANGED = "same"

Settings = dict[str, Any]


class PulumiFailedError(Exception):
    """A command of Pulumi's failed; the text is Pulumi's diagnostics."""


@dataclass
class Stack:
    """A stack that can be previewed, updated and configured."""

    name: str
    project: str
    folder: Path
    automation: automation.Stack

    def configure(self, settings: Settings) -> None:
        """Replace all of the stack's settings (areas of the project's own namespace)."""
        path = self.folder / f"Pulumi.{self.name}.yaml"
        kept = yaml.safe_load(path.read_text()) if path.exists() else {}
        kept["config"] = {f"{self.project}:{area}": value for area, value in settings.items()}
        path.write_text(yaml.safe_dump(kept, sort_keys=False))

    def set_environment(self, variables: Mapping[str, str]) -> None:
        """Set these variables for all processes that Pulumi starts from now on."""
        workspace = self.automation.workspace
        workspace.env_vars = {**workspace.env_vars, **variables}

    def run(self, *arguments: str) -> str:
        """Run a command of Pulumi's CLI on this stack, as a person would; its standard output."""
        return self.ran(*arguments)[0]

    def ran(self, *arguments: str) -> tuple[str, str]:
        """Run a command; its standard output and its standard error."""
        workspace = self.automation.workspace
        command = [*arguments, "--stack", self.name, "--color", "never"]
        with _failing_short(arguments[0]):
            done = workspace.pulumi_command.run(command, str(self.folder), workspace.env_vars)
        return done.stdout, done.stderr

    def up(self, *options: str) -> None:
        """Run only `pulumi up`; the automation API would run three more commands after it."""
        self.run("up", "--yes", "--skip-preview", *options)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs by name, secrets in plain."""
        return json.loads(self.run("stack", "output", "--json", "--show-secrets"))

    def changes(self) -> dict[str, int]:
        """A preview's number of resources per operation; empty means no change."""
        with _failing_short("preview"):
            previewed = self.automation.preview(color="never", diff=True)
        found = {str(op): count for op, count in previewed.change_summary.items() if op != UNCHANGED}
        if found:
            print(previewed.stdout)  # shown if the test fails
        return found

    def preview_error(self) -> str:
        """The output of a preview that has to fail; an AssertionError if it succeeds."""
        try:
            self.automation.preview(color="never")
        except automation.CommandError as error:
            return str(error)
        raise AssertionError("the preview succeeded, although its settings are wrong")

    def destroy(self) -> None:
        """Run `pulumi destroy`."""
        self.run("destroy", "--yes", "--skip-preview")


def local_settings() -> Settings:
    """A copy of the settings of Pulumi.local.yaml by area, as `make up` found them."""
    found = settings_of("local")
    if stack_file.we_turned_grafana_off():
        found["grafana"]["enabled"] = True
    return found


def settings_of(environment: str, root: Path = ROOT) -> Settings:
    """A copy of the settings of an environment's file by area."""
    return settings_file.read(environment, root).areas


def merged(base: Settings, changes: Mapping[str, Any]) -> Settings:
    """`base` with `changes` merged in, mapping by mapping; other values are replaced."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        inner = result.get(key)
        if isinstance(inner, dict) and isinstance(value, Mapping):
            result[key] = merged(inner, value)
        else:
            result[key] = copy.deepcopy(value)
    return result


@contextmanager
def running_stack(settings: Settings, root: Path = ROOT) -> Iterator[Stack]:
    """A stack with these settings; destroyed at the end.

    If the block is interrupted, its engine is removed too: then Pulumi is only stopped.
    """
    with opened_stack(settings, root) as stack:
        try:
            yield stack
        except KeyboardInterrupt:
            raise
        except BaseException:
            _destroy_after_failure(stack)
            raise
        stack.destroy()


@contextmanager
def opened_stack(settings: Settings, root: Path = ROOT) -> Iterator[Stack]:
    """A stack with these settings, forgotten on leaving: whatever it made stays."""
    with opened_run() as run:
        yield _make(run, root, settings)


def _make(run: Run, root: Path, settings: Settings) -> Stack:
    folder, state = run.folder / "project", run.folder / "state"
    folder.mkdir()
    state.mkdir()
    write_project(folder, root)
    name = f"rig-{secrets.token_hex(3)}"
    workspace = automation.LocalWorkspace(
        work_dir=str(folder),
        env_vars={
            **run.mark,
            "PULUMI_BACKEND_URL": backend_url(state),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_hex(16),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        },
    )
    stack = Stack(name, _project(root)["name"], folder, automation.Stack.create(name, workspace))
    stack.configure(settings)
    return stack


def _project(root: Path) -> dict[str, Any]:
    return yaml.safe_load((root / "Pulumi.yaml").read_text())


def write_project(folder: Path, root: Path, changes: Mapping[str, Any] | None = None) -> None:
    """Write a project file like that of `root`, with its program and its virtualenv, to `folder`."""
    project = _project(root)
    runtime = project["runtime"]
    if isinstance(runtime, dict) and "virtualenv" in runtime.get("options", {}):
        options = runtime["options"] | {"virtualenv": str(root / runtime["options"]["virtualenv"])}
        runtime = runtime | {"options": options}
    moved = project | {"main": str(root), "runtime": runtime} | dict(changes or {})
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(moved, sort_keys=False))


def _destroy_after_failure(stack: Stack) -> None:
    """Destroy, but report the original failure."""
    try:
        stack.destroy()
    except PulumiFailedError as error:
        print(f"after the failure, pulumi destroy failed too:\n{error}")


@contextmanager
def _failing_short(command: str) -> Iterator[None]:
    """Shorten a failure to the resources that change and the end of Pulumi's output."""
    try:
        yield
    except automation.CommandError as error:
        text = str(error)
        shown, found, diagnostics = text.partition("Diagnostics:")
        changed = [f"\n{line}" for line in shown.splitlines() if line.startswith((" ~", " +", " -"))]
        said = "".join([*changed, diagnostics]) if found else text
        raise PulumiFailedError(f"pulumi {command} failed:{said}") from None
