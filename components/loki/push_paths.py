# pyright: strict
"""A Loki's paths for pushes, and the largest push on each. Pure."""

from __future__ import annotations

from components.edge.guarded_backend import Pushes, PushPath
from components.loki.settings import LokiSettings

# A Loki's memory at rest, and that of the worst push, measured (config.py).
_AT_REST_BYTES, _WORST_PUSH_BYTES = 116 << 20, 320 << 20
# More are no faster: bench/pushes.py.
_MOST_AT_ONCE = 4
PUSH_PATH = "/loki/api/v1/push"
# The largest honest push, as sent (docs/loki.md, "What a push may be"): Fluent Bit's own output turns a chunk
# of 2 MB into JSON, twice that if its text isn't ASCII. OpenTelemetry's grows more inside.
LOKIS_OWN = PushPath(path=PUSH_PATH, max_body="5MB")
# Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector".
OTLP = PushPath(path="/otlp/v1/logs", max_body="2MB", name="otlp")


def pushes(loki: LokiSettings) -> Pushes:
    """The pushes that this Loki gets."""
    return Pushes(paths=(LOKIS_OWN, OTLP) if loki.otlp else (LOKIS_OWN,), at_once=_at_once(loki))


def _at_once(loki: LokiSettings) -> int:
    """The number of the worst pushes that fit into its memory together."""
    return min((loki.go_memory_bytes - _AT_REST_BYTES) // _WORST_PUSH_BYTES, _MOST_AT_ONCE)
