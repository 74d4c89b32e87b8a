"""A Loki in the rig as the campus server runs it, without the stack around it."""

from __future__ import annotations

import io
import json
import re
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from components.live.volume_files import VolumeFilesProvider
from components.loki.component import CONFIG_DIRECTORY, CONFIG_FILE
from components.loki.config import DATA, GRPC_PORT, LOKI_UID, render_loki_config
from components.loki.settings import LokiSettings
from rig.probe import PUSH_PATH, Answer, Client
from rig.processes import wait_for
from rig.pusher import Found, answers_ready, found_in_loki, line_of, numbered_body
from rig.rig import Rig
from rig.stack import merged

IMAGE = "grafana/loki:3.7.8"
PORT = 3100
# As in the stack.
MEMORY_MIB = 1024
# Loki takes pushes at once and queries some 16 s later.
READY_SECONDS = 120.0
# For tests that aren't about a Loki's start, which then takes a second: without this it waits for other
# Lokis, and looks for its own scheduler through a ring.
_SCHEDULER = {"scheduler_address": f"127.0.0.1:{GRPC_PORT}"}
AT_ONCE = {
    "ingester": {"lifecycler": {"min_ready_duration": "0s"}},
    "frontend": _SCHEDULER,
    "frontend_worker": _SCHEDULER,
}


def rendered(settings: Mapping[str, Any], changes: Mapping[str, Any]) -> str:
    """The stack's configuration of a Loki with these settings, and then with these `changes`."""
    instance = LokiSettings.model_validate({"port": PORT, "route": "/lokiaws", "allow": ["nat"], **settings})
    return json.dumps(merged(json.loads(render_loki_config(instance)), changes))


@dataclass
class LiveLoki:
    """A Loki and its volumes: `NAME-data`, as the stack names it, and `NAME-config`."""

    rig: Rig
    engine: docker.DockerClient
    name: str

    @property
    def container(self) -> Container:
        """The container as it is now."""
        return self.engine.containers.get(self.name)

    @property
    def where(self) -> tuple[str, int]:
        """Its address on the campus server; a restarted container may have another."""
        return self._network()["IPAddress"], PORT

    @property
    def client(self) -> Client:
        """A client on the campus server itself."""
        network = self._network()
        return Client(self.rig.network.campus, network["Gateway"], self.where, network["IPAddress"], None)

    def _network(self) -> dict[str, Any]:
        return self.container.attrs["NetworkSettings"]["Networks"]["bridge"]

    def configure(self, config: str) -> None:
        """Put its configuration in place, as the stack does."""
        self.engine.volumes.create(f"{self.name}-config")
        file = {"content": config, "uid": LOKI_UID, "gid": 0, "mode": 0o400}
        VolumeFilesProvider().create(
            {
                "docker_host": self.rig.engine.url,
                "volume_name": f"{self.name}-config",
                "image": IMAGE,
                "files": {CONFIG_FILE: file},
            }
        )

    def start(self) -> None:
        """Create the container and start it."""
        self.engine.containers.run(
            IMAGE,
            [f"-config.file={CONFIG_DIRECTORY}/{CONFIG_FILE}"],
            name=self.name,
            detach=True,
            user=str(LOKI_UID),
            read_only=True,
            cap_drop=["ALL"],
            security_opt=["no-new-privileges"],
            mem_limit=f"{MEMORY_MIB}m",
            environment=[f"GOMEMLIMIT={MEMORY_MIB * 9 // 10}MiB"],
            tmpfs={"/tmp": ""},
            volumes={
                f"{self.name}-data": {"bind": DATA, "mode": "rw"},
                f"{self.name}-config": {"bind": CONFIG_DIRECTORY, "mode": "ro"},
            },
        )

    def wait_until_ready(self) -> None:
        """Return when it answers queries."""
        wait_for(
            f"{self.name} is ready",
            lambda: answers_ready(self.rig.network.campus, self.where),
            READY_SECONDS,
        )

    def push(self, job: str, numbers: Sequence[int], stamp_ns: int | None = None) -> Answer:
        """Push numbered lines, a nanosecond apart, from a moment on (now)."""
        first = time.time_ns() if stamp_ns is None else stamp_ns
        body = numbered_body({"job": job}, [(first + at, line_of(one)) for at, one in enumerate(numbers)])
        return self.client.request("POST", PUSH_PATH, body, {"Content-Type": "application/json"})

    def found(self, job: str, since_ns: int) -> Found:
        """The numbered lines that it returns."""
        return found_in_loki(self.rig.network.campus, self.where, job, since_ns)

    def flush(self) -> None:
        """Have it write its memory to disk; it does so after it has answered."""
        assert self.client.request("POST", "/flush").status == 204

    def metric(self, name: str) -> float:
        """The value of a metric; 0 if it has none of that name."""
        text = self.client.request("GET", "/metrics").body.decode()
        found = re.search(rf"^{name} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def files(self, folder: str) -> list[str]:
        """The files below a folder of its data; none without the folder."""
        try:
            chunks, _ = self.container.get_archive(f"{DATA}/{folder}")
        except NotFound:
            return []
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            return [one.name for one in archive if one.isfile()]

    def remove(self) -> None:
        """Remove it, its volumes, and everything that a test made for them."""
        for container in self.engine.containers.list(all=True, filters={"name": f"^{self.name}"}):
            container.remove(force=True, v=True)
        for volume in self.engine.volumes.list(filters={"name": f"^{self.name}-"}):
            volume.remove(force=True)


@contextmanager
def running_loki(
    rig: Rig, name: str, config: str, data_options: Mapping[str, str] | None = None
) -> Iterator[LiveLoki]:
    """A Loki that answers queries, for the duration of the block; its data on a volume with these options."""
    rig.engine.load(IMAGE)
    with closing(rig.engine.client()) as engine:
        loki = LiveLoki(rig, engine, name)
        try:
            loki.configure(config)
            engine.volumes.create(f"{name}-data", driver_opts=dict(data_options or {}))
            loki.start()
            loki.wait_until_ready()
            yield loki
        finally:
            loki.remove()
