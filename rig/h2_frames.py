"""What a server says over HTTP/2, apart from its GOAWAY.

The h2 library takes a GOAWAY for the end of everything. It is not (RFC 9113, 6.8): the server still
answers the streams up to the last one that it names, and has not looked at those after it.
"""

from __future__ import annotations

from collections.abc import Iterator

GOAWAY = 7  # RFC 9113, 6.8
FRAME_HEAD = 9


class ServerFrames:
    """Splits what arrives into frames and keeps each GOAWAY from the library."""

    def __init__(self) -> None:
        # What the last GOAWAY said; None before there was one.
        self.last_stream: int | None = None
        self.error_code: int | None = None
        self._waiting = bytearray()

    def passed(self, data: bytes) -> bytes:
        """The frames that these bytes complete, without any GOAWAY."""
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
        """Whether the server said that it has not looked at a stream, and never will."""
        return self.last_stream is not None and stream > self.last_stream

    def _whole(self) -> Iterator[bytes]:
        while len(self._waiting) >= FRAME_HEAD:
            size = FRAME_HEAD + int.from_bytes(self._waiting[:3])
            if len(self._waiting) < size:
                return
            frame = bytes(self._waiting[:size])
            del self._waiting[:size]
            yield frame
