from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from router.event import Channel, Direction, Number, NumberKind
from router.formats.parts import party
from router.people import LONGEST_TITLE, Wording, duration, masked, written
from router.sample import bare_event, sample_event

DE, EN = Wording("de", "Europe/Berlin"), Wording("en", "America/New_York")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("1" * 1000, "…"),
        ("+4915228817386", "+49 152 …386"),
        ("0049 1522 8817386", "+49 152 …386"),
        ("+493023125014", "+49 302 …014"),
        ("+493012345", "+49 …345"),
        ("+12025550188", "+1 202 …188"),
        ("+352621123456", "+352 62 …456"),
        ("200", "200"),
        ("anonymous", "anonymous"),
        ("", ""),
        ("0221 4710012", "022 …012"),
        ("471001", "…01"),
        ("sip:jana@firma.example", "…"),
    ],
)
def test_masked_numbers(raw: str, shown: str) -> None:
    number = party(raw)
    result = masked(number)
    assert (result.raw, result.kind) == (shown, number.kind)
    assert result.e164 is None
    assert masked(result).raw.count("…") <= 1


def test_at_least_four_digits_stay_hidden() -> None:
    for length in range(6, 20):
        digits = "1234567890123456789"[:length]
        assert sum(char.isdecimal() for char in masked(Number(digits)).raw) <= length - 4


def test_a_number_without_its_text_is_masked_too() -> None:
    assert masked(Number("", "+4915228817386", NumberKind.E164)).e164 is None
    assert masked(Number("x", "no number", NumberKind.E164)) == Number("…", None, NumberKind.E164)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.9, "0:59"), (312, "5:12"), (3600, "1:00:00"), (7325.5, "2:02:05")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_times_are_local_and_show_their_offset() -> None:
    moment = datetime(2025, 10, 26, 0, 50, 0, 999, tzinfo=UTC)
    assert DE.moment(moment) == "2025-10-26 02:50:00+02:00"
    assert DE.moment(moment.replace(hour=1)) == "2025-10-26 02:50:00+01:00"
    assert EN.moment(moment) == "2025-10-25 20:50:00-04:00"


def test_titles_are_the_headline_on_one_line() -> None:
    assert DE.title(sample_event(headline="a\r\nb\u202ec")) == "a bc"
    assert len(DE.title(sample_event(headline="x" * 1000))) == LONGEST_TITLE


def test_titles_are_never_empty() -> None:
    assert DE.title(sample_event(headline=None)) == "Anruf +49 1522 8817386 → Support"
    assert EN.title(sample_event(headline=None, direction=Direction.OUTBOUND)) == "Call Support → +49 30 23125014"
    assert DE.title(bare_event()) == "Anruf unbekannt – unbekannt"
    assert DE.title(bare_event(caller=Number("x", None, NumberKind.ANONYMOUS))) == "Anruf anonym – unbekannt"
    assert len(DE.way(sample_event(channel=Channel(None, "x" * 1000), caller=Number("9" * 1000)))) <= LONGEST_TITLE


def test_both_languages_have_all_words() -> None:
    for name in (
        "summary",
        "action_items",
        "note",
        "smart_answers",
        "transcript",
        "small_talk",
        "participants",
        "call",
    ):
        assert DE.label(name) != EN.label(name) or name == "note"


# ---------------------------------------------------------------------------------------------------------- late, facts

ENDED = datetime(2026, 3, 10, 8, 20, 16, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "german", "english"),
    [
        (-24, None, None),
        (0, None, None),
        (1, None, None),
        (1.001, "1 Stunde", "1 hour"),
        (1.999, "1 Stunde", "1 hour"),
        (2, "2 Stunden", "2 hours"),
        (47.99, "47 Stunden", "47 hours"),
        (48, "2 Tage", "2 days"),
        (71.9, "2 Tage", "2 days"),
        (24 * 400, "400 Tage", "400 days"),
    ],
)
def test_a_call_is_late_an_hour_after_its_end(hours: float, german: str | None, english: str | None) -> None:
    now = ENDED + timedelta(hours=hours)
    assert (DE.late(sample_event(), now), EN.late(sample_event(), now)) == (german, english)


@pytest.mark.parametrize(
    "known",
    [
        {"started_at": None, "duration": None},
        {"ended_at": None},
        {"ended_at": ENDED - timedelta(hours=2)},
        {"ended_at": None, "duration": None, "started_at": ENDED},
        {"ended_at": None, "duration": 312.0, "started_at": None, "received_at": ENDED},
    ],
)
def test_the_end_of_a_call_is_what_is_known_of_it(known: dict[str, Any]) -> None:
    """The later one of what it says and what it lasted; the arrival where it says nothing."""
    assert DE.late(sample_event(**known), ENDED + timedelta(hours=1)) is None
    assert DE.late(sample_event(**known), ENDED + timedelta(hours=1, seconds=1)) == "1 Stunde"


