r"""What messages to people are made of: a document of blocks, parsed from a filled template. Pure.

A template is written in a small part of Markdown. What it was filled with is marked by `as_value` and never parsed:
whatever a call says is text of one span. Each sink writes the document in its own vendor's terms.

    # title            one line                      **bold**
    ## heading         goes where nothing follows    [label](https://crm.example.com/?q={{ event.caller.e164 }})
    - item             of a list                     \* \[ \] \# \- \\ are the characters themselves
    -# fine print      small                         other lines are text; a blank line begins a new block

Links are the template's own: http and https with a host that no value is part of, mailto and tel. Values in a link
are percent-encoded.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final
from urllib.parse import quote

from router.errors import Discreet
from router.text import collapsed, one_line, readable


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of text within one line, as people are to read it: nothing in it is markup."""

    text: str
    bold: bool = False
    #: Where it leads, as the template says.
    link: str | None = None


#: A line of text, or an item of a list; an empty one parts paragraphs.
Line = tuple[Span, ...]


class Style(StrEnum):
    """What a block is. A title and a heading have one line."""

    TITLE = "title"
    HEADING = "heading"
    TEXT = "text"
    ITEMS = "items"
    FINE_PRINT = "fine print"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that belong together; the first of them says something."""

    style: Style
    lines: tuple[Line, ...]


#: A message, from top to bottom.
Document = tuple[Block, ...]


def plain_line(line: Line) -> str:
    """Its text, and nothing else."""
    return "".join(span.text for span in line)


def clipped(line: Line, start: int, end: int) -> Line:
    """Its characters from `start` up to `end`."""
    kept: list[Span] = []
    for span in line:
        if text := span.text[max(start, 0) : max(end, 0)]:
            kept.append(Span(text, span.bold, span.link))
        start -= len(span.text)
        end -= len(span.text)
    return tuple(kept)


def stripped(line: Line) -> Line:
    """Without white space at its ends, and without spans that are empty."""
    text = plain_line(line)
    return clipped(line, len(text) - len(text.lstrip()), len(text.rstrip()))


def plain_text(document: Iterable[Block]) -> str:
    """The document where there is no markup at all.

    Blank lines stand between blocks, none below a heading; dashes before items; what a link leads to behind it.
    """
    text = ""
    below_heading = False
    for block in document:
        mark = "- " if block.style is Style.ITEMS else ""
        text += "" if not text else "\n" if below_heading else "\n\n"
        text += "\n".join(mark + "".join(map(_with_link, line)) for line in block.lines)
        below_heading = block.style is Style.HEADING
    return text


def _with_link(span: Span) -> str:
    return span.text if span.link is None or span.link == span.text else f"{span.text} ({span.link})"


# --- values ---

#: What was filled in stands between the first two; the third is a line break in it. They are noncharacters, which
#: `readable` lets through nowhere.
_OPEN, _CLOSE, _BREAK = "\ufdd0", "\ufdd1", "\ufdd2"


def as_value(value: Any) -> str:
    """What a template is filled with, as `parse` tells it from the template's own text; None is nothing.

    What a template has filled and kept (`{% set %}`, a macro) is a value as a whole.
    """
    if value is None:
        return ""
    return _OPEN + readable(str(value).replace(_BREAK, "\n")).replace("\n", _BREAK) + _CLOSE


# --- parsing ---

_STYLES: Final = {"#": Style.TITLE, "##": Style.HEADING, "-": Style.ITEMS, "-#": Style.FINE_PRINT}
#: In these, line breaks of a value are line breaks.
_OF_LINES: Final = (Style.TEXT, Style.FINE_PRINT)
_STYLED: Final = re.compile(r"[ \t]*(##?|-#?)[ \t]+(.*)", re.DOTALL)
_VALUE: Final = f"{_OPEN}[^{_CLOSE}]*{_CLOSE}"
_INLINE: Final = re.compile(
    rf"\[(?P<label>(?:{_VALUE}|\\.|[^\[\]\\{_OPEN}])*)\]\((?P<link>(?:{_VALUE}|[^()\s{_OPEN}])+)\)"
    rf"|(?P<bold>\*\*)|\\(?P<escaped>[\\*\[\]#-])|(?P<value>{_VALUE})|(?P<text>[^\[\\*{_OPEN}]+|.)",
    re.DOTALL,
)
#: Browsers and vendors take hardly more; and what a link takes must not be what makes a message too long.
_LONGEST_LINK: Final = 2000
#: A host that is written out, up to where something else begins; or a scheme that has none.
_LEADS_SOMEWHERE: Final = re.compile(rf"https?://[^/?#@{_OPEN}]+(?:[/?#]|$)|mailto:|tel:", re.IGNORECASE)


def parse(text: str) -> Document:
    """The document that a filled template is. Raises ValueError where a link of the template is none."""
    blocks: list[tuple[Style, list[Line]]] = []
    parted = True  # whether the next line begins a block of its own
    for written in text.split("\n"):
        styled = _STYLED.fullmatch(written)
        style = _STYLES[styled[1]] if styled else Style.TEXT
        lines = _lines(styled[2] if styled else written, style)
        if not lines:
            parted = True
            continue
        joins = style is Style.ITEMS or (style in _OF_LINES and not parted)
        if not (joins and blocks and blocks[-1][0] is style):
            blocks.append((style, []))
        blocks[-1][1].extend(lines)
        parted = False
    return tuple(_followed([Block(style, tuple(lines)) for style, lines in blocks]))


def _followed(blocks: list[Block]) -> Iterator[Block]:
    """Without the headings that have nothing below them."""
    for block, following in pairwise([*blocks, None]):
        if block is not None and (
            block.style is not Style.HEADING or (following and following.style in (Style.TEXT, Style.ITEMS))
        ):
            yield block


def _lines(written: str, style: Style) -> list[Line]:
    """One line of a template: several where a value has line breaks and the style shows them, none where it is blank."""
    lines: list[list[Span]] = [[]]
    for span in _spans(written, link=None):
        broken = span.text.split(_BREAK) if style in _OF_LINES else [collapsed(span.text.replace(_BREAK, " "))]
        for at, text in enumerate(broken):
            if at:
                lines.append([])
            lines[-1].append(Span(text, span.bold, span.link))
    return _trimmed(stripped(tuple(line)) for line in lines)


def _trimmed(lines: Iterable[Line]) -> list[Line]:
    """Without lines in which nothing can be seen at both ends, and with one at most, an empty one, in between."""
    kept: list[Line] = []
    for line in lines:
        if one_line(plain_line(line)):
            kept.append(line)
        elif kept and kept[-1]:
            kept.append(())
    return kept[:-1] if kept and not kept[-1] else kept


def _spans(written: str, *, link: str | None, bold: bool = False) -> Iterator[Span]:
    """The pieces of one line of a template. Text that stands side by side is one piece."""
    text = ""
    for match in _INLINE.finditer(written):
        match match.lastgroup:
            case "bold":
                if text:
                    yield Span(text, bold, link)
                text, bold = "", not bold
            case "link":
                if text:
                    yield Span(text, bold, link)
                text = ""
                yield from _spans(match["label"], link=_link(match["link"]), bold=bold)
            case "value":
                text += match[0][1:-1]
            case "escaped":
                text += match["escaped"]
            case _:
                text += match[0]
    if text:
        yield Span(text, bold, link)


def _link(written: str) -> str | None:
    """Where it leads; None where all that would lead there is missing, or too long for a link."""
    if not _LEADS_SOMEWHERE.match(written):
        shown = written.partition(_OPEN)[0]
        message = f"the link {shown!r} has to begin with https:// or http:// and a host written out, mailto: or tel:"
        raise Discreet(message, instead=message.replace(f" {shown!r}", ""))
    scheme, _, rest = written.partition(":")
    safe = "" if rest.startswith("//") else "+@"
    url = re.sub(_VALUE, lambda value: quote(one_line(value[0][1:-1].replace(_BREAK, " ")), safe=safe), rest)
    return f"{scheme.lower()}:{url}" if url and len(url) <= _LONGEST_LINK else None
