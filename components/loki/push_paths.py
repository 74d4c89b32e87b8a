# pyright: strict
"""A Loki's paths for pushes, and the largest push on each. Pure."""

from __future__ import annotations

from components.edge.guarded_backend import Pushes, PushPath
from components.loki.settings import LokiSettings

# Its memory has room for this many of the worst (config.py).
PUSHES_AT_ONCE = 2
PUSH_PATH = "/loki/api/v1/push"
# The largest honest push, as sent (docs/loki.md, "What a push may be"): Fluent Bit's own output turns a chunk
# of 2 MB into JSON, twice that if its text isn't ASCII. OpenTelemetry's grows more inside.
LOKIS_OWN = PushPath(path=PUSH_PATH, max_body="5MB")
# Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector".
OTLP = PushPath(path="/otlp/v1/logs", max_body="2MB", name="otlp")


def pushes(loki: LokiSettings) -> Pushes:
    """The pushes that this Loki gets."""
    return Pushes(paths=(LOKIS_OWN, OTLP) if loki.otlp else (LOKIS_OWN,), at_once=PUSHES_AT_ONCE)
