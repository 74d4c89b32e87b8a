"""The network of a container that runs, entered from outside."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docker.models.containers import Container

from rig.namespaces import Namespace, ip
from rig.processes import wait_for

# In /proc/PID/status: the process's number in each namespace, its own last.
FIRST = re.compile(r"^NSpid:.*\t1$", re.MULTILINE)


def first_process(container: Container) -> int | None:
    """The first process of a container, as this machine numbers it: the engine has numbers of its own."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "status").read_text()
            if str(container.id) in (folder / "cgroup").read_text() and FIRST.search(status):
                return int(folder.name)
        except OSError:  # it ended meanwhile
            continue
    return None


@contextmanager
def inside(container: Container) -> Iterator[Namespace]:
    """The network of a container, under a name for the length of the block."""
    process = wait_for("the container runs", lambda: first_process(container), 20.0)
    name = f"inside-{secrets.token_hex(4)}"
    ip("netns", "attach", name, str(process))
    try:
        yield Namespace(name)
    finally:
        ip("netns", "del", name)
