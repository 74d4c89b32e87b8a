"""Protobuf's wire format and snappy, byte by byte, for pushes that no library would make."""

from __future__ import annotations


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
    """The data compressed with snappy (its format_description.txt), by copies from 64 bytes before."""
    made, at = bytearray(varint(len(data))), 0
    while at < len(data):
        same = 0
        while at >= 64 and same < 64 and at + same < len(data) and data[at + same] == data[at + same - 64]:
            same += 1
        if same >= 4:
            made += bytes([(same - 1) << 2 | 2]) + (64).to_bytes(2, "little")
            at += same
        else:
            piece = data[at : at + 60]
            made += bytes([(len(piece) - 1) << 2]) + piece
            at += len(piece)
    return bytes(made)
