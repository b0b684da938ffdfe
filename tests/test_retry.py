"""What follows an attempt, sentence by sentence as the contract has it; and that waits are what they should be."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.delivery import Again, Dead, Decision, Delivered, Done, Outcome, Refused, Retry
from router.retry import FIRST_PROBE, LONGEST_RETRY_AFTER, STANDARD_WEBHOOKS, RetryPolicy, decide, longer, probe_at

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
POLICY = RetryPolicy((timedelta(0), 5 * SECOND, MINUTE), jitter=0.0)
FAILED = Retry("500")
AWAY = Retry("connection refused", whole_lane=True)
DICE = st.floats(0, 1, exclude_max=True)


def after(outcome: Outcome = FAILED, policy: RetryPolicy = POLICY, **changes: Any) -> Decision:
    """What is decided a second after the call was accepted, in the middle of the jitter."""
    given_: dict[str, Any] = {
        "retries": 0,
        "accepted_at": NOON,
        "give_up": 96 * HOUR,
        "now": NOON + SECOND,
        "dice": 0.5,
    }
    return decide(policy, outcome, **given_ | changes)


def again(outcome: Outcome = FAILED, policy: RetryPolicy = POLICY, **changes: Any) -> Again:
    decision = after(outcome, policy, **changes)
    assert isinstance(decision, Again)
    return decision


# ------------------------------------------------------------------------------------------------------ the schedule


def test_a_delivered_one_is_done() -> None:
    assert after(Delivered("remote-7")) == Done("remote-7")
    assert after(Delivered()) == Done(None)


def test_a_refused_one_is_dead_at_once() -> None:
    assert after(Refused("no such mailbox")) == Dead("no such mailbox")
    assert after(Refused("gone", whole_lane=True), retries=2) == Dead("gone")


def test_n_entries_are_n_attempts_and_entry_i_is_the_wait_before_attempt_i() -> None:
    due = POLICY.first(NOON)
    waits = [due - NOON]
    for spent in range(2):
        decision = again(retries=spent, now=due)
        waits.append(decision.at - due)
        due = decision.at
        assert decision.spent
    assert tuple(waits) == POLICY.schedule
    assert after(retries=2, now=due) == Dead("no attempt left after 3; last: 500")


def test_the_first_entry_is_the_wait_before_the_first_attempt() -> None:
    assert RetryPolicy((MINUTE,)).first(NOON) == NOON + MINUTE


def test_one_entry_is_one_attempt() -> None:
    assert after(policy=RetryPolicy((timedelta(0),))) == Dead("no attempt left after 1; last: 500")


def test_a_schedule_that_was_made_shorter_ends_at_once() -> None:
    assert isinstance(after(retries=7), Dead)


def test_the_default_schedule_is_that_of_standard_webhooks() -> None:
    assert RetryPolicy().schedule == STANDARD_WEBHOOKS
    hours = [wait.total_seconds() / 3600 for wait in STANDARD_WEBHOOKS]
    assert hours[4:] == [2, 5, 10, 14, 20, 24]
    assert STANDARD_WEBHOOKS[:4] == (timedelta(0), 5 * SECOND, 5 * MINUTE, 30 * MINUTE)
    assert RetryPolicy().jitter == 0.2


@pytest.mark.parametrize(("dice", "seconds"), [(0.0, 4.0), (0.25, 4.5), (0.5, 5.0), (0.75, 5.5)])
def test_jitter_moves_a_wait_as_the_dice_fall(dice: float, seconds: float) -> None:
    policy = RetryPolicy(POLICY.schedule, jitter=0.2)
    assert again(policy=policy, dice=dice).at == NOON + SECOND + seconds * SECOND


# ------------------------------------------------------------------------------------------------------- retry-after


def test_retry_after_only_lengthens() -> None:
    assert again(Retry("429", 10 * SECOND)).at == NOON + 11 * SECOND
    assert again(Retry("429", 2 * SECOND)).at == NOON + 6 * SECOND
    assert again(Retry("429", timedelta(0))).at == NOON + 6 * SECOND
    assert again(Retry("429", -DAY)).at == NOON + 6 * SECOND


def test_retry_after_counts_up_to_a_day() -> None:
    assert again(Retry("429", 365 * DAY)).at == NOON + SECOND + DAY
    assert LONGEST_RETRY_AFTER == DAY


def test_a_schedule_may_be_longer_than_that() -> None:
    assert again(Retry("429", 365 * DAY), RetryPolicy((timedelta(0), 3 * DAY), 0)).at == NOON + SECOND + 3 * DAY


# ----------------------------------------------------------------------------------------------------------- giving up


def test_a_delivery_is_dead_at_give_up_counted_from_acceptance() -> None:
    assert isinstance(after(give_up=HOUR, now=NOON + HOUR - SECOND), Again)
    assert after(give_up=HOUR, now=NOON + HOUR) == Dead("gave up 1 h after the call was accepted; last: 500")


def test_give_up_is_looked_at_only_after_a_failed_attempt() -> None:
    late = NOON + 30 * DAY
    assert after(Delivered(), give_up=HOUR, now=late) == Done()
    assert after(Refused("no"), give_up=HOUR, now=late) == Dead("no")


def test_a_next_attempt_may_be_due_after_give_up() -> None:
    """Only when it fails, too, is it too late."""
    assert again(give_up=3 * SECOND).at == NOON + 6 * SECOND


@pytest.mark.case("RTY-03")
def test_a_wall_clock_that_is_set_back_kills_nothing() -> None:
    assert isinstance(after(now=NOON - 3650 * DAY), Again)


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (59 * SECOND, "59 s"),
        (90 * SECOND, "1 m"),
        (HOUR, "1 h"),
        (DAY, "1 d"),
        (MINUTE, "1 m"),
        (47 * HOUR, "1 d"),
        (timedelta(0), "0 s"),
    ],
)
def test_the_reason_says_after_how_long(span: timedelta, said: str) -> None:
    assert after(give_up=timedelta(0), now=NOON + span) == Dead(
        f"gave up {said} after the call was accepted; last: 500"
    )


# --------------------------------------------------------------------------------------------------- the whole lane


def test_an_attempt_that_finds_the_lane_down_takes_an_entry_and_is_held() -> None:
    assert again(AWAY) == Again(NOON + 6 * SECOND, "connection refused", spent=True, held=True)


def test_a_probe_that_finds_it_still_down_takes_none() -> None:
    for retries in range(3):
        decision = again(AWAY, probe=True, retries=retries)
        assert not decision.spent
        assert decision.held


def test_a_probe_that_fails_for_another_reason_takes_none_either_and_makes_room_for_the_next() -> None:
    assert again(Retry("500"), probe=True) == Again(NOON + 6 * SECOND, "500", spent=False, held=False)
    assert isinstance(after(Retry("500"), probe=True, retries=2), Again)
    assert after(Delivered("x"), probe=True) == Done("x")


def test_a_probe_gives_up_too() -> None:
    assert isinstance(after(AWAY, probe=True, give_up=HOUR, now=NOON + HOUR), Dead)


def test_one_delivery_alone_is_not_held() -> None:
    assert not again(Retry("500")).held


def test_probes_begin_after_two_seconds_and_grow_to_a_minute() -> None:
    waits = [(probe_at(failures, None, NOON) - NOON).total_seconds() for failures in range(1, 9)]
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]
    assert probe_at(10**9, None, NOON) == NOON + MINUTE


def test_a_probe_waits_as_long_as_the_far_side_asks() -> None:
    assert probe_at(1, 5 * MINUTE, NOON) == NOON + 5 * MINUTE
    assert probe_at(5, SECOND, NOON) == NOON + 32 * SECOND
    assert probe_at(1, 365 * DAY, NOON) == NOON + DAY


# ---------------------------------------------------------------------------------------------------------- properties

WAITS = st.timedeltas(timedelta(0), 30 * DAY)
POLICIES = st.builds(RetryPolicy, st.lists(WAITS, min_size=2, max_size=12).map(tuple), st.floats(0, 1))


@given(POLICIES, st.data(), DICE, st.none() | st.timedeltas(-DAY, 365 * DAY), st.booleans(), st.booleans())
@pytest.mark.case("RTY-01")
def test_a_wait_is_within_the_jitter_and_never_earlier_than_retry_after(
    policy: RetryPolicy,
    data: st.DataObject,
    dice: float,
    retry_after: timedelta | None,
    whole_lane: bool,
    probe: bool,
) -> None:
    retries = data.draw(st.integers(0, len(policy.schedule) - 2))
    outcome = Retry("x", retry_after, whole_lane)
    found = again(outcome, policy, retries=retries, dice=dice, probe=probe, give_up=365 * DAY)
    wait = found.at - (NOON + SECOND)
    entry = FIRST_PROBE if probe and whole_lane else policy.schedule[retries + 1]
    slack = timedelta(microseconds=2)
    shortest, longest = entry * (1 - policy.jitter) - slack, entry * (1 + policy.jitter) + slack
    asked = min(retry_after, DAY) if retry_after else timedelta(0)
    assert max(shortest, asked) <= wait <= max(longest, asked)
    assert wait >= timedelta(0)
    assert found.spent is not probe
    assert found.held is (whole_lane and not retry_after)


@pytest.mark.case("RTY-01")
def test_rty_01_ten_thousand_attempts_wait_as_long_as_the_schedule_says() -> None:
    """Each with the longest and the shortest jitter, and with a far side that asks for more, or less."""
    policy = RetryPolicy(tuple(STANDARD_WEBHOOKS[n % len(STANDARD_WEBHOOKS)] for n in range(10_001)), 0.2)
    for retries in range(10_000):
        entry = policy.schedule[retries + 1]
        for dice, share in ((0.0, 0.8), (0.5, 1.0), (math.nextafter(1.0, 0.0), 1.2)):
            for asked in (None, timedelta(hours=6), 30 * DAY):
                found = again(Retry("x", asked), policy, retries=retries, dice=dice, give_up=9999 * DAY)
                wait = found.at - (NOON + SECOND)
                least = min(asked or timedelta(0), DAY)
                assert abs(wait - max(entry * share, least)) < timedelta(milliseconds=1), (retries, dice, asked)
        assert probe_at(retries + 1, None, NOON) - NOON <= timedelta(seconds=60)


@given(WAITS, st.none() | st.timedeltas(-DAY, 1000 * DAY))
def test_a_wait_is_lengthened_to_a_day_at_most(wait: timedelta, retry_after: timedelta | None) -> None:
    found = longer(wait, retry_after)
    assert wait <= found <= max(wait, DAY)
    assert retry_after is None or found >= min(retry_after, DAY)


@given(st.integers(1, 10_000), st.integers(0, 10_000), DICE)
def test_whatever_the_number_of_attempts_each_decision_stands(entries: int, retries: int, dice: float) -> None:
    policy = RetryPolicy((timedelta(0),) * entries)
    assert isinstance(after(policy=policy, retries=retries, dice=dice), Again if retries + 1 < entries else Dead)
