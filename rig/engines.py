"""The Docker Engines that the rig may run, by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rig.programs import engines as built

# Names the engine of a whole run.
VARIABLE = "CAMPUS_MONITOR_ENGINE"
# The engine of most users.
USUAL = "29"
# The image store of engines before containerd's.
OVERLAY2 = ("--storage-driver", "overlay2")


@dataclass(frozen=True)
class Engine:
    """A kind of Docker Engine that users have."""

    name: str
    # The prefix of its version.
    release: str
    options: Sequence[str] = OVERLAY2
    # Whether `make install` builds it; else it is on PATH, from Debian's docker.io.
    is_built: bool = True

    @property
    def has_nftables(self) -> bool:
        """Whether it uses nftables instead of iptables."""
        return "--firewall-backend=nftables" in self.options

    @property
    def is_open(self) -> bool:
        """Whether it lets everybody route straight to a container, as before Docker 28."""
        return self.release == "20.10"

    def folders(self) -> list[Path]:
        """Its programs' folders for the front of PATH; if they are missing, an error says how to get them."""
        found = built.folders(self.release) if self.is_built else []
        for folder in found:
            if not folder.exists():
                raise RuntimeError(f"Docker Engine {self.name} isn't built: `python3 -m rig engines`")
        return found


ENGINES = {
    engine.name: engine
    for engine in (
        Engine("20.10", "20.10", is_built=False),
        Engine("28", "28"),
        Engine("29", "29"),
        Engine("29-nftables", "29", (*OVERLAY2, "--firewall-backend=nftables")),
        Engine("29-containerd", "29", ("--feature", "containerd-snapshotter=true")),
    )
}


def chosen() -> Engine:
    """The engine of this run: the default, or the one in the environment."""
    name = os.environ.get(VARIABLE) or USUAL
    if name not in ENGINES:
        raise ValueError(f"{VARIABLE}: one of {', '.join(ENGINES)}, received {name}")
    return ENGINES[name]
