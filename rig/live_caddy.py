"""A Caddy in the rig with the campus server's limits, whose files LiveFiles applies."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.models.containers import Container
from docker.models.volumes import Volume

from components.live.docker_host import read_by_script
from components.live.files import LiveFilesProvider
from components.live.volume_files import VolumeFilesProvider
from rig.rig import Rig

IMAGE = "caddy:2.11.7-alpine"
DIRECTORY = "/etc/caddy/live"
PORT = 18999


def caddyfile(body: str) -> str:
    """A Caddyfile with one site that nobody can reach from outside."""
    return f"""{{
    admin unix//run/caddy/admin.sock|0600
    skip_install_trust
}}
http://127.0.0.1:{PORT} {{
    @let {{
        remote_ip 255.255.255.255/32
        import allowed/nat/*.caddy
    }}
    {body}
}}
"""


CLOSED = caddyfile('respond "Forbidden" 403')
OPEN = caddyfile('respond @let "hello"')
# Clients inside the container are let in.
FRAGMENT = "allowed/nat/127.0.0.1.caddy"


def outputs(result: Any) -> dict[str, Any]:
    """The outputs of a provider's result."""
    assert result.outs is not None
    return result.outs


def printed(container: Container, command: str) -> str:
    """A command's output in a container; an AssertionError if it fails.

    It may run more than once: the engine may lose its output.
    """
    ran = read_by_script(container, command)
    assert ran is not None, "the container doesn't run"
    assert ran.status == 0, ran.output + ran.errors
    return ran.output


def leftovers(container: Container, directory: str = DIRECTORY) -> list[str]:
    """LiveFiles' own entries in its directory, beside the lock, the link and the tree that it leads to."""
    tree = printed(container, f"readlink {directory}/.live || true").strip()
    names = set(printed(container, f"ls -A {directory}").split())
    return sorted(name for name in names - {".lock", ".live", tree} if name.startswith("."))


def live_props(docker_host: str, name: str, contents: Mapping[str, str]) -> dict[str, Any]:
    """The properties of a LiveFiles in the Caddy of that name."""
    return {
        "docker_host": docker_host,
        "container_name": name,
        "container_id": "",
        "program": "caddy",
        "directory": DIRECTORY,
        "files": dict(contents),
        "closed_files": {},
    }


@dataclass
class LiveCaddy:
    """A Caddy and its live volume. In its own network it can be reached only from inside."""

    docker_host: str
    engine: docker.DockerClient
    volume: Volume
    name: str
    container: Container | None = None

    def first_file(self) -> None:
        """Put the closed Caddyfile in the volume."""
        VolumeFilesProvider().create(self.volume_props({"Caddyfile": CLOSED}, only_if_absent=True))

    def volume_props(self, contents: Mapping[str, str], **more: Any) -> dict[str, Any]:
        """The properties of a VolumeFiles; numbers are floats, as from the engine."""
        uid = 0.0 if more.get("only_if_absent") else 10001.0
        numbers = {"uid": uid, "gid": 0.0, "mode": float(0o400)}
        kept = {path: {"content": text, **numbers} for path, text in contents.items()}
        return {
            "docker_host": self.docker_host,
            "volume_name": self.volume.name,
            "image": IMAGE,
            "files": kept,
            "only_if_absent": False,
        } | more

    def start(self, restart: str = "no") -> None:
        """Run Caddy as the campus server does, in its own network."""
        options: dict[str, Any] = {
            "name": self.name,
            "detach": True,
            "network_mode": "none",
            "read_only": True,
            "cap_drop": ["ALL"],
            "cap_add": ["NET_BIND_SERVICE"],
            "security_opt": ["no-new-privileges"],
            "mem_limit": "256m",
            "restart_policy": {"Name": restart},
            "tmpfs": {"/run/caddy": "mode=0700", "/config": "", "/data": ""},
            "volumes": {self.volume.name: {"bind": DIRECTORY, "mode": "rw"}},
        }
        command = ["caddy", "run", "--config", f"{DIRECTORY}/Caddyfile", "--adapter", "caddyfile"]
        self.container = self.engine.containers.run(IMAGE, command, **options)

    def props(self, contents: Mapping[str, str], closed: Mapping[str, str]) -> dict[str, Any]:
        """The properties of a LiveFiles."""
        made = live_props(self.docker_host, self.name, contents)
        return made | {
            "container_id": self.container.id if self.container else "",
            "closed_files": dict(closed),
        }

    def write(self, contents: Mapping[str, str]) -> None:
        """Apply files through LiveFiles."""
        LiveFilesProvider().create(self.props(contents, {}))

    def sh(self, command: str) -> str:
        """A command's output in the container."""
        assert self.container is not None
        return printed(self.container, command)

    _running = "sha256sum </config/caddy/autosave.json"
    _seen = (
        f"cd {DIRECTORY} && find -L Caddyfile allowed -type f 2>/dev/null | sort | while read -r name; do"
        ' stat -Lc "%a %u:%g" "$name"; sha256sum "$name"; done'
    )
    _answer = f"wget -qO- http://127.0.0.1:{PORT}/ 2>/dev/null || echo none"

    def running(self) -> str:
        """The hash of Caddy's running configuration."""
        return self.sh(self._running)

    def seen(self) -> str:
        """The files as Caddy sees them: names, owners, modes and hashes."""
        return self.sh(self._seen)

    def answer(self) -> str:
        """Caddy's answer inside the container; `none` if there is none, or a refusal."""
        return self.sh(self._answer).strip()

    def state(self) -> tuple[str, ...]:
        """The files, the running configuration and the answer, by a single command."""
        return tuple(self.sh(f"{self._seen}; {self._running}; {self._answer}").splitlines())

    def leftovers(self) -> list[str]:
        """LiveFiles' own entries there beside the lock, the link and the tree that it leads to."""
        assert self.container is not None
        return leftovers(self.container)

    def remove(self) -> None:
        """Remove the container."""
        if self.container is not None:
            self.container.remove(force=True)
            self.container = None


@contextmanager
def live_caddy(rig: Rig, restart: str = "no", room: str | None = None) -> Iterator[LiveCaddy]:
    """A volume with the closed Caddyfile, and a Caddy that serves it; both removed at the end.

    The volume has the rig's whole disk, or as much `room` as is given, such as 64k.
    """
    rig.engine.load(IMAGE)
    engine = rig.engine.client()
    name = f"live-test-{secrets.token_hex(4)}"
    limits = {"type": "tmpfs", "device": "tmpfs", "o": f"size={room}"} if room else {}
    made = LiveCaddy(rig.engine.url, engine, engine.volumes.create(name, driver_opts=limits), name)
    try:
        with _kept(engine, made.volume):
            made.first_file()
            made.start(restart)
        yield made
    finally:
        made.remove()
        made.volume.remove(force=True)
        engine.close()


@contextmanager
def _kept(engine: docker.DockerClient, volume: Volume) -> Iterator[None]:
    """A volume in memory lasts while a running container has it."""
    mounts = {volume.name: {"bind": DIRECTORY, "mode": "rw"}}
    keeper = engine.containers.run(IMAGE, ["sleep", "600"], network_mode="none", volumes=mounts, detach=True)
    try:
        yield
    finally:
        keeper.remove(force=True)
