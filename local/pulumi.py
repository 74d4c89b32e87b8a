"""The local stack on Pulumi's file backend inside the work tree; any stack's outputs."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from local import cache, processes, say
from local.environment import Environment
from local.paths import PASSPHRASE, ROOT, STATE
from local.say import Problem

STACK = "local"
# Otherwise these take precedence, with another stack's secrets.
NOT_OURS = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PYTHONHOME")


class LocalStack:
    """Pulumi's commands on the stack `local`."""

    def __init__(self, made: Environment) -> None:
        self._environment = {k: v for k, v in made.of_process().items() if k not in NOT_OURS}

    def select(self) -> None:
        """Select the stack; create it if it doesn't exist."""
        STATE.mkdir(parents=True, exist_ok=True)
        done = self._quiet("stack", "select", "--create", STACK, "--non-interactive")
        if done.returncode != 0:
            raise Problem(f"pulumi stack select failed: {_reason(done)}")

    def set(self, path: str, value: str) -> None:
        """Set one value in Pulumi.local.yaml."""
        done = self._quiet("config", "set", "--stack", STACK, "--path", path, value)
        if done.returncode != 0:
            raise Problem(f"pulumi config set {path} failed: {_reason(done)}")

    def shown(self, *arguments: str) -> int:
        """Run pulumi with its output on the terminal; pulumi handles Ctrl-C."""
        process = subprocess.Popen(["pulumi", *arguments, "--stack", STACK], env=self._environment, cwd=ROOT)
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                say.note("pulumi is shutting down; Ctrl-C again ends it at once")

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, with secrets."""
        return outputs_of(STACK, self._environment)

    def unlock(self) -> None:
        """Remove the locks of killed pulumis; a Problem if another pulumi is at work."""
        stale = False
        for path in (STATE / ".pulumi" / "locks").rglob("*.json"):
            pid = _owner(path)
            if pid is not None and processes.began(pid) is not None:
                raise Problem(f"another pulumi (pid {pid}) is at work on this stack: wait for it")
            stale = True
        if stale:
            say.note("an earlier run was interrupted: removing its lock")
            self._quiet("cancel", "--yes", "--stack", STACK)

    def remove(self) -> bool:
        """Remove the stack from the state; False if it wasn't empty."""
        common = ("stack", "rm", "--yes", "--preserve-config", STACK)
        if self._quiet(*common).returncode == 0:
            return True
        self._quiet(*common, "--force")
        return False

    def _quiet(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return say.capture(["pulumi", *arguments], env=self._environment, cwd=ROOT, seconds=300)


def outputs_of(stack: str, env: Mapping[str, str] | None = None) -> dict[str, Any]:
    """The outputs of a stack, with secrets, through a pipe. A Problem if there are none."""
    command = ["pulumi", "stack", "output", "--stack", stack, "--json", "--show-secrets", "--non-interactive"]
    done = say.capture(command, env=env, cwd=ROOT, seconds=300)
    if done.returncode != 0:
        raise Problem(f"the outputs of {stack} can't be read: {_reason(done)}")
    return json.loads(done.stdout)


def has_state() -> bool:
    """Whether a stack was ever made in this work tree."""
    return any((STATE / ".pulumi" / "stacks").rglob("*.json*"))


def ensure_passphrase() -> None:
    """Have a passphrase for the stack's secrets, generated once for this work tree."""
    if PASSPHRASE.exists():
        return
    if has_state():
        raise Problem(
            ".local/passphrase is gone, so the stack's state can't be read: "
            "`make down` removes the stack, then `make up` again"
        )
    with cache.new_file(PASSPHRASE) as made:
        descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32) + "\n")


def _owner(lock: Path) -> int | None:
    try:
        return int(json.loads(lock.read_text())["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    if done.returncode < 0:
        return f"ended by {signal.Signals(-done.returncode).name}"
    lines = [line for line in (done.stderr + done.stdout).splitlines() if "error:" in line]
    return lines[0].strip() if lines else say.last_line(done.stderr + done.stdout)
