"""Debian's SSH server in a namespace, with its defaults, such as its limit of parallel logins."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import paramiko

from rig.namespaces import Namespace
from rig.processes import die_with_parent, wait_for
from rig.programs import openssh
from rig.run import Run, opened_run

USER = "operator"
START_SECONDS = 30.0
# Looked up before a test changes the home folder, which has the cache.
SSHD, LIBRARIES = str(openssh.sshd()), openssh.libraries()
# It needs the system's users, and a folder that only it may write to. Its user is root by another name,
# so that it may open Docker's socket.
FIRST_PROCESS = """
set -e
mount --bind "$1/passwd" /etc/passwd
mount -t tmpfs tmpfs /run
mkdir -m 755 /run/sshd
exec "$2" -D -e -f "$1/sshd_config"
"""
USERS = f"""\
root:x:0:0:root:/root:/bin/sh
sshd:*:64000:65534::/run/sshd:/usr/sbin/nologin
{USER}:*:0:0::/:/bin/sh
"""
# All else is sshd's default: MaxStartups 10:30:100 and MaxSessions 10, for example.
CONFIG = """\
ListenAddress {address}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized_keys
# The folder of the run is below one that all may write to.
StrictModes no
PidFile none
# To tell of every connection, and of those that it turns away.
LogLevel VERBOSE
"""


@dataclass(frozen=True)
class SshServer:
    """A running server, and its address for clients."""

    folder: Path
    address: tuple[str, int]
    host_key: paramiko.PKey

    @property
    def clients(self) -> list[tuple[str, int]]:
        """The clients that it accepted, in order."""
        found = re.findall(r"^Connection from (\S+) port (\d+) on", self._log(), re.MULTILINE)
        return [(host, int(port)) for host, port in found]

    @property
    def turned_away(self) -> int:
        """How many clients it turned away."""
        return self._log().count("past MaxStartups")

    def known_hosts_line(self) -> str:
        """The server's line in a client's known_hosts."""
        host, port = self.address
        return f"[{host}]:{port} {self.host_key.get_name()} {self.host_key.get_base64()}\n"

    def let_in(self, key: paramiko.PKey) -> None:
        """Accept logins with this key from now on."""
        with (self.folder / "authorized_keys").open("a") as keys:
            keys.write(f"{key.get_name()} {key.get_base64()}\n")

    def _log(self) -> str:
        return (self.folder / "log").read_text()


@contextmanager
def ssh_server(
    namespace: Namespace, address: tuple[str, int], docker_socket: str | None = None
) -> Iterator[SshServer]:
    """A server for the duration of the block; its connections end with it.

    `docker` commands there use the engine at `docker_socket`.
    """
    with opened_run() as run:
        server = SshServer(run.folder, address, paramiko.ECDSAKey.generate())
        server.host_key.write_private_key_file(str(run.folder / "host_key"))
        host, port = address
        text = CONFIG.format(
            address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", folder=run.folder
        )
        if docker_socket is not None:
            text += f"SetEnv DOCKER_HOST=unix://{docker_socket}\n"
        (run.folder / "sshd_config").write_text(text)
        (run.folder / "passwd").write_text(USERS)
        (run.folder / "authorized_keys").touch()
        process = _start(run, namespace)

        def listens() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"sshd has ended: {server._log()}")
            return "Server listening on" in server._log()

        try:
            wait_for("sshd listens", listens, START_SECONDS)
            yield server
        finally:
            process.kill()
            process.wait()


def _start(run: Run, namespace: Namespace) -> subprocess.Popen[bytes]:
    """Start sshd as the first process of a pid namespace, so that its connections end with it.

    The run's mark doesn't find them: sshd overwrites it with its title.
    """
    own = ["unshare", "--mount", "--pid", "--fork", "--kill-child"]
    first = [*own, "sh", "-c", FIRST_PROCESS, "sshd", str(run.folder), SSHD]
    with (run.folder / "log").open("w") as log:
        return subprocess.Popen(
            ["nsenter", f"--net={namespace.path}", *first],
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LD_LIBRARY_PATH": LIBRARIES, **run.mark},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            preexec_fn=die_with_parent,
        )


def operators_home(folder: Path, *servers: SshServer) -> None:
    """Make a home folder whose ~/.ssh has these servers' keys, and a key that they accept."""
    place = folder / ".ssh"
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(mode=0o700)
    (place / "known_hosts").write_text("".join(server.known_hosts_line() for server in servers))
    key = paramiko.ECDSAKey.generate()
    key.write_private_key_file(str(place / "id_ecdsa"))
    for server in servers:
        server.let_in(key)
