"""The store's contract: what survives, and what each write promises. Engines live beside this file.

Every write is one transaction: it happens as a whole or not at all, and it is on stable storage when the call
returns. A write that raises `StoreError` is not known to be stored (it may be, if the failure was the commit's).
Writes that wait for the same commit may share it; one that fails by its own fault does not fail its neighbours.
Cancelling the caller does not cancel the write. The counters of `summary` change in the transaction that changes
the rows. Times are aware UTC, kept to the microsecond; no engine reads a clock: `now` is passed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from router.delivery import DeliveryState, LaneRow
from router.store.effort import Effort
from router.store.lines import (
    ANY,
    AttemptLine,
    ChannelLine,
    DeliveryLine,
    EventLine,
    Page,
    QuarantinedBody,
    QuarantineLine,
    Room,
    RouterLine,
    StoredEvent,
    Summary,
    Wanted,
)
from router.store.values import (
    Accepted,
    Arrival,
    Card,
    Claim,
    Claims,
    Duplicate,
    Owed,
    Purged,
    Quarantined,
    Retaken,
    RoutedAgain,
    RoutedAs,
    Settlement,
)


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
