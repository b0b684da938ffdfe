from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from router import formats
from router.errors import Unreadable
from router.event import ActionItem, Channel, Direction, Event, Number, NumberKind, Segment, SmartAnswer, Speaker
from router.formats import body as bodies
from router.page import escaped, markdown_page, paragraphs
from router.people import Wording
from router.sample import bare_event, sample_event

PAYLOADS = Path(__file__).parents[2] / "shared" / "cases" / "payloads"
WORDING = Wording("de", "Europe/Berlin")
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def parsed(text: str) -> tuple[dict[str, Any], str]:
    """Front matter and body of a page."""
    _, front, body = re.split(r"(?m)^---\n", text, maxsplit=2)
    return yaml.safe_load(front), body


def headings(body: str) -> list[str]:
    tokens = MARKDOWN.parse(body)
    return [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]


def test_a_page_has_everything_there_is() -> None:
    assert markdown_page(sample_event(), WORDING) == (
        """\
---
event: 019cd6de-e2a0-7000-8000-000000000001
call: call_sample_0001
revision: 1
source: sipgate
direction: inbound
channel: Support
channel_id: 5f0c3a52-6a0e-4c55-9a9b-3b1b0a5e7c11
caller: '+4915228817386'
callee: '+493023125014'
started_at: '2026-03-10T09:15:04+01:00'
ended_at: '2026-03-10T09:20:16+01:00'
duration: 312.0
trust: unsigned
---

# Rückfrage zur Rechnung

## Zusammenfassung

Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.

## Aufgaben

- Tarifoptionen per E-Mail senden

## Notiz

Tarif L anbieten.

## Fragen und Antworten

- Gibt es Verkaufspotenzial?\x20\x20
  Ja, ein größerer Tarif.

## Gespräch

[00:00] Anrufer: Guten Morgen, hier ist Jana Brückner aus Köln.

[00:06] Angerufener: Guten Morgen Frau Brückner, was kann ich für Sie tun?

## Nebenbei

- Baustelle: Vor dem Büro wird gebaut.

## Teilnehmende

- Tobias Weiß
"""
    )


def test_a_page_of_nothing_has_no_empty_heading_and_no_none() -> None:
    front, body = parsed(markdown_page(bare_event(), Wording("en", "UTC")))
    assert front == {
        "event": "019cd6de-e2a0-7000-8000-000000000002",
        "revision": 1,
        "source": "sipgate",
        "direction": "unknown",
        "trust": "unsigned",
    }
    assert body == "\n# Call unknown – unknown\n"


def test_items_without_text_leave_nothing() -> None:
    event = bare_event(
        action_items=(ActionItem("1", " "),), smart_answers=(SmartAnswer("1", None, None),), summary=" \n ",
        transcript=(Segment(Speaker.OTHER, None, None, "\u200b"), Segment(Speaker.OTHER, None, None, "Ja.")),
    )  # fmt: skip
    assert parsed(markdown_page(event, WORDING))[1] == "\n# Anruf unbekannt – unbekannt\n\n## Gespräch\n\nStimme: Ja.\n"


@pytest.mark.parametrize(
    ("changes", "title"),
    [
        ({}, "Anruf +49 1522 8817386 → Support"),
        (
            {"direction": Direction.OUTBOUND, "caller": Number("200", None, NumberKind.INTERNAL)},
            "Anruf Support → +49 30 23125014",
        ),
        ({"channel": Channel()}, "Anruf +49 1522 8817386 → +49 30 23125014"),
        ({"caller": Number("anonymous", None, NumberKind.ANONYMOUS)}, "Anruf anonym → Support"),
        ({"headline": "\u202e \n"}, "Anruf +49 1522 8817386 → Support"),
    ],
)
def test_without_a_headline_the_title_says_who_called_whom(changes: dict[str, Any], title: str) -> None:
    event = sample_event(**{"headline": None} | changes)
    assert headings(parsed(markdown_page(event, WORDING))[1])[0] == title


def test_the_night_the_clocks_change_is_no_riddle() -> None:
    front, _ = parsed(markdown_page(call("16-dst-change.json"), WORDING))
    assert (front["started_at"], front["ended_at"]) == ("2025-10-26T02:50:00+02:00", "2025-10-26T02:15:00+01:00")


# --- text from a call is data ---


def inline(text: str) -> tuple[list[str], str]:
    """What CommonMark makes of one block: the kinds of its tokens, and the text that a reader sees."""
    tokens = MARKDOWN.parse(text)
    children = tokens[1].children or [] if len(tokens) > 1 else []
    kinds = [token.type for token in tokens] + [child.type for child in children if child.type != "text"]
    shown = "".join("\n" if child.type == "hardbreak" else child.content for child in children)
    return kinds, shown


TROUBLE = "`*_{}[]<>()#+-.!|~$&:;=^\"'%@\\/\n \t1a"
EXAMPLES = [
    "# x", "- x", "* x", "+ x", "1. x", "1) x", "> x", "```\nx\n```", "~~~\nx", "    code", "\tcode", "---", "***", "___", "===",
    "a\n===", "a\n---", "| a |\n| - |\n| b |", "a | b\n--|--", "<script>x</script>", "<!-- x -->", "<https://e.example>", "<a@b.example>",
    "[x](javascript:x)", "![x](y)", "[x]: y", "[x][y]", "`x`", "``x`", "**x** *x* _x_ __x__ ~x~ ~~x~~", "a_b_c _a_ __class__", "&lt; &#60; &amp;",
    "a\\", "\\# x", "a  \nb", "{{7*7}} ${7*7} #{7*7}", "[^1]: x", ": x", "$x$ $$x$$", "a*b*c", "*a", "a&copy", "x](y)", "]]",
]  # fmt: skip


