# pyright: strict
"""Prometheus' paths for pushes, and the largest push on each. Pure."""

from __future__ import annotations

from components.edge.guarded_backend import Pushes, PushPath
from components.prometheus.memory_limit import pushes_within
from components.prometheus.settings import PrometheusSettings

# Its memory has room for one of the worst (config.py).
PUSHES_AT_ONCE = 1
# Prometheus' documentation, "Remote Write tuning": a request has 2,000 samples at most by default
# (max_samples_per_send), some 60 KB with snappy.
REMOTE_WRITE = PushPath(path="/api/v1/write", max_body="256KB")
# Prometheus' documentation, "Using Prometheus as your OpenTelemetry backend".
OTLP = PushPath(path="/api/v1/otlp/v1/metrics", max_body="64KB", name="otlp", is_plain=True)

# By the protocols' names in the output `metrics_push_urls`.
METRICS_PATHS = {"remote_write": REMOTE_WRITE, "otlp": OTLP}


def pushes(prometheus: PrometheusSettings) -> Pushes:
    """The pushes that Prometheus gets."""
    return Pushes(
        paths=tuple(METRICS_PATHS.values()),
        at_once=PUSHES_AT_ONCE,
        only_while=pushes_within(prometheus.memory_bytes),
    )
