"""The deployed Caddy's own files, changed as an update of the stack would, and restored."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from docker.models.containers import Container

from components.edge.caddyfile import FRAGMENTS, render_allowed_address, render_caddyfile
from components.edge.component import CADDYFILE, LIVE_DIRECTORY
from components.live.docker_host import read_file
from components.live.files import LiveFilesProvider
from components.stack.backends import guarded_backends
from components.stack.campus_routes import guarded_routes, published_routes
from components.stack.settings import parse
from rig.deployment import Deployment

HASH = re.compile(r"^\s*(?P<user>[a-z0-9-]+) (?P<hash>\$2b\$\S+)$", re.MULTILINE)


class EdgeFiles:
    """The files in the running Caddy. `edge_files` makes an instance and restores everything."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._settings = parse(deployment.settings)
        self._provider = LiveFilesProvider()
        caddy = deployment.caddy()
        # As the stack has deployed it.
        self.deployed = _read(caddy, CADDYFILE)
        self._owner = _read(caddy, f".live/.owners/{CADDYFILE}").strip()
        self._allowed: dict[str, str] = {}
        self._props = {
            "docker_host": deployment.rig.engine.url,
            "container_name": str(caddy.name),
            "container_id": str(caddy.id),
            "program": "caddy",
            "directory": LIVE_DIRECTORY,
            "closed_files": {},
        }

    def on_disk(self) -> str:
        """The Caddyfile as it is now."""
        return _read(self._deployment.caddy(), CADDYFILE)

    def rendered(self, *, cidrs: tuple[str, ...] = (), grafana: str | None = None) -> str:
        """The deployed Caddyfile with more operators' networks, or with a Grafana at host:port."""
        settings = self._settings
        hashes = {found["user"]: found["hash"] for found in HASH.finditer(self.deployed)}
        accounts = {
            one.name: tuple((account.user, hashes[account.user]) for account in one.settings.accounts)
            for one in guarded_backends(settings)
        }
        routes = [
            replace(route, cidrs=(*route.cidrs, *cidrs), accounts=accounts[route.name])
            for route in guarded_routes(settings)
        ]
        measured = settings.prometheus is not None
        return render_caddyfile(
            settings.edge, routes, grafana, published_routes(settings), is_measured=measured
        )

    def apply(self, caddyfile: str) -> None:
        """Update the stack's own resource with another Caddyfile."""
        self._provider.update(self._owner, {}, self._with({CADDYFILE: caddyfile}))

    def allow(self, ip: str) -> None:
        """Let another address in: a resource with its own fragment."""
        made = self._provider.create(self._with(fragment(ip)))
        self._allowed[ip] = made.id

    def disallow(self, ip: str) -> None:
        """Shut such an address out again."""
        self._provider.delete(self._allowed[ip], self._with(fragment(ip)))
        del self._allowed[ip]

    def put_back(self) -> None:
        """Restore the state that the stack has deployed."""
        for ip in list(self._allowed):
            self.disallow(ip)
        self.apply(self.deployed)

    def _with(self, files: dict[str, str]) -> dict[str, Any]:
        return self._props | {"files": files}


@contextmanager
def edge_files(deployment: Deployment) -> Iterator[EdgeFiles]:
    """The deployed Caddy's files, which may be changed for the duration of the block."""
    live = EdgeFiles(deployment)
    try:
        yield live
    finally:
        live.put_back()


def fragment(ip: str) -> dict[str, str]:
    """The file that lets an address in, by its path."""
    return {f"{FRAGMENTS}/{ip}.caddy": render_allowed_address(ip)}


def _read(caddy: Container, path: str) -> str:
    file = read_file(caddy, f"{LIVE_DIRECTORY}/{path}")
    if file is None:
        raise RuntimeError(f"there is no {path} in {caddy.name}")
    return file.content.decode()
