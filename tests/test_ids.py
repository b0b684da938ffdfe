"""`router.ids`: identifiers that sort by time."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from router.ids import new_id

MOMENT = st.datetimes(datetime(1970, 1, 1), datetime(2500, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds
ENTROPY = st.binary(min_size=10, max_size=10)


@given(MOMENT, ENTROPY)
def test_an_id_is_a_uuid_of_version_7_with_the_exact_millisecond(now: datetime, entropy: bytes) -> None:
    made = uuid.UUID(new_id(now, entropy))
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert made.int >> 80 == (now - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


@given(MOMENT, MOMENT, ENTROPY, ENTROPY)
def test_ids_sort_as_their_times_do(one: datetime, other: datetime, first: bytes, second: bytes) -> None:
    earlier, later = sorted([one, other])
    if later - earlier >= timedelta(milliseconds=1):
        assert new_id(earlier, first) < new_id(later, second)


def test_a_known_time_gives_a_known_beginning() -> None:
    now = datetime(2022, 2, 22, 19, 22, 22, tzinfo=UTC)
    assert new_id(now).startswith("017f22e2-79b0-7")  # the example of RFC 9562, appendix A.6
    assert new_id(now.astimezone(timezone(timedelta(hours=-5)))).startswith("017f22e2-79b0-7")


def test_the_bits_of_entropy_all_count() -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    assert new_id(now, bytes(10)) == "019cd50b-1800-7000-8000-000000000000"
    assert new_id(now, b"\xff" * 10) == "019cd50b-1800-7fff-bfff-ffffffffffff"


def test_ids_of_one_moment_differ() -> None:
    now = datetime(2026, 3, 10, tzinfo=UTC)
    assert len({new_id(now) for _ in range(1000)}) == 1000
