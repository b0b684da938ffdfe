"""What one attempt means for its lane."""

from __future__ import annotations

from datetime import timedelta

import pytest

from router import breaker
from router.delivery import Delivered, LaneRow, LaneState, Outcome, Refused, Retry
from support import NOON

BEFORE = NOON - timedelta(hours=1)
DOWN = Retry("refused", None, whole_lane=True)
GONE = Refused("410", whole_lane=True)


def row(state: LaneState, failures: int = 0) -> LaneRow:
    return LaneRow("s", state, failures=failures, since=BEFORE)


@pytest.mark.parametrize(
    ("state", "outcome", "probe", "becomes"),
    [
        (LaneState.OPEN, Delivered(), False, None),
        (LaneState.OPEN, Retry("500"), False, None),
        (LaneState.OPEN, Refused("400"), False, None),
        (LaneState.OPEN, DOWN, False, LaneState.PROBING),
        (LaneState.OPEN, GONE, False, LaneState.DISABLED),
        (LaneState.PROBING, DOWN, False, None),
        (LaneState.PROBING, Delivered(), False, None),
        (LaneState.PROBING, Refused("400"), False, None),
        (LaneState.PROBING, DOWN, True, LaneState.PROBING),
        (LaneState.PROBING, Retry("500"), True, LaneState.PROBING),
        (LaneState.PROBING, Delivered(), True, LaneState.OPEN),
        (LaneState.PROBING, Refused("400"), True, LaneState.OPEN),
        (LaneState.PROBING, GONE, True, LaneState.DISABLED),
        (LaneState.PROBING, GONE, False, LaneState.DISABLED),
        *[
            (state, outcome, probe, None)
            for state in (LaneState.PAUSED, LaneState.DISABLED)
            for outcome in (Delivered(), DOWN, GONE)
            for probe in (True, False)
        ],
    ],
)
def test_what_an_outcome_makes_of_a_lane(
    state: LaneState, outcome: Outcome, probe: bool, becomes: LaneState | None
) -> None:
    made = breaker.after(row(state), outcome, NOON, probe=probe)
    assert (made and made.state) == becomes


def test_only_what_is_delivered_proves_that_an_open_lane_is_well() -> None:
    assert not LaneRow("s").unproven
    refused = breaker.after(row(LaneState.PROBING), Refused("400"), NOON, probe=True)
    assert refused is not None
    resumed = breaker.moved(row(LaneState.DISABLED), LaneState.OPEN, NOON, reason=breaker.RESUMED)
    for opened in (refused, resumed):
        assert opened.unproven
        assert breaker.after(opened, Refused("400"), NOON, probe=False) is None
        assert breaker.after(opened, Retry("500"), NOON, probe=False) is None
        assert breaker.after(opened, Delivered(), NOON, probe=False) == LaneRow("s", since=NOON)


def test_a_lane_knows_since_when_it_is_down_and_how_often_it_failed() -> None:
    first = breaker.after(row(LaneState.OPEN), DOWN, NOON, probe=False)
    assert first == LaneRow("s", LaneState.PROBING, NOON + timedelta(seconds=2), 1, "refused", NOON)
    later = NOON + timedelta(seconds=2)
    second = breaker.after(first, Retry("503", timedelta(seconds=30)), later, probe=True)
    assert second == LaneRow("s", LaneState.PROBING, later + timedelta(seconds=30), 2, "503", NOON)
    assert breaker.after(second, Delivered(), later, probe=True) == LaneRow("s", since=later)
