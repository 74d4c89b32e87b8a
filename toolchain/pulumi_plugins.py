"""Pulumi's Docker and AWS plugins: the official ones, or the stand-ins where those are refused."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from toolchain import cache, say
from toolchain.paths import STAND_IN_PLUGINS
from toolchain.say import Problem

PLUGINS = {"docker": "5.2.0", "aws": "7.51.1"}
INSTALL_SECONDS = 600


def ensure(pulumi_folder: Path, given: Path | None, refusals: cache.Refusals) -> Path | None:
    """The folder that has to be on PATH for the plugins; None where Pulumi has its own.

    `given` is a folder that a person named: then neither an official one nor a stand-in is used.
    """
    if given is not None:
        return _checked(given)
    for name in missing(pulumi_folder):
        if not _install(pulumi_folder, name, refusals):
            return _checked(STAND_IN_PLUGINS)
    return None


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
    """Whether a person put a plugin on PATH; a stand-in that is there by .local/env isn't one."""
    found = shutil.which(f"pulumi-resource-{name}")
    return found is not None and Path(found).parent != STAND_IN_PLUGINS


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
    say.note(f"refused ({words[:160]}): using the stand-in plugins of toolchain/plugins")
    return False


def refused_lately(name: str, refusals: cache.Refusals) -> bool:
    """Whether the official plugin was refused within the last hours."""
    return refusals.remembers(_route(name))


def _route(name: str) -> str:
    return f"pulumi plugin {name} {PLUGINS[name]}"


def _environment() -> dict[str, str]:
    return os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
