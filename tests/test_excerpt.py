from __future__ import annotations

import json

import pytest

from router.event import plain
from router.excerpt import as_json, outgoing
from router.sample import bare_event, sample_event
from router.sink import Numbers, Part

EVENT = sample_event()


def test_all_of_it_is_the_event_itself() -> None:
    assert outgoing(EVENT) is EVENT


@pytest.mark.parametrize("part", Part)
def test_a_part_that_is_not_sent_is_missing_and_so_is_the_raw_body(part: Part) -> None:
    left = outgoing(EVENT, [other for other in Part if other is not part])
    assert not getattr(left, part)
    assert left.raw is None
    assert all(getattr(left, other) == getattr(EVENT, other) for other in Part if other is not part)


def test_who_when_and_where_always_stay() -> None:
    left = plain(outgoing(EVENT, []))
    kept = {name for name, value in left.items() if value}
    assert kept == {
        "id", "sequence", "source", "format", "received_at", "call_id", "revision", "direction", "caller", "callee",
        "started_at", "ended_at", "duration", "channel", "trust",
    }  # fmt: skip


def test_masked_numbers_leave_no_full_one() -> None:
    assert b"4915228817386" not in as_json(outgoing(sample_event(raw={"from": "+4915228817386"}), None, Numbers.MASKED))
    assert outgoing(EVENT, None, Numbers.MASKED).summary == EVENT.summary


def test_json_has_every_key_and_exact_integers() -> None:
    event = bare_event(raw={"id": 2**100, "rate": 1e999, "text": "ü👩‍👩‍👧\u2028"})
    written = as_json(event)
    assert json.loads(written) == {**plain(event), "raw": {"id": 2**100, "rate": None, "text": "ü👩‍👩‍👧\u2028"}}
    assert "ü👩‍👩‍👧".encode() in written


def test_json_can_be_written_of_a_lone_surrogate() -> None:
    assert json.loads(as_json(bare_event(raw={"a\ud800": ["\udfff"]})))["raw"] == {"a\ufffd": ["\ufffd"]}
    assert json.loads(as_json(bare_event(summary="a\ud800")))["summary"] == "a\ufffd"
