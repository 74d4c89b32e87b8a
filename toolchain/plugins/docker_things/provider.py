"""The docker provider: its settings and its types."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from toolchain.plugins.docker_things.container import Container
from toolchain.plugins.docker_things.engine import Engine
from toolchain.plugins.docker_things.image import RemoteImage
from toolchain.plugins.docker_things.network import Network
from toolchain.plugins.docker_things.volume import Volume
from toolchain.plugins.provider import Provider, ResourceType, State
from toolchain.plugins.schema import string, strings

_DEFAULT_HOST = "unix:///var/run/docker.sock"


class DockerProvider(Provider):
    """Containers, images, networks and volumes of one Docker Engine."""

    name = "docker"
    sdk = "pulumi_docker"
    config = {"host": string(), "sshOpts": strings("list")}  # noqa: RUF012

    def __init__(self) -> None:
        self._engine = Engine()
        kinds = (Container, RemoteImage, Network, Volume)
        self._types = {kind.token: kind(self._engine) for kind in kinds}

    @property
    def types(self) -> Mapping[str, ResourceType]:
        return self._types

    def configure(self, config: State) -> None:
        self._engine.use(config.get("host") or os.environ.get("DOCKER_HOST") or _DEFAULT_HOST)

    def explain(self, error: Exception) -> str | None:
        if "docker.errors" not in sys.modules:
            return None
        from docker.errors import APIError, DockerException

        if isinstance(error, APIError):
            return f"Error response from daemon: {error.explanation or error}"
        return str(error) if isinstance(error, DockerException) else None
