"""The doctor's rows about this machine and what `make` has installed on it. Only Docker is asked."""

from __future__ import annotations

import gzip
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from local import cache, docker, emulator, processes, pulumi_cli, pulumi_plugins, say, system
from local.paths import cache as cache_folder
from local.settings import Place

# The local stack's containers may take 3.1 GiB together (their limits), and Pulumi runs beside them.
MEMORY_GIB = 4
OLDEST_PYTHON, OLDEST_KERNEL = (3, 11), (5, 9)
# linux/capability.h
NET_ADMIN, SYS_ADMIN = 12, 21
DOCKER_SITE = "https://docs.docker.com/engine/install/"


@dataclass(frozen=True)
class Row:
    """One requirement: whether it is met, and what to do if not."""

    name: str
    state: Literal["ok", "missing", "old"]
    words: str
    # Whether a person has to act first: make installs the rest by itself.
    stops: bool = False


def python(interpreter: str, *, by_make: bool = True) -> Row:
    """Its version, and whether it can create virtualenvs: make needs less for that than `pulumi install`."""
    asked = "import sys; print('%d.%d.%d' % sys.version_info[:3]); import ensurepip"
    done = say.capture([interpreter, "-c", asked])
    version = done.stdout.strip()
    if _version(version) < OLDEST_PYTHON:
        return Row("python", "old", f"{version}; 3.11 or newer: make PYTHON=/path/to/python3", stops=True)
    if done.returncode == 0 or (by_make and say.have("uv")):
        return Row("python", "ok", version)
    return _installable("python", f"{version} can't create virtualenvs", ["python3-venv"], by_make=by_make)


def by_hand(program: str, package: str, *, stops: bool) -> Row:
    """A program that people use and make doesn't install."""
    if say.have(program):
        return Row(program, "ok", "")
    return _installable(program, "not here", [package], stops=stops, by_make=False)


def docker_engine() -> Row:
    """The local stack's engine; `make up` installs and starts it if it may."""
    if docker.answers():
        return Row("docker", "ok", docker.must("version", "--format", "{{.Server.Version}}"))
    if not (say.have("docker") and (system.have_program("dockerd") or docker.host() != docker.SOCKET)):
        return _installable("docker", f"not installed ({DOCKER_SITE})", ["docker.io"])
    words = docker.complaint()
    if "too old" in words:
        return Row("docker", "old", f"{words}: install a newer docker command", stops=True)
    if docker.host() != docker.SOCKET:
        return Row("docker", "missing", f"campus.dockerHost doesn't answer ({words}): start it", stops=True)
    if "permission denied" in words.lower():
        do = "`sudo usermod -aG docker $USER`, then log in again"
        return Row("docker", "missing", f"you may not use it: {do}", stops=True)
    if system.is_root():
        return Row("docker", "missing", "not running: `make up` starts it")
    return Row("docker", "missing", "not running: `sudo systemctl start docker`", stops=True)


def pulumi() -> Row:
    """The local stack's Pulumi: on PATH, or our own copy."""
    folder = pulumi_cli.find()
    if folder is not None:
        where = "the cache" if cache_folder() in folder.parents else str(folder)
        return Row("pulumi", "ok", f"{shown(pulumi_cli.version_of(folder / 'pulumi'))} in {where}")
    get = f"`make up` gets {pulumi_cli.VERSION}, or builds it in ten minutes if the download is refused"
    if say.have("pulumi"):
        return Row("pulumi", "old", f"before {shown(pulumi_cli.OLDEST)} or without its Python host: {get}")
    return Row("pulumi", "missing", get)


def plugins(refusals: cache.Refusals) -> Row:
    """Pulumi's plugins: the official ones, or their replacements."""
    folder = pulumi_cli.find()
    absent = list(pulumi_plugins.PLUGINS) if folder is None else pulumi_plugins.missing(folder)
    if not absent:
        return Row("plugins", "ok", ", ".join(f"{n} {v}" for n, v in pulumi_plugins.PLUGINS.items()))
    wanted = [name for name in absent if not pulumi_plugins.refused_lately(name, refusals)]
    if wanted:
        return Row("plugins", "missing", f"{', '.join(wanted)}: `make up` installs them")
    words = ", ".join(f"{name} was refused: {pulumi_plugins.IN_PLACE[name]}" for name in absent)
    return Row("plugins", "ok", f"{words}; for the local stack only")


