"""What of a store people are shown, and what they may ask for: lines of lists, sums, who is there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Generic, TypeVar

from router.delivery import DeliveryState
from router.event import Event
from router.store.values import RoutedAs

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """The sums of promise 3, in one snapshot.

    received = events + duplicates + quarantined + purged; events = routed + unmatched + unrouted;
    `deliveries` has every state and `purged`, and `created`, which is their sum.
    """

    received: int
    events: int
    duplicates: int
    quarantined: int
    purged: int
    routed: int
    unmatched: int
    unrouted: int
    deliveries: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which lines of a list are wanted: those for which all of this is so; None asks for nothing.

    Times are those of the line's id, to the millisecond: an event and a body are received then, a delivery is
    accepted.
    """

    #: Then, or later.
    since: datetime | None = None
    #: Before then.
    until: datetime | None = None
    source: str | None = None
    #: The channel's id, or its name as rules compare names.
    channel: str | None = None
    direction: str | None = None
    #: It fired for the event.
    route: str | None = None
    #: The delivery's sink, or one that the event is or was owed to.
    sink: str | None = None
    #: What the reason of a delivery holds, in small letters or capitals.
    reason: str | None = None
    #: An operator has ended it (dead letters and quarantined bodies), or nobody has.
    ended: bool | None = None


#: No line is unwanted.
ANY: Final = Wanted()


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event with what was decided about it."""

    event: Event
    routed: RoutedAs
    routes: tuple[str, ...]
    rules: str
    body: bytes
    content_type: str | None
    #: How often the same content came again, and when last.
    duplicates: int = 0
    duplicate_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventLine:
    """One line of a list of events; nothing that was said."""

    id: str
    sequence: int
    source: str
    format: str
    received_at: datetime
    call_id: str | None
    revision: int
    direction: str
    channel_id: str | None
    channel_name: str | None
    routed: RoutedAs
    routes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLine:
    """One delivery as it stands."""

    id: str
    event_id: str
    sink: str
    state: DeliveryState
    attempt: int
    retries: int
    lost: int
    accepted_at: datetime
    due: datetime
    claimed_until: datetime | None = None
    settled_at: datetime | None = None
    reason: str | None = None
    #: Where it went, as it was at the time: host, mailbox, path.
    recipient: str | None = None
    #: The parts of the call that were sent.
    parts: tuple[str, ...] = ()
    remote_id: str | None = None
    replay_of: str | None = None
    #: An operator has said that nothing more is to be done; it is dead then.
    ended: bool = False


@dataclass(frozen=True, slots=True)
class AttemptLine:
    """One try of a delivery. `outcome`: delivered, retry, refused, released, or lost (the router vanished)."""

    attempt: int
    started_at: datetime | None
    ended_at: datetime
    outcome: str
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class QuarantineLine:
    """One unreadable body, without its bytes."""

    id: str
    source: str
    reason: str
    size: int
    received_at: datetime
    times: int
    last_at: datetime
    #: Why an operator has said that nothing is to be done about it; None: nobody has.
    ended: str | None = None


@dataclass(frozen=True, slots=True)
class QuarantinedBody:
    """One unreadable body, with its bytes."""

    line: QuarantineLine
    body: bytes
    #: As it was given to `quarantine`.
    digest: bytes
    content_type: str | None


@dataclass(frozen=True, slots=True)
class ChannelLine:
    """One channel that calls came in on."""

    source: str
    id: str | None
    name: str | None
    calls: int
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A page of a list, newest first; `next` is the key to go on after, None at the end.

    A page may have fewer lines than were asked for, or none, and go on all the same: no more than so many rows are
    looked at for one, so that a question that little fits cannot keep the store busy.
    """

    items: tuple[T, ...]
    next: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterLine:
    """One router of a store. Times are those of the clock that all go by."""

    name: str
    #: It has beaten within `ALIVE`.
    alive: bool
    #: It is the one that was asked.
    here: bool
    #: It does the chores of all.
    keeps_house: bool
    #: It sends nothing.
    holds: bool
    version: str
    rules: str
    started_at: datetime
    #: When it beat last.
    seen_at: datetime
    #: As on its card.
    ahead: float


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that the store takes (`log`: those not moved into the database yet), and what its disk has.

    `reserve`: of what is not free, what it gives up before anything but a call is refused.
    """

    database: int
    log: int
    free: int
    disk: int
    reserve: int = 0
