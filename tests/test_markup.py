"""What a filled template becomes: blocks of the template's own making, whatever it was filled with."""

from __future__ import annotations

from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import Rejected
from router.markup import Block, Document, Span, Style, clipped, parse, plain_line, plain_text, stripped
from router.render import Renderer
from router.text import one_line, readable

RENDERER = Renderer(ZoneInfo("Europe/Berlin"))


def document(source: str, **values: Any) -> Document:
    return parse(RENDERER.compile_message(source).render(**values))


def shown(source: str, **values: Any) -> list[tuple[str, str]]:
    """Each block's style and text; bold is in stars, a link has its URL in angles."""
    return [(block.style.value, "\n".join("".join(map(marked, line)) for line in block.lines))
            for block in document(source, **values)]  # fmt: skip


def marked(span: Span) -> str:
    text = f"*{span.text}*" if span.bold else span.text
    return text if span.link is None else f"{text}<{span.link}>"


# ----------------------------------------------------------------------------------------------------------- the markup


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("", []),
        (" \n\t\n\r\n", []),
        ("# T", [("title", "T")]),
        ("# T\n# U", [("title", "T"), ("title", "U")]),
        ("  ## H  \n text", [("heading", "H"), ("text", "text")]),
        ("## H\n- a", [("heading", "H"), ("items", "a")]),
        ("## G\n## H\na", [("heading", "H"), ("text", "a")]),
        ("## H\n\n-# f\n\n## I\n# T\n## J", [("fine print", "f"), ("title", "T")]),
        ("- a\n- b", [("items", "a\nb")]),
        ("- a\n\n\n- b", [("items", "a\nb")]),
        ("- a\nb\n- c", [("items", "a"), ("text", "b"), ("items", "c")]),
        ("a\nb\n\nc", [("text", "a\nb"), ("text", "c")]),
        ("-# a\n-# b\n\n-# c", [("fine print", "a\nb"), ("fine print", "c")]),
        ("a\r\nb\r\n\r\nc\r\n", [("text", "a\nb"), ("text", "c")]),
        ("#T\n##\n-", [("text", "#T\n##\n-")]),
        ("###  T", [("text", "###  T")]),
        (r"\# a\*\*b\[c\]\\ \- \d", [("text", r"# a**b[c]\ - \d")]),
        ("**a** b**c", [("text", "*a* b*c*")]),
        ("** a **", [("text", "*a*")]),
        ("****a** **", [("text", "a")]),
        ("a * b [c] (d) [e](f", [("text", "a * b [c] (d) [e](f")]),
        ("# **a** b", [("title", "*a* b")]),
        ("[a **b**](https://x.example/y) c", [("text", "a <https://x.example/y>*b*<https://x.example/y> c")]),
        ("**[a](tel:+49)**", [("text", "*a*<tel:+49>")]),
        (r"[\[a\]](MAILTO:a@b.example)", [("text", "[a]<mailto:a@b.example>")]),
        ("[](https://x.example)a", [("text", "a")]),
    ],
)
def test_the_markup_of_a_template(source: str, blocks: list[tuple[str, str]]) -> None:
    assert shown(source) == blocks


@pytest.mark.parametrize(
    ("source", "blocks"),
    [
        ("{{ v }}", [("text", "a\nb\n\nc")]),
        ("-# {{ v }}", [("fine print", "a\nb\n\nc")]),
        ("# {{ v }}!", [("title", "a b c!")]),
        ("## {{ v }}\nx", [("heading", "a b c"), ("text", "x")]),
        ("- {{ v }}\n- x", [("items", "a b c\nx")]),
        ("**N:** {{ v }}\nx", [("text", "*N:* a\nb\n\nc\nx")]),
        ("**{{ v }}**", [("text", "*a*\n*b*\n\n*c*")]),
        ("[{{ v }}](tel:1)", [("text", "a<tel:1>\nb<tel:1>\n\nc<tel:1>")]),
        ("{% set x %}<{{ v }}>{% endset %}{{ x }}", [("text", "<a\nb\n\nc>")]),
        ("{% macro m(x) %}{{ x }}{% endmacro %}{{ m(v) }}", [("text", "a\nb\n\nc")]),
        ("{{ v | upper }}{{ none }}", [("text", "A\nB\n\nC")]),
        ("{% filter upper %}# {{ v }}{% endfilter %}", [("text", "# A\nB\n\nC")]),
        ("{% autoescape true %}{{ v }}{% endautoescape %}", [("text", "a\nb\n\nc")]),
        ("{% block x %}{{ v }}{% endblock %}", [("text", "a\nb\n\nc")]),
    ],
)
def test_line_breaks_of_a_value(source: str, blocks: list[tuple[str, str]]) -> None:
    """Are line breaks where there are lines, and blanks elsewhere; two paragraphs are one block."""
    assert shown(source, v="a\r\n b \n\n \n\x0b\n c") == blocks


