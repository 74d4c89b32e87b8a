"""Prometheus' remote write 1.0, as its specification has it (prometheus.WriteRequest)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping

from rig.protobuf import field, snappy, varint

HEADERS = {
    "Content-Type": "application/x-protobuf",
    "Content-Encoding": "snappy",
    "X-Prometheus-Remote-Write-Version": "0.1.0",
}


def labels_of(name: str, labels: Mapping[str, str]) -> bytes:
    """The labels of a series, of which its name is the first."""
    return b"".join(
        field(1, field(1, key.encode()) + field(2, value.encode()))
        for key, value in {"__name__": name, **labels}.items()
    )


def sample(value: float, at_ms: int) -> bytes:
    """A sample, stamped in milliseconds since 1970."""
    return field(2, b"\x09" + struct.pack("<d", value) + b"\x10" + varint(at_ms))


def write_request(series: Iterable[bytes]) -> bytes:
    """The body of a push; each series is its labels and its samples."""
    return snappy(b"".join(field(1, one) for one in series))
