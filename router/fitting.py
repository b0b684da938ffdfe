"""Making a message fit: its longest blocks cut, with a visible mark, and blocks parted where a vendor has a limit. Pure.

Vendors count what they are sent, escapes and all, each in a unit of its own. So a `Size` says what a block takes as the
sink will write it; it grows with the block's text, and is never less than its number of characters.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, dropwhile
from typing import Final

from router.markup import Block, Document, Line, Span, Style, clipped, plain_line
from router.text import parting

#: What a block takes of a limit.
Size = Callable[[Block], int]

#: Stands where something was left out.
MARK: Final = "…"
_LEFT_OUT: Final = Block(Style.TEXT, ((Span(MARK),),))
#: What a block is left, besides its mark: a text and a list enough to say something, the others all that they should be.
_LEAST: Final = {Style.TEXT: 40, Style.ITEMS: 40, Style.TITLE: 300, Style.HEADING: 300, Style.FINE_PRINT: 300}


def utf16(text: str) -> int:
    """The length in UTF-16 code units: what many vendors call characters."""
    return len(text.encode("utf-16-le", errors="surrogatepass")) // 2


def utf8(text: str) -> int:
    """The length in bytes of UTF-8."""
    return len(text.encode(errors="replace"))


def fitted(document: Document, budget: int, size: Size) -> Document:
    """The document within `budget`: its longest texts and lists are cut, all to the same size.

    Where that would leave nothing to read of them, blocks go from the rear, but for fine print at the very end; where
    not even two would be left, the first one is all there is. It is within any budget that has room for a mark.
    """
    sizes = list(map(size, document))
    if sum(sizes) <= budget:
        return document
    least = list(map(_least, document, sizes, [size] * len(document)))
    if sum(least) > budget:
        foot = len(document) - (document[-1].style is Style.FINE_PRINT)
        room = budget - size(_LEFT_OUT) - sum(least[foot:])
        kept = bisect_right(list(accumulate(least[:foot])), room)
        if not kept:
            return (_cut(document[0], budget, size),)
        document = (*document[:kept], _LEFT_OUT, *document[foot:])
        sizes = [*sizes[:kept], size(_LEFT_OUT), *sizes[foot:]]
        least = [*least[:kept], size(_LEFT_OUT), *least[foot:]]

    def total(level: int) -> int:
        return sum(min(own, max(level, floor)) for own, floor in zip(sizes, least, strict=True))

    level = bisect_right(range(budget + 1), budget, key=total) - 1
    return tuple(shortened(block, max(level, floor), size) for block, floor in zip(document, least, strict=True))


def _least(block: Block, own: int, size: Size) -> int:
    """What it is cut to at most, as long as any of it stays."""
    return min(own, size(Block(block.style, _LEFT_OUT.lines)) + _LEAST[block.style])


def shortened(block: Block, most: int, size: Size) -> Block:
    """The block in a size of `most`, with a mark where it was cut; the mark alone where nothing else fits."""
    return _cut(block, most, size) if _exceeds(block, most, size) else block


def _cut(block: Block, most: int, size: Size) -> Block:
    start, _ = _parts(block, most + 1)  # no more of it can stay, and the search is to cost no more
    length = bisect_right(range(1, most + 1), most, key=lambda length: size(_marked(start, length)))
    return _marked(start, length)


def parted(block: Block, most: int, size: Size) -> Iterator[Block]:
    """The block as blocks of a size of `most` each: cut between lines where there are some, or else between words.

    White space at the cuts is all that goes. A letter that takes more than `most` is a block of its own.
    """
    waiting = deque(block.lines)
    while waiting:
        part = Block(block.style, tuple(_taken(waiting, most)))
        if _exceeds(part, most, size):
            start, _ = _parts(part, most + 1)
            length = bisect_right(range(1, most + 1), most, key=lambda length: size(_parts(start, length)[0]))
            part, rest = _parts(part, _good_place(start, length or 1))
            waiting.extendleft(reversed(rest.lines))
        if part.lines:
            yield part


def _taken(waiting: deque[Line], most: int) -> Iterator[Line]:
    """Lines with more characters than that, or all that are left."""
    while waiting and most >= 0:
        most -= len(plain_line(waiting[0]))
        yield waiting.popleft()


def _exceeds(block: Block, most: int, size: Size) -> bool:
    """Whether it takes more; of a block that is far too long, only the beginning is looked at."""
    lengths = accumulate(len(plain_line(line)) for line in block.lines)
    return any(length > most for length in lengths) or size(block) > most


def _text(block: Block) -> str:
    return "\n".join(map(plain_line, block.lines))


def _good_place(block: Block, length: int) -> int:
    """The last end of a line up to there, or of a word, if that leaves at least half of it."""
    text = _text(block)
    for end in ("\n", " "):
        if (place := text.rfind(end, 0, length + 1)) > length // 2:
            return place
    return parting(text, length) or length


def _marked(block: Block, length: int) -> Block:
    """Its first characters (a line break is one), and the mark."""
    first, _ = _parts(block, parting(_text(block), length))
    *lines, last = first.lines or ((),)
    *spans, end = last or (Span(""),)
    return Block(block.style, (*lines, (*spans, Span(end.text + MARK, end.bold, end.link))))


def _parts(block: Block, length: int) -> tuple[Block, Block]:
    """The block up to there, and the rest of it, without the white space and empty lines in between."""
    for at, line in enumerate(block.lines):
        text = plain_line(line)
        if length <= len(text):
            before = (*block.lines[:at], clipped(line, 0, len(text[:length].rstrip())))
            behind = (clipped(line, len(text) - len(text[length:].lstrip()), len(text)), *block.lines[at + 1 :])
            return Block(block.style, _without_empty(before[::-1])[::-1]), Block(block.style, _without_empty(behind))
        length -= len(text) + 1
    return block, Block(block.style, ())


def _without_empty(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Without empty ones at their beginning."""
    return tuple(dropwhile(lambda line: not line, lines))
