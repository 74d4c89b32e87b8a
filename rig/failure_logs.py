"""The last lines of the containers of the running rigs and other hosts: shown with a failed test."""

from __future__ import annotations

import docker
import requests
from docker.errors import DockerException
from docker.models.containers import Container

from rig import other_hosts, rig
from rig.docker_engine import DockerEngine

LINES = 40
ANSWER_SECONDS = 10


def last_words() -> list[tuple[str, str]]:
    """A title and the last lines of each container in each rig of this process."""
    engines = [*(one.engine for one in rig.running), *other_hosts.running]
    return [section for engine in engines for section in _of_engine(engine)]


def _of_engine(engine: DockerEngine) -> list[tuple[str, str]]:
    try:
        client = docker.DockerClient(base_url=engine.url, timeout=ANSWER_SECONDS)
    except DockerException as error:
        return [(f"Docker of {engine.run.name}", f"doesn't answer: {error}")]
    try:
        return [_of_container(one) for one in client.containers.list(all=True)]
    except (DockerException, requests.RequestException) as error:
        return [(f"Docker of {engine.run.name}", f"lists no containers: {error}")]
    finally:
        client.close()


def _of_container(container: Container) -> tuple[str, str]:
    title = f"last {LINES} lines of container {container.name} ({container.status})"
    try:
        return title, container.logs(tail=LINES).decode(errors="replace")
    except (DockerException, requests.RequestException) as error:
        return title, f"has no logs: {error}"
