# pyright: strict
"""How an OpenTelemetry Collector of the stack pushes to Prometheus. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The gate and the reader let 64 KB through, uncompressed.
PUSH_BYTES = 50_000


def otlp_exporter(url: str, queue_bytes: int, login: Mapping[str, Any]) -> dict[str, Any]:
    """The exporter's configuration: it tries for ever, and keeps this much in memory meanwhile."""
    return {
        "metrics_endpoint": url,
        # A compressed push is refused.
        "compression": "none",
        **login,
        # Without an end: a full queue drops what is new.
        "retry_on_failure": {"max_elapsed_time": "0s", "max_interval": "30s"},
        "sending_queue": {
            "num_consumers": 1,
            "sizer": "bytes",
            "queue_size": queue_bytes,
            "batch": {
                "sizer": "bytes",
                "flush_timeout": "1s",
                "min_size": PUSH_BYTES,
                "max_size": PUSH_BYTES,
            },
        },
    }
