"""`router.event`: values that survive a store and that templates can read."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.event import (
    CALL,
    EVENT_FIELDS,
    Call,
    Channel,
    Direction,
    Event,
    Number,
    NumberKind,
    Speaker,
    Trust,
    other_party,
    plain,
)
from router.sample import sample_event

CALLER = Number("+4915228817386", "+4915228817386", NumberKind.E164)
CALLEE = Number("200", None, NumberKind.INTERNAL)

#: Without lone surrogates: no format leaves one in.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(2100, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
CALLS = st.builds(
    Call,
    started_at=st.none() | MOMENT,
    ended_at=st.none() | MOMENT,
    duration=st.none() | st.floats(0, 1e6),
    caller=st.builds(Number, raw=TEXT, e164=st.none() | TEXT, kind=st.sampled_from(NumberKind)),
    channel=st.builds(Channel, id=st.none() | TEXT, name=st.none() | TEXT),
    summary=st.none() | TEXT,
    direction=st.sampled_from(Direction),
    trust=st.sampled_from(Trust),
)


@given(CALLS)
def test_a_call_comes_back_from_json_as_it_went(call: Call) -> None:
    assert CALL.validate_json(CALL.dump_json(call)) == call


def test_a_call_with_everything_in_it_comes_back_from_json_as_it_went() -> None:
    event = sample_event()
    call = Call(**{field.name: getattr(event, field.name) for field in fields(Call)})
    assert all(getattr(call, field.name) for field in fields(Call))
    assert CALL.validate_json(CALL.dump_json(call)) == call


def test_an_event_has_what_its_call_has() -> None:
    call = Call(call_id="c", duration=2.5, channel=Channel("1", "Support"), trust=Trust.VERIFIED)
    now = datetime(2026, 3, 10, tzinfo=UTC)
    event = Event.of(call, id="e", sequence=7, source="s", format="sipgate", received_at=now, revision=2, raw={"a": 1})
    assert {field.name: getattr(event, field.name) for field in fields(Call)} == {
        field.name: getattr(call, field.name) for field in fields(Call)
    }
    assert (event.id, event.sequence, event.source, event.format) == ("e", 7, "s", "sipgate")
    assert (event.received_at, event.revision, event.raw) == (now, 2, {"a": 1})


def test_a_plain_event_has_the_fields_of_the_contract_in_its_order() -> None:
    assert tuple(plain(sample_event())) == EVENT_FIELDS
    assert sorted(EVENT_FIELDS) == sorted(field.name for field in fields(Event))


def test_a_plain_event_is_dicts_lists_and_scalars() -> None:
    """Templates call methods of objects, so there must not be any."""

    def check(value: object) -> None:
        assert type(value) in (dict, list, str, int, float, bool, type(None)), value
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            check(inner)

    check(plain(sample_event()))


def test_a_plain_event_has_the_values_of_the_contract() -> None:
    found = plain(sample_event())
    assert found["started_at"] == "2026-03-10T08:15:04Z"
    assert found["direction"] == "inbound"
    assert found["caller"] == {"raw": "+4915228817386", "e164": "+4915228817386", "kind": "e164"}
    assert found["channel"] == {"id": "5f0c3a52-6a0e-4c55-9a9b-3b1b0a5e7c11", "name": "Support"}
    assert found["transcript"][0] == {
        "speaker": "caller",
        "start": 0.8,
        "end": 6.4,
        "text": "Guten Morgen, hier ist Jana Brückner aus Köln.",
    }
    assert found["small_talk"] == [
        {
            "id": "st_1",
            "topic": "Baustelle",
            "description": "Vor dem Büro wird gebaut.",
            "pinned": False,
            "dismissed": False,
        }
    ]
    assert found["trust"] == "unsigned"


def test_a_plain_event_says_the_moment_and_not_the_clock() -> None:
    summer = timezone(timedelta(hours=2))
    event = sample_event(started_at=datetime(2026, 7, 1, 10, 0, 0, 500_000, tzinfo=summer))
    assert datetime.fromisoformat(plain(event)["started_at"]) == event.started_at


def test_what_is_missing_is_there_as_nothing() -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    event = Event(id="e", sequence=1, source="s", format="sipgate", received_at=now, revision=1)
    found = plain(event)
    assert found["caller"] == {"raw": "", "e164": None, "kind": "unknown"}
    assert found["channel"] == {"id": None, "name": None}
    assert found["direction"] == "unknown"
    missing = ("call_id", "started_at", "ended_at", "duration", "headline", "summary", "note", "raw")
    assert {found[name] for name in missing} == {None}
    lists = ("transcript", "action_items", "smart_answers", "small_talk", "participants")
    assert [found[name] for name in lists] == [[], [], [], [], []]


def test_the_raw_body_is_passed_on_as_it_is() -> None:
    raw = {"id": 2**100, "nested": [{"a": None}], "x": 1.5}
    assert plain(sample_event(raw=raw))["raw"] is raw
    json.dumps(plain(sample_event(raw=raw)))


def test_an_event_cannot_be_changed() -> None:
    event = sample_event()
    with pytest.raises(FrozenInstanceError):
        event.summary = "another"  # type: ignore[misc] # that is the point


@pytest.mark.parametrize(
    ("direction", "other"), [(Direction.INBOUND, CALLER), (Direction.OUTBOUND, CALLEE), (Direction.UNKNOWN, CALLER)]
)
def test_the_other_party_is_who_called_or_was_called(direction: Direction, other: Number) -> None:
    assert other_party(Call(direction=direction, caller=CALLER, callee=CALLEE)) == other


def test_speakers_are_those_of_the_contract() -> None:
    assert [str(speaker) for speaker in Speaker] == ["caller", "callee", "other"]
