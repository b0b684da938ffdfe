"""`router.formats.remainder`: what no place in a vCon says comes back as it went, and nothing else is believed."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calls import CALLS
from router.event import Call, Channel, Number, Segment, Speaker, Trust
from router.formats.remainder import completed, remainder

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(CALLS, CALLS)
def test_whatever_was_read_the_call_is_completed(call: Call, read: Call) -> None:
    body = json.loads(json.dumps(remainder(call, read)))
    assert completed(read, body) == call


@given(CALLS)
def test_where_nothing_is_lost_nothing_is_written(call: Call) -> None:
    assert remainder(call, call) == {}
    assert completed(call, {}) == call


def test_only_what_is_lost_is_written() -> None:
    call = Call(call_id=None, summary="Rechnung", channel=Channel("c1", "Support"))
    assert remainder(call, replace(call, call_id="0193…", channel=Channel())) == {
        "call_id": None,
        "channel": {"id": "c1", "name": "Support"},
    }


def test_trust_is_not_in_it() -> None:
    verified = Call(trust=Trust.VERIFIED)
    assert remainder(verified, Call()) == {}
    assert completed(verified, {"trust": "unsigned", "raw": 1, "revision": 7}) == verified


@pytest.mark.parametrize(
    ("body", "call"),
    [
        ({"summary": " \x00Rechnung\x1b "}, Call(summary="Rechnung")),
        ({"duration": -1, "started_at": "2026-03-10", "ended_at": "1970-01-01T00:00:00Z"}, None),
        ({"duration": 1e300}, Call()),
        ({"caller": {"raw": "x", "e164": "<script>", "kind": "admin"}}, Call(caller=Number("x"))),
        ({"transcript": [{"text": "Ja", "start": -1, "end": "x"}]}, Call(transcript=(Segment(Speaker.OTHER, None, None, "Ja"),))),
        ({"transcript": [{"text": " "}, None, 7], "participants": [{}], "smart_answers": {"id": "1"}}, Call()),
    ],
)  # fmt: skip
def test_what_is_attached_is_read_like_any_other_body(body: Any, call: Call | None) -> None:
    read = completed(Call(), body)
    if call is None:
        assert (read.duration, read.ended_at) == (None, None)
        assert read.started_at is not None
        assert read.started_at.tzinfo is not None
    else:
        assert read == call


@given(st.dictionaries(st.sampled_from([field.name for field in fields(Call)]), JSON) | JSON)
def test_no_attachment_raises(body: Any) -> None:
    completed(Call(), body)
