"""The store's contract: what survives, and what each write promises. Engines live beside this file.

Every write is one transaction: it happens as a whole or not at all, and it is on stable storage when the call
returns. A write that raises `StoreError` is not known to be stored (it may be, if the failure was the commit's).
Writes that wait for the same commit may share it; one that fails by its own fault does not fail its neighbours.
Cancelling the caller does not cancel the write. The counters of `summary` change in the transaction that changes
the rows. Times are aware UTC, kept to the microsecond; no engine reads a clock: `now` is passed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import accumulate
from math import inf
from typing import Any, Final, Generic, TypeVar

from router.delivery import Decision, Delivery, DeliveryState, LaneRow
from router.event import Call, Event

T = TypeVar("T")

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
class RoutedAgain:
    """What routing an event once more came to: how it is routed now, and what it is owed besides."""

    routed: RoutedAs
    routes: tuple[str, ...]
    #: The sinks of the new deliveries.
    sinks: tuple[str, ...]


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
class Page(Generic[T]):
    """A page of a list, newest first; `next` is the key to go on after, None at the end.

    A page may have fewer lines than were asked for, or none, and go on all the same: no more than so many rows are
    looked at for one, so that a question that little fits cannot keep the store busy.
    """

    items: tuple[T, ...]
    next: str | None = None


@dataclass(slots=True)
class Spread:
    """How large something was, and how often, as a histogram has it: `counts[i]` of at most `bounds[i]`, the rest last.

    One thread adds. Who reads meanwhile may miss the newest.
    """

    bounds: tuple[float, ...]
    total: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[float, int]]:
        """Every bound, and how many were at most that."""
        return list(zip((*self.bounds, inf), accumulate(self.counts), strict=True))


_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COMMIT_WRITES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclass(slots=True)
class Effort:
    """What the engine did since it was opened, for metrics and tests."""

    commits: int = 0
    writes: int = 0
    largest_batch: int = 0
    #: How long commits took, and how many writes shared each.
    commit_seconds: Spread = field(default_factory=lambda: Spread(_COMMIT_SECONDS))
    commit_writes: Spread = field(default_factory=lambda: Spread(_COMMIT_WRITES))
    #: How often the log was moved into the database (SQLite).
    checkpoints: int = 0


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


class Store(ABC):
    """What survives. One instance per process; safe for concurrent use from one event loop.

    Damage to one row is that row's alone. A list shows of it what can be read: in place of a character that cannot
    there is U+FFFD, of a time that is none the epoch (or None), of a list that is none nothing; a line whose state
    or routing is no word of ours is left out.
    """

    effort: Effort
    #: No other router has the same store meanwhile: what is claimed when it is opened was left behind.
    is_alone: bool

    # --- who is there ---

    @property
    @abstractmethod
    def has_name(self) -> bool:
        """Whether no other router can have this one's name, as far as is known here: one that has it takes back its claims."""

    @property
    @abstractmethod
    def keeps_house(self) -> bool:
        """Whether this router does the chores of all: what must be done once.

        Where nobody does, who beats next does; but for its first two beats a router leaves it to others that are there.
        """

    @abstractmethod
    async def beat(self, card: Card, *, now: datetime) -> datetime | None:
        """Say that this router is there; to be repeated every `BEAT_EVERY`.

        Returns the time, at some moment of the call, that all routers of the store go by; None where it is this one's
        own (`now`). Raises `NameTaken` where another router has got this one's name while the store was out of reach.
        """

    @abstractmethod
    async def routers(self) -> Sequence[RouterLine]:
        """Every router that has beaten lately and did not end gracefully, by name; this one once it has beaten."""

    @abstractmethod
    async def make_ready(self, *, now: datetime) -> None:
        """Make room ahead, where the engine has to; called at the start and now and then. A repeat costs little.

        Without it, or too late, everything is done all the same.
        """

    # --- taking in ---

    @abstractmethod
    async def accept(self, arrival: Arrival) -> Accepted | Duplicate:
        """Store an event with its deliveries, or count it as a duplicate; one transaction.

        Identity is (source, call id, or the digest where there is none). A digest equal to any earlier revision of
        that call is a `Duplicate`: its count and last time are kept, its bytes are not, and nothing is owed. That
        holds for `keep.seen`, also when the event is purged, and between routers: a constraint decides. Otherwise
        the event is the call's next revision. A delivery is born pending, due at once, where its lane is not open.

        Raises `StoreBusy` when too many writes wait (nothing was queued), `StoreFull` when the disk has too little
        room for calls (nothing was kept; all else goes on from the reserve, as long as that lasts), `StoreError` when
        it is not known to be stored.
        """

    @abstractmethod
    async def quarantine(
        self,
        *,
        source: str,
        body: bytes,
        digest: bytes,
        content_type: str | None,
        reason: str,
        now: datetime,
        room: int | None = None,
    ) -> Quarantined:
        """Keep a body that no format could read: one row per (source, digest); the same again counts as a duplicate.

        `room` is how many bytes the source may have in quarantine, a kilobyte more for each body; None: any number.
        Raises `QuarantineFull` where a new one does not fit (nothing was kept), else as `accept`.
        """

    # --- sending out ---

    @abstractmethod
    async def claim(
        self,
        sink: str,
        *,
        limit: int,
        now: datetime,
        until: datetime,
        probe: bool = False,
        lane: LaneRow | None = None,
        interval: timedelta | None = None,
    ) -> Claims:
        """Claim up to `limit` pending deliveries of one sink that are due at `now`, earliest due (then lowest id) first.

        Each claim raises the delivery's `attempt` by one, before anything is tried, and what is claimed is held no longer.
        No delivery is claimed twice, whoever else claims at the same moment. A claim that raised and was written all the
        same is given back, unused, by the next one of the sink.

        `lane` is the sink's lane as the claimer knows it; where another router has set it since, nothing is claimed:
        see `Claims.lane`. Of all routers' claims of a sink with an `interval` one begins in each (see `Pace`, which the
        lane's row keeps); where another one claims such, or a probe, at this very moment, it is not waited for.

        With `probe`, held deliveries count as due, whatever their time, and nothing is claimed while anything of the sink
        is, by whoever; without, they are due at their time like any other.

        What was lost `SUSPECT_AFTER` times is claimed only while no other such is, of any sink: what ends the router each
        time ends it alone then, and its neighbours do not become poison with it. Where one is claimed, or several are due,
        the others wait: `next_due` says that they are looked for again after `LOOK_AGAIN`. A delivery whose stored event
        is damaged becomes dead instead of being claimed, and costs the others nothing: see `Claims.damaged`.
        """

    @abstractmethod
    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """Write what an attempt came to; one transaction. Returns False, and changes nothing, if it is too late.

        Too late: the delivery is no longer claimed, or by a later attempt. A repeat is therefore too late.
        """

    @abstractmethod
    async def settle_probe(self, claim: Claim, settlement: Settlement, lane: LaneRow) -> tuple[bool, LaneRow | None]:
        """Write what a probe came to, and how its lane stands therefore, both in one transaction.

        Whether it was in time: see `settle`; else nothing changes. And the lane's row with its next version; None, with
        that as it was, where another router has set it since: see `set_lane`.
        """

    @abstractmethod
    async def release(self, claim: Claim, *, now: datetime) -> bool:
        """Give a claim back unused: pending, due now, nothing spent, not counted as lost. False if too late."""

    @abstractmethod
    async def retake(self, *, now: datetime, over: datetime | None = None, left_behind: bool = False) -> Retaken:
        """Make claims due again at `now` that ran out at `over` (None: at `now`); no entry of the schedule is spent.

        A delivery lost for the `POISON_AFTER`th time is dead instead. `left_behind`: also claims of this router's name
        that still run; for its start, when they are those of an earlier run. Others keep theirs.
        """

    @abstractmethod
    async def clock_was_set(
        self, *, before: datetime, now: datetime, memo: str, was: bytes | None, content: bytes
    ) -> bool:
        """Move what waits with the wall clock, which was set from `before` to `now`, and keep a memo of that; one transaction.

        What is not due at `before` is due after as much time as it would have been, what is due is so at `now`, and
        a claim that runs lasts as long as it would have; one that ran out, and was not taken back, is over at `now`. That
        is known of those that end later than any claim that was made by the clock as it is now (`LONGEST_CLAIM`).
        Returns False, and does nothing, where the memo is no longer what it `was`. For whoever keeps house.
        """

    @abstractmethod
    async def lanes(self) -> dict[str, LaneRow]:
        """The remembered state of every lane that was ever set, by sink; a damaged one is as if it never was."""

    @abstractmethod
    async def set_lane(self, row: LaneRow, *, now: datetime) -> LaneRow | None:
        """Remember a lane's state, which was decided about the version that `row` has; the row with its next version.

        None, with nothing changed, where another router has set it since: whoever decided did not know that. On
        `open`, what was held is due at `now`, in the same transaction.
        """

    @abstractmethod
    async def due(self, sinks: Collection[str], *, now: datetime) -> frozenset[str]:
        """Those of these sinks that a pending delivery is due for: what other routers have left to whoever has room."""

    # --- putting right ---

    @abstractmethod
    async def replay(self, delivery_id: str, *, sink: str | None = None, now: datetime) -> str:
        """Owe a dead delivery again: a new one, naming the old one, which moves to `replayed`.

        The new one is pending, accepted and due at `now`. `sink` is another one to owe it to. Returns the new
        delivery's id. Raises `Unknown`, or `Conflict` where the delivery is not dead: a repeat is therefore a
        conflict, never a second replay.
        """

    @abstractmethod
    async def end(self, delivery_id: str, *, reason: str, now: datetime) -> None:
        """Move a pending delivery to `dead`, or let a dead one rest: both are ended then, and nobody is told of them.

        Why it had failed stays in its reason, behind the new one. An ended one can still be replayed. Raises `Unknown`,
        or `Conflict` where it is neither pending nor dead, or ended already.
        """

    @abstractmethod
    async def end_quarantined(self, quarantine_id: str, *, reason: str) -> None:
        """Let a quarantined body rest: it stays, can still be read again, and nobody is told of it any more.

        Raises `Conflict` where it is in quarantine no longer, or ended already.
        """

    @abstractmethod
    async def read_again(self, quarantine_id: str, arrival: Arrival) -> Accepted | Duplicate:
        """Move a body out of quarantine: what it says is accepted as `accept` does, in one transaction.

        Its repeats in quarantine count as repeats of the content, so received stays what it was. Raises `Conflict`
        where the body is in quarantine no longer: a repeat is therefore a conflict, never a second event.
        """

    @abstractmethod
    async def keep_unread(self, quarantine_id: str, *, reason: str) -> None:
        """Remember why a quarantined body is still not readable. Raises `Conflict` where it is there no longer."""

    @abstractmethod
    async def route_again(
        self, event_id: str, *, routes: Sequence[str], rules: str, owed: Sequence[Owed], now: datetime
    ) -> RoutedAgain:
        """Owe an event, from `now` on, to those of `owed` that it never was owed to; one transaction.

        `Owed.once` counts as for an arrival. The routes that fired now are added to those that did before, and the
        rules that decided now are remembered. Repeats therefore owe nothing. Raises `Unknown`, or `StoreError`
        where the event is not what was stored.
        """

    @abstractmethod
    async def purge(
        self, *, events: datetime | None, quarantine: datetime | None, seen: datetime | None, limit: int = 500
    ) -> Purged:
        """Remove up to `limit` events, quarantined bodies and `seen` entries from before each time (None: none).

        An event goes with its deliveries and attempts, and only when none of its deliveries is pending or claimed.
        Its age counts from its arrival; that of a `seen` entry from the last time its content came. Fewer than
        `limit` may go at once where they are large, and more where an engine can drop them as a whole: nothing is left
        when a purge has removed nothing. What was removed is not in the engine's files either, at the latest then;
        raises `StoreError` where it still is. (PostgreSQL: but for what its own vacuum has not come to, and its log.)
        """

    # --- looking ---

    @abstractmethod
    async def summary(self) -> Summary:
        """The sums, in one snapshot."""

    @abstractmethod
    async def backlog(self) -> dict[str, Mapping[str, int]]:
        """Deliveries by sink and state, for sinks that have any; under `ENDED`, how many of the dead are ended."""

    @abstractmethod
    async def unread(self) -> int:
        """How many quarantined bodies nobody has ended."""

    @abstractmethod
    async def oldest(self) -> dict[str, datetime]:
        """When the oldest delivery that is pending or claimed was accepted, by sink, for sinks that have any."""

    @abstractmethod
    async def room(self) -> Room | None:
        """What the store takes on its disk, and what is left there; None where the engine cannot know."""

    @abstractmethod
    async def quarantine_sizes(self) -> dict[str, int]:
        """Bytes in quarantine by source, counted as by `quarantine`; sources that never had any may be missing."""

    @abstractmethod
    async def event(self, event_id: str) -> StoredEvent | None:
        """One event with its body. Raises `StoreError` where it is not what was stored."""

    @abstractmethod
    async def events(
        self, *, routed: RoutedAs | None = None, wanted: Wanted = ANY, after: str | None = None, limit: int = 50
    ) -> Page[EventLine]:
        """Events, newest first."""

    @abstractmethod
    async def delivery(self, delivery_id: str) -> tuple[DeliveryLine, tuple[AttemptLine, ...]] | None:
        """One delivery with its attempts, first one first."""

    @abstractmethod
    async def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        sink: str | None = None,
        event_id: str | None = None,
        wanted: Wanted = ANY,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[DeliveryLine]:
        """Deliveries, newest first; `sink` may be said in either place."""

    @abstractmethod
    async def quarantined(
        self, *, wanted: Wanted = ANY, after: str | None = None, limit: int = 50
    ) -> Page[QuarantineLine]:
        """Quarantined bodies, newest first; of `wanted` the times, the source and `ended` count."""

    @abstractmethod
    async def quarantined_body(self, quarantine_id: str) -> QuarantinedBody | None:
        """One quarantined body. Raises `StoreError` where it is not what was stored, as far as its size tells."""

    @abstractmethod
    async def channels(self) -> Sequence[ChannelLine]:
        """Every channel seen, most recent call first."""

    @abstractmethod
    async def heard(self, source: str) -> datetime | None:
        """When anything of this source came last, a duplicate or an unreadable body too; None: nothing is known of it."""

    # --- what routers keep of themselves ---

    @abstractmethod
    async def memo(self, name: str) -> bytes | None:
        """What any router kept last under this name; None: nothing was."""

    @abstractmethod
    async def keep_memo(self, name: str, content: bytes) -> None:
        """Keep a little of the router's own under a name, in place of what was there; never anything of a call."""

    # --- the store itself ---

    @abstractmethod
    async def check(self) -> None:
        """Write and commit something that changes nothing, as if it were a call; raises `StoreError` as `accept`."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the writes that wait, and close. Later calls raise `StoreError`."""
