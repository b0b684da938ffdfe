"""A message as a page of HTML that mail clients show well: light and dark, on a phone and on a desk. Pure.

They take away what they do not know, so styles stand at the elements and what holds the page is a table; the one style
sheet adds the dark colours, and is not missed where it is dropped. Nothing is fetched from anywhere.
https://www.caniemail.com has which client knows what.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import Final

from router.markup import Block, Document, Line, Span, Style

#: What a link may lead to. `markup` lets no other through; this is the last door.
_LINK: Final = re.compile(r"(https?://[^\s/]|mailto:|tel:)", re.IGNORECASE)

#: Phone numbers stay on one line where there is one for them.
_WITHIN_A_NUMBER: Final = re.compile(r"(?<=\d) (?=\d)")

_FONT: Final = "font-family:-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif"
_WRAP: Final = "overflow-wrap:anywhere;word-break:break-word"


@dataclass(frozen=True, slots=True)
class _Look:
    """How a kind of element looks: its colour at the element, the dark one in the style sheet."""

    style: str
    light: str
    dark: str


_LOOKS: Final = {
    "title": _Look("margin:0 0 6px;font-size:22px;line-height:1.3;font-weight:700", "#14181f", "#f2f4f7"),
    "heading": _Look("margin:26px 0 8px;font-size:14px;line-height:1.4;font-weight:700", "#1f5f8b", "#8cc4ec"),
    "text": _Look("margin:0 0 12px;font-size:16px;line-height:1.55", "#262c36", "#d9dee6"),
    "item": _Look("margin:0 0 6px;padding:0 0 0 2px;font-size:16px;line-height:1.5", "#262c36", "#d9dee6"),
    "fine": _Look("margin:0 0 16px;font-size:13px;line-height:1.5", "#5c6675", "#9aa5b4"),
    "foot": _Look(
        "margin:28px 0 0;padding:14px 0 0;border-top:1px solid #dfe3e8;font-size:12px;line-height:1.5",
        "#5c6675",
        "#9aa5b4",
    ),
    "link": _Look("text-decoration:underline", "#1f5f8b", "#8cc4ec"),
}
_SHEET: Final = (
    ":root{color-scheme:light dark;supported-color-schemes:light dark}"
    "@media (max-width:480px){.room{padding:0!important}.card{padding:22px 18px!important;border-width:0!important;"
    "border-radius:0!important}}"
    "@media (prefers-color-scheme:dark){.page{background:#14171c!important}"
    ".card{background:#1d2127!important;border-color:#2e343d!important}"
    + "".join(f".{name}{{color:{look.dark}!important}}" for name, look in _LOOKS.items())
    + ".foot{border-color:#2e343d!important}}"
)


def html_page(document: Document, language: str) -> str:
    """The page. Every text is escaped; lines stay short of a thousand bytes only once the page is encoded."""
    body = "\n".join(_blocks(document))
    return f"""<!DOCTYPE html>
<html lang="{escape(language)}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<style>{_SHEET}</style>
</head>
<body class="page" style="margin:0;padding:0;background:#f1f3f6;-webkit-text-size-adjust:100%">
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0"
 style="background:#f1f3f6"><tr><td class="room" align="center" style="padding:28px 16px">
<table role="presentation" width="100%" cellpadding="0" cellspacing="0" border="0"
 style="max-width:640px;table-layout:fixed;border-collapse:separate"><tr><td class="card" align="left"
 style="padding:30px 36px;background:#ffffff;border:1px solid #dfe3e8;border-radius:12px;text-align:start;{_FONT};{_WRAP}">
{body}
</td></tr></table>
</td></tr></table>
</body>
</html>
"""


def _blocks(document: Document) -> Iterator[str]:
    last = document[-1] if document else None
    for block in document:
        match block.style:
            case Style.TITLE:
                yield from _paragraphs("h1", "title", block)
            case Style.HEADING:
                yield from _paragraphs("h2", "heading", block)
            case Style.TEXT:
                yield from _paragraphs("p", "text", block)
            case Style.ITEMS:
                items = "\n".join(_element("li", "item", [line]) for line in block.lines)
                yield f'<ul style="margin:0 0 12px;padding:0 0 0 22px">\n{items}\n</ul>'
            case Style.FINE_PRINT:
                yield from _paragraphs("p", "foot" if block is last else "fine", block)


def _paragraphs(tag: str, name: str, block: Block) -> Iterator[str]:
    """Its lines, in one element for each paragraph: empty lines part them."""
    for filled, lines in groupby(block.lines, key=bool):
        if filled:
            yield _element(tag, name, list(lines))


def _element(tag: str, name: str, lines: list[Line]) -> str:
    """`dir=auto`: what is written from right to left begins at the right."""
    inside = "<br>\n".join(map(_line, lines))
    if name == "fine":
        inside = _WITHIN_A_NUMBER.sub("\N{NO-BREAK SPACE}", inside)
    return f'<{tag} dir="auto" class="{name}" style="{_style(name)}">{inside}</{tag}>'


def _style(name: str) -> str:
    look = _LOOKS[name]
    return f"{look.style};color:{look.light}"


def _line(line: Line) -> str:
    """Pieces of a line are kept apart (`bdi`): what a call says turns nothing around it."""
    return "".join(_span(span, "{}" if len(line) == 1 else "<bdi>{}</bdi>") for span in line)


def _span(span: Span, around: str) -> str:
    text = around.format(escape(span.text))
    if span.bold:
        text = f"<strong>{text}</strong>"
    if span.link is not None and _LINK.match(span.link):
        text = f'<a class="link" href="{escape(span.link)}" style="{_style("link")}">{text}</a>'
    return text
