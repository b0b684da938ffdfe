"""PNGs made small, and labelled. Knows as much of the format as screenshots take: RGB, eight bits, not interlaced."""

from __future__ import annotations

import struct
import zlib
from collections import Counter
from collections.abc import Iterator
from typing import Final

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_KEYWORD: Final = b"Source\0"
_COLOURS: Final = 256


def small(png: bytes, label: str) -> bytes:
    """The same picture in 256 colours at most, the nearest to its own, with a label for `label_of`."""
    head = b"".join(content for name, content in _chunks(png) if name == b"IHDR")
    width, height, *kind = struct.unpack(">IIBBBBB", head)
    if kind != [8, 2, 0, 0, 0]:
        message = f"no such PNG is known here: {kind}"
        raise ValueError(message)
    data = zlib.decompress(b"".join(content for name, content in _chunks(png) if name == b"IDAT"))
    lines = list(_unfiltered(data, width * 3))
    counted = Counter(line[at : at + 3] for line in lines for at in range(0, width * 3, 3))
    palette = [colour for colour, _ in counted.most_common(_COLOURS)]
    place = {colour: palette.index(_nearest(colour, palette)) for colour in counted}
    pixels = b"".join(b"\0" + bytes(place[line[at : at + 3]] for at in range(0, width * 3, 3)) for line in lines)
    return _SIGNATURE + b"".join(
        _chunk(name, content)
        for name, content in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            (b"tEXt", _KEYWORD + label.encode()),
            (b"PLTE", b"".join(palette)),
            (b"IDAT", zlib.compress(pixels, 9)),
            (b"IEND", b""),
        )
    )


def label_of(png: bytes) -> str | None:
    """What `small` was told; None where it did not make this one."""
    labels = [content for name, content in _chunks(png) if name == b"tEXt" and content.startswith(_KEYWORD)]
    return labels[0].removeprefix(_KEYWORD).decode() if labels else None


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at < len(png):
        length, name = struct.unpack_from(">I4s", png, at)
        yield name, png[at + 8 : at + 8 + length]
        at += length + 12


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _nearest(colour: bytes, palette: list[bytes]) -> bytes:
    return min(palette, key=lambda other: sum((one - two) ** 2 for one, two in zip(colour, other, strict=True)))


def _unfiltered(data: bytes, width: int) -> Iterator[bytes]:
    """The lines, each told by its own filter from what is to the left (`a`), above (`b`), and both (`c`)."""
    above = bytearray(width)
    for begin in range(0, len(data), width + 1):
        line = bytearray(data[begin + 1 : begin + 1 + width])
        match data[begin]:
            case 1:
                for at in range(3, width):
                    line[at] = (line[at] + line[at - 3]) & 255
            case 2:
                line = bytearray((one + two) & 255 for one, two in zip(line, above, strict=True))
            case 3:
                for at in range(width):
                    line[at] = (line[at] + ((line[at - 3] if at > 2 else 0) + above[at]) // 2) & 255  # noqa: PLR2004
            case 4:
                for at in range(width):
                    a, c = (line[at - 3], above[at - 3]) if at > 2 else (0, 0)  # noqa: PLR2004 - a pixel
                    line[at] = (line[at] + _paeth(a, above[at], c)) & 255
        yield bytes(line)
        above = line


def _paeth(a: int, b: int, c: int) -> int:
    near = a + b - c
    return min((a, b, c), key=lambda value: abs(near - value))
