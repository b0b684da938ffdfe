"""What the tests of chats share: a far side that keeps a vendor's rules, and a reader of Markdown."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import chain, combinations

from aiohttp import web
from markdown_it import MarkdownIt

from router import Part
from router.testing import Behaviour, FakeEndpoint, Received

#: What is wrong with a request, as the vendor sees it; None: nothing.
Rules = Callable[[Received], str | None]


@asynccontextmanager
async def vendor(rules: Rules, taken: web.Response | Callable[[], web.Response]) -> AsyncIterator[FakeEndpoint]:
    """An endpoint that answers `taken`, and refuses with a 400 whatever breaks the rules."""
    async with FakeEndpoint() as endpoint:
        endpoint.answer(_keeping(endpoint, rules, taken if callable(taken) else lambda: taken))
        yield endpoint


def _keeping(endpoint: FakeEndpoint, rules: Rules, taken: Callable[[], web.Response]) -> Behaviour:
    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        wrong = rules(endpoint.requests[-1])
        return taken() if wrong is None else web.json_response({"wrong": wrong}, status=400)

    return answer


def every_choice_of_parts() -> Iterator[tuple[Part, ...]]:
    """All that `send` can be."""
    return chain.from_iterable(combinations(Part, count) for count in range(len(Part) + 1))


#: What our own messages have of it.
_OURS = frozenset(
    {
        *("paragraph_open", "paragraph_close", "inline", "text", "softbreak", "strong_open", "strong_close"),
        *("bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    }
)
_READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def foreign_markup(text: str) -> set[str]:
    """What a reader of Markdown finds in a message that none of ours has: links, headings, code, quotes, …"""
    tokens = _READER.parse(text)
    found = {token.type for outer in tokens for token in (outer, *(outer.children or ()))}
    return {kind for kind in found - _OURS if kind != "text_special"}


def shown(text: str) -> str:
    """The message without the backslashes that were sent for its sake."""
    return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", text)
