"""What makes the pictures of docs/sinks/: they show what was sent, all of it, and are small."""

from __future__ import annotations

import json
import random
import struct
import zlib
from typing import Any

import pytest

import viewers
from png import label_of, small
from router.registry import load_kinds
from router.testing import Received

WIDTH, HEIGHT = 40, 30


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def screenshot(lines: list[bytes], *, depth: int = 8) -> bytes:
    """A PNG of these lines, each filtered in the next of the five ways that there are."""
    data, above = b"", bytes(WIDTH * 3)
    for number, line in enumerate(lines):
        left = [bytes(3) + of[:-3] for of in (line, above)]
        guesses = [
            bytes(WIDTH * 3),
            left[0],
            above,
            bytes((a + b) // 2 for a, b in zip(left[0], above, strict=True)),
            bytes(
                min((a, b, c), key=lambda value, near=a + b - c: abs(near - value))  # type: ignore[misc] # a default
                for a, b, c in zip(left[0], above, left[1], strict=True)
            ),
        ]
        guess = guesses[number % 5]
        data += bytes([number % 5]) + bytes((one - two) % 256 for one, two in zip(line, guess, strict=True))
        above = line
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, 2, 0, 0, 0)
    both = [zlib.compress(data)[:50], zlib.compress(data)[50:]]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(chunk(b"IDAT", part) for part in both)
        + chunk(b"IEND", b"")
    )


def pixels(png: bytes) -> list[bytes]:
    """Of a PNG with a palette."""
    palette = png.partition(b"PLTE")[2]
    length = int.from_bytes(png[png.index(b"IDAT") - 4 :][:4], "big")
    data = zlib.decompress(png.partition(b"IDAT")[2][:length])
    lines = [data[at + 1 : at + 1 + WIDTH] for at in range(0, len(data), WIDTH + 1)]
    return [b"".join(palette[place * 3 : place * 3 + 3] for place in line) for line in lines]


def drawing(colours: int) -> list[bytes]:
    chance = random.Random(1)
    palette = [chance.randbytes(3) for _ in range(colours)]
    return [b"".join(chance.choice(palette) for _ in range(WIDTH)) for _ in range(HEIGHT)]


def test_a_picture_of_few_colours_is_the_same_and_has_its_label() -> None:
    lines = drawing(200)
    assert pixels(small(screenshot(lines), "of this")) == lines
    assert label_of(small(screenshot(lines), "of this")) == "of this"
    assert label_of(screenshot(lines)) is None


def test_a_picture_of_many_colours_has_the_nearest() -> None:
    lines = [bytes([100, 100, 100]) * 39 + bytes([number, 0, 0]) for number in range(HEIGHT)]
    assert pixels(small(screenshot(lines), "x")) == lines
    many = drawing(1000)
    shown = b"".join(pixels(small(screenshot(many), "x")))
    assert len({shown[at : at + 3] for at in range(0, len(shown), 3)}) == 256


def test_another_kind_of_png_is_refused() -> None:
    with pytest.raises(ValueError, match="no such PNG"):
        small(screenshot(drawing(2), depth=16), "x")


SENT: list[tuple[str, dict[str, Any]]] = [
    ("slack", {"blocks": [{"type": "image"}]}),
    ("slack", {"blocks": [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "user"}]}]}]}),
    ("teams", {"attachments": [{"content": {"body": [{"type": "Image"}]}}]}),
    ("mattermost", {"text": "", "attachments": [{"image_url": "https://example.com"}]}),
    ("discord", {"content": "", "embeds": [{"image": {}}]}),
    ("telegram", {"text": "x", "parse_mode": "Markdown"}),
    ("telegram", {"text": "x", "entities": [{"type": "mention", "offset": 0, "length": 1}]}),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "sent"), SENT)
def test_a_viewer_fails_for_what_it_cannot_show(kind: str, sent: dict[str, Any]) -> None:
    with pytest.raises(viewers.UnknownError):
        viewers.VIEWERS[kind](Received("POST", "/", {}, json.dumps(sent).encode()))


def test_every_viewer_is_of_a_kind() -> None:
    assert viewers.VIEWERS.keys() <= load_kinds(environ={}).keys()
