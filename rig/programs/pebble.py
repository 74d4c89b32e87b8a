"""Pebble, for the tests: Let's Encrypt's own small ACME authority, and its DNS server."""

from __future__ import annotations

from pathlib import Path

from local import cache, go
from local.paths import cache as cache_folder
from rig.paths import GO

VERSION = "2.10.3"
MODULE = "github.com/letsencrypt/pebble/v2"
# The authority, and its DNS server.
AUTHORITY, NAMES = "pebble", "pebble-challtestsrv"
SECONDS = 20


def program(name: str) -> Path:
    """The path of one of the two programs, if it was built."""
    return _folder() / name


def ensure() -> None:
    """Build them if they are missing."""
    key = cache.key_of(VERSION, GO / "pebble")
    if cache.is_whole(_folder(), key):
        return
    with cache.new_folder(_folder(), key) as made:
        go.build(GO / "pebble", [f"{MODULE}/cmd/{name}" for name in (AUTHORITY, NAMES)], made, usual=SECONDS)


def _folder() -> Path:
    return cache_folder() / "bin" / f"pebble-{VERSION}"
