"""The store's contract: what survives, and what each write promises. Engines live beside this file.

Every write is one transaction: it happens as a whole or not at all, and it is on stable storage when the call
returns. A write that raises `StoreError` is not known to be stored (it may be, if the failure was the commit's).
Writes that wait for the same commit may share it; one that fails by its own fault does not fail its neighbours.
Cancelling the caller does not cancel the write. The counters of `summary` change in the transaction that changes
the rows. Times are aware UTC, kept to the microsecond; no engine reads a clock: `now` is passed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Generic, TypeVar

from router.delivery import Decision, Delivery, DeliveryState, LaneRow
from router.event import Call, Event

T = TypeVar("T")

#: A claim is lost when its holder vanished; a delivery that was lost this often is dead as poison.
POISON_AFTER = 5


class RoutedAs(StrEnum):
    """What routing made of an event: a route fired; none did; routing itself failed."""

    ROUTED = "routed"
    UNMATCHED = "unmatched"
    UNROUTED = "unrouted"


@dataclass(frozen=True, slots=True)
class Owed:
    """One sink that an arriving event is owed to.

    `claim_until`: where the lane has room, the delivery is born claimed until then; otherwise it is pending, due at
    `due` (None: when the event was received). `once`: not owed if an earlier revision of the same call was owed to
    this sink.
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
    """What a claim got; `next_due` is when the sink's next pending delivery is due, by its time (None: none is)."""

    claims: tuple[Claim, ...]
    next_due: datetime | None
    #: What is dead instead, because what is stored of it is damaged, as (delivery id, event id).
    damaged: tuple[tuple[str, str], ...] = ()


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
    """A page of a list, newest first; `next` is the key to go on after, None at the end."""

    items: tuple[T, ...]
    next: str | None = None


@dataclass(slots=True)
class Effort:
    """What the engine did since it was opened, for metrics and tests."""

    commits: int = 0
    writes: int = 0
    #: Seconds of all commits together.
    commit_seconds: float = 0.0
    largest_batch: int = 0
    #: How often the log was moved into the database (SQLite).
    checkpoints: int = 0


class Store(ABC):
    """What survives. One instance per process; safe for concurrent use from one event loop.

    Damage to one row is that row's alone. A list shows of it what can be read: in place of a character that cannot
    there is U+FFFD, of a time that is none the epoch (or None), of a list that is none nothing; a line whose state
    or routing is no word of ours is left out.
    """

    effort: Effort

    # --- taking in ---

    @abstractmethod
    async def accept(self, arrival: Arrival) -> Accepted | Duplicate:
        """Store an event with its deliveries, or count it as a duplicate; one transaction.

        Identity is (source, call id, or the digest where there is none). A digest equal to any earlier revision of
        that call is a `Duplicate`: its count and last time are kept, its bytes are not, and nothing is owed. That
        holds for `keep.seen`, also when the event is purged, and between routers: a constraint decides. Otherwise
        the event is the call's next revision.

        Raises `StoreBusy` when too many writes wait (nothing was queued), `StoreError` when it is not known to be
        stored.
        """

    @abstractmethod
    async def quarantine(
        self, *, source: str, body: bytes, digest: bytes, content_type: str | None, reason: str, now: datetime
    ) -> Quarantined:
        """Keep a body that no format could read: one row per (source, digest); the same again counts as a duplicate.

        Raises as `accept`.
        """

    # --- sending out ---

    @abstractmethod
    async def claim(self, sink: str, *, limit: int, now: datetime, until: datetime, probe: bool = False) -> Claims:
        """Claim up to `limit` pending deliveries of one sink that are due at `now`, earliest due first.

        Each claim raises the delivery's `attempt` by one, before anything is tried. With `probe`, held deliveries
        count as due, whatever their time; without, they are due at their time like any other. What is claimed is
        held no longer. No delivery is claimed twice, whoever else claims at the same moment. A delivery whose stored
        event is damaged becomes dead instead of being claimed, and costs the others nothing: see `Claims.damaged`.
        """

    @abstractmethod
    async def settle(self, claim: Claim, settlement: Settlement) -> bool:
        """Write what an attempt came to; one transaction. Returns False, and changes nothing, if it is too late.

        Too late: the delivery is no longer claimed, or by a later attempt. A repeat is therefore too late.
        """

    @abstractmethod
    async def release(self, claim: Claim, *, now: datetime) -> bool:
        """Give a claim back unused: pending, due now, nothing spent, not counted as lost. False if too late."""

    @abstractmethod
    async def retake(self, *, now: datetime, everything: bool = False) -> Retaken:
        """Make claims that ran out at `now` due again at once; no entry of the schedule is spent.

        A delivery lost for the `POISON_AFTER`th time is dead instead. `everything`: claims that still run, too;
        for the start of a router that is alone with its store.
        """

    @abstractmethod
    async def lanes(self) -> dict[str, LaneRow]:
        """The remembered state of every lane that was ever set, by sink; a damaged one counts as never set."""

    @abstractmethod
    async def set_lane(self, row: LaneRow, *, now: datetime) -> None:
        """Remember a lane's state. On `open`, what was held is due at `now`, in the same transaction."""

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
        """Move a pending delivery to `dead`. Raises `Unknown`, or `Conflict` where it is not pending."""

    @abstractmethod
    async def purge(
        self, *, events: datetime | None, quarantine: datetime | None, seen: datetime | None, limit: int = 500
    ) -> Purged:
        """Remove up to `limit` events, quarantined bodies and `seen` entries from before each time (None: none).

        An event goes with its deliveries and attempts, and only when none of its deliveries is pending or claimed.
        Its age counts from its arrival; that of a `seen` entry from the last time its content came. Fewer than
        `limit` may go at once where they are large: nothing is left when a purge has removed nothing. What was
        removed is not in the engine's files either, at the latest then; raises `StoreError` where it still is.
        """

    # --- looking ---

    @abstractmethod
    async def summary(self) -> Summary:
        """The sums, in one snapshot."""

    @abstractmethod
    async def backlog(self) -> dict[str, Mapping[str, int]]:
        """Deliveries by sink and state, for sinks that have any."""

    @abstractmethod
    async def event(self, event_id: str) -> StoredEvent | None:
        """One event with its body. Raises `StoreError` where it is not what was stored."""

    @abstractmethod
    async def events(self, *, after: str | None = None, limit: int = 50) -> Page[EventLine]:
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
        after: str | None = None,
        limit: int = 50,
    ) -> Page[DeliveryLine]:
        """Deliveries, newest first."""

    @abstractmethod
    async def quarantined(self, *, after: str | None = None, limit: int = 50) -> Page[QuarantineLine]:
        """Quarantined bodies, newest first."""

    @abstractmethod
    async def quarantined_body(self, quarantine_id: str) -> QuarantinedBody | None:
        """One quarantined body. Raises `StoreError` where it is not what was stored, as far as its size tells."""

    @abstractmethod
    async def channels(self) -> Sequence[ChannelLine]:
        """Every channel seen, most recent call first."""

    @abstractmethod
    async def check(self) -> None:
        """Write and commit something that changes nothing; raises `StoreError` where that fails."""

    @abstractmethod
    async def close(self) -> None:
        """Finish the writes that wait, and close. Later calls raise `StoreError`."""
