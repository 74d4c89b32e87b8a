"""What was started on this machine meanwhile: every program's arguments and environment."""

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
# asm-generic/socket.h; Python doesn't name it. More than is told while one start is looked at.
_SO_RCVBUFFORCE = 33
_RECEIVED_BYTES = 8 << 20


@dataclass
class Started:
    """Arguments and variables, each once; a process that was gone at once isn't among them."""

    arguments: set[bytes] = field(default_factory=set[bytes])
    variables: set[bytes] = field(default_factory=set[bytes])

    def look_at(self, pid: int) -> None:
        """Read what a process was started with."""
        with suppress(FileNotFoundError, ProcessLookupError):
            self.arguments.add(Path(f"/proc/{pid}/cmdline").read_bytes())
            self.variables.update(Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"))


@contextmanager
def watching_starts(seen: Started) -> Iterator[None]:
    """Watch for the length of the block. The kernel tells of each start, in containers too.

    Raises an OSError (ENOBUFS) at the end if it told more than the buffer holds: starts were missed.
    """
    with (
        socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_CONNECTOR) as told,
        ThreadPoolExecutor(max_workers=1) as pool,
    ):
        told.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVED_BYTES)
        told.bind((0, _CN_IDX_PROC))
        told.send(_listen())
        ended, end = socket.socketpair()
        watcher = pool.submit(_watch, told, ended, seen)
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


def _watch(told: socket.socket, ended: socket.socket, seen: Started) -> None:
    # At the end, what has been told by then is still looked at.
    while told in select.select([told, ended], [], [])[0]:
        message = told.recv(4096)
        what, _, _, pid, _ = _EVENT.unpack_from(message, _NETLINK_HEADER.size + _CONNECTOR_HEADER.size)
        if what == _PROC_EVENT_EXEC:
            seen.look_at(pid)