def test_empty_lines_around_a_value_are_not_there() -> None:
    expected = (Block(Style.TEXT, ((Span("a"),), (), (Span("b"),))),)
    assert document("{{ v }}", v="\n\na\n\n\nb\n\n") == expected


@pytest.mark.parametrize("value", [None, "", " \n ", "\u200b\u202e", "\u200d\ufe0f", "\ufdd0\ufdd2\ufdd1"])
def test_what_shows_nothing_is_not_there(value: str | None) -> None:
    assert shown("# {{ v }}\n- {{ v }}\n## H\n**{{ v }}** {{ v }}\n[{{ v }}](tel:1)\n-# {{ v }}\n\nx", v=value) == [
        ("heading", "H"),
        ("text", "x"),
    ]


NASTY = [
    "# x", "## x", "- x", "-# x", "**x**", "**", "[x](https://evil.example)", "](https://evil.example)", "\\", "x\\",
    "[", "]", "*", "\n\n# x\n- y\n\n", "\r\n\r\n-# x", "{{ 7*7 }}", "{% set x = 1 %}", "<b>", "\ufdd1**x**\ufdd0",
    "\ufdd1\n# x\ufdd0", "\ufdd2\ufdd2# x", "\u2028# x", "\u2029\u2029- x", "\x0b# x", "\x85# x", "a\ud800b", "\x00",
]  # fmt: skip
EVERYWHERE = """# {{ v }} t {{ w }}

{{ v }}
{{ w }} **{{ v }}** x [{{ v }} l {{ w }}](https://crm.example/{{ v }}?q={{ w }}#{{ v }})
{{ v }}

## {{ v }}
- {{ w }}
{% for x in [v, w, v] %}
- **{{ x }}:** {{ x | cut(5) }}
{% endfor %}

## {{ w }}
[{{ w }}](tel:{{ v }}) [{{ w }}](mailto:{{ v }})
-# {{ v }}"""


def shape(found: Document) -> list[tuple[Style, list[tuple[bool, bool]]]]:
    """What can be seen of what a document is made of, its texts and how many lines they have aside."""
    spans = [[span for line in block.lines for span in line if one_line(span.text)] for block in found]
    kinds = [[key for key, _ in groupby((span.bold, bool(span.link)) for span in inside)] for inside in spans]
    return [(block.style, kind) for block, kind in zip(found, kinds, strict=True)]


def harmless(text: str) -> str:
    """One that has as much to show."""
    return "x" if one_line(readable(text)) else "\u200b"


texts = st.text(st.characters(), max_size=30) | st.lists(st.sampled_from(NASTY), max_size=4).map("".join)


@given(texts, texts)
@pytest.mark.case("TPL-06")
def test_no_value_changes_what_a_document_is_made_of(v: str, w: str) -> None:
    """Nor is there an empty span, or white space at either end of a line; and a link leads where the template says."""
    found = document(EVERYWHERE, v=v, w=w)
    # Of what begins with white space or joiners alone, `cut` may leave nothing.
    source = EVERYWHERE.replace(" | cut(5)", "")
    assert shape(document(source, v=v, w=w)) == shape(document(source, v=harmless(v), w=harmless(w)))
    for block in found:
        assert plain_line(block.lines[0])
        for line in block.lines:
            assert plain_line(line) == plain_line(line).strip()
            assert all(span.text for span in line)
            assert "\n" not in plain_line(line)
            assert not set("\ufdd0\ufdd1\ufdd2") & set(plain_line(line))
            for span in line:
                assert span.link is None or span.link.startswith(("https://crm.example/", "tel:", "mailto:"))
                assert span.link is None or (span.link.isascii() and not set(" \n<>\"'()[]\\|`*") & set(span.link))


@pytest.mark.parametrize("value", NASTY)
def test_a_value_is_shown_as_it_is(value: str) -> None:
    expected = " ".join(value.translate({0xFDD0: None, 0xFDD1: None, 0xFDD2: None, 0xD800: "\ufffd" * 3}).split())
    text = " ".join(plain_line(line) for block in document("{{ v }}", v=value) for line in block.lines)
    assert " ".join(text.split()) == expected.replace("\0", "")


