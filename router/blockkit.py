"""A message in the blocks of Slack. Pure.

It is a header, one rich text and a small line below it. Rich text (docs.slack.dev/reference/block-kit/blocks/
rich-text-block) is what Slack's own composer sends: its elements hold plain text, styles stand beside it. So nothing
that a call says can be a mention, a link, an emoji or a format, lists are real lists, and nothing has to be escaped.
Header, small line and notification are text objects: there `&`, `<` and `>` are escaped before anything is cut
(docs.slack.dev/messaging/formatting-message-text).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from router.excerpt import exact_json
from router.fitting import fitted, parted, shortened, utf16
from router.markup import Block, Document, Line, Style, plain_line

#: Characters of a header, and of any other text (docs.slack.dev/reference/block-kit/blocks/header-block,
#: …/composition-objects/text-object).
_HEADER, _TEXT = 150, 3_000
#: Of all blocks together, as JSON. Slack names no number; what is known is that about 13,200 with its own containers
#: are refused (github.com/slackapi/bolt-js/issues/2509 and 2867), and that `<` counts as `&lt;`.
_MESSAGE = 12_000
#: What a block counts besides. Slack counts about 100; with this there is no room for more than its 50 blocks.
_BLOCK = 240
#: What a further section counts, where a text is parted.
_SECTION = 120


def slack_blocks(document: Document) -> list[dict[str, Any]]:
    """The document in Slack's blocks, cut to Slack's limits."""
    return _blocks(_cut(document))


def slack_escaped(text: str) -> str:
    """As a text object of Slack's takes it: nothing in it is a mention, a link or an entity."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _stands_alone(block: Block) -> bool:
    """Whether it is a block of Slack's by itself: a header, or a small line, which can have no links."""
    linked = any(span.link for line in block.lines for span in line)
    return block.style is Style.TITLE or (block.style is Style.FINE_PRINT and not linked)


def _cut(document: Document) -> Document:
    """The document within Slack's limits. Where its blocks alone take too much room, there will be fewer."""
    whole = tuple(map(_short, _joined(document)))
    most = room = _MESSAGE - _BLOCK
    while sum(map(_size, cut := fitted(whole, most, _size))) > room:
        most = most * 3 // 4
    return cut


def _joined(document: Document) -> Iterator[Block]:
    """Paragraphs that follow one another as one text, so that they are cut as one."""
    for style, run in groupby(document, lambda block: block.style):
        if style is Style.TEXT:
            yield Block(style, tuple(line for block in run for line in ((), *block.lines))[1:])
        else:
            yield from run


def _short(block: Block) -> Block:
    """A header, a small line and each item of a list within what one of them may have."""
    if block.style is Style.ITEMS:
        items = (shortened(replace(block, lines=(line,)), _TEXT, _length).lines[0] for line in block.lines)
        return replace(block, lines=tuple(items))
    if _stands_alone(block):
        return shortened(block, _HEADER if block.style is Style.TITLE else _TEXT, _length)
    return block


def _length(block: Block) -> int:
    return utf16(slack_escaped("\n".join(map(plain_line, block.lines))))


def _size(block: Block) -> int:
    """What it takes of a message. What stands alone may be followed by a further rich text."""
    alone = _stands_alone(block)
    whole = alone or block.style is Style.ITEMS
    written = _blocks((block,)) if whole else [_section(block.lines, "\n", bold=block.style is Style.HEADING)]
    size = utf16(slack_escaped(exact_json(written).decode()))
    return size + (2 * _BLOCK if alone else _SECTION * (size // _TEXT))


def _blocks(document: Iterable[Block]) -> list[dict[str, Any]]:
    """Slack's blocks: what does not stand alone is one rich text, as a person's own message is."""
    blocks: list[dict[str, Any]] = []
    for alone, run in groupby(document, _stands_alone):
        if alone:
            blocks += map(_label, run)
        else:
            blocks.append({"type": "rich_text", "elements": list(_elements(run))})
    return blocks


def _label(block: Block) -> dict[str, Any]:
    text = slack_escaped("\n".join(map(plain_line, block.lines)))
    plain = {"type": "plain_text", "text": text, "emoji": False}
    if block.style is Style.TITLE:
        return {"type": "header", "text": plain}
    return {"type": "context", "elements": [plain]}


def _elements(run: Iterable[Block]) -> Iterator[dict[str, Any]]:
    """Sections and lists, a blank line before each paragraph but the first and those below a heading."""
    gap = ""
    for block in run:
        if block.style is Style.ITEMS:
            items = [_section((line,)) for line in block.lines]
            yield {"type": "rich_text_list", "style": "bullet", "elements": items}
        else:
            for part in parted(block, _TEXT - 1, _length):
                yield _section(part.lines, gap, bold=block.style is Style.HEADING)
                gap = ""
        gap = "" if block.style is Style.HEADING else "\n"


def _section(lines: Iterable[Line], before: str = "", *, bold: bool = False) -> dict[str, Any]:
    elements: list[dict[str, Any]] = []
    for line in lines:
        for span in line:
            style = {"style": {"bold": True}} if bold or span.bold else {}
            if not span.link:
                elements.append({"type": "text", "text": before + span.text, **style})
            else:
                elements += [{"type": "text", "text": before}] if before else []
                elements.append({"type": "link", "url": span.link, "text": span.text, **style})
            before = ""
        before += "\n"
    return {"type": "rich_text_section", "elements": elements}
