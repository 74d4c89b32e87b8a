"""Pulumi's command line with its Python language host."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tarfile
import urllib.error
from pathlib import Path

from local import cache, downloads, go, say
from local.paths import GO, VENV
from local.paths import cache as cache_folder
from local.say import Problem

VERSION = "3.276.0"
# The first version whose `destroy` knows --ignore-protect, which docs/operations.md names.
OLDEST = (3, 256)
LANGUAGE_SDK_VERSION = "3.79.0"
BUILD_SECONDS = 540
LANGUAGE_BUILD_SECONDS = 60
PROGRAMS = (
    "pulumi",
    "pulumi-language-python",
    "pulumi-language-python-exec",
    "pulumi-resource-pulumi-python",
)
SDK = "github.com/pulumi/pulumi/sdk/v3"
VERSION_VARIABLE = f"{SDK}/go/common/version.Version"
ROUTE = f"pulumi installer {VERSION}"
FROM_INSTALLER = f"installer {VERSION}"


def folder() -> Path:
    """The folder of our own copy."""
    return cache_folder() / "bin" / f"pulumi-{VERSION}"


def find() -> Path | None:
    """The folder of a usable pulumi, if there is one: on PATH, else our own."""
    return on_path() or (folder() if _own_is_whole() else None)


def ensure(refusals: cache.Refusals) -> Path:
    """The folder of a usable pulumi: on PATH, else the official installer's, else built."""
    found = on_path()
    if found:
        return found
    if cache.is_whole(folder(), FROM_INSTALLER):
        return folder()
    if not refusals.remembers(ROUTE) and _download():
        refusals.forget(ROUTE)
        return folder()
    if not refusals.remembers(ROUTE):
        refusals.remember(ROUTE)
    if not cache.is_whole(folder(), _built_key()):
        _build()
    return folder()


def _own_is_whole() -> bool:
    return any(cache.is_whole(folder(), key) for key in (FROM_INSTALLER, _built_key()))


def on_path() -> Path | None:
    """The folder of a pulumi that is new enough, with its language host beside it; never our own copy."""
    for part in os.environ.get("PATH", "").split(os.pathsep):
        where = Path(part)
        if cache_folder() in where.parents or where == VENV / "bin":
            continue
        found = shutil.which("pulumi", path=part)
        if found:
            real = Path(found).resolve().parent
            beside = real if (real / "pulumi-language-python").exists() else where
            usable = (beside / "pulumi-language-python").exists() and version_of(found) >= OLDEST
            return beside if usable else None
    return None


def version_of(pulumi: str | Path) -> tuple[int, ...]:
    """The version of a pulumi program; empty if it isn't known."""
    done = say.capture([pulumi, "version"], env=os.environ | {"PULUMI_SKIP_UPDATE_CHECK": "true"})
    found = re.match(r"v(\d+)\.(\d+)\.(\d+)", done.stdout)
    return tuple(int(part) for part in found.groups()) if found else ()


def _download() -> bool:
    """Download Pulumi's own release; False, with a note, if it is refused."""
    url = release_url(platform.machine())
    if url is None:
        say.note(f"Pulumi has no release for {platform.machine()}: using a build from Go modules")
        return False
    say.step(f"getting Pulumi {VERSION} from its own site (usually 20 s)")
    try:
        with cache.new_folder(folder(), FROM_INSTALLER) as made:
            packed = made / "release.tar.gz"
            downloads.fetch(url, packed)
            with tarfile.open(packed, mode="r:gz") as archive:
                for member in archive:
                    _unpack(archive, member, made)
            packed.unlink()
            if version_of(made / "pulumi") < OLDEST:
                raise OSError("the download doesn't run")
    except (OSError, tarfile.TarError) as error:
        say.note(f"refused ({reason(error)}): using a build from Go modules instead")
        return False
    return True


def release_url(machine: str) -> str | None:
    """The URL from which Pulumi's own installer gets the release for this kind of machine."""
    kind = {"x86_64": "x64", "aarch64": "arm64"}.get(machine)
    if kind is None:
        return None
    return f"https://get.pulumi.com/releases/sdk/pulumi-v{VERSION}-linux-{kind}.tar.gz"


def _unpack(archive: tarfile.TarFile, member: tarfile.TarInfo, into: Path) -> None:
    """Unpack a file of the release, which is one flat folder of programs."""
    content = archive.extractfile(member) if member.isfile() else None
    if content is not None:
        target = into / Path(member.name).name
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        target.chmod(0o755)


def reason(error: BaseException) -> str:
    """Why a download was refused."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(inner) or type(inner).__name__


def _built_key() -> str:
    modules = (GO / "pulumi", GO / "language-python")
    return cache.key_of(VERSION, LANGUAGE_SDK_VERSION, *modules, *PROGRAMS)


def _build() -> None:
    with cache.new_folder(folder(), _built_key()) as made:
        go.build(
            GO / "pulumi",
            ["github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"],
            made,
            usual=BUILD_SECONDS,
            ldflags=f"-X {VERSION_VARIABLE}=v{VERSION}",
        )
        go.build(
            GO / "language-python",
            [f"{SDK}/python/cmd/pulumi-language-python"],
            made,
            usual=LANGUAGE_BUILD_SECONDS,
            ldflags=f"-X {VERSION_VARIABLE}=v{LANGUAGE_SDK_VERSION}",
        )
        scripts = go.module_source(GO / "pulumi", SDK) / "python"
        for script in ("cmd/pulumi-language-python-exec", "dist/pulumi-resource-pulumi-python"):
            target = made / Path(script).name
            shutil.copyfile(scripts / script, target)
            target.chmod(0o755)
        if version_of(made / "pulumi") < OLDEST:
            raise Problem("the built pulumi doesn't run; remove the cache and try again")
