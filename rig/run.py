"""One run of the rig: its name, its folder, and the removal of everything it made.

Everything that a run makes has the run's name, and the folder says which process owns it. So a later run
can remove the leftovers of a killed run, and nothing of a live run.
"""

from __future__ import annotations

import atexit
import fcntl
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.processes import kill_and_wait, start_time, wait_for, with_environment

CGROUPS = Path("/sys/fs/cgroup")
NAMESPACES = Path("/run/netns")
FOLDER_PREFIX = "campus-monitor-rig-"
MARK = "CAMPUS_MONITOR_RIG"
NAME = re.compile(r"cm(?P<pid>[0-9]+)x[0-9]+")
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Run:
    """A run's name and folder. `start` makes a run, `clear` removes all of it."""

    name: str

    @property
    def folder(self) -> Path:
        return Path(tempfile.gettempdir()) / f"{FOLDER_PREFIX}{self.name}"

    @property
    def cgroup(self) -> str:
        """The parent cgroup of the run's containers, in dockerd's form."""
        return f"/{self.name}"

    @property
    def mark(self) -> dict[str, str]:
        """The environment variable for processes that have to end with the run."""
        return {MARK: self.name}

    @classmethod
    def start(cls) -> Run:
        """Remove dead runs' leftovers, then open a run that this process owns."""
        clear_dead_runs()
        run = cls(f"cm{os.getpid()}x{next(_numbers)}")
        run.folder.mkdir(mode=0o700)
        run._owner_file.write_text(f"{os.getpid()} {start_time(os.getpid())}\n")
        return run

    @property
    def _owner_file(self) -> Path:
        return self.folder / "owner.pid"

    def is_alive(self) -> bool:
        """Whether the process that owns this run still runs (and its pid isn't reused)."""
        matched = NAME.fullmatch(self.name)
        if matched is None:
            return True  # not one of our names: leave it alone
        now = start_time(int(matched["pid"]))
        try:
            recorded = self._owner_file.read_text().split()[-1]
        except (FileNotFoundError, IndexError):
            return now is not None  # killed before it could sign, or about to sign
        return now == recorded

    def namespaces(self) -> list[str]:
        """The names of this run's existing network namespaces."""
        return sorted(path.name for path in NAMESPACES.glob(f"{self.name}-*"))

    def clear(self) -> None:
        """Remove the run's processes, namespaces, cgroups and files; safe to call again."""
        while marked := with_environment(MARK, self.name):
            kill_and_wait(marked)
        for namespace in self.namespaces():
            kill_and_wait(_pids_in(namespace))
            subprocess.run(["ip", "netns", "del", namespace], check=True)
        _remove_cgroups(self.name)
        if self.folder.exists():
            shutil.rmtree(self.folder)


@contextmanager
def opened_run() -> Iterator[Run]:
    """A run for the duration of the block; nothing of it is left, however the block ends."""
    run = Run.start()
    atexit.register(run.clear)
    try:
        yield run
    finally:
        run.clear()
        atexit.unregister(run.clear)


def clear_dead_runs() -> list[str]:
    """Clear every run whose owner is gone; returns their names."""
    with _one_at_a_time():
        folders = Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}cm*")
        runs = [Run(folder.name.removeprefix(FOLDER_PREFIX)) for folder in folders]
        dead = [run for run in runs if not run.is_alive()]
        for run in dead:
            run.clear()
    return [run.name for run in dead]


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep two sessions that start together from clearing the same dead run."""
    folder = os.open(tempfile.gettempdir(), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _pids_in(namespace: str) -> list[int]:
    answer = subprocess.run(["ip", "netns", "pids", namespace], check=True, capture_output=True, text=True)
    return [int(pid) for pid in answer.stdout.split()]


def _cgroup_roots(name: str) -> list[Path]:
    """The run's top cgroup in every hierarchy (version 1), or in the only one (version 2)."""
    return [path for path in (CGROUPS / name, *CGROUPS.glob(f"*/{name}")) if path.is_dir()]


def _remove_cgroups(name: str) -> None:
    for root in _cgroup_roots(name):
        wait_for(f"cgroup {root} empties", lambda root=root: _try_remove_cgroup(root), 20.0)


def _try_remove_cgroup(root: Path) -> bool:
    """Remove a cgroup and its children; False while the kernel still holds one."""
    try:
        below = sorted((path for path in root.rglob("*") if path.is_dir()), reverse=True)
        for path in (*below, root):
            path.rmdir()
    except OSError:
        return False
    return True