# ------------------------------------------------------------------------------------------------------------ the links


@pytest.mark.parametrize(
    ("written", "value", "link"),
    [
        ("https://x.example/?q={{ v }}", "a&b=c/d #é\n", "https://x.example/?q=a%26b%3Dc%2Fd%20%23%C3%A9"),
        ("https://x.example/?tel={{ v }}", "+49@x", "https://x.example/?tel=%2B49%40x"),
        ("https://x.example/{{ v }}/x", "../..", "https://x.example/..%2F../x"),
        ("HTTP://x.example:8080/a", "", "http://x.example:8080/a"),
        ("https://x.example", "", "https://x.example"),
        ("tel:{{ v }}", "+49 30", "tel:+49%2030"),
        ("mailto:{{ v }}", "a@b.example?cc=x", "mailto:a@b.example%3Fcc%3Dx"),
        ("mailto:a@b.example?subject={{ v }}", "x&bcc=y", "mailto:a@b.example?subject=x%26bcc%3Dy"),
        ("tel:{{ v }}", None, None),
        ("mailto:{{ v }}", "", None),
        ("https://x.example/{{ v }}", None, "https://x.example/"),
    ],
)
def test_links_are_the_templates_own(written: str, value: str | None, link: str | None) -> None:
    assert document(f"[label]({written})", v=value) == (Block(Style.TEXT, ((Span("label", link=link),),)),)


@pytest.mark.parametrize(
    "written",
    [
        "javascript:alert", "data:text/html,x", "//x.example", "/x", "x", "https:x", "https:///x", "ftp://x.example",
        "{{ v }}", "{{ v }}://x.example", "https://{{ v }}", "https://{{ v }}.x.example/", "https://x.example{{ v }}",
        "https://x.example:{{ v }}/", "https://user@x.example/", "https://x.example@{{ v }}/", "http{{ v }}://x/",
    ],
)  # fmt: skip
def test_what_is_no_link_is_an_error_that_says_no_word_of_a_call(written: str) -> None:
    with pytest.raises(ValueError, match="has to begin with https") as caught:
        document(f"x [label {{{{ v }}}}]({written})", v="hunter2")
    assert "hunter2" not in str(caught.value)


# ----------------------------------------------------------------------------------------------------------- as text


def test_plain_text_has_dashes_and_says_where_links_lead() -> None:
    source = "# T\nx\n\n## H\n**a**\nb\n\n## I\n- [l](https://x.example/)\n- [tel:1](tel:1)\n-# f"
    expected = "T\n\nx\n\nH\na\nb\n\nI\n- l (https://x.example/)\n- tel:1\n\nf"
    assert plain_text(document(source)) == expected
    assert plain_text(()) == ""


def test_lines_can_be_clipped_and_stripped() -> None:
    line = (Span(" ab", bold=True), Span("  "), Span("cd ", link="tel:1"), Span(""))
    assert clipped(line, 2, 6) == (Span("b", bold=True), Span("  "), Span("c", link="tel:1"))
    assert clipped(line, 3, 5) == (Span("  "),)
    assert clipped(line, 0, 0) == ()
    assert stripped(line) == (Span("ab", bold=True), Span("  "), Span("cd", link="tel:1"))
    assert stripped((Span(" "), Span(" x "))) == (Span("x"),)
    assert stripped((Span(" "),)) == stripped(()) == ()


@pytest.mark.parametrize("piece", ["[", "[x", "**", "\\", "[x](", "[x]({{ v }}", "- x\n", "x\n", "{{ v }}", "{{ v }}["])
def test_reading_is_linear(piece: str) -> None:
    """A hundred thousand pieces take no longer than others; a quadratic reader would need minutes."""
    from time import process_time

    template = RENDERER.compile_message(f"{{% for _ in range(10000) %}}{piece}{{% endfor %}}")
    text = template.render(v="[") * 4
    started = process_time()
    parse(text)
    assert process_time() - started < 5


def test_a_refused_link_makes_no_exception_of_another_kind() -> None:
    with pytest.raises(Rejected):
        document("{{ v.x }}", v=1)


def test_a_link_that_is_too_long_is_none() -> None:
    source = "[label](https://x.example/?q={{ v }})"
    (short,), (long,) = document(source, v="x" * 1900), document(source, v="x" * 2000)
    assert short.lines[0][0].link is not None
    assert long.lines == ((Span("label"),),)
