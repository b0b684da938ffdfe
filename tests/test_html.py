from __future__ import annotations

import re

from pages import check_page
from router.html import html_page
from router.markup import Block, Span, Style, as_value, parse


def test_links_are_those_of_the_template() -> None:
    link = "[" + as_value("<b>a</b>") + "](https://crm.example.com/?q=" + as_value('"><script>') + "&a=1)"
    page = html_page(parse(f"# Titel\n\n{link} [Ruf](tel:+4915228817386)"), "de")
    assert re.findall(r'href="([^"]*)"', page) == [
        "https://crm.example.com/?q=%22%3E%3Cscript%3E&amp;a=1",
        "tel:+4915228817386",
    ]
    assert "&lt;b&gt;a&lt;/b&gt;" in page


def test_what_is_no_link_leads_nowhere() -> None:
    """The last door: markup lets none through."""
    document = tuple(
        Block(Style.TEXT, ((Span("x", link=link),),))
        for link in ("javascript:x", "data:text/html,x", "//x.example", "https://")
    )
    assert "href" not in html_page(document, "de")


def test_what_is_written_from_right_to_left_begins_at_the_right() -> None:
    """`dir=auto` does not look into `bdi`, so a text that stands alone is in none."""
    assert re.search(r'<p dir="auto"[^>]*>مرحبا</p>', html_page(parse("# x\n\n" + as_value("مرحبا")), "de"))


def test_each_block_has_its_element_and_nothing_else_is_there() -> None:
    said = as_value("</p><h1>& <!-- a -->\n<style>b")
    page = html_page(parse(f"# {said}\n\n**{said}** b\n## {said}\n- {said}\n- c\n\n-# {said}"), 'd"e')
    check_page(page)
    assert 'lang="d&quot;e"' in page
    assert [page.count(f"<{tag} ") for tag in ("h1", "h2", "li")] == [1, 1, 2]
