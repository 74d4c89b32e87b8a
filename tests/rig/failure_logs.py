"""What the containers of the running rigs said last: shown with a test that fails."""

from __future__ import annotations

import docker
import requests
from docker.errors import DockerException
from docker.models.containers import Container

from tests.rig.rig import Rig, running

LINES = 40
ANSWER_SECONDS = 10


def last_words() -> list[tuple[str, str]]:
    """A title and the last lines of each container in each rig of this process."""
    return [section for rig in running for section in _of_rig(rig)]


def _of_rig(rig: Rig) -> list[tuple[str, str]]:
    try:
        client = docker.DockerClient(base_url=rig.engine.url, timeout=ANSWER_SECONDS)
    except DockerException as error:
        return [(f"Docker of {rig.run.name}", f"doesn't answer: {error}")]
    try:
        return [_of_container(one) for one in client.containers.list(all=True)]
    except (DockerException, requests.RequestException) as error:
        return [(f"Docker of {rig.run.name}", f"lists no containers: {error}")]
    finally:
        client.close()


def _of_container(container: Container) -> tuple[str, str]:
    title = f"last {LINES} lines of container {container.name} ({container.status})"
    try:
        return title, container.logs(tail=LINES).decode(errors="replace")
    except (DockerException, requests.RequestException) as error:
        return title, f"has no logs: {error}"
