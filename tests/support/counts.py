"""The size of a suite: small in `make test`, which people wait for, full in `make soak`."""

from __future__ import annotations

import os


def count(*, test: int, soak: int) -> int:
    """The number of cases for the running make target."""
    return soak if os.environ.get("CAMPUS_MONITOR_TARGET") == "soak" else test