@given(st.text(TROUBLE, max_size=60) | st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
@example("a *\n* b")
@example("*\n**a*")
def test_any_text_is_one_paragraph_that_shows_it(text: str) -> None:
    """Whatever is said, a reader of the page sees the words, and a parser sees one paragraph without any markup."""
    lines = [
        line.strip() for line in "".join(c for c in text if c not in "\u202a\u202b\u202c\u202d\u202e").splitlines()
    ]
    expected = "\n".join(filter(None, lines))
    kinds, shown = inline(escaped(text))
    if not expected:
        assert kinds == []
        return
    assert kinds[:3] == ["paragraph_open", "inline", "paragraph_close"]
    assert set(kinds[3:]) <= {"hardbreak", "text_special"}
    assert shown.replace("\ufffd", "") == expected.replace("\0", "").replace("\ufffd", "")


@pytest.mark.parametrize("text", EXAMPLES)
def test_no_markup_comes_out_of_a_text(text: str) -> None:
    test_any_text_is_one_paragraph_that_shows_it.hypothesis.inner_test(text)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", [*EXAMPLES, "a\n\nb", "a\r\n \t\r\nb\x0b\x0bc", "\n\n# x\n\n- y\n\n---\n\n    z"])
def test_a_page_has_the_same_shape_whatever_is_said(text: str) -> None:
    """No text adds a heading, a list, a nesting or a front matter; in a list item, too."""
    event = sample_event(
        headline=text, summary=text, note=text, call_id=text, channel=Channel(text, text), caller=Number(text),
        action_items=(ActionItem(None, text), ActionItem(None, "x")), smart_answers=(SmartAnswer(None, text, text),),
        transcript=(Segment(Speaker.CALLER, 3661.5, None, text),), small_talk=(), participants=(),
    )  # fmt: skip
    front, body = parsed(markdown_page(event, WORDING))
    assert all("\n" not in str(value) for value in front.values())
    kinds = [token.type for token in MARKDOWN.parse(body)]
    plain = [
        token.type
        for token in MARKDOWN.parse(parsed(markdown_page(sample_event(small_talk=(), participants=()), WORDING))[1])
    ]
    for kind in ("heading_open", "bullet_list_open", "ordered_list_open", "blockquote_open", "table_open", "hr"):
        assert kinds.count(kind) == plain.count(kind)
    assert not {"fence", "code_block", "html_block"} & set(kinds)
    assert kinds.count("list_item_open") == 3
    html = MARKDOWN.render(body)
    assert not [tag for tag in ("<a", "<img", "<script", "<em", "<strong", "<code", "<s>") if tag in html]


def test_templates_stay_as_they_were_said() -> None:
    text = markdown_page(call("29-template-syntax.json"), WORDING)
    assert "{{7*7}}" in text
    assert "49 " not in text.partition("## Notiz")[2].partition("## ")[0]


def test_html_is_not_there_even_for_who_reads_nothing_else() -> None:
    text = markdown_page(call("26-html-script.json"), WORDING)
    assert not [tag for tag in ("<script", "<img", "<iframe", "<svg", "<a ") if tag in text]


def test_bare_links_are_not_made_clickable() -> None:
    assert escaped("https://evil.example www.evil.example") == r"https\://evil.example www\.evil.example"


def test_nothing_turns_a_line_around() -> None:
    text = markdown_page(call("10-rtl-and-bidi-override.json"), WORDING)
    assert not set("\u202a\u202b\u202c\u202d\u202e") & set(text)
    front, body = parsed(text)
    assert front["channel"] == "Support nosj.exe"
    assert headings(body)[0] == "استفسار عن الفاتورة – gnuhcaB"
    assert "(\u2066فاتورة\u2069)" in body  # isolates end with their line, and belong to the text


def test_lines_of_a_summary_stay_lines() -> None:
    assert paragraphs("Zeile 1\r\nZeile 2\n\n\n- Zeile 3\n") == ["Zeile 1  \nZeile 2", r"\- Zeile 3"]


def call(name: str) -> Event:
    if not PAYLOADS.is_dir():
        pytest.skip("the shared cases are not here")
    body = bodies.parse((PAYLOADS / name).read_bytes())
    form, found = formats.read(body.value)
    return Event.of(
        found, id="e1", sequence=1, source="sipgate", format=form, received_at=sample_event().received_at, revision=1
    )


@pytest.mark.parametrize("name", sorted(file.name for file in PAYLOADS.glob("[0-9]*.json")))
def test_every_payload_makes_a_page(name: str) -> None:
    try:
        event = call(name)
    except Unreadable:
        return
    front, body = parsed(markdown_page(event, WORDING))
    assert front.get("call") == event.call_id
    assert not re.search(r"\b(None|undefined)\b", body)
    assert 1 <= len(headings(body)) <= 8
