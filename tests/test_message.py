"""From a delivery to a document: what a template sees, what it bears, and where it ends."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING, Any, Literal

import pytest
from pydantic import ValidationError

from router import Message, MessageSinkConfig, Numbers, Part, Revisions, Sink, SinkContext, plain_text
from router.errors import Rejected
from router.event import ActionItem, Channel, Event, Number, Participant, Segment, SmallTalk, SmartAnswer, Speaker
from router.fakes import ManualClock, make_delivery, make_event, sink_context
from router.markup import Style, plain_line
from router.message import built_in
from router.render import FUEL, MAX_OUTPUT
from router.sample import bare_event, hostile_event
from router.testing import hostile_deliveries
from router.trial import sample

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Letters(MessageSinkConfig):
    """Writes letters."""

    kind: Literal["letters"] = "letters"

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        raise NotImplementedError
        yield


def write(event: Event | None = None, *, now: datetime | None = None, language: Literal["de", "en"] = "de",
          routes: tuple[str, ...] = ("sales",), **settings: Any) -> Message:  # fmt: skip
    event = event or make_event()
    context = sink_context(Path(), clock=ManualClock(now or event.received_at), language=language)
    return Letters.model_validate(settings).writer(context).write(make_delivery(event=event, routes=routes))


def said(event: Event | None = None, **settings: Any) -> str:
    return plain_text(write(event, **settings).document)


# ------------------------------------------------------------------------------------------------------ what is written


def test_a_message_as_people_read_it() -> None:
    assert said() == (
        "Rückfrage zur Rechnung\n\n"
        "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386\n\n"
        "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.\n\n"
        "Aufgaben\n- Tarifoptionen per E-Mail senden\n\n"
        "Notiz\nTarif L anbieten.\n\n"
        "KI-Zusammenfassung, kann Fehler enthalten · Regel sales"
    )


def test_a_message_with_everything() -> None:
    event = make_event(
        revision=2,
        headline=None,
        transcript=(*make_event().transcript, Segment(Speaker.OTHER, None, None, "Hallo?\nJa!")),
        smart_answers=(SmartAnswer(None, "Q1", "A1"), SmartAnswer(None, "Q2", None), SmartAnswer(None, None, "A3")),
        small_talk=(SmallTalk(None, "T", "D"), SmallTalk(None, None, "E")),
        participants=(Participant("u_1", "Tobias Weiß"), Participant("u_2", None)),
    )
    now = event.received_at + timedelta(days=3)
    text = said(event, now=now, send=[*Part], numbers="full", revisions="mark", language="en", routes=("a", "b"))
    assert text == (
        "Call +49 1522 8817386 → Support\n\n"
        "Updated: revision 2 of this call\n"
        "Late: the call was 3 days ago\n\n"
        "inbound · Support · 2026-03-10, 09:15 · 5:12 · +49 1522 8817386\n\n"
        "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.\n\n"
        "Action items\n- Tarifoptionen per E-Mail senden\n\n"
        "Note\nTarif L anbieten.\n\n"
        "Questions and answers\nQ1\nA1\n\nQ2\n\nA3\n\n"
        "Conversation\n"
        "Caller: Guten Morgen, hier ist Jana Brückner aus Köln.\n"
        "Callee: Guten Morgen Frau Brückner, was kann ich für Sie tun?\n"
        "Voice: Hallo?\nJa!\n\n"
        "Small talk\nT\nD\n\nE\n\n"
        "Participants\n- Tobias Weiß\n- u_2\n\n"
        "AI summary, may contain mistakes · Route a, b"
    )


def test_a_message_of_nothing() -> None:
    assert said(bare_event(), routes=()) == (
        "Anruf unbekannt – unbekannt\n\nempfangen 10.03.2026, 09:21 · unbekannt\n\n"
        "KI-Zusammenfassung, kann Fehler enthalten"
    )


def test_a_message_knows_what_it_is_about() -> None:
    message = write(send=["note"], numbers="masked")
    assert message.title == "Anruf +49 152 …386 → Support"
    assert (message.event.summary, message.event.note, message.event.caller.e164) == (None, "Tarif L anbieten.", None)
    assert message.event.raw is None
    assert not message.updated


@pytest.mark.parametrize(
    ("revision", "revisions", "updated"),
    [(2, Revisions.MARK, True), (1, Revisions.MARK, False), (2, Revisions.SEND, False), (2, Revisions.IGNORE, False)],
)
def test_a_message_knows_whether_it_is_an_update(revision: int, revisions: Revisions, *, updated: bool) -> None:
    assert write(make_event(revision=revision), revisions=revisions).updated is updated


@pytest.mark.parametrize("language", ["de", "en"])
@pytest.mark.parametrize(
    "template", [None, "# {{ event.headline }}\n{{ event.note }}\n{{ facts }}", "{{ event.note or title }}"]
)
def test_every_template_says_what_is_an_update_and_what_is_late(
    language: Literal["de", "en"], template: str | None
) -> None:
    """Right below the title, also where nobody thought of it."""
    late = make_event(revision=2, ended_at=datetime(2026, 3, 9, tzinfo=UTC), started_at=None)
    document = write(late, template=template, revisions="mark", language=language).document
    at = 1 if document[0].style is Style.TITLE else 0
    words = {"de": ("Aktualisiert: Fassung 2", "Verspätet: "), "en": ("Updated: revision 2", "Late: the call was ")}
    for line, said_so in zip(document[at].lines, words[language], strict=True):
        assert plain_line(line).startswith(said_so)
        assert line[0].bold
    assert len(write(make_event(), template=template).document) == len(document) - 1


def test_a_template_has_its_own_words_for_what_is_late_or_an_update() -> None:
    late = make_event(revision=2, ended_at=datetime(2026, 3, 9, tzinfo=UTC), started_at=None)
    source = "{{ title }}{% if updated %} (neu){% endif %}{% if late %} (spät){% endif %}"
    assert said(late, template=source, revisions="mark") == "Rückfrage zur Rechnung (neu) (spät)"


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        (None, ("headline", "summary", "note", "transcript")),
        ("{{ event.summary }} {{ title }}", ("headline", "summary")),
        ("{{ title }}{% for one in event.transcript %}{{ one.text }}{% endfor %}", ("headline", "transcript")),
        ("{{ title }}{{ event | tojson }}", ("headline", "summary", "note", "transcript")),
        ("{{ facts }}", ("headline",)),
    ],
)
def test_the_record_has_the_parts_that_the_template_writes(template: str | None, parts: tuple[str, ...]) -> None:
    assert Letters(template=template, send=["headline", "summary", "note", "transcript"]).parts() == parts


def test_a_text_of_many_lines_costs_as_much_as_many_items() -> None:
    """They take as long to write."""
    text = said(make_event(summary="z\n" * 50_000, headline="h\n" * 50_000))
    assert 900 < text.count("\n") < 1_100
    assert "z…" in text


def test_both_languages_say_the_same_with_the_same_marks() -> None:
    names = {file.name.partition(".")[0] for file in (Path(__file__).parents[1] / "router" / "messages").glob("*.md")}
    assert "chat" in names
    for name in names:
        german, english = (built_in(name, language).split("\n") for language in ("de", "en"))
        assert [line.count("{{") for line in german] == [line.count("{{") for line in english]
        assert [line.partition(" ")[0] for line in german if line[:1] in "#-"] == [
            line.partition(" ")[0] for line in english if line[:1] in "#-"
        ]


# ------------------------------------------------------------------------------------------------------- what it sees


def test_what_a_template_sees() -> None:
    source = (
        "{{ title }}|{{ facts }}|{{ party }}|{{ direction }}|{{ late }}|{{ updated }}|{{ routes }}|{{ speakers.other }}"
        "|{{ event.caller.raw }}|{{ event.caller | phone }}|{{ event.started_at | date('%H:%M') }}|{{ event.raw }}"
    )
    text = said(make_event(revision=2), template=source, revisions="mark", routes=("r", "q"))
    assert text == (
        "Rückfrage zur Rechnung|eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 152 …386|+49 152 …386|eingehend||True"
        "|r, q|Stimme|+49 152 …386|+49 152 …386|09:15|"
    )


def test_what_is_not_sent_a_template_does_not_see() -> None:
    source = "{{ title }}{{ event | tojson }}{{ facts }}"
    text = said(template=source, send=["note"])
    assert "Tarif L anbieten." in text
    for word in (
        "Rechnung",
        "senden",
        "Verkaufspotenzial",
        "Köln",
        "Baustelle",
        "Tobias",
        "8817386",
        "23125014",
        "ai_1",
    ):
        assert word not in text


@pytest.mark.parametrize("event", [delivery.event for delivery in hostile_deliveries()], ids=lambda event: event.id)
def test_the_blocks_are_those_of_the_template_whatever_is_said(event: Event) -> None:
    """One title, five headings at most, one line of fine print at the end; no link, and nothing bold but labels."""
    document = write(event, send=list(Part), now=event.received_at + timedelta(days=9)).document
    styles = [block.style for block in document]
    assert styles.count(Style.TITLE) == styles.count(Style.FINE_PRINT) == 1
    assert (styles[0], styles[-1]) == (Style.TITLE, Style.FINE_PRINT)
    headings = [plain_line(block.lines[0]) for block in document if block.style is Style.HEADING]
    known = ["Aufgaben", "Notiz", "Fragen und Antworten", "Gespräch", "Nebenbei", "Teilnehmende"]
    assert headings == [heading for heading in known if heading in headings]
    assert not any(span.link for block in document for line in block.lines for span in line)


# -------------------------------------------------------------------------------------------------- large ones

MANY: dict[str, dict[str, Any]] = {
    "segments": {"transcript": tuple(Segment(Speaker.CALLER, None, None, "a") for _ in range(200_000))},
    "answers": {"smart_answers": tuple(SmartAnswer(None, "a", "b") for _ in range(200_000))},
    "tasks": {"action_items": tuple(ActionItem(None, "a") for _ in range(200_000))},
    "small_talk": {"small_talk": tuple(SmallTalk(None, "a", "b") for _ in range(200_000))},
    "people": {"participants": tuple(Participant("a", None) for _ in range(200_000))},
    "summary": {"summary": "ä" * 10_000_000},
    "lines": {"note": "a\n" * 5_000_000},
    "long_segments": {"transcript": tuple(Segment(Speaker.CALLEE, None, None, "a" * 99_000) for _ in range(100))},
    "odd_segments": {
        "transcript": tuple(
            Segment(Speaker.CALLER, None, None, "a" * n) for n in (99_000,) * 4 + (997,) * 3 + (7,) * 99
        )
    },
    "names": {"channel": Channel("i" * 9_000_000, None), "caller": Number("9" * 9_000_000), "call_id": "i" * 9_000_000},
    "everything": {
        "summary": "a" * 9_000_000,
        "note": "a" * 9_000_000,
        "headline": "a" * 9_000_000,
        "action_items": (ActionItem("i" * 9_000_000, "a" * 9_000_000),) * 50_000,
        "smart_answers": (SmartAnswer(None, "a" * 9_000_000, "b"),) * 50_000,
        "transcript": (Segment(Speaker.OTHER, None, None, "a" * 9_000_000),) * 50_000,
    },
}


@pytest.mark.parametrize("name", MANY)
def test_no_call_is_too_large_for_the_built_in_templates(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even with half of what they may spend; and what is left out is marked."""
    monkeypatch.setattr("router.render.FUEL", FUEL // 2)
    monkeypatch.setattr("router.render.MAX_OUTPUT", MAX_OUTPUT // 2)
    event = make_event(**MANY[name])
    languages: tuple[Literal["de", "en"], ...] = ("de", "en")
    for language in languages:
        started = process_time()
        message = write(event, send=list(Part), language=language)
        assert process_time() - started < 3
        assert "…" in plain_text(message.document)
        assert message.event.summary == event.summary


def test_where_items_are_left_out_the_last_one_is_a_mark() -> None:
    source = "{{ title }}\n{% for item in event.action_items %}\n- {{ item.text }}\n{% endfor %}"
    event = make_event(action_items=tuple(ActionItem("x", "abc") for _ in range(9_000)))
    title, items = write(event, template=source).document
    assert {plain_line(line) for line in items.lines[:-1]} == {"abc"}
    assert plain_line(items.lines[-1]) == "…"
    assert 3_000 < len(items.lines) < 4_000
    assert plain_line(title.lines[0]) == "Rückfrage zur Rechnung"


def test_the_transcript_is_the_first_to_be_cut() -> None:
    event = make_event(
        transcript=tuple(Segment(Speaker.CALLER, None, None, "t" * 99_000) for _ in range(9)),
        participants=(Participant(None, "p" * 50_000),),
    )
    text = said(event, send=[*Part])
    assert "p" * 50_000 in text
    assert text.count("t" * 99_000) == 3
    assert "Anrufer: …" in text


# --------------------------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("template", "problem"),
    [
        ("{{ title }}\n{{ evnt }}", "template: line 2: there is no evnt; there is event, title, facts, party, "),
        ("{{ title }}\n{{ event.tasks }}", "template: line 2: an event has no tasks; it has id, "),
        (
            "{{ title }}\n{{ event.caller.number }}",
            "template: line 2: event.caller has no number; it has raw, e164, kind",
        ),
        (
            "messages/sales.md",
            "template: nothing of a call is in it; write {{ title }} into it, or name a file as ${file:",
        ),
        ("{{ title }}\n\n[x](ftp://a.example)", "template: line 3: the link 'ftp://a.example' has to begin with"),
        (
            "{{ title }}{{ title | cut('x') }}",
            "template: line 1: the filter `cut` cannot use what it was given; it takes a text",
        ),
        ("{{ title }}\n\n{% if %}", "template: line 3: syntax error"),
        ("{{ event.colour }}", "an event has no colour"),
        ("{{ event.note | upper | shout }}", "template: line 1: unknown filter"),
        ("{{ title }}{{ event.smart_answers[0].answer }}", "template: line 1: undefined value"),
        ("{{ title }}{{ event.headline + 'x' }}", "template: line 1: invalid operation"),
        ("{{ title | date }}", "template: line 1: the filter `date` cannot use what it was given; it takes a time"),
        ("{{ title }}[x](javascript:1)", "the link 'javascript:1' has to begin with https://"),
        ("{{ event.note }}", "says nothing about a call of which only the time is known"),
        ("{% for _ in range(99999) %}{{ title }}{% endfor %}", "template: line 1: engine ran out of fuel"),
    ],
)
def test_a_template_is_tried_when_it_is_read(template: str, problem: str) -> None:
    """On a sample, an empty and a hostile call."""
    with pytest.raises(ValidationError) as caught:
        Letters(template=template)
    assert problem in str(caught.value)


@pytest.mark.parametrize("only", ["sample", "bare", "hostile"])
def test_each_of_the_three_calls_is_tried(only: str) -> None:
    """`sample` alone has a start, `bare` alone no channel, `hostile` alone a revision above one."""
    condition = {"sample": "event.revision == 1 and event.note", "bare": "not event.note", "hostile": "updated"}[only]
    with pytest.raises(ValidationError, match="line 2: undefined value"):
        Letters(template=f"{{{{ title }}}}{{% if {condition} %}}\n{{{{ event.revision.x.y }}}}{{% endif %}}")
    Letters(template=f"{{{{ title }}}}{{% if {condition} %}}\n{{{{ late }}}}{{% endif %}}")


@pytest.mark.parametrize(
    "template",
    [
        "{{ title }}\n{{ event.summary.x.y }}",
        "{{ title }}\n{{ event.summary | date }}",
        "{{ title }}\n{{ event.summary + 2 }}",
        "{{ title }}\n[x](https://{{ event.summary }})",
        "{{ title }}\n{{ speakers[event.summary] }}",
        "{{ title }}\n{{ event.summary | cut(event.summary) }}",
        "{{ title }}\n{{ event.action_items[event.summary].x }}",
    ],
)
def test_a_template_that_fails_for_a_call_says_no_word_of_it(template: str) -> None:
    config = Letters().model_copy(update={"template": template})
    with pytest.raises(Rejected, match=r"^template: ") as caught:
        config.writer(sink_context(Path())).write(make_delivery(event=make_event(summary="Hinterzimmer")))
    assert "Hinterzimmer" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not caught.value.whole_lane


def test_numbers_are_full_where_that_is_asked_for() -> None:
    assert "+49 1522 8817386" in said(numbers=Numbers.FULL)
    assert "+49 1522 8817386" in said(replace(hostile_event(), caller=make_event().caller), numbers=Numbers.FULL)


# ----------------------------------------------------------------------------------------------------------- test calls


@pytest.mark.parametrize("send", [[], ["summary"], ["action_items", "note"], [*Part]])
@pytest.mark.parametrize("language", ["de", "en"])
def test_a_test_says_that_it_is_one_also_without_its_headline(language: Literal["de", "en"], send: list[Part]) -> None:
    """In its title, and beside the facts; and that it is no late call."""
    event = sample("sales", datetime(2026, 11, 22, 8, 30, tzinfo=UTC)).event
    message = write(event, send=send, language=language)
    assert "TEST aftercall" in message.title
    assert "TEST aftercall" in plain_text(message.document[1:])


def test_a_test_says_so_in_a_template_that_shows_the_summary_alone() -> None:
    event = sample("sales", datetime(2026, 11, 22, 8, 30, tzinfo=UTC)).event
    assert "TEST aftercall" in said(event, template="{{ direction }} {{ event.summary }}")
