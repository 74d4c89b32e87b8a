"""A benchmark's own Caddy on the campus server, to compare with the deployed one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from docker.errors import NotFound
from docker.models.containers import Container

from components.edge.component import CADDYFILE
from components.live.docker_host import HostFile, put_files
from rig.deployment import Deployment
from rig.namespaces import SERVER, Namespace
from rig.other_processes import Caller
from rig.probe import ca_of
from rig.processes import wait_for

DIRECTORY = "/etc/caddy"


class OwnCaddy:
    """Such a Caddy. Its certificates outlive its containers, like the deployed one's."""

    def __init__(self, edge: Deployment, name: str, port: int) -> None:
        settings = edge.settings
        self._engine = edge.rig.engine.client()
        self._name, self._port = name, port
        self._image, self._domain = settings["images"]["caddy"], settings["edge"]["domain"]
        self._world: Namespace = edge.rig.network.world
        self._hosts = {f"loki-{name}": edge.loki(name)[0] for name in settings["loki"]["instances"]}
        self._data = self._engine.volumes.create(name)
        self.container: Container | None = None

    def start(self, files: Mapping[str, str]) -> Container:
        """Create and start the container with these files below `DIRECTORY`, copied with `docker cp`."""
        command = ["caddy", "run", "--config", f"{DIRECTORY}/{CADDYFILE}", "--adapter", "caddyfile"]
        made = self._engine.containers.create(
            self._image,
            command,
            name=self._name,
            network_mode="host",
            extra_hosts=self._hosts,
            tmpfs={"/run/caddy": "mode=0700"},
            volumes={self._data.name: {"bind": "/data", "mode": "rw"}},
        )
        self.container = made
        self.put(files)
        made.start()
        return made

    def put(self, files: Mapping[str, str]) -> None:
        """Copy files into the container."""
        assert self.container is not None
        put_files(
            self.container, DIRECTORY, {path: HostFile(content=text.encode()) for path, text in files.items()}
        )

    def run(self, *command: str) -> None:
        """Run a command in the container; RuntimeError if it fails."""
        assert self.container is not None
        ended = self.container.exec_run(list(command))
        if ended.exit_code != 0:
            raise RuntimeError(f"{' '.join(command)} in {self._name}: {ended.output!r}")

    def caller(self, source: str) -> Caller:
        """A caller outside with this address, once this Caddy has a certificate."""
        caddy = self.container
        assert caddy is not None
        ca = wait_for(f"{self._name} has a certificate", lambda: _ca(caddy), 30.0)
        return Caller(self._world, source, (SERVER, self._port), self._domain, ca)

    def stop(self) -> None:
        """Stop and remove the container, if there is one."""
        if self.container is not None:
            self.container.stop()
            self.container.remove(v=True)
            self.container = None

    def remove(self) -> None:
        """Remove everything."""
        if self.container is not None:
            self.container.remove(force=True, v=True)
        self._data.remove(force=True)
        self._engine.close()


@contextmanager
def own_caddy(edge: Deployment, name: str, port: int) -> Iterator[OwnCaddy]:
    """Such a Caddy during the block, not yet started."""
    made = OwnCaddy(edge, name, port)
    try:
        yield made
    finally:
        made.remove()


def _ca(caddy: Container) -> str | None:
    try:
        return ca_of(caddy)
    except NotFound:
        return None
