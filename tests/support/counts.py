"""How much a suite tries: little in `make test`, which people wait for, the full count in `make soak`."""

from __future__ import annotations

import os


def count(*, test: int, soak: int) -> int:
    """The number of cases for the make target that runs."""
    return soak if os.environ.get("CAMPUS_MONITOR_TARGET") == "soak" else test
