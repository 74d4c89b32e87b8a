"""A Loki's settings, and the real program's check of its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.loki.config import render_loki_config, ring_member
from components.loki.settings import LokiSettings
from components.stack.settings import parse
from tests.support.programs import run


def loki_instance(**changes: Any) -> LokiSettings:
    """The settings of one Loki."""
    return LokiSettings.model_validate({"port": 3100, "route": "/lokiaws", "allow": ["nat"], **changes})


def replica_config(tree: dict[str, Any], number: int) -> str:
    """The configuration of one of the replicas of `aws`."""
    settings = parse(tree)
    placement = settings.placements["aws"]
    member = ring_member(placement, placement.replicas[number])
    return render_loki_config(settings.loki.instances["aws"], member)


def verify(loki: str, folder: Path, config: str) -> str:
    """All of the real Loki's settings with a configuration, as it prints them (YAML)."""
    path = folder / "config.yaml"
    path.write_text(config)
    quietly = ("-verify-config", "-print-config-stderr", "-log.level=error")
    return run(loki, *quietly, f"-config.file={path}", stream="stderr")
