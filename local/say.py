"""What the person at the terminal reads: one line per fact."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

TICK_SECONDS = 10.0
MARK = "\033[1m==>\033[0m" if sys.stdout.isatty() else "==>"
ERROR = "\033[1;31merror:\033[0m" if sys.stderr.isatty() else "error:"


class Problem(Exception):  # noqa: N818  the person's problem, not only an error
    """Something that a person has to fix; its text is one line that says what to do."""


def step(text: str) -> None:
    """Say that a step begins."""
    print(f"{MARK} {text}", flush=True)


def note(text: str) -> None:
    """Say something worth knowing about the step."""
    print(f"    {text}", flush=True)


def duration(seconds: float) -> str:
    """Seconds for people: 42 s, 3 min 05 s."""
    whole = round(seconds)
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60:02d} s"


def last_line(text: str) -> str:
    """The last line that isn't empty, or a substitute."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no output"


def have(program: str) -> bool:
    """Whether a program is on PATH."""
    return shutil.which(program) is not None


def capture(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    seconds: float = 120,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a short command; a failure raises nothing, a time-out is one (code 124)."""
    try:
        return subprocess.run(
            [str(part) for part in command],
            env=None if env is None else dict(env),
            cwd=cwd,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"no answer within {duration(seconds)}")
    except FileNotFoundError as error:
        return subprocess.CompletedProcess(command, 127, "", f"{error.filename} isn't there")


def watched(
    what: str,
    command: Sequence[str | Path],
    log: Path,
    *,
    usual: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> None:
    """Run a long command with its output in a log, and show its progress; a Problem if it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    with log.open("ab") as output:
        output.write(f"$ {' '.join(str(part) for part in command)}\n".encode())
        output.flush()
        process = subprocess.Popen(
            [str(part) for part in command],
            env=None if env is None else dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            code = _wait_ticking(process, what, usual, began)
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code != 0:
        tail = last_line(log.read_text(errors="replace"))
        raise Problem(f"{what} failed: {tail} (the whole log: {log})")


def _wait_ticking(process: subprocess.Popen[bytes], what: str, usual: float, began: float) -> int:
    while True:
        try:
            return process.wait(timeout=TICK_SECONDS)
        except subprocess.TimeoutExpired:
            note(f"{what}: {progress(time.monotonic() - began, usual)}")


def progress(elapsed: float, usual: float) -> str:
    """The time gone and the time left of a step with a usual duration."""
    left = usual - elapsed
    more = f"about {duration(left)} left" if left > 0 else f"usually {duration(usual)}, a bit more"
    return f"{duration(elapsed)} gone, {more}"
