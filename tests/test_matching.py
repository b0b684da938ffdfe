"""Conditions, from the YAML that a user writes to the answer for one call."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, reset_tzpath

import pytest

from router.event import (
    ActionItem,
    Call,
    Channel,
    Direction,
    Number,
    NumberKind,
    Participant,
    Segment,
    SmallTalk,
    SmartAnswer,
    Speaker,
)
from router.matching import AnyOf, Finding
from rules import CALL, NOTHING, call, configuration, facts

Holds = Callable[..., bool]

BERLIN = ZoneInfo("Europe/Berlin")
ANONYMOUS = Number("anonymous", None, NumberKind.ANONYMOUS)
INTERNAL = Number("200", None, NumberKind.INTERNAL)
UNKNOWN = Number("022147100", None, NumberKind.UNKNOWN)


@pytest.fixture
def holds(tmp_path: Path) -> Holds:
    """Whether a route with this `when` takes this call."""

    def ask(when: str, of: Call = CALL, source: str = "sipgate") -> bool:
        rules = "words: {geld: [Rechnung, Preis], wild: {match: glob, any: '*kündig*', except: '*ankündig*'}}\n"
        rules += f"routes:\n- {{name: r, to: crm, when: {when}}}\n"
        (route,) = configuration(tmp_path, rules).table.routes
        matches = route.matches(facts(of, source))
        assert route.when.explain(facts(of, source)).held is matches
        return matches

    return ask


def at(text: str) -> Call:
    """A call that began at this time on the clocks of Berlin; `fold` is the second time they show it."""
    bare = text.removesuffix(" again")
    return call(started_at=datetime.fromisoformat(bare).replace(tzinfo=BERLIN, fold=int(bare != text)))


# --------------------------------------------------------------------------------------------------- channel


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{channel: Sales Hotline}", True),
        ("{channel: sales hotline}", True),
        ("{channel: '  SALES HOTLINE '}", True),
        ("{channel: Sales}", False),
        ("{channel: Sales*}", True),
        ("{channel: '*hotline'}", True),
        ("{channel: Sales?Hotline}", True),
        ("{channel: Sales?Hotlin}", False),
        ("{channel: '*'}", True),
        ("{channel: [Support, sales*]}", True),
        ("{channel: [Support, Werkstatt]}", False),
        ("{channel: {id: c1}}", True),
        ("{channel: {id: C1}}", False),
        ("{channel: {id: [c2, c1]}}", True),
        ("{channel: [Support, {id: c1}]}", True),
        ("{channel: [Support, {id: c2}]}", False),
    ],
)
def test_a_channel_is_its_name_a_glob_or_its_id(holds: Holds, when: str, expected: bool) -> None:
    assert holds(when) is expected


def test_umlauts_of_a_channel_are_letters_however_they_are_composed(holds: Holds) -> None:
    decomposed = call(channel=Channel("1", "Mu\u0308ller"))
    assert holds("{channel: müller}", decomposed)
    assert not holds("{channel: mueller}", decomposed)


def test_brackets_in_the_name_of_a_channel_are_letters(holds: Holds) -> None:
    assert holds("{channel: '[a] *'}", call(channel=Channel("1", "[A] Support")))
    assert not holds("{channel: '[a] *'}", call(channel=Channel("1", "A Support")))


# ------------------------------------------------------------------------------------- direction and source


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{direction: inbound}", True),
        ("{direction: [outbound, inbound]}", True),
        ("{direction: outbound}", False),
        ("{direction: unknown}", False),
        ("{source: sipgate}", True),
        ("{source: [other, sipgate]}", True),
        ("{source: other}", False),
    ],
)
def test_a_direction_and_a_source_are_compared_exactly(holds: Holds, when: str, expected: bool) -> None:
    assert holds(when) is expected


def test_a_direction_that_nobody_knows_can_be_asked_for(holds: Holds) -> None:
    assert holds("{direction: unknown}", NOTHING)
    assert holds("{source: other}", NOTHING, source="other")


# ------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{caller: +4915228817386}", True),
        ("{caller: '+49 1522 881 73-86'}", True),
        ("{caller: '+49 (0)1522/8817386'}", True),
        ("{caller: +4915228817387}", False),
        ("{caller: +49152*}", True),
        ("{caller: '+49 152 *'}", True),
        ("{caller: '+49 (0)152*'}", True),
        ("{caller: +49*}", True),
        ("{caller: +43*}", False),
        ("{caller: [+43*, +4915228817386]}", True),
        ("{caller: anonymous}", False),
        ("{callee: +493023125014}", True),
        ("{callee: +4915228817386}", False),
        ("{number: +4915228817386}", True),
        ("{number: +493023125014}", True),
        ("{number: +4930*}", True),
        ("{number: +4940*}", False),
    ],
)
def test_a_number_is_compared_as_e164(holds: Holds, when: str, expected: bool) -> None:
    assert holds(when) is expected


@pytest.mark.parametrize(
    ("kind", "number"), [("anonymous", ANONYMOUS), ("Anonymous", ANONYMOUS), ("internal", INTERNAL)]
)
def test_a_number_can_be_anonymous_or_internal(holds: Holds, kind: str, number: Number) -> None:
    assert holds(f"{{caller: {kind}}}", call(caller=number))
    assert holds(f"{{number: [{kind}]}}", call(callee=number))
    assert not holds(f"{{caller: {kind}}}", call(callee=number))
    assert not holds(f"{{caller: {kind}}}")


@pytest.mark.parametrize("number", [ANONYMOUS, INTERNAL, UNKNOWN, Number()])
def test_a_number_that_is_no_e164_begins_with_nothing(holds: Holds, number: Number) -> None:
    assert not holds("{number: [+49*, +493023125014]}", call(caller=number, callee=number))


# ------------------------------------------------------------------------------------------------ duration


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("{min: 5m}", True),
        ("{max: 5m}", True),
        ("{min: 5m, max: 5m}", True),
        ("{min: 300.001s}", False),
        ("{max: 299.999s}", False),
        ("'>= 5m'", True),
        ("'>5m'", False),
        ("'<= 300s'", True),
        ("'< 5m'", False),
        ("'> 4.9m'", True),
        ("' <  1h '", True),
    ],
)
def test_both_ends_of_a_duration_are_included(holds: Holds, wanted: str, expected: bool) -> None:
    assert holds(f"{{duration: {wanted}}}") is expected


# ---------------------------------------------------------------------------------------------------- time


@pytest.mark.parametrize(
    ("wanted", "when", "expected"),
    [
        ("{from: '08:00', until: '18:00'}", "2026-03-10 08:00", True),
        ("{from: '08:00', until: '18:00'}", "2026-03-10 17:59:59.999", True),
        ("{from: '08:00', until: '18:00'}", "2026-03-10 18:00", False),
        ("{from: '08:00', until: '18:00'}", "2026-03-10 07:59:59", False),
        ("{from: '8:00'}", "2026-03-10 23:59:59", True),
        ("{from: '8:00'}", "2026-03-10 07:59", False),
        ("{until: '08:00'}", "2026-03-10 00:00", True),
        ("{until: '08:00'}", "2026-03-10 08:00", False),
        ("{from: '22:00', until: '24:00'}", "2026-03-10 23:59:59", True),
        ("{from: '22:00', until: '24:00'}", "2026-03-11 00:00", False),
        ("{from: '22:00', until: '00:00'}", "2026-03-10 23:59:59", True),
        ("{from: '22:00', until: '00:00'}", "2026-03-11 00:00", False),
        ("{from: '00:00', until: '24:00'}", "2026-03-10 00:00", True),
        ("{from: '22:00', until: '06:00'}", "2026-03-10 22:00", True),
        ("{from: '22:00', until: '06:00'}", "2026-03-11 05:59", True),
        ("{from: '22:00', until: '06:00'}", "2026-03-11 06:00", False),
        ("{from: '22:00', until: '06:00'}", "2026-03-11 21:59", False),
    ],
)
def test_until_is_excluded_and_a_window_may_go_over_midnight(
    holds: Holds, wanted: str, when: str, expected: bool
) -> None:
    assert holds(f"{{time: {wanted}}}", at(when)) is expected


@pytest.mark.parametrize(
    ("days", "when", "expected"),
    [
        ("mon-fri", "2026-03-09 12:00", True),  # Monday
        ("mon-fri", "2026-03-13 12:00", True),
        ("mon-fri", "2026-03-14 12:00", False),
        ("Mo-Fr", "2026-03-13 12:00", True),
        ("mo - fr", "2026-03-13 12:00", True),
        ("fri-mon", "2026-03-13 12:00", True),
        ("fri-mon", "2026-03-15 12:00", True),
        ("fri-mon", "2026-03-16 12:00", True),
        ("fri-mon", "2026-03-17 12:00", False),
        ("[sat, So]", "2026-03-15 12:00", True),
        ("[sat, So]", "2026-03-16 12:00", False),
        ("Donnerstag", "2026-03-12 12:00", True),
        ("wednesday", "2026-03-11 12:00", True),
        ("mi", "2026-03-11 12:00", True),
        ("tue-tue", "2026-03-10 12:00", True),
        ("tue-tue", "2026-03-11 12:00", False),
        ("wed-tue", "2026-03-10 12:00", True),
    ],
)
def test_days_may_be_ranges_that_go_over_the_weekend(holds: Holds, days: str, when: str, expected: bool) -> None:
    assert holds(f"{{time: {{days: {days}}}}}", at(when)) is expected


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-03-13 22:30", True),  # Friday night
        ("2026-03-14 05:59", True),
        ("2026-03-14 22:30", False),
        ("2026-03-13 05:00", False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_began(holds: Holds, when: str, expected: bool) -> None:
    assert holds("{time: {days: fri, from: '22:00', until: '06:00'}}", at(when)) is expected


@pytest.mark.parametrize(
    ("holidays", "when", "expected"),
    [
        ("DE-NW", "2026-11-01 12:00", False),  # All Saints: in North Rhine-Westphalia, not in Berlin
        ("DE-BE", "2026-11-01 12:00", True),
        ("[DE-BE, de-nw]", "2026-11-01 12:00", False),
        ("DE", "2026-12-25 12:00", False),
        ("AT", "2026-10-26 12:00", False),
        ("DE", "2026-10-26 12:00", True),
    ],
)
def test_holidays_do_not_count(holds: Holds, holidays: str, when: str, expected: bool) -> None:
    assert holds(f"{{time: {{holidays: {holidays}}}}}", at(when)) is expected


def test_the_night_into_a_holiday_is_none_and_the_one_after_it_is(holds: Holds) -> None:
    night = "{time: {from: '22:00', until: '06:00', holidays: DE}}"
    assert holds(night, at("2026-12-25 03:00"))  # began on the 24th, which is no holiday
    assert not holds(night, at("2026-12-27 03:00"))  # began on the 26th, which is one


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("2026-03-29 01:59", True),
        ("2026-03-29 03:00", False),  # two o'clock there is none
        ("2026-10-25 02:30", True),
        ("2026-10-25 02:30 again", True),
        ("2026-10-25 03:00", False),
        ("2025-10-26 02:50", True),
    ],
)
@pytest.mark.case("RTY-04")
def test_the_clocks_on_the_wall_decide_in_the_nights_when_they_change(holds: Holds, when: str, expected: bool) -> None:
    assert holds("{time: {from: '22:00', until: '03:00'}}", at(when)) is expected


@pytest.mark.parametrize(
    ("when", "every_day", "saturdays"),
    [
        ("2026-03-28 21:59:59", False, False),
        ("2026-03-28 22:00", True, True),
        ("2026-03-29 01:59:59", True, True),
        ("2026-03-29 02:30", True, True),  # there is none: what was meant is 03:30, as summer time has it
        ("2026-03-29 05:59", True, True),  # still the night of that Saturday, of seven hours
        ("2026-03-29 06:00", False, False),
        ("2026-03-29 22:00", True, False),
        ("2026-10-24 22:00", True, True),
        ("2026-10-25 02:30", True, True),
        ("2026-10-25 02:30 again", True, True),
        ("2026-10-25 05:59:59", True, True),  # of nine hours
        ("2026-10-25 06:00", False, False),
        ("2026-10-25 23:00", True, False),
    ],
)
@pytest.mark.case("RTY-04")
def test_rty_04_a_night_belongs_to_the_day_it_began_on_also_where_it_has_seven_or_nine_hours(
    holds: Holds, when: str, *, every_day: bool, saturdays: bool
) -> None:
    assert holds("{time: {from: '22:00', until: '06:00'}}", at(when)) is every_day
    assert holds("{time: {days: sat, from: '22:00', until: '06:00'}}", at(when)) is saturdays


@pytest.mark.case("RTY-04")
def test_rty_04_zones_are_known_on_a_machine_that_has_none() -> None:
    """The package `tzdata` is a dependency of ours."""
    reset_tzpath([])
    try:
        berlin = ZoneInfo.no_cache("Europe/Berlin")
    finally:
        reset_tzpath()
    assert [datetime(2026, month, 1, tzinfo=berlin).utcoffset() for month in (1, 7)] == [
        timedelta(hours=n) for n in (1, 2)
    ]


def test_times_are_those_of_the_configured_zone(tmp_path: Path) -> None:
    rules = "timezone: America/New_York\nroutes: [{name: r, to: crm, when: {time: {days: mon, from: '20:00'}}}]\n"
    (route,) = configuration(tmp_path, rules).table.routes
    assert route.matches(facts(call(started_at=datetime.fromisoformat("2026-03-10T00:30:00+00:00"))))


# ----------------------------------------------------------------------------------------------------- has


def test_a_call_has_a_part_when_there_is_something_in_it(holds: Holds) -> None:
    parts = ("headline", "summary", "note", "transcript", "action_items", "smart_answers", "small_talk")
    for part in parts:
        assert holds(f"{{has: {part}}}")
        assert not holds(f"{{has: {part}}}", NOTHING)
    assert not holds("{has: participants}")
    assert holds("{has: participants}", call(participants=(Participant("1", None),)))
    assert holds("{has: [participants, note]}")
    assert not holds("{has: [participants, note]}", call(note=None))


# ---------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{summary: Kündigung}", True),
        ("{summary: KUENDIGUNG}", True),
        ("{summary: [Preis, Angebot]}", True),
        ("{summary: [Preis, Rabatt]}", False),
        ("{summary: Rechnung}", False),
        ("{headline: Rechnung}", True),
        ("{headline: $geld}", True),
        ("{note: $geld}", False),
        ("{note: [$geld, Tarif]}", True),
        ("{note: [$geld, $wild]}", False),
        ("{summary: $wild}", True),
        ("{text: [$geld]}", True),
        ("{summary: {any: [Preis, Angebot], all: [Frau, nach]}}", True),
        ("{summary: {any: Angebot, all: [Frau, Herr]}}", False),
        ("{summary: {all: Frau, none: Kündigung}}", False),
        ("{summary: {none: [Storno, Rabatt]}}", True),
        ("{summary: {match: prefix, any: Kündig}}", True),
        ("{summary: {match: word, any: Kündig}}", False),
        ("{summary: {match: substring, any: ündi}}", True),
        ("{summary: {match: glob, any: '*ündig*'}}", True),
        ("{summary: {match: glob, any: '*ündig*', except: 'kündig*'}}", False),
        ("{summary: {match: regex, any: 'Frau \\w+ fragt'}}", True),
        ("{summary: {match: regex, any: '^fragt'}}", False),
        ("{summary: {fold: exact, any: kündigung}}", False),
        ("{summary: {fold: basic, any: kündigung}}", True),
        ("{summary: {fold: basic, any: Kuendigung}}", False),
    ],
)
def test_a_text_condition_looks_for_keywords(holds: Holds, when: str, expected: bool) -> None:
    assert holds(when) is expected


@pytest.mark.parametrize("escaped", ["$$100", "[$$100]", "{any: $$100}", "{all: [$$100]}"])
def test_a_keyword_may_begin_with_a_dollar_sign(holds: Holds, escaped: str) -> None:
    assert holds(f"{{note: {escaped}}}", call(note="Es kostet $100."))
    assert not holds(f"{{note: {escaped}}}", call(note="Es kostet 100."))


FIELDS: dict[str, dict[str, Any]] = {
    "headline": {"headline": "Zauberwort"},
    "summary": {"summary": "Zauberwort"},
    "note": {"note": "Zauberwort"},
    "transcript": {"transcript": (Segment(Speaker.OTHER, None, None, "Zauberwort"),)},
    "action_items": {"action_items": (ActionItem(None, "Zauberwort"),)},
    "smart_answers": {"smart_answers": (SmartAnswer(None, "Zauberwort", None),)},
    "small_talk": {"small_talk": (SmallTalk(None, None, "Zauberwort"),)},
}


@pytest.mark.parametrize("field", FIELDS)
def test_every_text_field_is_looked_at_and_no_other(holds: Holds, field: str) -> None:
    """`text` is all of them but the small talk."""
    of = call(**FIELDS[field])
    for asked in FIELDS:
        assert holds(f"{{{asked}: Zauberwort}}", of) is (asked == field)
    assert holds("{text: Zauberwort}", of) is (field != "small_talk")


@pytest.mark.parametrize(
    "changes",
    [
        {"smart_answers": (SmartAnswer(None, None, "Zauberwort"),)},
        {"smart_answers": (SmartAnswer(None, "Zauberwort", None),)},
    ],
)
def test_questions_and_answers_both_count(holds: Holds, changes: dict[str, Any]) -> None:
    assert holds("{smart_answers: Zauberwort}", call(**changes))


def test_a_topic_and_its_description_both_count(holds: Holds) -> None:
    assert holds("{small_talk: Baustelle}")
    assert holds("{small_talk: gebaut}")


def test_no_phrase_goes_over_from_one_text_to_the_next(holds: Holds) -> None:
    assert holds("{transcript: Guten Morgen}")
    assert not holds("{transcript: Morgen Tag}")
    assert not holds("{action_items: senden Rückruf}")
    assert not holds("{text: {match: substring, any: 'Rechnung Frau'}}")


def test_a_keyword_in_the_last_of_many_segments_is_found(holds: Holds) -> None:
    many = (*(Segment(Speaker.CALLER, None, None, "Ja, ja. " * 20) for _ in range(400)),)
    last = Segment(Speaker.CALLEE, None, None, "Dann zur Schlüsselübergabe.")
    assert holds("{transcript: Schlüsselübergabe}", call(transcript=(*many, last)))


# ---------------------------------------------------------------------------------- what is missing, and groups

ON_SOMETHING = [
    "channel: '*'",
    "channel: {id: c1}",
    "caller: +49*",
    "callee: anonymous",
    "number: internal",
    "duration: '>= 0s'",
    "duration: {max: 24h}",
    "time: {days: mon-sun}",
    "time: {holidays: DE}",
    "has: [headline, summary, note, transcript, action_items, smart_answers, small_talk, participants]",
    "summary: {none: x}",
    "headline: {match: regex, any: '.*'}",
    "note: $geld",
    "transcript: x",
    "action_items: x",
    "smart_answers: x",
    "small_talk: x",
    "text: {none: x}",
    "direction: inbound",
]


@pytest.mark.parametrize("condition", ON_SOMETHING)
def test_a_condition_on_something_missing_is_false(holds: Holds, condition: str) -> None:
    assert not holds(f"{{{condition}}}", NOTHING)
    assert holds(f"{{not: {{{condition}}}}}", NOTHING)


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ("{direction: inbound, channel: Sales Hotline}", True),
        ("{direction: inbound, channel: Support}", False),
        ("{any: [{channel: Support}, {direction: inbound}]}", True),
        ("{any: [{channel: Support}, {direction: outbound}]}", False),
        ("{all: [{channel: Sales*}, {direction: inbound}]}", True),
        ("{all: [{channel: Sales*}, {direction: outbound}]}", False),
        ("{not: {channel: Support}}", True),
        ("{not: {channel: Sales*, direction: outbound}}", True),
        ("{not: {channel: Sales*, direction: inbound}}", False),
        ("{not: {not: {channel: Sales*}}}", True),
        ("{any: [{channel: Support}], direction: inbound}", False),
        ("{any: [{all: [{direction: inbound}, {not: {channel: Support}}]}, {summary: Storno}]}", True),
    ],
)
def test_groups_nest_and_all_keys_must_hold(holds: Holds, when: str, expected: bool) -> None:
    assert holds(when) is expected


# ------------------------------------------------------------------------------------ never: a channel unknown

#: A condition, and whether it holds back a call of which neither the channel's name nor its id is known.
HELD_BACK = [
    ("{channel: Betriebsrat}", True),
    ("{channel: Betrieb*}", True),
    ("{channel: {id: c9}}", True),
    ("{not: {channel: Betriebsrat}}", True),
    ("{channel: Betriebsrat, direction: unknown}", True),
    ("{channel: Betriebsrat, direction: inbound}", False),
    ("{any: [{channel: Betriebsrat}, {direction: inbound}]}", True),
    ("{any: [{summary: x}, {direction: inbound}]}", False),
    ("{all: [{channel: Betriebsrat}, {summary: x}]}", False),
    ("{all: [{channel: Betriebsrat}, {not: {summary: x}}]}", True),
    ("{summary: x}", False),
    ("{not: {summary: x}}", True),
]


@pytest.mark.parametrize(("when", "expected"), HELD_BACK)
def test_for_a_never_rule_a_call_without_a_channel_may_be_on_any(tmp_path: Path, when: str, expected: bool) -> None:
    """Only what is false for certain lets the call through."""
    (rule,) = configuration(tmp_path, f"never: [{{name: n, when: {when}, to: all}}]\n").table.never
    assert rule.matches(facts(NOTHING)) is expected


@pytest.mark.parametrize(
    ("channel", "when", "expected"),
    [
        (Channel("c1", None), "{channel: Betriebsrat}", True),
        (Channel("c1", None), "{channel: {id: c9}}", False),
        (Channel("c9", None), "{channel: [Betriebsrat, {id: c9}]}", True),
        (Channel(None, "Support"), "{channel: {id: c9}}", True),
        (Channel(None, "Support"), "{channel: Betriebsrat}", False),
        (Channel(None, "Support"), "{not: {channel: Betriebsrat}}", True),
        (Channel(None, "Betriebsrat"), "{not: {channel: Betriebsrat}}", False),
        (Channel("c1", "Support"), "{channel: [Betriebsrat, {id: c9}]}", False),
    ],
)
def test_half_a_channel_is_enough_for_rules_that_ask_for_that_half(
    tmp_path: Path, channel: Channel, when: str, expected: bool
) -> None:
    (rule,) = configuration(tmp_path, f"never: [{{name: n, when: {when}, to: all}}]\n").table.never
    assert rule.matches(facts(call(channel=channel))) is expected


def test_an_unless_that_cannot_be_answered_lets_nothing_through(tmp_path: Path) -> None:
    rules = "never: [{name: n, when: {direction: unknown}, unless: {channel: Support}, to: all}]\n"
    (rule,) = configuration(tmp_path, rules).table.never
    assert rule.matches(facts(NOTHING))
    assert not rule.matches(facts(call(channel=Channel("1", "Support"), direction=Direction.UNKNOWN)))


# ------------------------------------------------------------------------------------------------- explaining


def test_an_explanation_says_what_was_asked_and_what_was_found(tmp_path: Path) -> None:
    rules = """\
