"""The delivery: one event owed to one sink, and what can become of it. Values only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from router.event import Event


class DeliveryState(StrEnum):
    """Every delivery is in exactly one of these, until it is purged."""

    PENDING = "pending"
    CLAIMED = "claimed"
    DELIVERED = "delivered"
    DEAD = "dead"
    REPLAYED = "replayed"
    ERASED = "erased"


#: No state, but counted among them: the dead ones of which an operator has said that nothing more is to be done.
ENDED: Final = "ended"


def unended(states: Mapping[str, int]) -> int:
    """Of deliveries counted by their states, the dead ones that wait for somebody to do something about them."""
    return states.get(DeliveryState.DEAD, 0) - states.get(ENDED, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a sink is given."""

    #: The key: the same over all attempts of this delivery. Receivers that honour it see the delivery once.
    id: str
    sink: str
    event: Event
    #: The body as it was received, and the content type it came with (None where the sender named none).
    body: bytes
    content_type: str | None = None
    #: The routes that fired for the event.
    routes: tuple[str, ...] = ()
    #: Counts the claims, from 1; above 1 the far side may have seen this delivery before.
    attempt: int = 1
    #: The delivery that this one repeats.
    replay_of: str | None = None
    #: The remote id of the first revision of this call that this sink delivered: what an update belongs to.
    follows: str | None = None
    #: Whether this sink had already delivered a later revision of the call when this one was claimed.
    superseded: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """The far side has it."""

    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """Not this time. See `errors.Unavailable` for the fields."""

    reason: str
    retry_after: timedelta | None = None
    whole_lane: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Never. See `errors.Rejected` for the fields."""

    reason: str
    whole_lane: bool = False


#: How one attempt ended.
Outcome = Delivered | Retry | Refused


@dataclass(frozen=True, slots=True)
class Done:
    """Settle as delivered."""

    remote_id: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Settle as pending, due at `at`.

    `spent`: this attempt took an entry of the schedule. `held`: it is the lane that is down, so the delivery is due
    at once when the lane opens, whatever `at` says.
    """

    at: datetime
    reason: str
    spent: bool = True
    held: bool = False


@dataclass(frozen=True, slots=True)
class Dead:
    """Settle as a dead letter."""

    reason: str


#: What is written after an attempt.
Decision = Done | Again | Dead


class LaneState(StrEnum):
    """`open`: going out. `probing`: one try at a time. `paused`: by an operator. `disabled`: by the far side."""

    OPEN = "open"
    PROBING = "probing"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class LaneRow:
    """What the store remembers of a lane."""

    sink: str
    state: LaneState = LaneState.OPEN
    #: While probing: when the next probe is due, and how many have failed.
    next_at: datetime | None = None
    failures: int = 0
    #: Why it is in this state; of an open lane: why it was opened, as long as no delivery has proved it right.
    reason: str | None = None
    since: datetime | None = None
    #: How often it was set: what is decided about a lane is decided about one version of it.
    version: int = 0

    @property
    def unproven(self) -> bool:
        """It was opened, and nothing was delivered since."""
        return self.state is LaneState.OPEN and self.reason is not None
