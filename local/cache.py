"""The cache outside the work tree: complete folders with a key, and refusals, which expire."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from local import say
from local.paths import cache
from local.say import Problem

REFUSAL_SECONDS = 6 * 3600
KEY_FILE = ".key"
# Set where Pulumi's own plugins and every image are available: CI on GitHub.
OFFICIAL_ONLY = "CAMPUS_MONITOR_OFFICIAL_ONLY"


def key_of(*parts: str | bytes | Path) -> str:
    """The key of what is made from these texts and files (folders: every file)."""
    digest = hashlib.sha256()
    for part in parts:
        for name, content in _contents(part):
            digest.update(f"{len(name)} {len(content)} {name}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:32]


def _contents(part: str | bytes | Path) -> Iterable[tuple[str, bytes]]:
    if isinstance(part, str):
        return [("", part.encode())]
    if isinstance(part, bytes):
        return [("", part)]
    if part.is_dir():
        files = sorted(path for path in part.rglob("*") if path.is_file())
        return [(str(path.relative_to(part)), path.read_bytes()) for path in files]
    return [(part.name, part.read_bytes())]


def is_whole(folder: Path, key: str) -> bool:
    """Whether the folder is complete and was made with this key."""
    try:
        return (folder / KEY_FILE).read_text() == key
    except OSError:
        return False


@contextmanager
def new_folder(folder: Path, key: str) -> Iterator[Path]:
    """A temporary folder that replaces `folder` when the block succeeds."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left_over in folder.parent.glob(f".{folder.name}.*"):
        remove(left_over)  # left by a killed process: who fills the cache holds its lock
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as made:
        inner = Path(made) / "whole"
        inner.mkdir()
        yield inner
        (inner / KEY_FILE).write_text(key)
        if folder.exists():
            folder.rename(Path(made) / "old")
        inner.rename(folder)


@contextmanager
def new_file(path: Path) -> Iterator[Path]:
    """A temporary path whose file replaces `path` when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.parent / f".{path.name}.{os.getpid()}"
    try:
        yield made
        made.replace(path)
    finally:
        made.unlink(missing_ok=True)


@contextmanager
def lock() -> Iterator[None]:
    """One installer at a time: a second installer waits for the first, and says so."""
    folder = cache()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say.note(f"another make is filling the cache {folder}; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class Refusals:
    """Which official downloads were refused, so that a warm run doesn't try each of them again.

    Only refusals are remembered, never a success, and each for a few hours only. With OFFICIAL_ONLY set, a
    refusal is a Problem: nothing replaces what is official.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or cache() / "refusals.json"

    def remembers(self, route: str) -> bool:
        """Whether the route was refused within the last hours."""
        age = time.time() - self._read().get(route, 0)
        return not os.environ.get(OFFICIAL_ONLY) and 0 <= age < REFUSAL_SECONDS

    def was_refused(self, route: str) -> bool:
        """Whether the route was refused when it was last tried, however long ago."""
        return route in self._read()

    def remember(self, route: str) -> None:
        """Note that the route was refused just now."""
        if os.environ.get(OFFICIAL_ONLY):
            raise Problem(f"{route}: refused, and with {OFFICIAL_ONLY} nothing replaces it; try again later")
        self._write(self._read() | {route: time.time()})

    def forget(self, route: str) -> None:
        """Note that the route works."""
        known = self._read()
        if known.pop(route, None) is not None:
            self._write(known)

    def _read(self) -> dict[str, float]:
        try:
            known = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        if not isinstance(known, dict):
            return {}
        return {str(k): float(v) for k, v in known.items() if isinstance(v, int | float)}

    def _write(self, known: dict[str, float]) -> None:
        with new_file(self._path) as made:
            made.write_text(json.dumps(known, indent=1))


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
