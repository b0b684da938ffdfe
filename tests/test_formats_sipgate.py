"""The sipgate format: what is read from bundles as they are documented, as they come, and as they should not be."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mutations import broken
from router import formats
from router.errors import Unreadable
from router.event import (
    CALL,
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
    Trust,
)
from router.formats import parts, sipgate
from router.formats.body import parse
from support import CASES as ALL_CASES

CASES = ALL_CASES / "payloads"
EXPECTED: dict[str, Any] = json.loads((CASES / "expected.json").read_bytes()) if CASES.is_dir() else {}
needs_cases = pytest.mark.skipif(not EXPECTED, reason="the shared cases are not here")

START = 1_773_130_504_000
STARTED = datetime(2026, 3, 10, 8, 15, 4, tzinfo=UTC)
BUNDLE: dict[str, Any] = {
    "callHeadline": "Rückfrage zur Rechnung",
    "call": {
        "id": "call_1",
        "caller": "+4915228817386",
        "callee": "+493023125014",
        "startTime": START,
        "endTime": START + 312_000,
        "duration": 312,
        "direction": "inbound",
        "users": [{"userId": "w0", "fullName": "Tobias Weiß"}],
    },
    "channel": {"id": "c1", "name": "Support"},
    "transcriptions": [
        {"speaker": "caller", "startTime": 800, "endTime": 6400, "text": "Guten Morgen, hier ist Jana Brückner."},
        {"speaker": "callee", "startTime": 6750, "endTime": 13150, "text": "Guten Morgen, was kann ich tun?"},
    ],
    "summary": "Frau Brückner fragt nach der Rechnung.",
    "note": {"content": "Tarif L anbieten."},
    "actionItems": [{"id": "ai_1", "text": "Optionen senden"}],
    "smallTalkItems": [
        {"id": "st_1", "topic": "Baustelle", "description": "Es wird gebaut.", "pinned": True, "dismissed": False}
    ],
    "smartAnswers": [{"id": "sa_1", "question": "Zufrieden?", "answer": "Ja."}],
}


def read(**changes: Any) -> Call:
    """The call of the bundle with these changes at its top."""
    return formats.read(BUNDLE | changes)[1]


def call(**changes: Any) -> Call:
    """The call of the bundle with these changes to its `call`; None takes a key out."""
    given = {key: value for key, value in (BUNDLE["call"] | changes).items() if value is not None}
    return read(call=given)


# ------------------------------------------------------------------------------------------------------ shared cases


@pytest.mark.parametrize("name", [name for name, case in EXPECTED.items() if not case.get("quarantined")])
def test_a_payload_gives_the_call_that_is_expected(name: str) -> None:
    expected = EXPECTED[name]
    form, found = formats.read(parse((CASES / name).read_bytes()).value)
    assert form == "sipgate"
    lists = {
        "transcript_segments": found.transcript,
        "action_items": found.action_items,
        "smart_answers": found.smart_answers,
        "small_talk_items": found.small_talk,
    }
    started_at = found.started_at and found.started_at.isoformat().replace("+00:00", "Z").replace("663000", "663")
    actual = {
        "call_id": found.call_id,
        "direction": found.direction.value,
        "channel_id": found.channel.id,
        "channel_name": found.channel.name,
        "duration_s": found.duration,
        "started_at": started_at,
        "caller_e164": found.caller.e164,
        **{key: len(items) for key, items in lists.items()},
    }
    assert {key: actual[key] for key in expected if key in actual} == {
        key: expected[key] for key in expected if key in actual
    }
    assert expected.get("summary_contains", "") in (found.summary or "")
    assert found.channel.name in expected.get("channel_name_one_of", [found.channel.name])
    CALL.dump_json(found)  # every output can write it


@pytest.mark.parametrize("name", [name for name, case in EXPECTED.items() if case.get("quarantined")])
def test_a_payload_that_nobody_can_read_is_refused_in_words(name: str) -> None:
    with pytest.raises(Unreadable, match=r"nested deeper|not JSON: [A-Z]"):
        formats.read(parse((CASES / name).read_bytes()).value)


@needs_cases
def test_a_reordered_payload_is_the_same_and_a_changed_one_is_not() -> None:
    first, same, changed = (
        parse((CASES / name).read_bytes()).digest
        for name in ("18-duplicate-first.json", "19-duplicate-reordered.json", "20-same-id-new-content.json")
    )
    assert first == same != changed


@needs_cases
def test_unknown_fields_stay_in_the_raw_body() -> None:
    value = parse((CASES / "17-unknown-extra-fields.json").read_bytes()).value
    for path in EXPECTED["17-unknown-extra-fields.json"]["must_keep_keys"]:
        here = value
        for key in path.split("."):
            here = here[key]


@needs_cases
def test_a_payload_of_another_dialect_is_not_claimed() -> None:
    for file in (CASES / "ci-v1").iterdir():
        assert formats.read(parse(file.read_bytes()).value)[0] != sipgate.NAME


# ----------------------------------------------------------------------------------------------------- as documented


def test_the_documented_bundle_is_read_whole() -> None:
    form, found = formats.read(BUNDLE)
    assert form == "sipgate"
    assert found == Call(
        call_id="call_1",
        direction=Direction.INBOUND,
        caller=Number("+4915228817386", "+4915228817386", NumberKind.E164),
        callee=Number("+493023125014", "+493023125014", NumberKind.E164),
        started_at=STARTED,
        ended_at=datetime(2026, 3, 10, 8, 20, 16, tzinfo=UTC),
        duration=312.0,
        channel=Channel("c1", "Support"),
        headline="Rückfrage zur Rechnung",
        summary="Frau Brückner fragt nach der Rechnung.",
        note="Tarif L anbieten.",
        transcript=(
            Segment(Speaker.CALLER, 0.8, 6.4, "Guten Morgen, hier ist Jana Brückner."),
            Segment(Speaker.CALLEE, 6.75, 13.15, "Guten Morgen, was kann ich tun?"),
        ),
        action_items=(ActionItem("ai_1", "Optionen senden"),),
        smart_answers=(SmartAnswer("sa_1", "Zufrieden?", "Ja."),),
        small_talk=(SmallTalk("st_1", "Baustelle", "Es wird gebaut.", pinned=True),),
        participants=(Participant("w0", "Tobias Weiß"),),
        trust=Trust.UNSIGNED,
    )


@pytest.mark.parametrize(
    "empty", [{}, None, "", "  \n", [], {"content": None}, {"content": ""}, [None], [{}], [""], 0.5]
)
def test_parts_that_are_missing_null_or_blank_are_left_out(empty: Any) -> None:
    """A number where a list belongs is no part either."""
    keys = ("transcriptions", "actionItems", "smartAnswers", "smallTalkItems", "channel")
    texts = () if empty == 0.5 else ("callHeadline", "summary", "note")
    found = read(**dict.fromkeys((*keys, *texts), empty))
    assert not any((found.transcript, found.action_items, found.smart_answers, found.small_talk))
    assert found.channel == Channel()
    if texts:
        assert found.headline is found.summary is found.note is None


def test_a_bundle_with_nothing_but_a_call_is_read() -> None:
    assert formats.read({"call": {}}) == ("sipgate", Call())


def test_items_without_any_text_are_left_out_and_their_neighbours_stay() -> None:
    found = read(
        actionItems=[{"id": "1"}, {"id": "2", "text": " "}, {"id": "3", "text": "anrufen"}, 7, None, [[]]],
        smartAnswers=[{"id": "1"}, {"id": "2", "question": "Warum?"}, {"id": "3", "answer": "Darum."}],
        smallTalkItems=[{"id": "1", "pinned": True}, {"id": "2", "topic": "Wetter"}],
        transcriptions=[{"speaker": "caller", "startTime": 1}, {"speaker": "callee", "text": "Ja?"}],
    )
    assert found.action_items == (ActionItem("3", "anrufen"),)
    assert found.smart_answers == (SmartAnswer("2", "Warum?", None), SmartAnswer("3", None, "Darum."))
    assert found.small_talk == (SmallTalk("2", "Wetter", None),)
    assert [(segment.speaker, segment.text) for segment in found.transcript] == [(Speaker.CALLEE, "Ja?")]


@pytest.mark.parametrize(
    "items",
    [
        "anrufen",
        ["anrufen"],
        {"text": "anrufen"},
        [{"content": "anrufen"}],
        [{"content": None, "text": "anrufen"}],
        [{"content": " ", "text": "anrufen"}],
        [{"content": {}, "text": "anrufen"}],
    ],
)
def test_an_action_item_is_found_however_it_is_wrapped(items: Any) -> None:
    assert [item.text for item in read(actionItems=items).action_items] == ["anrufen"]


@pytest.mark.parametrize("note", ["Hallo", {"content": "Hallo"}, {"text": "Hallo"}, {"content": " Hallo\n"}])
def test_a_note_is_text_or_wrapped_text(note: Any) -> None:
    assert read(note=note).note == "Hallo"


def test_people_have_a_full_name_or_two_halves() -> None:
    users = [
        {"userId": "1", "fullName": "Ada Lovelace"},
        {"userId": "2", "firstName": "Grace", "lastName": "Hopper"},
        {"lastName": "Noether"},
        {"userId": "4"},
        {"fullName": ""},
        {},
    ]
    assert call(users=users).participants == (
        Participant("1", "Ada Lovelace"),
        Participant("2", "Grace Hopper"),
        Participant(None, "Noether"),
        Participant("4", None),
    )


# ------------------------------------------------------------------------------------------------------------- claims


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "a JSON list, not an object"),
        ("text", "a JSON string, not an object"),
        (1, "a JSON number, not an object"),
        (1.5, "a JSON number, not an object"),
        (True, "a JSON word, not an object"),
        (None, "a JSON null, not an object"),
        ({}, "no known format"),
        ({"call": []}, "no known format"),
        ({"call": None, "summary": "x"}, "no known format"),
    ],
)
def test_what_no_format_claims_is_unreadable(value: Any, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        formats.read(value)


def test_a_source_can_pin_its_format() -> None:
    assert formats.read(BUNDLE, "sipgate")[0] == "sipgate"
    with pytest.raises(Unreadable, match="not sipgate-ci, the only format of this source: there is "):
        formats.read(BUNDLE, "sipgate-ci")


# ---------------------------------------------------------------------------------------------------------- the call


@pytest.mark.parametrize(
    ("given", "call_id"),
    [
        ("call_1", "call_1"),
        (" call_1\n", "call_1"),
        (7, "7"),
        (2**70, "1180591620717411303424"),
        ("", None),
        ("\x00", None),
        (None, None),
        ([], None),
        (True, None),
        (1.5, "1.5"),
        (2.0**52, "4503599627370496.0"),
        (2.0**53, None),
        (1e30, None),
        (float("inf"), None),
        ("9" * 5000, "9" * 5000),
    ],
)
@pytest.mark.case("JSON-03")
def test_a_call_id_is_text_digit_by_digit(given: Any, call_id: str | None) -> None:
    """A number that has lost digits would make two calls one."""
    assert call(id=given).call_id == call_id


@pytest.mark.parametrize(
    ("given", "direction"),
    [("inbound", "inbound"), ("IN", "inbound"), ("Incoming", "inbound"), ("OUT", "outbound"), ("sideways", "unknown")],
)
def test_a_direction_is_known_however_it_is_spelt(given: str, direction: str) -> None:
    assert call(direction=given).direction == direction


@pytest.mark.parametrize("odd", [None, 1, [], {}, {"content": {}}])
def test_an_odd_direction_is_unknown(odd: Any) -> None:
    assert call(direction=odd).direction is Direction.UNKNOWN


@pytest.mark.parametrize(
    ("given", "e164", "kind"),
    [
        ("+4915228817386", "+4915228817386", "e164"),
        ("4915228817386", "+4915228817386", "e164"),
        ("004915228817386", "+4915228817386", "e164"),
        ("+49 (0)152 2881-7386", "+4915228817386", "e164"),
        ("+49 1522 8817386", "+4915228817386", "e164"),
        ("tel:+493023125014", "+493023125014", "e164"),
        ("sip:+493023125014@sipgate.de;user=phone", "+493023125014", "e164"),
        (4915228817386, "+4915228817386", "e164"),
        ("200", None, "internal"),
        ("112", None, "internal"),
        ("12345", None, "internal"),
        ("123456", None, "unknown"),
        ("+4999912345678", "+4999912345678", "e164"),  # no such area, as far as the tables know
        ("4999912345678", None, "unknown"),
        ("anonymous", None, "anonymous"),
        ("Anonymous", None, "anonymous"),
        ("sip:anonymous@anonymous.invalid", None, "anonymous"),
        ("unterdrückt", None, "anonymous"),
        ("022147100", None, "unknown"),
        ("+1", None, "unknown"),
        ("sip:jana@firma.example", None, "unknown"),
        ("+49152288173861234567890123", None, "unknown"),
        ("", None, "unknown"),
        (None, None, "unknown"),
        ({}, None, "unknown"),
        (["+4915228817386"], None, "unknown"),
        (True, None, "unknown"),
    ],
)
def test_a_number_is_e164_where_it_is_one(given: Any, e164: str | None, kind: str) -> None:
    caller = call(caller=given).caller
    assert (caller.e164, caller.kind) == (e164, kind)
    if isinstance(given, str):
        assert caller.raw == given


# ------------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    "given",
    [
        START,
        START // 1000,
        START / 1000,
        str(START),
        "2026-03-10T08:15:04Z",
        "2026-03-10T09:15:04+01:00",
        " 1773130504 ",
    ],
)
def test_a_time_is_read_in_every_unit(given: Any) -> None:
    assert call(startTime=given).started_at == STARTED


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "",
        "soon",
        [],
        {},
        True,
        -1,
        0,
        1e23,
        2**63,
        float("inf"),
        "9" * 5000,
        "0001-01-01T00:00:00+23:59",
        "1999-12-31",
    ],
)
def test_an_impossible_time_is_unknown(odd: Any) -> None:
    found = call(startTime=odd)
    assert found.started_at is None
    assert found.duration == 312.0


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ("1999-12-31T23:59:59Z", False),
        ("2000-01-01T00:00:00Z", True),
        ("2100-12-31T23:59:59Z", True),
        ("2101-01-01T00:00:00Z", False),
        (10**11, False),  # milliseconds: 1973
        (10**11 - 1, False),  # seconds: 5138
        (946_684_800, True),
        (946_684_799, False),
    ],
)
def test_calls_are_of_this_century(given: Any, known: bool) -> None:
    assert (call(startTime=given).started_at is not None) is known


def test_milliseconds_of_a_time_are_kept() -> None:
    found = call(startTime="2026-04-08T09:22:41.663Z").started_at
    assert found == datetime(2026, 4, 8, 9, 22, 41, 663_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "span", "duration"),
    [
        (312, 312, 312),
        (312_000, 312, 312),
        (311, 312, 311),
        (1, 1, 1),
        (2, 2, 2),
        (1000, 1, 1),
        (2, 1, 2),
        (1500, 1, 1.5),
        (0, 0, 0),
        ("312", 312, 312),
        (306, 312, 306),
        (305, 312, 312),
        (12, 10, 12),
        (13, 10, 10),
        (99, 312, 312),
        (0, 312, 312),
        (1, 0, 1),
        (82, 0, 82),
        (82, 1, 1),
        (1, 0.4, 1),
        (900, 1, 0.9),
        (None, 0, 0),
        (None, 86_400, 86_400),
        (None, 86_401, None),
        (1e23, 312, 312),
        (-5, 312, 312),
        (None, 312, 312),
        ("long", 312, 312),
    ],
)
def test_a_duration_counts_in_the_unit_that_adds_up(given: Any, span: int, duration: float) -> None:
    assert call(duration=given, endTime=START + span * 1000).duration == duration


@pytest.mark.parametrize(
    ("given", "duration"),
    [
        (312, 312),
        (146_750, 146.75),
        (0, 0),
        (28_800, 28_800),
        (28_801, 28.801),
        (82_666, 82.666),
        (100_000_000, None),
        (1e23, None),
        (None, None),
        (True, None),
    ],
)
def test_without_both_times_a_duration_is_in_seconds_as_long_as_a_working_day_allows_it(
    given: Any, duration: float | None
) -> None:
    assert call(duration=given, endTime=None).duration == duration


def test_a_call_that_ends_before_it_starts_has_the_duration_that_is_given() -> None:
    assert call(endTime=START - 1000).duration == 312
    assert call(endTime=START - 1000, duration=None).duration is None


@pytest.mark.parametrize(
    "times",
    [
        [(800, 6400), (6750, 13150)],
        [(0.8, 6.4), (6.75, 13.15)],
        [("0.8", "6.4"), ("6.75", "13.15")],
        [(START + 800, START + 6400), (START + 6750, START + 13150)],
        [("2026-03-10T08:15:04.8Z", "2026-03-10T08:15:10.4Z"), ("2026-03-10T08:15:10.75Z", "2026-03-10T08:15:17.15Z")],
    ],
)
def test_offsets_are_seconds_from_the_start_in_whatever_unit_they_come(times: list[tuple[Any, Any]]) -> None:
    segments = [
        segment | {"startTime": start, "endTime": end}
        for segment, (start, end) in zip(BUNDLE["transcriptions"], times, strict=True)
    ]
    found = [(segment.start, segment.end) for segment in read(transcriptions=segments).transcript]
    assert found == [pytest.approx((0.8, 6.4)), pytest.approx((6.75, 13.15))]


def test_whole_seconds_are_told_from_milliseconds_by_how_fast_one_can_speak() -> None:
    segments = [{"startTime": 1, "endTime": 6, "text": "Guten Morgen, hier ist Jana Brückner."}]
    (segment,) = read(transcriptions=segments).transcript
    assert (segment.start, segment.end) == (1.0, 6.0)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        # Fractions of milliseconds: as seconds they would lie beyond the call.
        ([(1120.4, 4480.9), (250_000.5, 260_000)], [(1.1204, 4.4809), (250.0005, 260.0)]),
        # Hardly a word, but up to the end of the call.
        ([(0, 5), (280, 299)], [(0.0, 5.0), (280.0, 299.0)]),
        # Neither ends nor many words, but a start near the end of the call.
        ([(0, None), (250, None)], [(0.0, None), (250.0, None)]),
        # A word at the beginning of a call in which nobody spoke again.
        ([(40, 300)], [(0.04, 0.3)]),
    ],
)
def test_offsets_are_in_the_unit_that_adds_up_with_the_call(
    times: list[tuple[float, float | None]], found: list[tuple[float, float | None]]
) -> None:
    segments = [{"startTime": start, "endTime": end, "text": "Ja"} for start, end in times]
    read_as = [(segment.start, segment.end) for segment in read(transcriptions=segments).transcript]
    assert [start for start, _ in read_as] == pytest.approx([start for start, _ in found])
    assert [end for _, end in read_as] == [end and pytest.approx(end) for _, end in found]


@pytest.mark.parametrize(("given", "start"), [(0, 0.0), (1, 0.001), (86_400_000, 86_400.0), (86_400_001, None)])
def test_an_offset_is_between_the_start_and_a_day(given: int, start: float | None) -> None:
    segments = [{"startTime": given, "text": "Ja"}, {"startTime": 600_000, "text": "Nein"}]
    assert read(transcriptions=segments).transcript[0].start == start


@pytest.mark.parametrize("odd", [None, "x", -5, [], {}, 1e23, True, float("inf")])
def test_an_odd_offset_is_unknown(odd: Any) -> None:
    (segment,) = read(transcriptions=[{"startTime": odd, "text": "Ja"}]).transcript
    assert segment == Segment(Speaker.OTHER, None, None, "Ja")


def test_absolute_offsets_without_a_start_are_unknown() -> None:
    given = BUNDLE["call"] | {"startTime": None}
    segments = [{"startTime": START + 800, "text": "Ja"}]
    (segment,) = read(call=given, transcriptions=segments).transcript
    assert segment.start is None


# -------------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("Sup\x00port", "Support"),
        ("\x1b[31mrot\x1b[0m", "[31mrot[0m"),
        ("a\x85b\x9fc", "abc"),
        ("Zeile 1\r\nZeile\t2", "Zeile 1\r\nZeile\t2"),
        ("\N{NO-BREAK SPACE}Support\N{NO-BREAK SPACE}", "Support"),
        ("{{7*7}} <script> *fett* @here", "{{7*7}} <script> *fett* @here"),
        ("\u202enosj.exe", "\u202enosj.exe"),
    ],
)
@pytest.mark.case("JSON-06")
def test_text_loses_its_controls_and_nothing_else(given: str, kept: str) -> None:
    found = read(summary=given, channel={"id": "1", "name": given})
    assert found.summary == found.channel.name == kept


@pytest.mark.parametrize("speaker", [None, "", "Agent", 1, [], {}])
def test_a_stranger_in_the_transcript_is_another_voice(speaker: Any) -> None:
    (segment,) = read(transcriptions=[{"speaker": speaker, "text": "Ja"}]).transcript
    assert segment.speaker is Speaker.OTHER


# ---------------------------------------------------------------------------------------------------------- mutations

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from([2**63, 1e999, -1e999, "\ud800", "2026-02-30", "0" * 30, "+49", "inf", "nan", "１２３", START])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "text", "content", "name", "startTime"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(broken(BUNDLE, VALUES))
def test_a_broken_bundle_never_raises_and_reads_the_same_twice(bundle: Any) -> None:
    before = copy.deepcopy(bundle)
    try:
        first = formats.read(bundle)
    except Unreadable:
        assert not isinstance(bundle.get("call"), dict)
        return
    assert first == formats.read(bundle)
    assert repr(bundle) == repr(before)  # nan is not equal to itself
    if b"\\ud" not in json.dumps(bundle).encode():
        assert CALL.validate_json(CALL.dump_json(first[1])) == first[1]
    assert first[1].duration is None or 0 <= first[1].duration <= 86_400
    assert first[1].started_at is None or first[1].started_at.tzinfo is UTC
    for segment in first[1].transcript:
        assert all(at is None or 0 <= at <= 86_400 for at in (segment.start, segment.end))
    texts = [segment.text for segment in first[1].transcript] + [item.text for item in first[1].action_items]
    assert all(map(str.strip, texts))


@given(VALUES)
def test_the_readers_of_parts_take_anything(value: Any) -> None:
    parts.text(value)
    parts.mapping(value)
    list(parts.items(value))
    parts.number_of(value)
    parts.instant(value)
    parts.duration(value, None, None)
    parts.duration(value, STARTED, parts.instant(value))
    parts.offsets([(value, value)], 10, STARTED)
    parts.direction(value)
    parts.speaker(value)
    parts.party(value)
