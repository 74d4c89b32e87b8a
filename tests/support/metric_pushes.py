"""Pushes of metrics, byte by byte: honest ones, and the worst that the gate lets through."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rig.metrics import otlp_body
from rig.protobuf import field, snappy
from rig.remote_write import HEADERS, labels_of, sample, write_request

REMOTE_WRITE = "/metrics/api/v1/write"
OTLP = "/metrics/api/v1/otlp/v1/metrics"
_PROTOBUF = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True)
class MetricPush:
    """One push."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def remote_write(
    series: Mapping[str, float], labels: Mapping[str, str] | None = None, at: float | None = None
) -> MetricPush:
    """One sample of each of these series, by their names, with these labels; by default of now."""
    stamped = int((time.time() if at is None else at) * 1000)
    made = (labels_of(name, labels or {}) + sample(value, stamped) for name, value in series.items())
    return MetricPush(REMOTE_WRITE, HEADERS, write_request(made))


def otlp(name: str, value: float, at: float) -> MetricPush:
    """OpenTelemetry's push of one sample."""
    return MetricPush(OTLP, {"Content-Type": "application/json"}, otlp_body(name, value, at))


def bombs(unpacked: int, plain: int) -> dict[str, Callable[[], MetricPush]]:
    """The functions that build each bomb: `unpacked` bytes by remote write, or `plain` of OpenTelemetry."""
    return {
        "series": lambda: _packed(field(1, b"") * (unpacked // 2)),
        "samples": lambda: _packed(field(1, labels_of("a", {}) + field(2, b"") * (unpacked // 2))),
        "labels": lambda: _packed(field(1, field(1, b"") * (unpacked // 2))),
        "a huge label": lambda: _packed(
            field(1, labels_of("a", {"b": "c" * unpacked}) + sample(1, 1))
        ),
        "resources": lambda: MetricPush(OTLP, _PROTOBUF, field(1, b"") * (plain // 2)),
        "metrics": lambda: MetricPush(OTLP, _PROTOBUF, _metrics(field(2, b"") * (plain // 2 - 16))),
        "points": lambda: MetricPush(
            OTLP, _PROTOBUF, _metrics(field(2, field(1, b"a") + field(5, field(1, b"") * (plain // 2 - 32))))
        ),
        "resources in gzip": lambda: MetricPush(
            OTLP, _PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(field(1, b"") * (30 << 19))
        ),
    }  # fmt: skip


def _packed(body: bytes) -> MetricPush:
    return MetricPush(REMOTE_WRITE, HEADERS, snappy(body))


def _metrics(metrics: bytes) -> bytes:
    return field(1, field(2, metrics))
