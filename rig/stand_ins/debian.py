"""Debian, from the mirror that this machine's apt uses: a base system, and files of packages."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from local import cache, say, system
from local.paths import cache as cache_folder
from local.say import Problem

SUITE = "bookworm"
BASE_SECONDS = 100
# What Debian's slim images leave out; the same stays out when packages are added later.
LEFT_OUT = ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale")
BASE_RECIPE = "2"


@dataclass(frozen=True)
class Source:
    """One of apt's sources: a line without its `deb`."""

    uri: str
    suite: str
    origin: str


def make_base(tar: Path) -> None:
    """A minimal Debian system as a tar."""
    if not system.is_root():
        raise Problem("Docker Hub refuses debian:bookworm-slim: run make as root to make it here")
    main, *more = _sources()
    system.ensure_programs({"debootstrap": "debootstrap"}, "to make Debian's base image")
    log = cache_folder() / "logs" / "debootstrap.log"
    log.unlink(missing_ok=True)
    say.step(f"making Debian's base system (usually {say.duration(BASE_SECONDS)})")
    folder = cache_folder() / "tmp" / "debian"
    cache.remove(folder)
    folder.mkdir(parents=True)
    certificates = ["--include=ca-certificates"] if main.uri.startswith("https") else []
    try:
        say.watched(
            "debootstrap",
            # What it mounts below the folder is gone with it, even if it is killed.
            [
                "unshare",
                "--mount",
                "debootstrap",
                "--variant=minbase",
                *certificates,
                SUITE,
                folder,
                main.uri,
            ],
            log,
            usual=BASE_SECONDS,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
        _finish(folder, [main, *more])
        done = say.capture(
            ["tar", "--create", "--numeric-owner", "--one-file-system", "--file", tar,
             "--directory", folder, "."],
            seconds=300,
        )  # fmt: skip
        if done.returncode != 0:
            raise Problem(f"tar of Debian's base system failed: {say.last_line(done.stderr)}")
    finally:
        cache.remove(folder)


def _finish(folder: Path, sources: list[Source]) -> None:
    """Slim it, and let apt in a container know the machine's mirror and proxy."""
    lines = [f"deb {source.uri} {source.suite} main" for source in sources]
    (folder / "etc/apt/sources.list").write_text("\n".join(lines) + "\n")
    proxy = say.capture(["apt-config", "dump"]).stdout.splitlines()
    kept = [line for line in proxy if "::Proxy " in line and line.startswith("Acquire::http")]
    if kept:
        (folder / "etc/apt/apt.conf.d/90proxy").write_text("\n".join(kept) + "\n")
    excludes = [f"path-exclude /{path}/*" for path in LEFT_OUT]
    (folder / "etc/dpkg/dpkg.cfg.d/docker").write_text("\n".join(excludes) + "\n")
    for path in (*LEFT_OUT, "var/cache/apt", "var/lib/apt/lists"):
        cache.remove(folder / path)
        (folder / path).mkdir(parents=True)
    for path in (folder / "var/log").rglob("*"):
        if path.is_file():
            path.unlink()
    for path in ("etc/hostname", "etc/resolv.conf"):
        (folder / path).unlink(missing_ok=True)


def _sources() -> list[Source]:
    """The machine's sources of the suite and its security updates, the main one first."""
    if not system.is_debian():
        raise Problem(
            "Docker Hub refuses Debian's image, and this machine has no apt to make one with: "
            "let Docker pull debian:bookworm-slim, or use a Debian machine"
        )
    targets = say.capture(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(ORIGIN) $(COMPONENT)",
         "Created-By: Packages"]
    ).stdout  # fmt: skip
    found = parse_sources(targets)
    if not found:
        raise Problem(
            "Docker Hub refuses Debian's image, and this machine's apt has no Debian source to "
            "make one from: let Docker pull debian:bookworm-slim, or use a Debian machine"
        )
    return found


def parse_sources(targets: str) -> list[Source]:
    """The Debian sources in apt's list of `URI release origin component` lines."""
    mirror: list[Source] = []
    security: list[Source] = []
    for line in targets.splitlines():
        parts = line.split()
        if len(parts) != 4 or parts[2] != "Debian" or parts[3] != "main":
            continue
        uri, release, origin, _ = parts
        if release.endswith("-security"):
            security.append(Source(uri, f"{SUITE}-security", origin))
        elif not release.endswith(("-updates", "-backports")):
            mirror.append(Source(uri, SUITE, origin))
    return [*dict.fromkeys(mirror[:1]), *dict.fromkeys(security[:1])]


def unpack_packages(packages: list[str], into: Path, without: str) -> None:
    """The files of some packages, not installed; `without` is what is said to a machine without apt."""
    if not system.is_debian():
        raise Problem(without)
    into.mkdir(parents=True)
    downloads = into.with_name(into.name + ".packages")
    downloads.mkdir()
    command = ["apt-get", "download", "-q", *packages]
    done = say.capture(command, cwd=downloads, seconds=300)
    if done.returncode != 0 and system.is_root():
        say.capture(["apt-get", "update", "-q"], seconds=300)
        done = say.capture(command, cwd=downloads, seconds=300)
    if done.returncode != 0:
        raise Problem(f"apt-get download failed: {say.last_line(done.stderr)}")
    for package in sorted(downloads.glob("*.deb")):
        unpacked = say.capture(["dpkg-deb", "--extract", package, into])
        if unpacked.returncode != 0:
            raise Problem(f"{package.name} can't be unpacked: {say.last_line(unpacked.stderr)}")
