"""A port guard in the rig, in its own network, whose policy LiveFiles applies."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError
from docker.models.containers import Container

from components.live.docker_host import run_script
from components.live.files import LiveFilesProvider
from components.live.volume_files import VolumeFilesProvider
from components.port_policy.component import POLICY_FILE
from components.port_policy.nftables import EMPTY_POLICY
from rig.live_caddy import leftovers, live_props, printed
from rig.processes import wait_for
from rig.rig import Rig

IMAGE = "campus-monitor/port-guard:dev"
DIRECTORY = "/etc/port-guard/live"
# Only for a guard that never starts: a working guard is there in a second.
HEALTHY_SECONDS = 60.0


@dataclass
class LiveGuard:
    """A running guard."""

    docker_host: str
    name: str
    container: Container

    def props(self, policy: str) -> dict[str, Any]:
        """The properties of a LiveFiles with this policy."""
        made = live_props(self.docker_host, self.name, {POLICY_FILE: policy})
        return made | {"program": "nft", "directory": DIRECTORY}

    def write(self, policy: str, **more: Any) -> None:
        """Apply a policy through LiveFiles."""
        LiveFilesProvider().create(self.props(policy) | more)

    def load(self, policy: str) -> None:
        """Have the guard load a policy from a file beside its own, which stays as it is."""
        script = 'printf %s "$1" >"$2" && /usr/local/bin/port-guard apply "$2"'
        ran = run_script(self.container, script, policy, "/run/port-guard/beside.nft")
        assert ran is not None
        assert ran.status == 0, ran.errors

    def sh(self, command: str) -> str:
        """A command's output in the container."""
        return printed(self.container, command)

    def policy(self) -> str:
        """The policy's file."""
        return self.sh(f"cat {DIRECTORY}/{POLICY_FILE}")

    def in_force(self) -> tuple[str, str]:
        """The policy's file, and the table as the kernel has it."""
        return self.policy(), self.sh("port-guard running")

    def log(self) -> str:
        """The guard's log."""
        return self.container.logs().decode()

    def wait_until_healthy(self) -> None:
        """Return when the guard runs and the kernel has its policy."""

        def is_healthy() -> bool:
            try:
                ran = run_script(self.container, "/usr/local/bin/port-guard healthy")
            except APIError:  # it is about to start, or to end
                return False
            return ran is not None and ran.status == 0

        wait_for(f"{self.name} is healthy", is_healthy, HEALTHY_SECONDS)

    def tables(self) -> str:
        """All rules in this network, without counters and sets' elements."""
        return self.sh("nft -s -t list ruleset")

    def state(self) -> tuple[str, ...]:
        """The policy's file and the kernel's tables."""
        file = f'cd {DIRECTORY} && stat -Lc "%a %u:%g" {POLICY_FILE} && sha256sum {POLICY_FILE}'
        return tuple(self.sh(f"{file} && nft -s -t list ruleset").splitlines())

    def leftovers(self) -> list[str]:
        """LiveFiles' own entries there beside the lock, the link and the tree that it leads to."""
        return leftovers(self.container, DIRECTORY)


@contextmanager
def live_guard(rig: Rig, *, guards_host: bool = False) -> Iterator[LiveGuard]:
    """A guard with its first policy; removed at the end, with its table if it guards the rig's host."""
    rig.engine.load(IMAGE)
    engine = rig.engine.client()
    name = f"live-test-{secrets.token_hex(4)}-port-guard"
    volume = engine.volumes.create(name)
    first = {"content": EMPTY_POLICY, "uid": 0.0, "gid": 0.0, "mode": float(0o600)}
    props = {"docker_host": rig.engine.url, "volume_name": name, "image": IMAGE}
    VolumeFilesProvider().create(props | {"files": {POLICY_FILE: first}, "only_if_absent": True})
    volumes = {name: {"bind": DIRECTORY, "mode": "rw"}}
    if guards_host:
        volumes["/proc/sys/net/ipv4"] = {"bind": "/host/net/ipv4", "mode": "rw"}
    options: dict[str, Any] = {
        "name": name,
        "detach": True,
        "network_mode": "host" if guards_host else "none",
        "restart_policy": {"Name": "unless-stopped"},
        "read_only": True,
        "cap_drop": ["ALL"],
        "cap_add": ["NET_ADMIN"],
        "tmpfs": {"/run/port-guard": ""},
        "volumes": volumes,
    }
    container = engine.containers.run(IMAGE, **options)
    try:
        yield LiveGuard(rig.engine.url, name, container)
    finally:
        container.remove(force=True)
        if guards_host:
            rig.network.campus.run("nft", "delete", "table", "inet", "campus_policy")
        volume.remove(force=True)
        engine.close()
