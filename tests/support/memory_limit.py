"""A container's memory limit, for a process of the test."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# The memory controller of either version (the kernel's documentation, cgroup-v1/memory and cgroup-v2).
_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryLimit:
    """A control group with a limit, and no swap."""

    path: Path

    def enter(self) -> None:
        """Move the calling process into it."""
        (self.path / "cgroup.procs").write_text(str(os.getpid()))

    def peak(self) -> int:
        """The peak usage in bytes."""
        for name in ("memory.max_usage_in_bytes", "memory.peak"):
            if (self.path / name).exists():
                return int((self.path / name).read_text())
        raise RuntimeError(f"{self.path} says nothing of its peak")


@contextmanager
def memory_limit(name: str, size: int) -> Iterator[MemoryLimit]:
    """A group with this many bytes, during the block. Needs root."""
    is_v1 = (_V1 / "memory.limit_in_bytes").exists()
    path = (_V1 if is_v1 else _V2) / f"campus-monitor-{name}-{os.getpid()}"
    path.mkdir()
    try:
        limits = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes") if is_v1 else ("memory.max",)
        for limit in limits:
            if (path / limit).exists():
                (path / limit).write_text(str(size))
        if not is_v1 and (path / "memory.swap.max").exists():
            (path / "memory.swap.max").write_text("0")
        yield MemoryLimit(path)
    finally:
        for _ in range(50):
            try:
                path.rmdir()
                break
            except OSError:
                time.sleep(0.1)  # until its last process is gone
