"""The worst pushes: small bodies, within the limits, that are large in a Loki's memory.

The number of values fills memory, not their size: empty entries, streams and records, two bytes each in
protobuf (the tag and a length of 0).
"""

from __future__ import annotations

import gzip
import struct
import time
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache

from rig.protobuf import field, snappy, varint

LOKI_PATH = "/lokitest/loki/api/v1/push"
OTLP_PATH = "/lokitest/otlp/v1/logs"
_PROTOBUF = "application/x-protobuf"
_JSON = "application/json"


@dataclass(frozen=True)
class Bomb:
    """One such push."""

    path: str
    content_type: str
    body: bytes
    encoding: str | None = None
    # Whether its sender disconnects halfway.
    is_cut: bool = False

    @property
    def headers(self) -> Mapping[str, str]:
        """Its header fields."""
        encoding = {} if self.encoding is None else {"Content-Encoding": self.encoding}
        return {"Content-Type": self.content_type, **encoding}


def bombs(unpacked: int, plain: int, plain_otlp: int) -> dict[str, Callable[[], Bomb]]:
    """The functions that build each bomb, by name, as some are large.

    Compressed ones have `unpacked` bytes unpacked; others have `plain` and `plain_otlp` bytes.
    """
    now = time.time_ns()
    entries = field(1, field(1, b'{job="x"}') + field(2, b"") * (unpacked // 2 - 16))
    packed = cache(lambda: gzip.compress(snappy(entries)))
    streams = field(1, b"") * (unpacked // 2)
    lone_entries = field(1, field(2, b"")) * (unpacked // 4)
    values = b'{"streams":[{"stream":{"job":"x"},"values":[%s]}]}'
    tiny = b'["%d",""]' % now
    labels = cache(lambda: b"{%s}" % b",".join(b'l%d="v"' % number for number in range(unpacked // 14)))
    records = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%s]}]}]}'
    # With different times, so that Loki stores them all.
    short = cache(
        lambda: b",".join(b'["%d","x"]' % (now + at) for at in range((plain - 100) // len(tiny + b"x,")))
    )
    return {
        "entries, snappy": lambda: Bomb(LOKI_PATH, _PROTOBUF, snappy(entries)),
        "entries, snappy in gzip": lambda: Bomb(LOKI_PATH, _PROTOBUF, packed(), "gzip"),
        "streams, snappy": lambda: Bomb(LOKI_PATH, _PROTOBUF, snappy(streams)),
        "streams of an entry, snappy": lambda: Bomb(LOKI_PATH, _PROTOBUF, snappy(lone_entries)),
        "entries, JSON in gzip": lambda: Bomb(
            LOKI_PATH, _JSON, gzip.compress(values % _list(b"[]", unpacked)), "gzip"
        ),
        "entries, JSON": lambda: Bomb(LOKI_PATH, _JSON, values % _list(b'["0",""]', plain)),
        "entries of now, JSON": lambda: Bomb(LOKI_PATH, _JSON, values % _list(tiny, plain)),
        "short lines, JSON": lambda: Bomb(LOKI_PATH, _JSON, values % short()),
        "half of short lines, JSON": lambda: Bomb(LOKI_PATH, _JSON, values % short(), is_cut=True),
        "half of entries, snappy in gzip": lambda: Bomb(LOKI_PATH, _PROTOBUF, packed(), "gzip", is_cut=True),
        "entries, JSON in deflate": lambda: Bomb(
            LOKI_PATH, _JSON, _deflated(values % _list(b"[]", 50 * plain)), "deflate"
        ),
        "entries, JSON in gzip, much more than is taken": lambda: Bomb(
            LOKI_PATH, _JSON, gzip.compress(values % _list(b"[]", 50 * plain)), "gzip"
        ),
        "entries, JSON in snappy": lambda: Bomb(
            LOKI_PATH, _JSON, snappy(values % _list(b"[]", unpacked)), "snappy"
        ),
        "entries, snappy in gzip in gzip": lambda: Bomb(
            LOKI_PATH, _PROTOBUF, gzip.compress(packed()), "gzip, gzip"
        ),
        "brackets, JSON": lambda: Bomb(LOKI_PATH, _JSON, b'{"streams":[{"stream":' + b"[" * (plain - 100)),
        "groups, snappy": lambda: Bomb(LOKI_PATH, _PROTOBUF, snappy(b"\x0b" * unpacked)),
        "labels, snappy": lambda: Bomb(
            LOKI_PATH, _PROTOBUF, snappy(field(1, field(1, labels()) + field(2, b"")))
        ),
        "metadata, snappy": lambda: Bomb(
            LOKI_PATH,
            _PROTOBUF,
            snappy(field(1, field(1, b'{job="x"}') + field(2, field(3, b"") * (unpacked // 2 - 32)))),
        ),
        "streams, JSON": lambda: Bomb(LOKI_PATH, _JSON, b'{"streams":[%s]}' % _list(b"{}", plain)),
        "records, OpenTelemetry in gzip": lambda: Bomb(
            OTLP_PATH, _PROTOBUF, gzip.compress(_records(field(2, b"") * (unpacked // 2 - 16))), "gzip"
        ),
        "records, OpenTelemetry": lambda: Bomb(
            OTLP_PATH, _PROTOBUF, _records(field(2, b"") * (plain_otlp // 2 - 16))
        ),
        "records, OpenTelemetry's JSON": lambda: Bomb(OTLP_PATH, _JSON, records % _list(b"{}", plain_otlp)),
        "values in a value, OpenTelemetry": lambda: Bomb(
            OTLP_PATH, _PROTOBUF, gzip.compress(_record(_values(unpacked - 64))), "gzip"
        ),
        "a value in a value in a value, OpenTelemetry": lambda: Bomb(
            OTLP_PATH, _PROTOBUF, gzip.compress(_record(_nested(unpacked - 64))), "gzip"
        ),
        "a record's attributes, OpenTelemetry": lambda: Bomb(
            OTLP_PATH,
            _PROTOBUF,
            gzip.compress(_records(field(2, field(6, b"") * (unpacked // 2 - 32)))),
            "gzip",
        ),
        "a resource's attributes, OpenTelemetry": lambda: Bomb(
            OTLP_PATH, _PROTOBUF, gzip.compress(_copied(unpacked, now, of_scope=False)), "gzip"
        ),
        "a scope's attributes, OpenTelemetry": lambda: Bomb(
            OTLP_PATH, _PROTOBUF, gzip.compress(_copied(unpacked, now, of_scope=True)), "gzip"
        ),
    }  # fmt: skip


def _list(item: bytes, size: int) -> bytes:
    # Without `join`, which needs 80 bytes more per item.
    return (item + b",") * ((size - 100) // (len(item) + 1) - 1) + item


def _records(records: bytes) -> bytes:
    return field(1, field(2, records))


def _record(body: bytes) -> bytes:
    """One record with this body."""
    return _records(field(2, field(5, body)))


def _values(size: int) -> bytes:
    """An array of empty values."""
    return field(5, field(1, b"") * (size // 2))


def _nested(size: int) -> bytes:
    """Nested arrays."""
    heads: list[bytes] = []
    inside = 0
    while inside < size:
        value = b"\x0a" + varint(inside)
        head = b"\x2a" + varint(inside + len(value)) + value
        heads.append(head)
        inside += len(head)
    return b"".join(reversed(heads))


def _copied(size: int, now: int, *, of_scope: bool) -> bytes:
    """Half attributes, half lines: by default Loki copies each attribute to each line."""
    value = field(2, field(1, b"v"))
    # The attributes' field number, in a scope and in a resource.
    key = 3 if of_scope else 1
    names = b"".join(field(key, field(1, b"k%d" % number) + value) for number in range(size // 40))
    records = field(2, b"\x09" + struct.pack("<Q", now)) * (size // 24)
    if of_scope:
        return field(1, field(2, field(1, names) + records))
    return field(1, field(1, names) + field(2, records))


def _deflated(data: bytes) -> bytes:
    """Without zlib's header: only RFC 1951, like Go."""
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()
