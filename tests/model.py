"""The store's contract once more, as dictionaries: what every engine has to equal, whatever happens.

Read it beside `router/store/base.py`: a method here is called as its namesake there and says what that has to answer,
refusals too. What an engine alone can know is handed in: the ids and numbers that it gave (`Names`), and which of many
equals a purge took.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from router.delivery import ENDED, Again, Dead, Delivery, DeliveryState, Done, LaneRow, LaneState
from router.errors import Conflict, QuarantineFull, Unknown
from router.event import Event
from router.pace import Pace
from router.store.lines import (
    ANY,
    AttemptLine,
    ChannelLine,
    DeliveryLine,
    EventLine,
    QuarantinedBody,
    QuarantineLine,
    StoredEvent,
    Summary,
    Wanted,
)
from router.store.values import (
    LONGEST_CLAIM,
    LOOK_AGAIN,
    LOST,
    POISON,
    POISON_AFTER,
    PROBED_AGAIN,
    SUSPECT_AFTER,
    Accepted,
    Arrival,
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
from router.text import name_key

#: Who owes: these states are neither purged nor forgotten.
OWED = (DeliveryState.PENDING, DeliveryState.CLAIMED)


@dataclass(frozen=True)
class Names:
    """What the store calls what is new: the event's id and number, the deliveries' ids by sink."""

    event: str = ""
    sequence: int = 0
    deliveries: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Seen:
    """One content of one call."""

    event_id: str
    revision: int
    times: int
    last_at: datetime


@dataclass
class Told:
    """An event."""

    line: EventLine
    arrival: Arrival
    rules: str

    @property
    def call(self) -> tuple[str, str | bytes]:
        """What it is a revision of."""
        return self.arrival.source, self.arrival.call.call_id or self.arrival.digest

    @property
    def event(self) -> Event:
        """As sinks see it."""
        arrival, line = self.arrival, self.line
        return Event.of(
            arrival.call,
            id=line.id,
            sequence=line.sequence,
            source=line.source,
            format=line.format,
            received_at=line.received_at,
            revision=line.revision,
            raw=json.loads(arrival.body),
        )


@dataclass
class Debt:
    """A delivery."""

    line: DeliveryLine
    claimed_at: datetime | None = None
    held: bool = False
    attempts: list[AttemptLine] = field(default_factory=list)

    def become(self, state: DeliveryState, **changes: Any) -> None:
        """In this state from now on: claimed by nobody, unless that is said; held no longer."""
        self.held = False
        self.line = replace(self.line, state=state, **{"claimed_until": None, **changes})

    def tried(self, started_at: datetime | None, ended_at: datetime, outcome: str, reason: str | None = None) -> None:
        """The claim ended like this."""
        self.attempts.append(AttemptLine(self.line.attempt, started_at, ended_at, outcome, reason))


@dataclass
class Model:
    """Everything that a store has to know."""

    events: dict[str, Told] = field(default_factory=dict)
    deliveries: dict[str, Debt] = field(default_factory=dict)
    bodies: dict[str, QuarantinedBody] = field(default_factory=dict)
    #: By call, then by digest. Outlives the events.
    seen: defaultdict[tuple[str, str | bytes], dict[bytes, Seen]] = field(default_factory=lambda: defaultdict(dict))
    lanes: dict[str, LaneRow] = field(default_factory=dict)
    free_at: dict[str, datetime] = field(default_factory=dict)
    #: By source, and by id or (where there is none) by name.
    channels_seen: dict[tuple[str, str | None, str | None], ChannelLine] = field(default_factory=dict)
    duplicates: int = 0
    purged: int = 0
    deliveries_purged: int = 0

    # --- taking in ---

    def accept(
        self, arrival: Arrival, names: Names, *, times: int = 1, last_at: datetime | None = None
    ) -> Accepted | Duplicate:
        last_at = last_at or arrival.received_at
        contents = self.seen[arrival.source, arrival.call.call_id or arrival.digest]
        if known := contents.get(arrival.digest):
            known.times += times
            known.last_at = max(known.last_at, last_at)
            self.duplicates += 1
            return Duplicate(known.event_id)
        revision = 1 + max((one.revision for one in contents.values()), default=0)
        contents[arrival.digest] = Seen(names.event, revision, times, last_at)
        call = arrival.call
        line = EventLine(
            id=names.event,
            sequence=names.sequence,
            source=arrival.source,
            format=arrival.format,
            received_at=arrival.received_at,
            call_id=call.call_id,
            revision=revision,
            direction=call.direction,
            channel_id=call.channel.id,
            channel_name=call.channel.name,
            routed=arrival.routed,
            routes=arrival.routes,
        )
        told = self.events[names.event] = Told(line, arrival, arrival.rules)
        self._heard_on_channel(arrival, new_call=revision == 1)
        owed = self._still_owed(told, arrival.owed)
        born = [self._owe(told, one, names, arrival.accepted_at or arrival.received_at) for one in owed]
        claims = tuple(self._claim(debt) for debt in born if debt.line.state is DeliveryState.CLAIMED)
        return Accepted(names.event, names.sequence, revision, len(owed), claims)

    def _still_owed(self, told: Told, owed: Iterable[Owed]) -> list[Owed]:
        others = {debt.line.sink for _, debt in self._of_call(told) if debt.line.event_id != told.line.id}
        return [one for one in owed if not (one.once and one.sink in others)]

    def _of_call(self, told: Told) -> list[tuple[int, Debt]]:
        """The deliveries of all revisions of the call that are remembered, with the revision; first one first."""
        revisions = {one.event_id: one.revision for one in self.seen[told.call].values()}
        found = [(revisions[d.line.event_id], d) for d in self.deliveries.values() if d.line.event_id in revisions]
        return sorted(found, key=lambda one: (one[0], one[1].line.id))

    def _owe(self, told: Told, owed: Owed, names: Names, now: datetime) -> Debt:
        lane = self.lanes.get(owed.sink)
        until = owed.claim_until if lane is None or lane.state is LaneState.OPEN else None
        line = DeliveryLine(
            id=names.deliveries[owed.sink],
            event_id=told.line.id,
            sink=owed.sink,
            state=DeliveryState.CLAIMED if until else DeliveryState.PENDING,
            attempt=1 if until else 0,
            retries=0,
            lost=0,
            accepted_at=now,
            due=owed.due or now,
            claimed_until=until,
        )
        debt = self.deliveries[line.id] = Debt(line, claimed_at=now if until else None)
        return debt

    def _heard_on_channel(self, arrival: Arrival, *, new_call: bool) -> None:
        channel, source, now = arrival.call.channel, arrival.source, arrival.received_at
        if not channel.id and not channel.name:
            return
        key = (source, channel.id, None if channel.id else channel.name)
        old = self.channels_seen.get(key, ChannelLine(source, channel.id, channel.name, 0, now))
        self.channels_seen[key] = replace(
            old,
            calls=old.calls + (new_call or not old.calls),
            name=channel.name if channel.name and now >= old.last_at else old.name,
            last_at=max(old.last_at, now),
        )

    def quarantine(
        self,
        name: str,
        *,
        source: str,
        body: bytes,
        digest: bytes,
        content_type: str | None,
        reason: str,
        now: datetime,
        room: int | None,
    ) -> Quarantined:
        sizes = 0
        for id_, kept in self.bodies.items():
            if (kept.line.source, kept.digest) == (source, digest):
                line = replace(kept.line, times=kept.line.times + 1, last_at=max(kept.line.last_at, now))
                self.bodies[id_] = replace(kept, line=line)
                self.duplicates += 1
                return Quarantined(id_, duplicate=True)
            sizes += (len(kept.body) + 1024) * (kept.line.source == source)
        if room is not None and sizes + len(body) + 1024 > room:
            raise QuarantineFull
        line = QuarantineLine(name, source, reason, len(body), now, 1, now)
        self.bodies[name] = QuarantinedBody(line, body, digest, content_type)
        return Quarantined(name)

    # --- sending out ---

    def claim(
        self, sink: str, *, limit: int, now: datetime, until: datetime, probe: bool, interval: timedelta | None = None
    ) -> Claims:
        if probe and any(_is(debt, DeliveryState.CLAIMED, sink) for debt in self.deliveries.values()):
            return Claims((), now + PROBED_AGAIN)
        pace = Pace(interval) if interval else None
        if pace and sink in self.free_at:
            pace.free_at = self.free_at[sink]
        if pace:
            limit = min(limit, allowed := pace.allowed(now))
            if allowed == 0:
                return Claims((), pace.free_at)
        pending = [debt for debt in self.deliveries.values() if _is(debt, DeliveryState.PENDING, sink)]
        due = [debt for debt in pending if debt.line.due <= now or (probe and debt.held)]
        alone = not any(_is_suspect(debt) for debt in self.deliveries.values() if _is(debt, DeliveryState.CLAIMED))
        first = sorted(
            (debt for debt in due if alone or not _is_suspect(debt)), key=lambda debt: (debt.line.due, debt.line.id)
        )[:limit]
        suspects = [debt for debt in first if _is_suspect(debt)]
        claimed = [debt for debt in first if debt not in suspects[1:]]
        for debt in claimed:
            debt.become(DeliveryState.CLAIMED, attempt=debt.line.attempt + 1, claimed_until=until)
            debt.claimed_at = now
        beside = suspects or not alone
        waiting = [
            max(debt.line.due, now + LOOK_AGAIN) if beside and _is_suspect(debt) else debt.line.due
            for debt in pending
            if _is(debt, DeliveryState.PENDING)
        ]
        next_due = min(waiting, default=None)
        if pace:
            if claimed:
                pace.spend(len(claimed), now)
                self.free_at[sink] = pace.free_at
            next_due = next_due and max(next_due, pace.free_at)
        return Claims(tuple(self._claim(debt) for debt in claimed), next_due)

    def _claim(self, debt: Debt) -> Claim:
        line, told = debt.line, self.events[debt.line.event_id]
        of_call = [(revision, one) for revision, one in self._of_call(told) if one.line.sink == line.sink]
        mine = told.line.revision
        delivery = Delivery(
            id=line.id,
            sink=line.sink,
            event=told.event,
            body=told.arrival.body,
            content_type=told.arrival.content_type,
            routes=told.line.routes,
            attempt=line.attempt,
            replay_of=line.replay_of,
            follows=next(
                (one.line.remote_id for n, one in of_call if n < mine and one.line.remote_id is not None), None
            ),
            superseded=any(n > mine and one.line.state is DeliveryState.DELIVERED for n, one in of_call),
        )
        assert line.claimed_until is not None
        return Claim(delivery, line.claimed_until, line.accepted_at, line.retries)

    def settle(self, claim: Claim, settlement: Settlement) -> bool:
        if (debt := self._held_by(claim)) is None:
            return False
        match settlement.decision:
            case Done(remote_id):
                reason = None
                debt.become(DeliveryState.DELIVERED, settled_at=settlement.now, reason=None, remote_id=remote_id)
            case Again(at, reason, spent, held):
                retries = debt.line.retries + spent
                debt.become(DeliveryState.PENDING, due=at, reason=reason, retries=retries)
                debt.held = held
            case Dead(reason):
                debt.become(DeliveryState.DEAD, settled_at=settlement.now, reason=reason)
        recipient = settlement.recipient if settlement.recipient is not None else debt.line.recipient
        debt.line = replace(debt.line, recipient=recipient, parts=settlement.parts or debt.line.parts)
        debt.tried(settlement.started_at, settlement.now, settlement.outcome, reason)
        return True

    def release(self, claim: Claim, *, now: datetime) -> bool:
        if (debt := self._held_by(claim)) is None:
            return False
        debt.tried(debt.claimed_at, now, "released")
        debt.become(DeliveryState.PENDING, due=now)
        return True

    def _held_by(self, claim: Claim) -> Debt | None:
        debt = self.deliveries.get(claim.delivery.id)
        holds = debt is not None and _is(debt, DeliveryState.CLAIMED) and debt.line.attempt == claim.delivery.attempt
        return debt if holds else None

    def retake(self, *, now: datetime, left_behind: bool) -> Retaken:
        sinks, lost, poison = set[str](), 0, list[tuple[str, str]]()
        for debt in self.deliveries.values():
            until = debt.line.claimed_until
            if until is None or not (left_behind or until <= now):
                continue
            debt.tried(debt.claimed_at, now, "lost", LOST)
            lost += 1
            times = debt.line.lost + 1
            if times < POISON_AFTER:
                debt.become(DeliveryState.PENDING, lost=times, due=now, reason=LOST, settled_at=None)
                sinks.add(debt.line.sink)
            else:
                debt.become(DeliveryState.DEAD, lost=times, settled_at=now, reason=POISON)
                poison.append((debt.line.sink, debt.line.id))
        return Retaken(frozenset(sinks), lost, tuple(sorted(poison)))

    def clock_was_set(self, *, before: datetime, now: datetime) -> None:
        for debt in self.deliveries.values():
            line, until = debt.line, debt.line.claimed_until
            if _is(debt, DeliveryState.PENDING):
                debt.line = replace(line, due=line.due + (now - before) if line.due > before else min(line.due, now))
            elif until is not None and until > min(before, now + LONGEST_CLAIM):
                debt.line = replace(line, claimed_until=until + (now - before))

    def set_lane(self, row: LaneRow, *, now: datetime) -> LaneRow | None:
        if row.version != self.lanes.get(row.sink, LaneRow(row.sink)).version:
            return None
        row = self.lanes[row.sink] = replace(row, version=row.version + 1)
        if row.state is LaneState.OPEN:
            for debt in self.deliveries.values():
                if debt.held and debt.line.sink == row.sink:
                    debt.become(DeliveryState.PENDING, due=now)
        return row

    # --- putting right ---

    def replay(self, delivery_id: str, name: str, *, sink: str | None, now: datetime) -> str:
        old = self._known(delivery_id, DeliveryState.DEAD)
        old.become(DeliveryState.REPLAYED)
        self._owe(self.events[old.line.event_id], Owed(sink or old.line.sink), _named(name, sink or old.line.sink), now)
        new = self.deliveries[name]
        new.line = replace(new.line, replay_of=delivery_id)
        return name

    def end(self, delivery_id: str, *, reason: str, now: datetime) -> None:
        debt = self._known(delivery_id, DeliveryState.PENDING, DeliveryState.DEAD)
        if debt.line.ended:
            raise Conflict
        settled_at = debt.line.settled_at if _is(debt, DeliveryState.DEAD) else now
        reason = f"{reason} (before: {debt.line.reason})" if debt.line.reason is not None else reason
        debt.become(DeliveryState.DEAD, settled_at=settled_at, reason=reason, ended=True)

    def end_quarantined(self, quarantine_id: str, *, reason: str) -> None:
        kept = self.bodies.get(quarantine_id)
        if kept is None or kept.line.ended is not None:
            raise Conflict
        self.bodies[quarantine_id] = replace(kept, line=replace(kept.line, ended=reason))

    def _known(self, delivery_id: str, *states: DeliveryState) -> Debt:
        if (debt := self.deliveries.get(delivery_id)) is None:
            raise Unknown
        if debt.line.state not in states:
            raise Conflict
        return debt

    def read_again(self, quarantine_id: str, arrival: Arrival, names: Names) -> Accepted | Duplicate:
        if (kept := self.bodies.pop(quarantine_id, None)) is None:
            raise Conflict
        return self.accept(arrival, names, times=kept.line.times, last_at=kept.line.last_at)

    def keep_unread(self, quarantine_id: str, *, reason: str) -> None:
        if (kept := self.bodies.get(quarantine_id)) is None:
            raise Conflict
        self.bodies[quarantine_id] = replace(kept, line=replace(kept.line, reason=reason))

    def route_again(
        self, event_id: str, names: Names, *, routes: Sequence[str], rules: str, owed: Sequence[Owed], now: datetime
    ) -> RoutedAgain:
        if (told := self.events.get(event_id)) is None:
            raise Unknown
        fired = tuple(dict.fromkeys((*told.line.routes, *routes)))
        told.line = replace(told.line, routes=fired, routed=RoutedAs.ROUTED if fired else RoutedAs.UNMATCHED)
        told.rules = rules
        had = {debt.line.sink for debt in self.deliveries.values() if debt.line.event_id == event_id}
        new = [one for one in self._still_owed(told, owed) if one.sink not in had]
        for one in new:
            self._owe(told, one, names, now)
        return RoutedAgain(told.line.routed, fired, tuple(one.sink for one in new))

    def purge(
        self,
        gone_events: Collection[str],
        gone_bodies: Collection[str],
        *,
        events: datetime | None,
        quarantine: datetime | None,
        seen: datetime | None,
    ) -> Purged:
        """`seen` is purged to its end; of the others, these are gone now."""
        owing = {debt.line.event_id for debt in self.deliveries.values() if debt.line.state in OWED}
        for id_ in gone_events:
            assert id_ not in owing, "an event that owes something was purged"
            assert events is not None
            assert self.events.pop(id_).line.received_at < events
        for id_ in gone_bodies:
            assert quarantine is not None
            assert self.bodies.pop(id_).line.received_at < quarantine
        gone = [id_ for id_, debt in self.deliveries.items() if debt.line.event_id in gone_events]
        for id_ in gone:
            del self.deliveries[id_]
        forgotten = 0
        for contents in self.seen.values():
            old = [digest for digest, one in contents.items() if seen is not None and one.last_at < seen]
            for digest in old:
                del contents[digest]
            forgotten += len(old)
        self.purged += len(gone_events) + len(gone_bodies)
        self.deliveries_purged += len(gone)
        return Purged(len(gone_events), len(gone), len(gone_bodies), forgotten)

    def may_be_purged(self, events: datetime, quarantine: datetime) -> bool:
        """Whether anything is left that a purge has to take."""
        owing = {debt.line.event_id for debt in self.deliveries.values() if debt.line.state in OWED}
        return any(one.line.received_at < events for id_, one in self.events.items() if id_ not in owing) or any(
            one.line.received_at < quarantine for one in self.bodies.values()
        )

    # --- looking ---

    def summary(self) -> Summary:
        routed = Counter(told.line.routed for told in self.events.values())
        states = Counter(debt.line.state for debt in self.deliveries.values())
        counted = {**{state.value: states[state] for state in DeliveryState}, "purged": self.deliveries_purged}
        return Summary(
            received=len(self.events) + self.duplicates + len(self.bodies) + self.purged,
            events=len(self.events),
            duplicates=self.duplicates,
            quarantined=len(self.bodies),
            purged=self.purged,
            routed=routed[RoutedAs.ROUTED],
            unmatched=routed[RoutedAs.UNMATCHED],
            unrouted=routed[RoutedAs.UNROUTED],
            deliveries={**counted, "created": sum(counted.values())},
        )

    def backlog(self) -> dict[str, dict[str, int]]:
        found: dict[str, Counter[str]] = defaultdict(Counter)
        for debt in self.deliveries.values():
            found[debt.line.sink][debt.line.state] += 1
            if debt.line.ended and _is(debt, DeliveryState.DEAD):
                found[debt.line.sink][ENDED] += 1
        return {sink: dict(states) for sink, states in found.items()}

    def unread(self) -> int:
        return sum(kept.line.ended is None for kept in self.bodies.values())

    def oldest(self) -> dict[str, datetime]:
        found: dict[str, datetime] = {}
        for line in (debt.line for debt in self.deliveries.values() if debt.line.state in OWED):
            found[line.sink] = min(found.get(line.sink, line.accepted_at), line.accepted_at)
        return found

    def event(self, event_id: str) -> StoredEvent | None:
        if (told := self.events.get(event_id)) is None:
            return None
        seen = self.seen[told.call].get(told.arrival.digest)
        repeats = seen.times - 1 if seen else 0
        return StoredEvent(
            told.event,
            told.line.routed,
            told.line.routes,
            told.rules,
            told.arrival.body,
            told.arrival.content_type,
            repeats,
            seen.last_at if seen and repeats else None,
        )

    def event_lines(self, wanted: Wanted = ANY, routed: RoutedAs | None = None) -> list[EventLine]:
        lines = [told.line for told in self.events.values() if routed in (None, told.line.routed)]
        return _newest_first(
            line
            for line in lines
            if _of_time(wanted, line.received_at) and _of_call(wanted, line) and wanted.sink in (None, *self.owed(line))
        )

    def owed(self, line: EventLine) -> list[str]:
        """The sinks that an event is or was owed to."""
        return [debt.line.sink for debt in self.deliveries.values() if debt.line.event_id == line.id]

    def delivery_lines(
        self, wanted: Wanted = ANY, state: DeliveryState | None = None, event_id: str | None = None
    ) -> list[DeliveryLine]:
        lines = [debt.line for debt in self.deliveries.values()]
        return _newest_first(
            line
            for line in lines
            if _of_time(wanted, line.accepted_at)
            and _of_call(wanted, self.events[line.event_id].line)
            and wanted.sink in (None, line.sink)
            and state in (None, line.state)
            and event_id in (None, line.event_id)
            and (wanted.reason is None or wanted.reason.casefold() in (line.reason or "").casefold())
            and wanted.ended in (None, line.ended)
        )

    def quarantine_lines(self, wanted: Wanted = ANY) -> list[QuarantineLine]:
        lines = [body.line for body in self.bodies.values()]
        return _newest_first(
            line
            for line in lines
            if _of_time(wanted, line.received_at)
            and wanted.source in (None, line.source)
            and wanted.ended in (None, line.ended is not None)
        )

    def heard(self, source: str) -> datetime | None:
        calls = [one.last_at for key, contents in self.seen.items() for one in contents.values() if key[0] == source]
        bodies = [kept.line.last_at for kept in self.bodies.values() if kept.line.source == source]
        return max(calls + bodies, default=None)


def _named(name: str, sink: str) -> Names:
    return Names(deliveries={sink: name})


def _is(debt: Debt, state: DeliveryState, sink: str | None = None) -> bool:
    return debt.line.state is state and sink in (None, debt.line.sink)


def _is_suspect(debt: Debt) -> bool:
    return debt.line.lost >= SUSPECT_AFTER


def _newest_first(lines: Iterable[Any]) -> list[Any]:
    return sorted(lines, key=lambda line: line.id, reverse=True)


def _of_time(wanted: Wanted, time: datetime) -> bool:
    """To the millisecond, as ids have it."""
    at = _millisecond(time)
    return (wanted.since is None or at >= _millisecond(wanted.since)) and (
        wanted.until is None or at < _millisecond(wanted.until)
    )


def _millisecond(time: datetime) -> datetime:
    return time - timedelta(microseconds=time.microsecond % 1000)


def _of_call(wanted: Wanted, line: EventLine) -> bool:
    channel = wanted.channel
    return (
        wanted.source in (None, line.source)
        and wanted.direction in (None, line.direction)
        and (wanted.route is None or wanted.route in line.routes)
        and (
            channel is None
            or channel == line.channel_id
            or (line.channel_name is not None and name_key(channel) == name_key(line.channel_name))
        )
    )
