"""Taking a content encoding off while a body comes in, with the limit on what comes out.

Not aiohttp's: that one takes a gzip body for whole that was cut off in the middle, and a call with it.
"""

from __future__ import annotations

import zlib
from typing import Final

#: Concatenated gzip streams in one body; nobody needs more, and thousands of empty ones only cost time.
_MOST_STREAMS: Final = 16
#: RFC 1950, section 2.2: the compression method in the low bits of a zlib header's first byte.
_ZLIB_METHOD: Final = 8

#: What a gzip begins with.
GZIP: Final = b"\x1f\x8b"

ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})


class Corrupt(ValueError):
    """The body is not what its encoding says, or is not complete."""


class TooLarge(ValueError):
    """More came out than the limit allows."""


def gunzipped(data: bytes, limit: int) -> bytes:
    """What is in a gzip that is all there. Raises `Corrupt` or `TooLarge`."""
    unpacking = Unpacking("gzip", limit)
    unpacking.feed(data)
    return unpacking.finish()


class Unpacking:
    """One body in one of `ENCODINGS`: feed what arrives, then finish. Raises `TooLarge` as soon as it is."""

    def __init__(self, encoding: str, limit: int) -> None:
        self._encoding = encoding
        self._limit = limit
        self._body = bytearray()
        self._stream: zlib._Decompress | None = None
        self._streams = 0

    @property
    def size(self) -> int:
        """Bytes that came out so far."""
        return len(self._body)

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises `Corrupt` where they cannot follow."""
        if self._encoding in ("", "identity"):
            self._take(data)
            return
        while data:
            if self._stream is None:
                self._stream = self._next_stream(data)
            try:
                self._take(self._stream.decompress(data, self._limit + 1 - len(self._body)))
            except zlib.error as error:
                raise Corrupt from error
            data = self._stream.unconsumed_tail
            if self._stream.eof:
                data, self._stream = self._stream.unused_data, None

    def finish(self) -> bytes:
        """The whole body. Raises `Corrupt` where the end is missing."""
        if self._stream is not None:
            raise Corrupt
        return bytes(self._body)

    def _take(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._limit:
            raise TooLarge

    def _next_stream(self, data: bytes) -> zlib._Decompress:
        self._streams += 1
        if self._streams > (_MOST_STREAMS if self._encoding == "gzip" else 1):
            raise Corrupt
        if self._encoding == "gzip":
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
        # `deflate` means zlib's format (RFC 9110, section 8.4.1.2); some senders leave its header out.
        return zlib.decompressobj(wbits=zlib.MAX_WBITS if data[0] & 0x0F == _ZLIB_METHOD else -zlib.MAX_WBITS)
