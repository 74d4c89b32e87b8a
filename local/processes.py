"""Programs that we leave running: each identified by its pid and start time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from local import say
from local.paths import ROOT, RUN
from local.say import Problem


def start(name: str, command: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
    """Start a program in the background; its pid and log are in .local/run."""
    RUN.mkdir(parents=True, exist_ok=True)
    with log_of(name).open("wb") as log:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=ROOT,
            env=None if env is None else dict(env),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _record(name).write_text(json.dumps({"pid": process.pid, "began": began(process.pid)}))


def pid_of(name: str) -> int | None:
    """The pid of the program that we started, if that program still runs."""
    try:
        record = json.loads(_record(name).read_text())
    except (OSError, ValueError):
        return None
    pid = record["pid"]
    return pid if record["began"] is not None and began(pid) == record["began"] else None


def stop(name: str, seconds: float = 30) -> bool:
    """End the program if we started it; whether there was something to end."""
    pid = pid_of(name)
    if pid is not None:
        os.kill(pid, signal.SIGTERM)
        if not wait_until(lambda: pid_of(name) is None, seconds):
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: pid_of(name) is None, seconds)
    _record(name).unlink(missing_ok=True)
    return pid is not None


def wait_until(done: Callable[[], bool], seconds: float, pause: float = 0.1) -> bool:
    """Poll until `done`; False if the deadline came first."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def wait_for_start(name: str, answers: Callable[[], bool], seconds: float) -> None:
    """Wait until the program answers; a Problem with its last words if it doesn't."""
    if wait_until(lambda: answers() or pid_of(name) is None, seconds) and pid_of(name):
        return
    words = say.last_line(log_of(name).read_text(errors="replace"))
    stop(name)
    raise Problem(f"{name} did not start: {words} (the whole log: {log_of(name)})")


def log_of(name: str) -> Path:
    """The file of the program's output."""
    return RUN / f"{name}.log"


def began(pid: int) -> str | None:
    """When a process began, in the kernel's ticks; None if it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]


def _record(name: str) -> Path:
    return RUN / f"{name}.json"
