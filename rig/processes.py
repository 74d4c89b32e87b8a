"""Processes of the rig: checking, killing and waiting for them."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

PR_SET_PDEATHSIG = 1

T = TypeVar("T")
_libc = ctypes.CDLL(None, use_errno=True)


def start_time(pid: int) -> str | None:
    """When the process started, in the kernel's ticks; None if there is no such process.

    With the pid it identifies a process for good: a pid alone may be reused.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return stat.rpartition(")")[2].split()[19]


def die_with_parent() -> None:
    """For `preexec_fn`: the kernel kills this child when its parent ends, however it ends."""
    if _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")


def with_hosts(hosts: Path) -> list[str]:
    """The beginning of a command that sees this file as its /etc/hosts."""
    return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]


def kill_and_wait(pids: list[int], seconds: float = 20.0) -> None:
    """Kill these processes and return when they are gone; children are reaped."""
    handles = [handle for pid in pids if (handle := _pidfd(pid)) is not None]
    try:
        for handle in handles:
            _kill(handle)
        deadline = time.monotonic() + seconds
        for handle in handles:
            left = max(0.0, deadline - time.monotonic())
            if not select.select([handle], [], [], left)[0]:
                raise TimeoutError(f"killed processes {pids} are still there after {seconds:g} s")
    finally:
        for handle in handles:
            os.close(handle)


def _pidfd(pid: int) -> int | None:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def _kill(handle: int) -> None:
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_for(what: str, probe: Callable[[], T | None], seconds: float) -> T:
    """Poll until `probe` returns something true, or fail with `what`."""
    deadline = time.monotonic() + seconds
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:g} s")
        time.sleep(0.05)


def children(pid: int) -> list[int]:
    """The current child processes of this process."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def with_environment(name: str, value: str) -> list[int]:
    """The processes that were started with this variable, which all descendants inherit."""
    wanted = f"{name}={value}".encode()
    return [
        int(process.name)
        for process in Path("/proc").glob("[0-9]*")
        if wanted in _environment(process).split(b"\0")
    ]


def _environment(process: Path) -> bytes:
    try:
        return (process / "environ").read_bytes()
    except OSError:  # it ended meanwhile, or we may not read it
        return b""
