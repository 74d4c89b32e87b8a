"""Pulumi's Docker and AWS plugins: the official plugins, or replacements if they are refused.

Then Docker's is built from Go modules (`docker_plugin`), and AWS' is a fake (`rig/plugins`).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

from local import cache, docker_plugin, downloads, pulumi_cli, say
from local.paths import STAND_IN_PLUGINS
from local.paths import cache as cache_folder
from local.say import Problem

PLUGINS = {"docker": "5.2.0", "aws": "7.51.1"}
IN_PLACE = {"docker": "one built from Go modules", "aws": "the fake of rig/plugins"}
RELEASES = "https://get.pulumi.com/releases/plugins"
INSTALL_SECONDS = 600


def ensure(pulumi_folder: Path, given: Path | None, refusals: cache.Refusals) -> tuple[Path, ...]:
    """The plugins' folders to put on PATH; none if Pulumi has both official plugins.

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
    """The names of the official plugins that this pulumi lacks."""
    done = say.capture([pulumi_folder / "pulumi", "plugin", "ls", "--json"], env=_environment())
    try:
        listed = json.loads(done.stdout)
    except ValueError:
        listed = []
    there = {(one["name"], str(one.get("version")).removeprefix("v")) for one in listed}
    return [name for name, version in PLUGINS.items() if (name, version) not in there and not _on_path(name)]


def _on_path(name: str) -> bool:
    """Whether a person put a plugin on PATH; ours, from .local/env, don't count."""
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
    try:
        _download(pulumi_folder, name)
    except OSError as error:
        refusals.remember(route)
        say.note(f"refused ({pulumi_cli.reason(error)[:160]}): using {IN_PLACE[name]}")
        return False
    refusals.forget(route)
    return True


def _download(pulumi_folder: Path, name: str) -> None:
    """Download a plugin, check its checksum, and let Pulumi install it. OSError if it is refused."""
    version = PLUGINS[name]
    url = release_url(name, platform.machine())
    if url is None:
        raise OSError(f"no release for {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        packed = Path(folder) / "plugin.tar.gz"
        downloads.fetch(url, packed)
        command = [pulumi_folder / "pulumi", "plugin", "install", "resource", name, f"v{version}"]
        done = say.capture([*command, "--file", packed], env=_environment(), seconds=INSTALL_SECONDS)
    if done.returncode != 0:
        raise OSError(say.last_line(done.stderr).removeprefix("error: "))


def release_url(name: str, machine: str) -> str | None:
    """The URL from which Pulumi itself gets a plugin's release for this kind of machine."""
    kind = {"x86_64": "amd64", "aarch64": "arm64"}.get(machine)
    if kind is None:
        return None
    return f"{RELEASES}/pulumi-resource-{name}-v{PLUGINS[name]}-linux-{kind}.tar.gz"


def install_official(pulumi_folder: Path) -> None:
    """Install the official plugins; a Problem if they aren't available.

    Pulumi would download them itself, without our checksums.
    """
    for name in missing(pulumi_folder):
        say.step(f"installing Pulumi's {name} plugin {PLUGINS[name]} (usually 30 s)")
        try:
            _download(pulumi_folder, name)
        except OSError as error:
            raise Problem(f"Pulumi's {name} plugin isn't available: {pulumi_cli.reason(error)}") from None


def refused_lately(name: str, refusals: cache.Refusals) -> bool:
    """Whether the official plugin was refused within the last hours."""
    return refusals.remembers(_route(name))


def _route(name: str) -> str:
    return f"pulumi plugin {name} {PLUGINS[name]}"


def _environment() -> dict[str, str]:
    return os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"}
