"""What a page of a mail may be made of."""

from __future__ import annotations

import re
from html.parser import HTMLParser


class Page(HTMLParser):
    """Only our own elements and attributes, each closed."""

    ATTRIBUTES = frozenset(
        {"style", "class", "dir", "lang", "charset", "name", "content", "role", "width", "cellpadding", "cellspacing",
         "border", "align", "href"}
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []
        self.styles: set[str] = set()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append(tag)
        assert {name for name, _ in attributes} <= self.ATTRIBUTES
        self.styles |= {value or "" for name, value in attributes if name == "style"}
        assert not [value for name, value in attributes if name == "href"]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_decl(self, decl: str) -> None:
        assert decl == "DOCTYPE html"

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def check_page(html: str) -> None:
    page = Page()
    page.feed(html)
    page.close()
    assert page.open == []
    assert set(page.found) <= {
        "html", "head", "meta", "style", "body", "table", "tr", "td", "h1", "h2", "p", "ul", "li", "br", "bdi", "strong",
    }  # fmt: skip
    assert page.found.count("style") == page.found.count("h1") + ("h1" not in page.found) == 1
    assert not re.search(r"url\(|@import|expression|https?:", "".join(page.styles))
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u200b\x00-\x09\x0b-\x1f]", html)
