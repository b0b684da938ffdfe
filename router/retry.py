"""What follows an attempt: done, again at a time, or dead. Pure: the time and the dice are passed in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from router.delivery import Again, Dead, Decision, Delivered, Done, Outcome, Refused, Retry

#: The schedule of the Standard Webhooks specification 1.0.0: the wait before each attempt.
STANDARD_WEBHOOKS: tuple[timedelta, ...] = (
    timedelta(0),
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=5),
    timedelta(hours=10),
    timedelta(hours=14),
    timedelta(hours=20),
    timedelta(hours=24),
)

#: A far side may ask for a longer wait than the schedule's, up to this.
LONGEST_RETRY_AFTER = timedelta(hours=24)

#: A lane that is down is probed after the first wait, then after twice the last one, up to the second.
FIRST_PROBE = timedelta(seconds=2)
LONGEST_PROBE = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """n entries are n attempts; entry i is the wait before attempt i. `jitter` 0.2 moves a wait by up to 20 %."""

    schedule: tuple[timedelta, ...] = STANDARD_WEBHOOKS
    jitter: float = 0.2

    def first(self, accepted_at: datetime) -> datetime:
        """When the first attempt is due."""
        return accepted_at + self.schedule[0]


def decide(
    policy: RetryPolicy,
    outcome: Outcome,
    *,
    retries: int,
    accepted_at: datetime,
    give_up: timedelta,
    now: datetime,
    dice: float,
    probe: bool = False,
) -> Decision:
    """What to write after an attempt.

    `retries` is how many entries of the schedule were spent before this attempt; `dice` is from 0 to 1 (excluded).
    A failed `probe` spends no entry. What failed because the lane is down is held: due at once when the lane opens,
    but for a far side that asked for a wait, which nothing shortens. A delivery is dead after its last attempt, or when an
    attempt has failed and `give_up` has passed since the call was accepted.
    """
    match outcome:
        case Delivered(remote_id):
            return Done(remote_id)
        case Refused(reason):
            return Dead(reason)
        case Retry(reason, retry_after, whole_lane):
            if now - accepted_at >= give_up:
                return Dead(f"gave up {_span(now - accepted_at)} after the call was accepted; last: {reason}")
            entry = retries + 1
            if entry >= len(policy.schedule) and not probe:
                return Dead(f"no attempt left after {entry}; last: {reason}")
            wait = policy.schedule[min(entry, len(policy.schedule) - 1)] * (1 + policy.jitter * (2 * dice - 1))
            if probe and whole_lane:
                wait = FIRST_PROBE  # how long it really waits is the lane's business
            held = whole_lane and not retry_after
            return Again(now + longer(wait, retry_after), reason, spent=not probe, held=held)
        case _:
            assert_never(outcome)


def probe_at(failures: int, retry_after: timedelta | None, now: datetime) -> datetime:
    """When a lane that is down is tried again, after so many failures in a row (from 1)."""
    wait = min(FIRST_PROBE * 2 ** min(failures - 1, 16), LONGEST_PROBE)
    return now + longer(wait, retry_after)


def longer(wait: timedelta, retry_after: timedelta | None) -> timedelta:
    """The wait, lengthened to what the far side asked for; never shortened by it."""
    return wait if retry_after is None else max(wait, min(retry_after, LONGEST_RETRY_AFTER))


def _span(span: timedelta) -> str:
    """A duration for people, in its largest whole unit."""
    total = int(span.total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if total >= size:
            return f"{total // size} {unit}"
    return f"{total} s"
