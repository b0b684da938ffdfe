from __future__ import annotations

from datetime import UTC, datetime

import pytest

from router.event import Channel, Direction, Number, NumberKind
from router.formats.parts import party
from router.people import LONGEST_TITLE, Wording, duration, masked
from router.sample import bare_event, sample_event

DE, EN = Wording("de", "Europe/Berlin"), Wording("en", "America/New_York")


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
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
    assert DE.title(sample_event(headline=None)) == "Anruf +4915228817386 → Support"
    assert EN.title(sample_event(headline=None, direction=Direction.OUTBOUND)) == "Call Support → +493023125014"
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
