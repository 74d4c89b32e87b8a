# pyright: strict
"""Connects OpenSSH's client to a server that turns some of many logins away, trying again until it is let in.

sshd closes some new connections unread while many others haven't logged in yet (sshd_config(5), MaxStartups:
by default from the 11th on), and Docker's plugin opens a connection for each resource that it works on in
parallel. As ssh's ProxyCommand with ProxyUseFdpass, `python3 -m components.live.ssh_connect NAME PORT USER`
hands ssh a connection on which the server has begun to greet, and ends. It respects HostName, BindAddress,
ProxyCommand and ProxyJump in ~/.ssh/config.

Any python3 on PATH runs this, in the project's folder, with the standard library alone.
"""

from __future__ import annotations

import array
import os
import random
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

# sshd gives the others so long to log in (sshd_config(5), LoginGraceTime): then there is room.
SECONDS = 120.0
PEEK_SECONDS = 0.02
# The first words of a server (RFC 4253, section 4.2), and those of an sshd without room.
GREETING = b"SSH-"
NO_ROOM = b"Exceeded MaxStartups"

# For Docker's provider: the same on every machine, as it is in the state.
SSH_OPTS = (
    # -S skips `site`, which takes a third of the time.
    "-o ProxyCommand=python3 -S -m components.live.ssh_connect %n %p %r",
    "-o ProxyUseFdpass=yes",
)


class TurnedAwayError(OSError):
    """The server hung up before it greeted."""


def greeted(connect: Callable[[], socket.socket], seconds: float) -> socket.socket:
    """A connection on which the server has begun to greet, still unread; tries again until then.

    Raises TurnedAwayError if the server still hangs up after `seconds`, and at once what `connect` raises.
    """
    for deadline in tries(seconds):
        connection = connect()
        if _is_welcome(connection, deadline):
            return connection
        connection.close()
    raise TurnedAwayError(f"the server hung up before it had greeted, for {seconds:.0f} s")


def tries(seconds: float) -> Iterator[float]:
    """A try, and others after a pause each, until so many seconds are over; each gets the end of them."""
    deadline = time.monotonic() + seconds
    yield deadline
    while time.monotonic() <= deadline:
        time.sleep(pause())
        yield deadline


def pause() -> float:
    """Seconds until the next try: random, so that clients turned away together don't come back together."""
    return random.uniform(0.1, 1.0)


def _is_welcome(connection: socket.socket, deadline: float) -> bool:
    """Whether the server says something else than that it has no room."""
    while True:
        connection.settimeout(max(deadline - time.monotonic(), PEEK_SECONDS))
        try:
            said = connection.recv(len(NO_ROOM), socket.MSG_PEEK)
        except OSError:  # reset, or silent until the end
            return False
        if len(said) >= len(GREETING) or not said:
            return bool(said) and not NO_ROOM.startswith(said)
        time.sleep(PEEK_SECONDS)


def way_of(name: str, port: str, user: str) -> Callable[[], socket.socket]:
    """How ssh itself would connect, by the user's own configuration."""
    asked = subprocess.run(
        ["ssh", "-G", "-p", port, "-l", user, name], capture_output=True, text=True, check=True
    )
    said = dict(line.split(" ", 1) for line in asked.stdout.splitlines() if " " in line)
    host, port = said.get("hostname", name), said.get("port", port)
    if "proxycommand" in said:
        tokens = {"%%": "%", "%h": host, "%n": name, "%p": port, "%r": user}
        command = _expanded(said["proxycommand"], tokens)
        return lambda: _through(["sh", "-c", f"exec {command}"])
    if said.get("proxyjump", "none") != "none":
        *before, last = (hop if "://" in hop else f"ssh://{hop}" for hop in said["proxyjump"].split(","))
        jumps = ["-J", ",".join(before)] if before else []
        return lambda: _through(["ssh", *jumps, "-W", f"[{host}]:{port}", last])
    source = (said["bindaddress"], 0) if "bindaddress" in said else None
    return lambda: socket.create_connection((host, int(port)), SECONDS, source)


def _expanded(text: str, tokens: dict[str, str]) -> str:
    parts = text.split("%%")
    for token, value in tokens.items():
        parts = [part.replace(token, value) for part in parts]
    return "%".join(parts)


def _through(command: list[str]) -> socket.socket:
    """A connection through a program's standard input and output."""
    near, far = socket.socketpair()
    with far:
        subprocess.Popen(command, stdin=far.fileno(), stdout=far.fileno())
    return near


def _hand_over(connection: socket.socket) -> None:
    """Pass the connection to the ssh at the other end of our standard output."""
    connection.setblocking(True)
    with socket.socket(fileno=os.dup(sys.stdout.fileno())) as ssh:
        handle = array.array("i", [connection.fileno()])
        ssh.sendmsg([b"\0"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, handle)])


def main() -> int:
    """Connect, and hand the connection over; 1 and one line if that fails."""
    name, port, user = sys.argv[1:]
    try:
        _hand_over(greeted(way_of(name, port, user), SECONDS))
    except (OSError, subprocess.SubprocessError) as error:
        print(f"{name} port {port}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
