"""Alloy's own parser as a program, for the tests: no registry has Alloy itself."""

from __future__ import annotations

from pathlib import Path

from local import cache, go
from local.paths import cache as cache_folder
from rig.paths import GO

MODULE = "alloy-syntax"
SECONDS = 15


def program() -> Path:
    """The program's path, if it was built."""
    return cache_folder() / "bin" / MODULE / MODULE


def ensure() -> None:
    """Build it if it is missing."""
    folder = program().parent
    key = cache.key_of(GO / MODULE)
    if cache.is_whole(folder, key):
        return
    with cache.new_folder(folder, key) as made:
        go.build(GO / MODULE, ["."], made, usual=SECONDS)
