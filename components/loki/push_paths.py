# pyright: strict
"""A Loki's paths for pushes, and the largest push on each. Pure."""

from __future__ import annotations

from components.edge.caddyfile import PushPath
from components.loki.settings import LokiSettings

PUSH_PATH = "/loki/api/v1/push"
# The largest honest push, as sent (docs/loki.md, "What a push may be"): Fluent Bit's own output turns a chunk
# of 2 MB into JSON, twice that if its text isn't ASCII. OpenTelemetry's grows more inside.
LOKIS_OWN = PushPath(path=PUSH_PATH, max_body="5MB")
# Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector".
OTLP = PushPath(path="/otlp/v1/logs", max_body="2MB", name="otlp")


def push_paths(loki: LokiSettings) -> tuple[PushPath, ...]:
    """The paths for pushes to this Loki."""
    return (LOKIS_OWN, OTLP) if loki.otlp else (LOKIS_OWN,)
