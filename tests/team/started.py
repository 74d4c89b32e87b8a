"""The arguments and environment of every program started on this machine meanwhile."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# linux/connector.h and linux/cn_proc.h.
_NETLINK_CONNECTOR = 11
_CN_IDX_PROC = _CN_VAL_PROC = 1
_PROC_CN_MCAST_LISTEN = 1
_PROC_EVENT_EXEC = 0x00000002
_NLMSG_DONE = 3
_NETLINK_HEADER = struct.Struct("=IHHII")
_CONNECTOR_HEADER = struct.Struct("=IIIIHH")
_EVENT = struct.Struct("=IIQII")  # what, cpu, timestamp, then exec's pid and thread group
# asm-generic/socket.h; Python has no name for it. Enough for the events while one start is read.
_SO_RCVBUFFORCE = 33
_RECEIVED_BYTES = 8 << 20


@dataclass
class Started:
    """Arguments and variables, each once, without processes that ended at once."""

    arguments: set[bytes] = field(default_factory=set[bytes])
    variables: set[bytes] = field(default_factory=set[bytes])

    def look_at(self, pid: int) -> None:
        """Read a process's arguments and environment."""
        with suppress(FileNotFoundError, ProcessLookupError):
            self.arguments.add(Path(f"/proc/{pid}/cmdline").read_bytes())
            self.variables.update(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


@contextmanager
def watching_starts(seen: Started) -> Iterator[None]:
    """Watch during the block. The kernel reports each start, in containers too.

    Raises an OSError (ENOBUFS) at the end if the buffer overflowed and starts were missed.
    """
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR) as events,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        events.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVED_BYTES)
        events.bind((0, _CN_IDX_PROC))
        events.send(_listen())
        ended, end = socket.socketpair()
        watcher = pool.submit(_watch, events, ended, seen)
        with ended:
            try:
                yield
            finally:
                end.close()
                watcher.result()


def _listen() -> bytes:
    operation = struct.pack("=I", _PROC_CN_MCAST_LISTEN)
    message = _CONNECTOR_HEADER.pack(_CN_IDX_PROC, _CN_VAL_PROC, 0, 0, len(operation), 0) + operation
    size = _NETLINK_HEADER.size + len(message)
    return _NETLINK_HEADER.pack(size, _NLMSG_DONE, 0, 0, os.getpid()) + message


def _watch(events: socket.socket, ended: socket.socket, seen: Started) -> None:
    # At the end, read the remaining events.
    while events in select.select([events, ended], [], [])[0]:
        message = events.recv(4096)
        what, _, _, pid, _ = _EVENT.unpack_from(message, _NETLINK_HEADER.size + _CONNECTOR_HEADER.size)
        if what == _PROC_EVENT_EXEC:
            seen.look_at(pid)
