# pyright: strict
"""Keeps other stacks' state and secrets out of the local stack's backend (a shell with `.local/env`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from components.stack.settings import Settings
from components.values.errors import SettingsError

# `make down` removes it (local/paths.py).
LOCAL = Path(__file__).resolve().parents[2] / ".local"


def check_state(settings: Settings, environment: Mapping[str, str], local: Path = LOCAL) -> None:
    """Raise a SettingsError if a stack in the real AWS would use the local backend or passphrase.

    Pulumi prefers a passphrase to a passphrase file, so the file counts only without a passphrase.
    """
    if settings.aws.emulator is not None:
        return
    backend = urlsplit(environment.get("PULUMI_BACKEND_URL", ""))
    places = {"PULUMI_BACKEND_URL": unquote(backend.path) if backend.scheme == "file" else ""}
    if not environment.get("PULUMI_CONFIG_PASSPHRASE"):
        places["PULUMI_CONFIG_PASSPHRASE_FILE"] = environment.get("PULUMI_CONFIG_PASSPHRASE_FILE", "")
    problems = [
        f"{name}: it is the local stack's, which `make down` removes, and this stack is in the real AWS: "
        f"use a shell without .local/env (docs/state.md), received {environment[name]!r}"
        for name, place in places.items()
        if place and Path(place).resolve().is_relative_to(local)
    ]
    if problems:
        raise SettingsError(problems)
