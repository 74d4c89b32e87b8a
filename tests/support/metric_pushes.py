"""Pushes of metrics, byte by byte: honest ones, and the worst that the gate lets through."""

from __future__ import annotations

import gzip
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.support.protobuf import field, snappy, varint

REMOTE_WRITE = "/metrics/api/v1/write"
OTLP = "/metrics/api/v1/otlp/v1/metrics"
_SNAPPY = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}
_PROTOBUF = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True)
class MetricPush:
    """One push."""

    path: str
    headers: Mapping[str, str]
    body: bytes


def remote_write(series: Mapping[str, float], labels: Mapping[str, str] | None = None) -> MetricPush:
    """One sample now of each of these series, by their names, with these labels."""
    now = int(time.time() * 1000)
    more = b"".join(_label(name, value) for name, value in (labels or {}).items())
    made = b"".join(
        field(1, _label("__name__", name) + more + _sample(value, now)) for name, value in series.items()
    )
    return MetricPush(REMOTE_WRITE, _SNAPPY, snappy(made))


def bombs(unpacked: int, plain: int) -> dict[str, Callable[[], MetricPush]]:
    """The functions that build each bomb: `unpacked` bytes by remote write, or `plain` of OpenTelemetry."""
    return {
        "series": lambda: _packed(field(1, b"") * (unpacked // 2)),
        "samples": lambda: _packed(field(1, _label("__name__", "a") + field(2, b"") * (unpacked // 2))),
        "labels": lambda: _packed(field(1, field(1, b"") * (unpacked // 2))),
        "a huge label": lambda: _packed(
            field(1, _label("__name__", "a") + _label("b", "c" * unpacked) + _sample(1, 1))
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
    return MetricPush(REMOTE_WRITE, _SNAPPY, snappy(body))


def _metrics(metrics: bytes) -> bytes:
    return field(1, field(2, metrics))


def _label(name: str, value: str) -> bytes:
    return field(1, field(1, name.encode()) + field(2, value.encode()))


def _sample(value: float, at_ms: int) -> bytes:
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms))