words: {geld: [Preis]}
routes:
- name: r
  to: crm
  when:
    channel: [Support, Sales*, {id: c9}]
    direction: [inbound, unknown]
    source: sipgate
    caller: [+4930*, anonymous]
    duration: {min: 5m, max: 1h}
    time: {days: [mon-fri], from: "08:00", until: "18:00"}
    has: [note, participants]
    summary: [Angebot, Storno]
    headline: {any: Rückfrage, none: [Storno]}
    not: {note: $geld}
    any: [{source: other}, {duration: "< 1s"}]
"""
    (route,) = configuration(tmp_path, rules).table.routes
    found = {part.asked: (part.held, part.found) for part in route.when.explain(facts()).parts}
    assert found == {
        "channel: Support, Sales*, id c9": (True, "Sales Hotline"),
        "direction: inbound, unknown": (True, "inbound"),
        "source: sipgate": (True, "sipgate"),
        "caller: +4930*, anonymous": (False, "+4915228817386"),
        "duration: >= 300 s and <= 3600 s": (True, "300 s"),
        "time: days mon-fri, from 08:00, until 18:00": (True, "Tue 2026-03-10 09:15:00 +0100"),
        "has: note, participants": (True, "note"),
        "summary: any 'Angebot', 'Storno'": (True, "angebot"),
        "headline: any 'Rückfrage'; none 'Storno'": (True, "rueckfrage"),
        "not": (True, None),
        "any of": (False, None),
    }


def test_an_explanation_of_groups_has_their_parts_and_is_json(tmp_path: Path) -> None:
    rules = "routes: [{name: r, to: crm, when: {any: [{source: other}, {not: {note: x}}]}}]\n"
    (route,) = configuration(tmp_path, rules).table.routes
    (group,) = route.when.explain(facts()).parts
    assert group.plain() == {
        "condition": "any of",
        "held": True,
        "found": None,
        "conditions": [
            {
                "condition": "all of",
                "held": False,
                "found": None,
                "conditions": [{"condition": "source: other", "held": False, "found": "sipgate"}],
            },
            {
                "condition": "all of",
                "held": True,
                "found": None,
                "conditions": [
                    {
                        "condition": "not",
                        "held": True,
                        "found": None,
                        "conditions": [
                            {
                                "condition": "all of",
                                "held": False,
                                "found": None,
                                "conditions": [{"condition": "note: any 'x'", "held": False, "found": None}],
                            }
                        ],
                    }
                ],
            },
        ],
    }


def test_what_a_call_does_not_have_is_explained_as_nothing(tmp_path: Path) -> None:
    rules = (
        "routes: [{name: r, to: crm, when: {channel: x, duration: '> 1s', time: {days: mon}, note: x, has: note}}]\n"
    )
    (route,) = configuration(tmp_path, rules).table.routes
    assert [(part.held, part.found) for part in route.when.explain(facts(NOTHING)).parts] == [(False, None)] * 5


class Answering:
    """A condition that answers what it is told."""

    def __init__(self, answer: bool | None) -> None:
        self.answer = answer

    def holds(self, _: object) -> bool | None:
        return self.answer

    def explain(self, _: object) -> Finding:
        return Finding("told", self.answer)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [((True, None), True), ((None, True), True), ((False, None), None), ((None, False), None), ((False, False), False)],
)
def test_any_of_an_unknown_and_a_false_is_unknown(parts: tuple[bool | None, ...], expected: bool | None) -> None:
    assert AnyOf(tuple(map(Answering, parts))).holds(facts()) is expected
