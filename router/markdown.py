r"""A message in the Markdown of a chat. Pure.

Chats agree on what is bold, a link and an item of a list. What else means something differs, and is taken away from
the text of a call by each chat's own `escape`, inside a line; what may open a block is escaped here. Where a backslash
stands before one of `- + * # > . )`, all of them show that character.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from router.fitting import fitted
from router.markup import Block, Document, Line, Span, Style

#: Bullets, headings, quotes, rules (some readers see one in `**---**`, too); and numbers of a list.
_OPENING = re.compile(r"[-+*#>]|\d{1,9}(?=[.)])")


@dataclass(frozen=True, slots=True)
class Markdown:
    """How a chat writes."""

    #: Takes the meaning away from text inside a line.
    escape: Callable[[str], str]
    #: The length of a text, as the vendor counts it.
    length: Callable[[str], int]

    def write(self, document: Document, budget: int) -> str:
        """The document within `budget`, cut where it has to be. Blank lines stand between blocks, none below a heading."""
        text = ""
        below_heading = False
        for block in fitted(document, budget, self._size):
            text += "" if not text else "\n" if below_heading else "\n\n"
            text += self._block(block)
            below_heading = block.style is Style.HEADING
        return text

    def _size(self, block: Block) -> int:
        return self.length(self._block(block)) + len("\n\n")

    def _block(self, block: Block) -> str:
        match block.style:
            case Style.TITLE | Style.HEADING:
                lines = [tuple(replace(span, bold=True) for span in line) for line in block.lines]
                return "\n".join(map(self._line, lines))
            case Style.ITEMS:
                return "\n".join(f"- {self._line(line)}" for line in block.lines)
            case Style.TEXT | Style.FINE_PRINT:
                return "\n".join(map(self._line, block.lines))

    def _line(self, line: Line) -> str:
        return "".join(self._span(span, opening=not at) for at, span in enumerate(line))

    def _span(self, span: Span, *, opening: bool) -> str:
        """Blanks stay outside: a mark beside one means nothing."""
        inside = span.text.strip()
        before, _, behind = span.text.partition(inside) if inside else (span.text, "", "")
        text = self.escape(inside)
        if matched := _OPENING.match(text) if opening else None:
            at = matched.end() if matched[0].isdigit() else 0
            text = f"{text[:at]}\\{text[at:]}"
        if text and span.link:
            text = f"[{text}]({span.link})"
        if text and span.bold:
            text = f"**{text}**"
        return f"{before}{text}{behind}"
