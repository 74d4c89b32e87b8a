# pyright: strict
"""The paths by which lines are pushed to a Loki, and what a push there may be. Pure."""

from __future__ import annotations

from components.edge.caddyfile import PushPath
from components.loki.settings import LokiSettings

PUSH_PATH = "/loki/api/v1/push"
# The largest honest push as it is sent (docs/loki.md, "What a push may be"): Fluent Bit's own output makes
# JSON of a chunk of 2 MB, twice that where its text isn't ASCII. OpenTelemetry's becomes more inside.
LOKIS_OWN = PushPath(path=PUSH_PATH, max_body="5MB")
# Loki's documentation, "Ingesting logs to Loki using OpenTelemetry Collector".
OTLP = PushPath(path="/otlp/v1/logs", max_body="2MB", name="otlp")


def push_paths(loki: LokiSettings) -> tuple[PushPath, ...]:
    """Where lines are pushed to this Loki."""
    return (LOKIS_OWN, OTLP) if loki.otlp else (LOKIS_OWN,)
