"""Pulumi's Docker plugin, built from the Go modules that Pulumi builds its own from.

For machines that can't download the official plugin: the same bridge over the same provider, with the stack's
resource types alone. rig/plugins/README.md says what else differs.
"""

from __future__ import annotations

from pathlib import Path

from local import cache, go
from local.paths import GO
from local.paths import cache as cache_folder

MODULE = "docker-plugin"
# With an empty build cache.
SECONDS = 240


def folder(version: str) -> Path:
    """The program's folder, if it was built."""
    return cache_folder() / "bin" / f"{MODULE}-{version}"


def ensure(version: str) -> Path:
    """The folder to put on PATH. The plugin reports that version, as the engine asks for one."""
    there, key = folder(version), cache.key_of(version, GO / MODULE)
    if not cache.is_whole(there, key):
        flags = f"-X main.version={version}"
        with cache.new_folder(there, key) as made:
            # Without Docker Compose, which the stack's resource types don't need.
            go.build(GO / MODULE, ["."], made, usual=SECONDS, ldflags=flags, tags="no_compose")
    return there
