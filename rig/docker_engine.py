"""The rig's own Docker Engine, inside the campus server's network namespace.

It runs in a pid and a mount namespace too: when the first process in there ends, the kernel
ends every container with it, and the mounts go with the namespace. That first process ends
with the process that started it, so nothing outlives a run, not even a killed one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from rig.engines import Engine, chosen
from rig.namespaces import Namespace
from rig.processes import children, die_with_parent, kill_and_wait, wait_for
from rig.run import Run

START_SECONDS = 60.0
FORWARDING = ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding", "net.ipv6.conf.default.forwarding")

# An empty /run hides the machine's own containerd (dockerd would use it), and a fresh /sys
# shows the namespace's own interfaces. The shell stays, to reap the engine's orphans.
FIRST_PROCESS = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/cgroups
mount --rbind /sys/fs/cgroup /run/cgroups
mount -t sysfs sysfs /sys
mount --rbind /run/cgroups /sys/fs/cgroup
dockerd "$@" &
wait $!
"""


@dataclass
class DockerEngine:
    """A running Docker Engine for this rig alone."""

    run: Run
    namespace: Namespace
    options: Sequence[str]
    kind: Engine
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """The engine's URL for Docker clients."""
        return f"unix://{_socket(self.run)}"

    @classmethod
    def start(cls, run: Run, namespace: Namespace, options: Sequence[str] = ()) -> DockerEngine:
        """Start the engine that this run is for, and return when it answers; say why if it doesn't."""
        kind = chosen()
        if kind.has_nftables:  # it needs a host that forwards packets before it starts
            namespace.run("sysctl", "-qw", *(f"{setting}=1" for setting in FORWARDING))
        engine = cls(run, namespace, options, kind, _start_process(run, namespace, options, kind))
        engine._wait()
        engine._check_release()
        return engine

    def restart(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """End the engine in order, as `systemctl restart docker` does, and start it again.

        Its containers end with it; those with a restart policy are started again.
        """
        [first] = children(self.process.pid)
        [engine] = [pid for pid in children(first) if _name_of(pid) == "dockerd"]
        os.kill(engine, signal.SIGTERM)
        self.process.wait(START_SECONDS)
        self._start_again(meanwhile)

    def crash(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Kill the engine, as a power failure does, and start it again."""
        self.stop()
        self._start_again(meanwhile)

    def _start_again(self, meanwhile: Callable[[], object]) -> None:
        meanwhile()
        self.process = _start_process(self.run, self.namespace, self.options, self.kind)
        self._wait()

    def _wait(self) -> None:
        try:
            wait_for("the rig's Docker Engine answers", self._answers, START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def client(self) -> docker.DockerClient:
        """A connection to the engine; the caller closes it."""
        return docker.DockerClient(base_url=self.url, timeout=60)

    def load(self, image: str) -> None:
        """Load an image from the cache, unless the engine has it already."""
        client = self.client()
        try:
            client.images.get(image)
        except ImageNotFound:
            path = image_tar(image)
            if not path.exists():
                raise RuntimeError(f"{image}: {path} isn't there; `make images` puts it there") from None
            with path.open("rb") as tar:
                client.images.load(tar)
            client.images.get(image)
        finally:
            client.close()

    def stop(self) -> None:
        """End the engine with all its containers."""
        kill_and_wait([*children(self.process.pid), self.process.pid])
        self.process.wait()

    def _check_release(self) -> None:
        client = self.client()
        version = str(client.version()["Version"])
        client.close()
        if not version.startswith(self.kind.release):
            self.stop()
            raise RuntimeError(
                f"the Docker Engine for {self.kind.name} is {version}: put another one on PATH"
            )

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            tail = _log(self.run).read_text(errors="replace")[-2000:]
            raise RuntimeError(f"the rig's Docker Engine did not start:\n{tail}")
        if not _socket(self.run).exists():
            return False
        try:
            client = self.client()
        except DockerException:
            return False
        try:
            return bool(client.ping())
        except DockerException:
            return False
        finally:
            client.close()


def _socket(run: Run) -> Path:
    return run.folder / "docker.sock"


def _name_of(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _log(run: Run) -> Path:
    return run.folder / "dockerd.log"


def _start_process(
    run: Run, namespace: Namespace, options: Sequence[str], kind: Engine
) -> subprocess.Popen[bytes]:
    path = os.pathsep.join([*map(str, kind.folders()), os.environ["PATH"]])
    with _log(run).open("wb") as log:
        return subprocess.Popen(
            [
                *("nsenter", f"--net={namespace.path}"),
                *("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
                *("sh", "-c", FIRST_PROCESS, "sh"),
                *("--host", f"unix://{_socket(run)}", "--data-root", str(run.folder / "docker")),
                "--iptables=true",
                *("--cgroup-parent", run.cgroup),
                *("--exec-opt", "native.cgroupdriver=cgroupfs"),
                *kind.options,
                *options,
            ],
            env=os.environ | {"PATH": path},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for pytest, which then clears up in order
            preexec_fn=die_with_parent,
        )


def cache() -> Path:
    """The folder of everything that is kept outside the work tree."""
    own = os.environ.get("CAMPUS_MONITOR_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(own) if own else Path(base) / "campus-monitor"


def image_tar(image: str) -> Path:
    """The path of an image in the cache (`make` puts it there)."""
    return cache() / "images" / f"{re.sub('[/:@]', '_', image)}.tar"
