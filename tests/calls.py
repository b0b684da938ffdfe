"""Calls as formats can make them, for property tests: whatever a vendor sends, texts are trimmed and numbers read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from router.event import (
    ActionItem,
    Call,
    Channel,
    Direction,
    Event,
    Participant,
    Segment,
    SmallTalk,
    SmartAnswer,
    Speaker,
)
from router.formats import parts

#: Without lone surrogates and controls, and trimmed: no format leaves them in.
TEXT = st.text(st.characters(exclude_categories=["Cs"])).map(parts.text).filter(bool)
MAYBE = st.none() | TEXT
#: To the microsecond, as a datetime has it.
MOMENT = st.datetimes(datetime(2000, 1, 1), datetime(2100, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
#: Seconds: whole ones, milliseconds, and whatever a float can be.
SECONDS = (
    st.integers(0, 86_400).map(float) | st.integers(0, 86_400_000).map(lambda n: n / 1000) | st.floats(0.0, 86_400.0)
)
#: Read as every format reads them.
NUMBER = (
    st.sampled_from([
        "+4915228817386", "004915228817386", "4915228817386", "0152 2881 7386", "+49 (152) 288-17386", "200", "110",
        "anonymous", "Unterdrückt", "sip:200@pbx.example", "SIPS:Anna@pbx.example;user=phone", "tel:+493023125014",
        "anna@example.com", "Anna", "",
    ])
    | st.from_regex(r"[+]?[0-9 ()/.-]{1,20}", fullmatch=True)
    | TEXT
).map(parts.party)  # fmt: skip
CALLS = st.builds(
    Call,
    call_id=MAYBE,
    direction=st.sampled_from(Direction),
    caller=NUMBER,
    callee=NUMBER,
    started_at=st.none() | MOMENT,
    ended_at=st.none() | MOMENT,
    duration=st.none() | SECONDS,
    channel=st.builds(Channel, id=MAYBE, name=MAYBE),
    headline=MAYBE,
    summary=MAYBE,
    note=MAYBE,
    transcript=st.lists(
        st.builds(
            Segment,
            speaker=st.sampled_from(Speaker),
            start=st.none() | SECONDS,
            end=st.none() | SECONDS,
            text=TEXT,
        ),
        max_size=4,
    ).map(tuple),
    action_items=st.lists(st.builds(ActionItem, id=MAYBE, text=TEXT), max_size=3).map(tuple),
    smart_answers=st.lists(
        st.builds(SmartAnswer, id=MAYBE, question=MAYBE, answer=MAYBE).filter(lambda one: one.question or one.answer),
        max_size=3,
    ).map(tuple),
    small_talk=st.lists(
        st.builds(
            SmallTalk, id=MAYBE, topic=MAYBE, description=MAYBE, pinned=st.booleans(), dismissed=st.booleans()
        ).filter(lambda one: one.topic or one.description),
        max_size=3,
    ).map(tuple),
    participants=st.lists(
        st.builds(Participant, id=MAYBE, name=MAYBE).filter(lambda one: one.id or one.name), max_size=3
    ).map(tuple),
)


def event_of(call: Call, **changes: Any) -> Event:
    """The event that this call is in some store."""
    identity: dict[str, Any] = {
        "id": "019cd6de-e2a0-7000-8000-000000000009",
        "sequence": 9,
        "source": "sipgate",
        "format": "sipgate",
        "received_at": datetime(2026, 3, 10, 8, 20, 21, tzinfo=UTC),
        "revision": 1,
    }
    return Event.of(call, **identity | changes)


#: Bodies as they were parsed, with names that our readers look for.
RAWS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["call", "assist", "version", "summary", "channel", "transcriptions", "note", "id", "from", "caller", "text",
             "content", "startTime", "direction"]
        ),
        inner,
        max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip

EVENTS = st.builds(
    event_of,
    CALLS,
    raw=RAWS,
    format=st.sampled_from(["sipgate", "sipgate-ci", "vcon"]),
    revision=st.integers(1, 3),
    received_at=MOMENT,
)
