"""loki-canary, for the tests: Loki's own client that counts lost lines.

A build of Loki includes it; if Loki's image was pulled, it is built alone.
"""

from __future__ import annotations

from pathlib import Path

from local import cache, go
from local.paths import cache as cache_folder
from rig.paths import GO
from rig.stand_ins.stand_in_images import LOKI_MODULE, LOKI_VERSION

NAME = "loki-canary"
# After a build of Grafana's Fluent Bit plugin, which has most of its packages.
SECONDS = 30


def program() -> Path:
    """The program's path, if it was built."""
    bin_folder = cache_folder() / "bin"
    beside_loki = bin_folder / f"loki-{LOKI_VERSION}" / NAME
    return beside_loki if beside_loki.exists() else bin_folder / f"{NAME}-{LOKI_VERSION}" / NAME


def ensure() -> None:
    """Build it if it is missing."""
    if program().exists():  # a folder of programs is replaced as a whole
        return
    with cache.new_folder(program().parent, cache.key_of(LOKI_VERSION, GO / "loki")) as made:
        go.build(GO / "loki", [f"{LOKI_MODULE}/cmd/{NAME}"], made, usual=SECONDS)
