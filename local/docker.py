"""The Docker Engine of the local stack, through the docker command."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from local import say
from local.say import Problem

SOCKET = "unix:///var/run/docker.sock"
_host = SOCKET


def use(host: str) -> None:
    """Use this engine from now on."""
    global _host
    _host = host


def host() -> str:
    """The engine in use."""
    return _host


def environment() -> dict[str, str]:
    """The environment for the docker command, with that engine."""
    inherited = {k: v for k, v in os.environ.items() if k not in ("DOCKER_CONTEXT",)}
    return inherited | {"DOCKER_HOST": _host}


def run(
    *arguments: str | Path, seconds: float = 120, stdin: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a docker command; a failure raises nothing."""
    return say.capture(["docker", *arguments], env=environment(), seconds=seconds, stdin=stdin)


def must(*arguments: str | Path, seconds: float = 120, stdin: str | None = None) -> str:
    """Run a docker command and return its output; a Problem if it fails."""
    done = run(*arguments, seconds=seconds, stdin=stdin)
    if done.returncode != 0:
        raise Problem(f"docker {arguments[0]} failed: {say.last_line(done.stderr)}")
    return done.stdout.strip()


def answers() -> bool:
    """Whether the engine answers."""
    return say.have("docker") and run("version", "--format", "{{.Server.Version}}").returncode == 0


def complaint() -> str:
    """Why the engine doesn't answer, in Docker's words."""
    return say.last_line(run("version", "--format", "{{.Server.Version}}").stderr)


def image_id(image: str) -> str | None:
    """The id of an image that the engine has."""
    done = run("image", "inspect", "--format", "{{.Id}}", image)
    return done.stdout.strip() if done.returncode == 0 else None


def image_labels(image: str) -> dict[str, str]:
    """The labels of an image that the engine has."""
    done = run("image", "inspect", "--format", "{{json .Config.Labels}}", image)
    return (json.loads(done.stdout) or {}) if done.returncode == 0 else {}


def is_running(container: str) -> bool:
    """Whether a container of this name runs."""
    done = run("container", "inspect", "--format", "{{.State.Running}}", container)
    return done.stdout.strip() == "true"


def names(kind: str, prefix: str) -> list[str]:
    """The containers, volumes or networks whose names begin with the prefix."""
    listing = {
        "container": ("ps", "--all", "--format", "{{.Names}}"),
        "volume": ("volume", "ls", "--format", "{{.Name}}"),
        "network": ("network", "ls", "--format", "{{.Name}}"),
    }[kind]
    return [name for name in must(*listing).splitlines() if name.startswith(prefix)]
