"""What goes into a store, and what comes of it: arrivals, claims, settlements."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from router.delivery import Decision, Delivery, LaneRow
from router.event import Call

#: A claim is lost when its holder vanished; a delivery that was lost this often is dead as poison.
POISON_AFTER = 5
#: One that was lost this often is suspected: it is claimed only while no other such is.
SUSPECT_AFTER = 2
#: How often a router says that it is there …
BEAT_EVERY: Final = timedelta(seconds=5)
#: … and for how long that counts.
ALIVE: Final = timedelta(seconds=20)
#: No claim lasts longer: an attempt's longest time, what a claim lasts beyond that, and some beats.
LONGEST_CLAIM: Final = timedelta(minutes=11)
#: A suspect that must wait for another one's end is looked for this often.
LOOK_AGAIN: Final = timedelta(milliseconds=200)
#: The end of another router's probe is looked for this often.
PROBED_AGAIN: Final = timedelta(seconds=1)

#: Why a delivery is pending again or dead, where no sink said so.
LOST: Final = "the router was lost during this delivery"
POISON: Final = f"poison: the router was lost during this delivery {POISON_AFTER} times"
DAMAGED: Final = "the stored event is damaged: its bytes are not those that were stored"


class RoutedAs(StrEnum):
    """What routing made of an event: a route fired; none did; routing itself failed."""

    ROUTED = "routed"
    UNMATCHED = "unmatched"
    UNROUTED = "unrouted"


@dataclass(frozen=True, slots=True)
class Owed:
    """One sink that an arriving event is owed to.

    `claim_until`: where the lane has room, the delivery is born claimed until then; otherwise it is pending, due at
    `due` (None: when the event was received). `once`: not owed if another revision of the same call was owed to this
    sink, as far as that is remembered.
    """

    sink: str
    claim_until: datetime | None = None
    once: bool = False
    due: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A body that a format could read, with what routing decided."""

    source: str
    format: str
    call: Call
    body: bytes
    content_type: str | None
    #: SHA-256 of the canonical body; see `router.formats.body`.
    digest: bytes
    received_at: datetime
    routed: RoutedAs
    routes: tuple[str, ...] = ()
    #: The hash of the rules that decided.
    rules: str
    owed: tuple[Owed, ...] = ()
    #: When its deliveries are owed from: later than it was received where it was in quarantine until then.
    accepted_at: datetime | None = None
    #: The parsed body, for the events of `Accepted.claims`; not stored, it is in the bytes.
    raw: Any = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A router's hold on a delivery, until `until`. `delivery.attempt` fences it."""

    delivery: Delivery
    until: datetime
    accepted_at: datetime
    #: Entries of the retry schedule that are spent.
    retries: int


@dataclass(frozen=True, slots=True)
class Accepted:
    """A new event is stored."""

    event_id: str
    sequence: int
    revision: int
    #: The deliveries that were written; those of them that were born claimed are in `claims`.
    deliveries: int
    claims: tuple[Claim, ...] = ()


@dataclass(frozen=True, slots=True)
class Duplicate:
    """The same content of the same call was stored before, as this event; it may be purged since."""

    event_id: str


@dataclass(frozen=True, slots=True)
class Quarantined:
    """The body is kept. `duplicate`: it was already."""

    id: str
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Claims:
    """What a claim got; `next_due` is when the sink's next pending delivery is due, by its time (None: none is).

    With an interval it is not before the sink may be sent something again.
    """

    claims: tuple[Claim, ...]
    next_due: datetime | None
    #: What is dead instead, because what is stored of it is damaged, as (delivery id, event id).
    damaged: tuple[tuple[str, str], ...] = ()
    #: The lane as another router has set it: nothing was claimed, because whoever claimed did not know that.
    lane: LaneRow | None = None


@dataclass(frozen=True, slots=True)
class Retaken:
    """What became of claims that ran out or were left behind: due again, or dead as poison."""

    #: The sinks that something is due for again.
    sinks: frozenset[str] = frozenset()
    #: All claims that were taken back, the poison among them.
    lost: int = 0
    #: What is dead now, as (sink, delivery id).
    poison: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Purged:
    """Rows that a purge removed."""

    events: int = 0
    deliveries: int = 0
    quarantined: int = 0
    seen: int = 0

    def __bool__(self) -> bool:
        return bool(self.events or self.deliveries or self.quarantined or self.seen)


@dataclass(frozen=True, slots=True)
class RoutedAgain:
    """What routing an event once more came to: how it is routed now, and what it is owed besides."""

    routed: RoutedAs
    routes: tuple[str, ...]
    #: The sinks of the new deliveries.
    sinks: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """How a claim ends: the decision, and what must be known later of the attempt.

    `outcome` is the attempt's word (see `AttemptLine`), `reason` why it was not delivered.
    """

    decision: Decision
    outcome: str
    started_at: datetime
    now: datetime
    recipient: str | None = None
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Card:
    """What a router says of itself whenever it beats."""

    version: str
    #: The hash of the rules in force.
    rules: str
    #: Seconds that the clock of its machine is ahead of the one that all go by; below zero it is behind.
    ahead: float = 0.0
    #: It sends nothing, and begins to keep house for nobody else.
    holds: bool = False
