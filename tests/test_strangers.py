"""Who guessed at tokens too often."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.strangers import Strangers

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SECOND, MINUTE = timedelta(seconds=1), timedelta(minutes=1)


def test_an_address_may_be_wrong_so_often_and_not_once_more() -> None:
    strangers = Strangers(allowed=3)
    assert [strangers.wrong("a", NOON) for _ in range(5)] == [0, 0, 0, 1, 2]


def test_the_defaults_are_thirty_in_a_minute() -> None:
    strangers = Strangers()
    assert [strangers.wrong("a", NOON) for _ in range(31)] == [0] * 30 + [1]
    assert strangers.wrong("a", NOON + MINUTE - SECOND)
    assert not strangers.wrong("a", NOON + MINUTE)


def test_other_addresses_do_not_suffer() -> None:
    strangers = Strangers(allowed=1)
    strangers.wrong("a", NOON)
    assert strangers.wrong("a", NOON)
    assert not strangers.wrong("b", NOON)


def test_after_the_span_it_begins_anew() -> None:
    strangers = Strangers(allowed=1, span=MINUTE)
    strangers.wrong("a", NOON)
    assert strangers.wrong("a", NOON + MINUTE - SECOND)
    assert not strangers.wrong("a", NOON + MINUTE)


def test_a_wall_clock_that_is_set_back_begins_anew() -> None:
    strangers = Strangers(allowed=1)
    strangers.wrong("a", NOON)
    strangers.wrong("a", NOON)
    assert not strangers.wrong("a", NOON - MINUTE)


def test_the_one_not_seen_for_longest_is_forgotten_first() -> None:
    strangers = Strangers(allowed=1, remembered=2)
    for address in ("a", "b", "a", "c"):
        strangers.wrong(address, NOON)
    assert strangers.wrong("a", NOON)
    assert strangers.wrong("c", NOON)
    assert not strangers.wrong("b", NOON)


@given(st.lists(st.tuples(st.integers(0, 50).map(str), st.timedeltas(-MINUTE, 2 * MINUTE)), max_size=200))
@pytest.mark.case("AUTH-16")
def test_the_memory_is_bounded(seen: list[tuple[str, timedelta]]) -> None:
    strangers, now = Strangers(allowed=2, remembered=5), NOON
    for address, pause in seen:
        now += pause
        strangers.wrong(address, now)
        assert len(strangers._wrong) <= 5
