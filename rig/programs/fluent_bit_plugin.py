"""Grafana's Fluent Bit plugin as a program, for the tests: no registry has Fluent Bit.

The plugin's own sources are copied from the pinned Loki module for the build, and never kept here.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from local import cache, go
from local.paths import cache as cache_folder
from rig.paths import GO
from rig.stand_ins.stand_in_images import LOKI_MODULE, LOKI_VERSION

MODULE = "fluent-bit-plugin"
# All of the plugin except its binding to C.
SOURCES = ("config.go", "loki.go", "buffer.go", "dque.go", "client.go")
# After a build of Loki; alone it takes minutes.
SECONDS = 30


def program() -> Path:
    """The program's path, if it was built."""
    return cache_folder() / "bin" / f"{MODULE}-{LOKI_VERSION}" / MODULE


def ensure() -> None:
    """Build it if it is missing."""
    folder = program().parent
    key = cache.key_of(LOKI_VERSION, GO / MODULE)
    if cache.is_whole(folder, key):
        return
    source = go.module_source(GO / MODULE, LOKI_MODULE) / "clients/cmd/fluent-bit"
    with cache.new_folder(folder, key) as made, tempfile.TemporaryDirectory() as build:
        for path in (*(GO / MODULE).iterdir(), *(source / name for name in SOURCES)):
            # The module cache is read-only, and a copy with its mode would be too.
            shutil.copyfile(path, Path(build) / path.name)
        go.build(GO / MODULE, ["."], made, usual=SECONDS, folder=Path(build))
