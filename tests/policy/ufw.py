"""Debian's real ufw on the campus server alone: in its network, with its own files."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rig.namespaces import Namespace
from rig.run import Run

# The files that ufw writes: its rules, its settings, and its lock in /run.
KEPT = ("/etc/ufw", "/etc/default/ufw")
# Mounted over the machine's own, which ufw must not change.
COMMAND = """
set -e
for path in /etc/ufw /etc/default/ufw; do mount --bind "$0$path" "$path"; done
mount -t tmpfs tmpfs /run
exec ufw "$@"
"""
COUNTERS = re.compile(r"\[\d+:\d+\]")


@dataclass(frozen=True)
class Ufw:
    """ufw for an administrator of the campus server."""

    campus: Namespace
    folder: Path

    def __call__(self, *arguments: str) -> str:
        """Run a ufw command; returns its output."""
        there = ["nsenter", f"--net={self.campus.path}", "unshare", "--mount"]
        command = [*there, "sh", "-c", COMMAND, str(self.folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"ufw {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout


@contextmanager
def ufw_on(campus: Namespace, run: Run) -> Iterator[Ufw]:
    """ufw with Debian's settings, not enabled; other rules are restored at the end."""
    folder = run.folder / "ufw"
    for path in KEPT:
        copy = folder / path.lstrip("/")
        copy.parent.mkdir(parents=True, exist_ok=True)
        if Path(path).is_dir():
            shutil.copytree(path, copy)
        else:
            shutil.copy(path, copy)
    try:
        with others_kept(campus):
            yield Ufw(campus, folder)
    finally:
        shutil.rmtree(folder)


@contextmanager
def others_kept(campus: Namespace) -> Iterator[None]:
    """All rules except ours, ufw's and Docker's, are restored at the end."""
    before = {program: campus.run(f"{program}-save").stdout for program in ("iptables", "ip6tables")}
    tables = {table: campus.run("nft", "list", "table", *table).stdout for table in _dockers_tables(campus)}
    try:
        yield
    finally:
        for program, rules in before.items():
            _restore(campus, f"{program}-restore", rules)
        for (family, name), rules in tables.items():
            _restore(
                campus, "nft", f"table {family} {name}\ndelete table {family} {name}\n{rules}", "-f", "-"
            )


def others_rules(campus: Namespace) -> list[str]:
    """All rules except ours as lines, without counters."""
    found: list[str] = []
    for program in ("iptables", "ip6tables"):
        lines = campus.run(f"{program}-save").stdout.splitlines()
        found += [COUNTERS.sub("", line) for line in lines if not line.startswith("#")]
    for table in _dockers_tables(campus):
        found += campus.run("nft", "--stateless", "list", "table", *table).stdout.splitlines()
    return found


def _dockers_tables(campus: Namespace) -> list[tuple[str, str]]:
    """The tables of Docker's nftables backend, as family and name."""
    tables = [line.split()[1:] for line in campus.run("nft", "list", "tables").stdout.splitlines()]
    return [(family, name) for family, name in tables if name.startswith("docker-")]


def _restore(campus: Namespace, program: str, rules: str, *arguments: str) -> None:
    command = ["nsenter", f"--net={campus.path}", program, *arguments]
    subprocess.run(command, input=rules, text=True, check=True)
