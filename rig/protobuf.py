"""Protobuf's wire format, byte by byte, for pushes that no library would make; and snappy."""

from __future__ import annotations

import cramjam


def field(number: int, content: bytes) -> bytes:
    """A length-delimited protobuf field."""
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(number: int) -> bytes:
    """A number in seven-bit groups."""
    made = b""
    while number > 127:
        made += bytes([number & 127 | 128])
        number >>= 7
    return made + bytes([number])


def snappy(data: bytes) -> bytes:
    """The data compressed with snappy, as one block."""
    return bytes(cramjam.snappy.compress_raw(data))
