"""A server's HTTP/2 frames without its GOAWAY.

The h2 library ends a connection at a GOAWAY. But the server still answers the streams up to the last one
that it names, and hasn't processed later ones (RFC 9113, 6.8).
"""

from __future__ import annotations

from collections.abc import Iterator

GOAWAY = 7  # RFC 9113, 6.8
FRAME_HEAD = 9


class ServerFrames:
    """Splits incoming bytes into frames and hides each GOAWAY from the library."""

    def __init__(self) -> None:
        # The last GOAWAY's content; None before the first.
        self.last_stream: int | None = None
        self.error_code: int | None = None
        self._waiting = bytearray()

    def passed(self, data: bytes) -> bytes:
        """The frames that these bytes complete, without GOAWAY frames."""
        self._waiting += data
        passed = bytearray()
        for frame in self._whole():
            if frame[3] == GOAWAY:
                self.last_stream = int.from_bytes(frame[9:13]) & 0x7FFFFFFF
                self.error_code = int.from_bytes(frame[13:17])
            else:
                passed += frame
        return bytes(passed)

    def leaves_out(self, stream: int) -> bool:
        """Whether the server said that it won't process a stream."""
        return self.last_stream is not None and stream > self.last_stream

    def _whole(self) -> Iterator[bytes]:
        while len(self._waiting) >= FRAME_HEAD:
            size = FRAME_HEAD + int.from_bytes(self._waiting[:3])
            if len(self._waiting) < size:
                return
            frame = bytes(self._waiting[:size])
            del self._waiting[:size]
            yield frame
