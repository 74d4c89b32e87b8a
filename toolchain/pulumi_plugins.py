"""Pulumi's Docker and AWS plugins: the official ones, and where one is refused, another in its place.

Docker's is built from Go modules then (`docker_plugin`), and AWS' is a fake (`toolchain/plugins`).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from toolchain import cache, docker_plugin, say
from toolchain.paths import STAND_IN_PLUGINS
from toolchain.paths import cache as cache_folder
from toolchain.say import Problem

PLUGINS = {"docker": "5.2.0", "aws": "7.51.1"}
IN_PLACE = {"docker": "one built from Go modules", "aws": "the fake of toolchain/plugins"}
INSTALL_SECONDS = 600


def ensure(pulumi_folder: Path, given: Path | None, refusals: cache.Refusals) -> tuple[Path, ...]:
    """The folders that have to be on PATH for the plugins; none where Pulumi has its own of both.

    `given` is a folder that a person named: then no other plugin is used.
    """
    if given is not None:
        return (_checked(given),)
    absent = missing(pulumi_folder)
    return tuple(_in_place_of(name) for name in absent if not _install(pulumi_folder, name, refusals))


def _in_place_of(name: str) -> Path:
    return docker_plugin.ensure(PLUGINS[name]) if name == "docker" else STAND_IN_PLUGINS


def _checked(folder: Path) -> Path:
    absent = [name for name in PLUGINS if not (folder / f"pulumi-resource-{name}").exists()]
    if absent:
        raise Problem(f"{folder} has no pulumi-resource-{absent[0]}: name a folder with PLUGINS=")
    return folder.absolute()


def missing(pulumi_folder: Path) -> list[str]:
    """The names of the official plugins that this pulumi doesn't have."""
    done = say.capture([pulumi_folder / "pulumi", "plugin", "ls", "--json"], env=_environment())
    try:
        listed = json.loads(done.stdout)
    except ValueError:
        listed = []
    there = {(one["name"], str(one.get("version")).removeprefix("v")) for one in listed}
    return [name for name, version in PLUGINS.items() if (name, version) not in there and not _on_path(name)]


def _on_path(name: str) -> bool:
    """Whether a person put a plugin on PATH; one of ours that is there by .local/env doesn't count."""
    found = shutil.which(f"pulumi-resource-{name}")
    if found is None:
        return False
    return Path(found).parent != STAND_IN_PLUGINS and cache_folder() not in Path(found).parents


def _install(pulumi_folder: Path, name: str, refusals: cache.Refusals) -> bool:
    version = PLUGINS[name]
    route = _route(name)
    if refusals.remembers(route):
        return False
    say.step(f"installing Pulumi's {name} plugin {version} (usually 30 s)")
    command = [pulumi_folder / "pulumi", "plugin", "install", "resource", name, f"v{version}"]
    done = say.capture(command, env=_environment(), seconds=INSTALL_SECONDS)
    if done.returncode == 0:
        refusals.forget(route)
        return True
    refusals.remember(route)
    words = say.last_line(done.stderr).removeprefix("error: ")
    say.note(f"refused ({words[:160]}): using {IN_PLACE[name]}")
    return False


def refused_lately(name: str, refusals: cache.Refusals) -> bool:
    """Whether the official plugin was refused within the last hours."""
    return refusals.remembers(_route(name))


def _route(name: str) -> str:
    return f"pulumi plugin {name} {PLUGINS[name]}"


def _environment() -> dict[str, str]:
    return os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