@pytest.mark.parametrize("year", [2000, 2100])
@pytest.mark.parametrize("wording", [DE, EN])
def test_the_first_and_last_times_of_a_call_are_written_too(year: int, wording: Wording) -> None:
    """Formats let no others in."""
    moment = datetime(year, 1, 1, tzinfo=UTC)
    event = sample_event(started_at=moment, ended_at=moment, duration=1e300)
    assert (wording.late(event, ENDED) is None) is (year == 2100)
    assert str(wording.local(moment).year) in wording.facts(event)


@pytest.mark.parametrize(
    ("changes", "facts"),
    [
        ({}, "eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386"),
        ({"direction": Direction.OUTBOUND}, "ausgehend · Support · 10.03.2026, 09:15 · 5:12 · +49 30 23125014"),
        ({"direction": Direction.UNKNOWN}, "Support · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386"),
        ({"channel": Channel("7", None)}, "eingehend · 7 · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386"),
        ({"channel": Channel("7", "\u202e")}, "eingehend · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386"),
        ({"channel": Channel()}, "eingehend · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386"),
        ({"duration": None}, "eingehend · Support · 10.03.2026, 09:15 · +49 1522 8817386"),
        ({"duration": 0.0}, "eingehend · Support · 10.03.2026, 09:15 · 0:00 · +49 1522 8817386"),
        ({"started_at": None}, "eingehend · Support · empfangen 10.03.2026, 09:20 · 5:12 · +49 1522 8817386"),
        ({"caller": Number()}, "eingehend · Support · 10.03.2026, 09:15 · 5:12 · unbekannt"),
        (
            {"caller": Number("anonymous", None, NumberKind.ANONYMOUS)},
            "eingehend · Support · 10.03.2026, 09:15 · 5:12 · anonym",
        ),
        ({"caller": Number("a\r\n·\u202eb")}, "eingehend · Support · 10.03.2026, 09:15 · 5:12 · a ·b"),
    ],
)
def test_facts_are_what_is_known(changes: dict[str, Any], facts: str) -> None:
    assert DE.facts(sample_event(**changes)) == facts


def test_facts_are_on_one_line_of_some_length() -> None:
    facts = DE.facts(sample_event(channel=Channel(None, "ä\n" * 300), caller=Number("9\n" * 300)))
    assert "\n" not in facts
    assert len(facts) < 250


@pytest.mark.parametrize(
    ("utc", "written"),
    [
        (datetime(2026, 10, 24, 23, 59, tzinfo=UTC), "25.10.2026, 01:59"),
        (datetime(2026, 10, 25, 0, 0, tzinfo=UTC), "25.10.2026, 02:00 (+02:00)"),
        (datetime(2026, 10, 25, 0, 59, tzinfo=UTC), "25.10.2026, 02:59 (+02:00)"),
        (datetime(2026, 10, 25, 1, 0, tzinfo=UTC), "25.10.2026, 02:00 (+01:00)"),
        (datetime(2026, 10, 25, 1, 59, tzinfo=UTC), "25.10.2026, 02:59 (+01:00)"),
        (datetime(2026, 10, 25, 2, 0, tzinfo=UTC), "25.10.2026, 03:00"),
        (datetime(2026, 3, 29, 0, 59, tzinfo=UTC), "29.03.2026, 01:59"),
        (datetime(2026, 3, 29, 1, 0, tzinfo=UTC), "29.03.2026, 03:00"),
    ],
)
def test_the_hour_that_comes_twice_shows_its_offset(utc: datetime, written: str) -> None:
    assert DE.date(utc) == written


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (Number("x", "+4915228817386"), "+49 1522 8817386"),
        (Number("x", "+12025550188"), "+1 202-555-0188"),
        (Number("x", "+999123"), "+999123"),
        (Number("x", "no number"), "no number"),
        (Number("  030 / 123\n45 "), "030 / 123 45"),
        (Number("9" * 100), "9" * 79 + "…"),
        (Number(), ""),
    ],
)
def test_numbers_as_people_write_them(number: Number, shown: str) -> None:
    assert written(number) == shown


def test_what_is_masked_stays_as_it_is() -> None:
    for number in (Number("+4915228817386", "+4915228817386", NumberKind.E164), Number("030 23125014")):
        assert masked(masked(number)) == masked(number)


def test_what_has_letters_in_it_is_hidden_whole() -> None:
    assert masked(Number("sip:4915228817386@10.0.0.1")).raw == "…"


def test_a_call_is_as_late_as_what_ended_last() -> None:
    event = sample_event(ended_at=datetime(2026, 3, 10, 8, 15, 5, tzinfo=UTC), duration=7200.0)
    assert DE.late(event, datetime(2026, 3, 10, 11, 15, tzinfo=UTC)) is None
    event = sample_event(ended_at=datetime(2026, 3, 10, 10, 15, tzinfo=UTC), duration=1.0)
    assert DE.late(event, datetime(2026, 3, 10, 11, 15, tzinfo=UTC)) is None
