"""The deployed Caddy's files, changed as an update changes them: through LiveFiles."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from components.campus.caddyfile import FRAGMENTS, render_allowed_address
from components.campus.edge import CADDYFILE, LIVE_DIRECTORY
from components.live.files import LiveFilesProvider
from tests.rig.deployment import Deployment


class LiveCaddy:
    """Caddy's configuration, which stays the deployment's own: whoever changes it puts it back."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        # With the same owner, `pulumi destroy` still closes the file.
        self._owner = self._read(f".owners/{CADDYFILE}").strip()

    def caddyfile(self) -> str:
        """The Caddyfile that lies there."""
        return self._read(CADDYFILE)

    def apply(self, caddyfile: str) -> None:
        """Validate and apply another Caddyfile; a LiveError if Caddy refuses it."""
        props = self._props({CADDYFILE: caddyfile})
        LiveFilesProvider().update(self._owner, props, props)

    @contextmanager
    def applied(self, caddyfile: str) -> Iterator[None]:
        """Another Caddyfile for the length of the block."""
        before = self.caddyfile()
        self.apply(caddyfile)
        try:
            yield
        finally:
            self.apply(before)

    @contextmanager
    def allowing(self, address: str) -> Iterator[None]:
        """One more address that may push on the routes that allow `nat`."""
        provider = LiveFilesProvider()
        props = self._props({f"{FRAGMENTS}/{address}.caddy": render_allowed_address(address)})
        made = provider.create(props)
        try:
            yield
        finally:
            provider.delete(made.id, made.outs or {})

    def _props(self, files: dict[str, str]) -> dict[str, Any]:
        caddy = self._deployment.caddy()
        return {
            "docker_host": self._deployment.rig.engine.url,
            "container_name": caddy.name,
            "container_id": caddy.id,
            "program": "caddy",
            "directory": LIVE_DIRECTORY,
            "files": files,
            "closed_files": {},
        }

    def _read(self, path: str) -> str:
        ended = self._deployment.caddy().exec_run(["cat", f"{LIVE_DIRECTORY}/{path}"])
        assert ended.exit_code == 0, ended.output
        assert isinstance(ended.output, bytes)
        return ended.output.decode()
