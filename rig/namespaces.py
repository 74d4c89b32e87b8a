"""Network namespaces: the campus server's network, and the world around it."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rig.run import Run

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

SERVER = "203.0.113.1"
SERVER_ON_CAMPUS = "198.51.100.1"
SERVER_IN_PRIVATE = "10.20.30.1"
SERVER_6 = "2001:db8::1"
NAT = "203.0.113.7"
STRANGER = "203.0.113.8"
LATER_NAT = "203.0.113.9"
# An ACME authority, which also connects to validate.
AUTHORITY = "203.0.113.10"
CAMPUS_CLIENT = "198.51.100.5"
# A VPN's client in a private range (RFC 1918), which proxies often trust.
PRIVATE_CLIENT = "10.20.30.5"
NAT_6 = "2001:db8::7"
STRANGER_6 = "2001:db8::8"

SERVER_ADDRESSES = (
    f"{SERVER}/24",
    f"{SERVER_ON_CAMPUS}/24",
    f"{SERVER_IN_PRIVATE}/24",
    f"{SERVER_6}/64",
)
WORLD_ADDRESSES = (
    f"{NAT}/24",
    f"{STRANGER}/24",
    f"{LATER_NAT}/24",
    f"{AUTHORITY}/24",
    f"{CAMPUS_CLIENT}/24",
    f"{PRIVATE_CLIENT}/24",
    f"{NAT_6}/64",
    f"{STRANGER_6}/64",
)
LINK = "wan"


@dataclass(frozen=True)
class Namespace:
    """A named network namespace that exists."""

    name: str

    @property
    def path(self) -> str:
        return f"/run/netns/{self.name}"

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread (and no other) into the namespace for the block.

        A socket belongs to the namespace in which it was made, so it is enough to make it in here.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            there = os.open(self.path, os.O_RDONLY)
            try:
                _setns(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _setns(home)
        finally:
            os.close(home)

    def connect(
        self, server: tuple[str, int], source: str | None = None, timeout: float = 10.0
    ) -> socket.socket:
        """A TCP connection from inside the namespace, from `source` if one is given."""
        family = socket.AF_INET6 if ":" in server[0] else socket.AF_INET
        with self.entered():
            connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout)
            if source is not None:
                # The port is chosen at connect, so many connections can share few ports.
                connection.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
                connection.bind((source, 0))
            connection.connect(server)
        except BaseException:
            connection.close()
            raise
        return connection

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside the namespace and return its output."""
        return subprocess.run(
            ["nsenter", f"--net={self.path}", *command],
            check=check,
            capture_output=True,
            text=True,
        )


_IP_BIND_ADDRESS_NO_PORT = 24


@dataclass(frozen=True)
class Network:
    """The campus server's namespace and the world's, joined by a link."""

    campus: Namespace
    world: Namespace


def make_network(run: Run) -> Network:
    """Make both namespaces, named after the run, with their link and addresses."""
    network = Network(Namespace(f"{run.name}-campus"), Namespace(f"{run.name}-world"))
    for namespace in (network.campus, network.world):
        ip("netns", "add", namespace.name)
    ip(
        *("-n", network.world.name, "link", "add", LINK, "type", "veth"),
        *("peer", "name", LINK, "netns", network.campus.name),
    )
    _address(network.campus, SERVER_ADDRESSES)
    _address(network.world, WORLD_ADDRESSES)
    return network


def _address(namespace: Namespace, addresses: tuple[str, ...]) -> None:
    for address in addresses:
        # Without `nodad` an IPv6 address can't be used in its first second.
        flags = ("nodad",) if ":" in address else ()
        ip("-n", namespace.name, "addr", "add", address, "dev", LINK, *flags)
    for link in ("lo", LINK):
        ip("-n", namespace.name, "link", "set", link, "up")


def ip(*arguments: str) -> None:
    """Run `ip`; a RuntimeError with its own words if it fails."""
    answer = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if answer.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {answer.stderr.strip()}")


def _setns(handle: int) -> None:
    if _libc.setns(handle, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns failed: the test rig needs root")
