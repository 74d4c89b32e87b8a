"""A stack's settings for tools outside the virtualenv: the virtualenv's Python reads and checks them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local import say, venv
from local.paths import ROOT
from local.pulumi import STACK
from local.say import Problem


@dataclass(frozen=True)
class Place:
    """Where a stack is, and how to reach it."""

    docker_host: str
    # The hosts of replicas and of shippers.
    other_docker_hosts: tuple[str, ...]
    name_prefix: str
    domain: str
    http_port: int
    https_port: int
    # Empty for the real AWS.
    emulator: str
    # The key that Pulumi writes into the stack's file; None if the stack doesn't exist yet.
    decrypted_by: str | None

    @property
    def docker_hosts(self) -> list[str]:
        """Every Docker host, once."""
        return list(dict.fromkeys([self.docker_host, *self.other_docker_hosts]))


@dataclass(frozen=True)
class LocalSettings:
    """The local stack's settings that `make up` uses."""

    place: Place
    images: dict[str, str]
    grafana_enabled: bool
    # The URLs of Lokis and Prometheus on the private network, by name.
    backends: dict[str, str]


def read(folder: Path = ROOT) -> LocalSettings:
    """All of Pulumi.local.yaml: what the program would refuse is a Problem here."""
    found = _read(STACK, folder)
    settings = found["settings"]
    return LocalSettings(
        place=_place(found),
        images={name: image for name, image in settings["images"].items() if isinstance(image, str)},
        grafana_enabled=settings["grafana"]["enabled"],
        backends=found["backends"],
    )


def place(stack: str = STACK, folder: Path = ROOT) -> Place:
    """Where a stack is, even if its other settings are wrong."""
    return _place(_read(stack, folder, "--place"))


def _read(stack: str, folder: Path, *options: str) -> dict[str, Any]:
    if stack == STACK and not (folder / "Pulumi.local.yaml").exists():
        raise Problem("Pulumi.local.yaml is missing: `git checkout Pulumi.local.yaml`")
    command = [venv.python(), "-m", "components.stack.settings_file", stack, "--folder", folder, *options]
    done = say.capture(command, cwd=ROOT)
    if done.returncode != 0:
        raise Problem("\n       ".join(done.stderr.strip().splitlines()))
    return json.loads(done.stdout)


def _place(found: dict[str, Any]) -> Place:
    campus, edge, aws, shippers = (found["settings"][area] for area in ("campus", "edge", "aws", "shippers"))
    others = [*campus["otherHosts"].values(), *shippers.values()]
    return Place(
        docker_host=campus["dockerHost"],
        other_docker_hosts=tuple(one["dockerHost"] for one in others),
        name_prefix=campus["namePrefix"],
        domain=edge["domain"],
        http_port=edge["httpPort"],
        https_port=edge["httpsPort"],
        emulator=aws["emulator"] or "",
        decrypted_by=found["decryptedBy"],
    )
