"""Paths: the work tree, its local folder and the cache outside it."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCAL = ROOT / ".local"
RUN = LOCAL / "run"
STATE = LOCAL / "state"
PASSPHRASE = LOCAL / "passphrase"
ENV_FILE = LOCAL / "env"
VENV = ROOT / ".venv"
STACK_SETTINGS = ROOT / "Pulumi.local.yaml"
# The Go modules that `make up` builds from.
GO = ROOT / "local" / "go"
STAND_IN_PLUGINS = ROOT / "rig" / "plugins" / "bin"


def cache() -> Path:
    """The folder of everything outside the work tree."""
    own = os.environ.get("CAMPUS_MONITOR_CACHE")
    if own:
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "campus-monitor"
