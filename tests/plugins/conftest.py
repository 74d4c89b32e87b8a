"""Running plugins, with an emulator and a Docker Engine behind them."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest

from rig.emulator import REGION, Emulator
from rig.rig import Rig
from tests.plugins.client import Plugin, running_plugin

IMAGE = "campus-monitor-plugin-test:tiny"
_PROGRAMS = ("/bin/sleep", "/bin/true", "/bin/sh")


@pytest.fixture(scope="session")
def aws_process() -> Iterator[Plugin]:
    """The fake aws plugin, not yet configured."""
    with running_plugin("aws") as plugin:
        yield plugin


@pytest.fixture
def aws(aws_process: Plugin, emulator: Emulator) -> Iterator[Plugin]:
    """The fake aws plugin with an empty emulator behind it."""
    emulator.reset()
    aws_process.configure(aws_settings(emulator.url))
    yield aws_process
    aws_process.made.clear()


def aws_settings(url: str) -> dict[str, Any]:
    """The provider's settings, written as Pulumi's SDK writes them."""
    names = ("autoscaling", "cloudwatch", "ec2", "ecs", "iam", "logs", "route53", "sns", "ssm", "sts")
    services = ", ".join(f'"{name}": "{url}"' for name in names)
    return {"region": REGION, "endpoints": f"[{{{services}}}]", "skipRegionValidation": "true"}


@pytest.fixture(scope="session")
def docker_host(rig: Rig) -> str:
    """The address of a Docker Engine that has the tiny image."""
    client = docker.APIClient(base_url=rig.engine.url, version="auto")
    name, tag = IMAGE.split(":")
    client.import_image_from_data(_tiny_image(), repository=name, tag=tag)
    client.close()
    return rig.engine.url


@pytest.fixture(scope="session")
def docker_process(docker_host: str) -> Iterator[Plugin]:
    """The Docker plugin."""
    with running_plugin("docker") as plugin:
        plugin.configure({"host": docker_host})
        yield plugin


@pytest.fixture
def engine(docker_host: str) -> Iterator[docker.APIClient]:
    """The engine itself, past the plugin."""
    client = docker.APIClient(base_url=docker_host, version="auto")
    yield client
    client.close()


@pytest.fixture
def docker_plugin(docker_process: Plugin) -> Iterator[Plugin]:
    """The Docker plugin; what a test makes through it is removed afterwards."""
    yield docker_process
    docker_process.clear()


def _tiny_image() -> bytes:
    """A few of this machine's programs with their libraries, to be imported as an image."""
    listed = subprocess.run(["ldd", *_PROGRAMS], capture_output=True, text=True, check=True).stdout
    words = [word for line in listed.splitlines() for word in line.split()]
    libraries = {word for word in words if word.startswith("/") and not word.endswith(":")}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", dereference=True) as archive:
        for path in (*_PROGRAMS, *sorted(libraries)):
            archive.add(Path(path).resolve(), arcname=path.lstrip("/"))
    return packed.getvalue()