def disk(places: list[Path], gib: float) -> Row:
    """Free space in these places (GiB)."""
    there = [next(one for one in (place, *place.parents) if one.exists()) for place in places]
    free, where = min((shutil.disk_usage(place).free / 2**30, place) for place in there)
    if free >= gib:
        return Row("disk", "ok", f"{free:.0f} GiB free")
    return Row("disk", "missing", f"{free:.0f} GiB free at {where}: make room for {gib:g} GiB", stops=True)


def memory(meminfo: Path) -> Row:
    """The machine's memory (GiB)."""
    gib = int(_found(r"^MemTotal: +(\d+) kB", meminfo)) / 2**20
    if gib >= MEMORY_GIB * 0.9:  # MemTotal lacks the kernel's own part
        return Row("memory", "ok", f"{gib:.1f} GiB")
    return Row("memory", "missing", f"{gib:.1f} GiB: the stack needs {MEMORY_GIB} GiB", stops=True)


def ports(place: Place) -> list[Row]:
    """The ports that the local stack takes on this machine; its own programs may have them already."""
    caddy = docker.is_running(f"{place.name_prefix}caddy")
    address, port = emulator.address(place.emulator)
    return [
        _port("campus-monitor:edge.httpPort", place.http_port, caddy),
        _port("campus-monitor:edge.httpsPort", place.https_port, caddy),
        _port(emulator.KEY, port, processes.pid_of(emulator.NAME) is not None, address),
    ]


def _port(key: str, port: int, ours: bool, address: str = "") -> Row:
    if ours or system.port_is_free(port, address):
        return Row(f"port {port}", "ok", "the local stack's own" if ours else "free")
    return Row(f"port {port}", "missing", str(system.port_taken(port, key)), stops=True)


def kernel(name: str, release: str, root: Path) -> Row:
    """Linux, new enough for the port policy, with nftables built in or as a module."""
    if name != "Linux" or _version(release) < OLDEST_KERNEL:
        words = f"{name} {release}: Linux {shown(OLDEST_KERNEL)} or newer, in a virtual machine if necessary"
        return Row("kernel", "old", words, stops=True)
    modules = root / "lib/modules" / release
    listed = [_text(modules / "modules.builtin"), _text(modules / "modules.dep")]
    configured = [_text(root / "proc/config.gz"), _text(root / "boot" / f"config-{release}")]
    if (
        (root / "sys/module/nf_tables").exists()
        or any("/nf_tables.ko" in text for text in listed)
        or any(re.search(r"^CONFIG_NF_TABLES=[ym]$", text, re.MULTILINE) for text in configured)
    ):
        return Row("kernel", "ok", f"{release} with nftables")
    return Row("kernel", "missing", f"{release} has no nftables: install its modules", stops=True)


def rights(status: Path) -> Row:
    """The rights that `make test` needs to create network namespaces and its own Docker."""
    held = int(_found(r"^CapEff:\s+([0-9a-f]+)", status), 16)
    if all(held >> bit & 1 for bit in (NET_ADMIN, SYS_ADMIN)):
        return Row("root", "ok", "`make test` may create its namespaces")
    return Row("root", "missing", "only for `make test`: `sudo make test`, not in an unprivileged container")


def test_programs() -> Row:
    """The programs that `make test` runs."""
    wanted = {**system.TEST_PROGRAMS, "dockerd": "docker.io"}
    absent = {program: package for program, package in wanted.items() if not system.have_program(program)}
    if not absent:
        return Row("for tests", "ok", ", ".join(wanted))
    return _installable("for tests", f"no {', '.join(absent)}", sorted({*absent.values()}), stops=False)


def _installable(
    name: str, words: str, packages: list[str], *, stops: bool = True, by_make: bool = True
) -> Row:
    """A row for Debian packages; make installs them if `by_make` and if it may."""
    if system.is_debian() and system.is_root() and by_make:
        return Row(name, "missing", f"{words}: make installs {', '.join(packages)}")
    # A fresh Debian has no sudo.
    sudo = "" if system.is_root() else "sudo "
    do = (
        f"`{sudo}apt-get install {' '.join(packages)}`"
        if system.is_debian()
        else f"install {' '.join(packages)}"
    )
    return Row(name, "missing", f"{words}: {do}", stops)


def _found(pattern: str, path: Path) -> str:
    """The match of the pattern's first group in a file of the kernel's."""
    match = re.search(pattern, path.read_text(), re.MULTILINE)
    if match is None:
        raise ValueError(f"{path} has nothing like {pattern!r}")
    return match[1]


def _text(path: Path) -> str:
    """A file's text, unpacked; empty if it can't be read."""
    try:
        return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()
    except OSError:
        return ""


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def shown(version: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(str(part) for part in version)
