"""Every engine does what the model does, whatever happens in whatever order, while the clock goes forth and back."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, AsyncExitStack, ExitStack
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from extent import SEED, extent
from model import Model, Names
from router.delivery import Again, Dead, Decision, DeliveryState, Done, LaneRow, LaneState
from router.errors import Conflict, QuarantineFull, Unknown
from router.event import Channel, Direction
from router.ids import first_id
from router.store.base import Store
from router.store.lines import Page, Wanted
from router.store.postgres.months import Month
from router.store.values import Accepted, Arrival, Claim, Duplicate, Owed, Purged, RoutedAs, Settlement
from store_engines import KINDS, NOW, Engine, arrival, engines, every

T = TypeVar("T")

SINKS, SOURCES, ROUTES = ("a", "b"), ("sipgate", "other"), ("to sales", "vip")
CHANNELS = (Channel("17", "Sales Hotline"), Channel("17", "Sales"), Channel(None, " SALES "), Channel())

sinks, sources = st.sampled_from(SINKS), st.sampled_from(SOURCES)
#: Which of those that there are; of claims, counted from the newest.
which = st.integers(0, 2) | st.integers(0, 30)
spans = st.sampled_from([0.0, 0.0, 0.0001, 1.0, 10.0])
owings = st.lists(
    st.builds(Owed, sinks, st.none(), st.booleans(), st.none()), max_size=3, unique_by=lambda owed: owed.sink
)
decisions = st.one_of(
    st.builds(Done, st.sampled_from([None, "remote-1", "remote-2"])),
    st.builds(Again, spans.map(lambda s: NOW + timedelta(hours=s)), st.just("Busy"), st.booleans(), st.booleans()),
    st.builds(Dead, st.just("no such mailbox")),
)


class Comparison(RuleBasedStateMachine):
    """A store and the model; each step happens to both."""

    new_engine: Callable[[Path], AbstractContextManager[Engine]]

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # noqa: S108 - this is not about the disk, and much faster there
        self.folder = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
        self.places = ExitStack()
        self.engine = self.places.enter_context(self.new_engine(self.folder))
        self.patch = pytest.MonkeyPatch()
        #: The same each time, so that the same steps come to the same: ids of one moment are in an order of chance.
        self.patch.setattr(os, "urandom", random.Random(0).randbytes)
        self.runner = asyncio.Runner()
        self.left = AsyncExitStack()
        self.store: Store = self.run(self.left.enter_async_context(self.engine.open()))
        self.model = Model()
        self.now = NOW
        #: Every claim there ever was: what is settled late is one of these.
        self.claims: list[Claim] = []
        self.last_sequence = 0
        self.jumps = 0

    def teardown(self) -> None:
        self.run(self.left.aclose())
        self.runner.close()
        self.patch.undo()
        self.places.close()
        shutil.rmtree(self.folder)

    def run(self, doing: Awaitable[T]) -> T:
        return self.runner.run(cast("Coroutine[Any, Any, T]", doing))

    def refusable(self, doing: Awaitable[T]) -> T | type[Exception]:
        """What the store answers, or what kind of refusal."""
        return refusable(lambda: self.run(doing))

    # --- time ---

    @rule(seconds=st.sampled_from([0.0002, 1.0, 70.0, 86_400.0, -1.0, -7200.0, -172_800.0]))
    def time_passes_or_jumps_back(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(hours=st.sampled_from([-48.0, -0.5, 0.5, 48.0]), told=st.integers(1, 2))
    def the_clock_is_set(self, hours: float, told: int) -> None:
        """And the router sees it; where it is not answered, it says so again."""
        before, self.now = self.now, self.now + timedelta(hours=hours)
        self.jumps += 1
        was = b"%d" % (self.jumps - 1) if self.jumps > 1 else None
        for n in range(told):
            kept: dict[str, Any] = {"memo": "clock", "was": was, "content": b"%d" % self.jumps}
            assert self.run(self.store.clock_was_set(before=before, now=self.now, **kept)) is (n == 0)
        self.model.clock_was_set(before=before, now=self.now)

    @property
    def until(self) -> datetime:
        return self.now + timedelta(seconds=60)

    # --- taking in ---

    @rule(
        call_id=st.sampled_from(["call-1", "call-2", "call-3", None]),
        text=st.sampled_from(["Der Preis.", "Das Angebot.", "Nichts."]),
        source=sources,
        channel=st.sampled_from(CHANNELS),
        direction=st.sampled_from(Direction),
        routed=st.sampled_from(RoutedAs),
        owed=owings,
        claimed=st.sets(sinks),
        later=spans,
    )
    def accept(self, *, claimed: set[str], owed: list[Owed], later: float, **said: Any) -> None:
        due = self.now + timedelta(seconds=later) if later else None
        debts = [replace(one, claim_until=self.until if one.sink in claimed else None, due=due) for one in owed]
        arriving = self._arrival(**said, owed=debts)
        answer = self.run(self.store.accept(arriving))
        assert answer == self.model.accept(arriving, self._names(answer))
        self._remember(answer)

    def _arrival(
        self,
        call_id: str | None,
        text: str,
        *,
        source: str,
        owed: list[Owed],
        channel: Channel = CHANNELS[0],
        direction: Direction = Direction.INBOUND,
        routed: RoutedAs = RoutedAs.ROUTED,
    ) -> Arrival:
        made = arrival(call_id, text, owed=tuple(owed), source=source, routed=routed, channel=channel)
        return replace(made, received_at=self.now, call=replace(made.call, direction=direction))

    def _names(self, answer: Accepted | Duplicate | type[Exception]) -> Names:
        """What the store calls what is new."""
        if not isinstance(answer, Accepted):
            return Names()
        assert answer.sequence > self.last_sequence, "a number was given again"
        self.last_sequence = answer.sequence
        return Names(answer.event_id, answer.sequence, self._deliveries_of(answer.event_id))

    def _deliveries_of(self, event_id: str) -> dict[str, str]:
        lines = self.run(every(lambda after: self.store.deliveries(event_id=event_id, after=after)))
        return {line.sink: line.id for line in lines}

    def _remember(self, answer: Accepted | Duplicate | type[Exception]) -> None:
        if isinstance(answer, Accepted):
            self.claims.extend(answer.claims)

    @rule(body=st.sampled_from([b"{", b"[" * 2000, b"", b"\x00"]), source=sources, room=st.sampled_from([None, 4000]))
    def quarantine(self, body: bytes, source: str, room: int | None) -> None:
        given: dict[str, Any] = {
            "source": source,
            "body": body,
            "digest": hashlib.sha256(body).digest(),
            "content_type": "text/plain" if body else None,
            "reason": "not JSON",
            "now": self.now,
            "room": room,
        }
        answer = self.refusable(self.store.quarantine(**given))
        name = "" if isinstance(answer, type) else answer.id
        assert answer == refusable(lambda: self.model.quarantine(name, **given))

    # --- sending out ---

    @rule(sink=sinks, limit=st.integers(0, 3), probe=st.booleans(), interval=st.sampled_from((None, None, 0.04, 3.0)))
    def claim(self, sink: str, limit: int, *, probe: bool, interval: float | None = None) -> None:
        asked: dict[str, Any] = {"limit": limit, "now": self.now, "until": self.until, "probe": probe}
        asked["interval"] = None if interval is None else timedelta(seconds=interval)
        found = self.run(self.store.claim(sink, **asked))
        assert found == self.model.claim(sink, **asked)
        self.claims.extend(found.claims)

    @precondition(lambda self: self.claims)
    @rule(which=which, decision=decisions, recipient=st.sampled_from([None, "chef@example.com"]))
    def settle(self, which: int, decision: Decision, recipient: str | None) -> None:
        """In time, late, or twice: the newest claims are the likely ones."""
        self._settle(self.claims[-1 - which % len(self.claims)], decision, recipient)

    def _settle(self, claim: Claim, decision: Decision, recipient: str | None = None) -> None:
        outcome = {Done: "delivered", Again: "retry", Dead: "refused"}[type(decision)]
        parts = ("summary",) if isinstance(decision, Done) else ()
        began = self.now - timedelta(seconds=1)
        end = Settlement(
            decision=decision, outcome=outcome, started_at=began, now=self.now, recipient=recipient, parts=parts
        )
        assert self.run(self.store.settle(claim, end)) == self.model.settle(claim, end)

    @rule(sink=sinks, decision=decisions, limit=st.integers(1, 3), probe=st.booleans())
    def work(self, sink: str, decision: Decision, limit: int, *, probe: bool) -> None:
        """What a lane does most of the time."""
        before = len(self.claims)
        self.claim(sink, limit, probe=probe)
        for claim in self.claims[before:]:
            self._settle(claim, decision)

    @precondition(lambda self: self._outlived())
    @rule(which=which, decision=decisions)
    def settle_a_claim_that_was_lost_to_another(self, which: int, decision: Decision) -> None:
        outlived = self._outlived()
        self._settle(outlived[which % len(outlived)], decision)

    def _new(self, sink: str) -> Claim:
        """The claim of a call that nobody knows yet, of which it was born."""
        self.set_lane(sink, LaneState.OPEN, 0, 0)  # else it is not born claimed
        arriving = self._arrival(
            f"call-after-{self.last_sequence}", "Neu.", source="sipgate", owed=[Owed(sink, claim_until=self.until)]
        )
        answer = self.run(self.store.accept(arriving))
        assert answer == self.model.accept(arriving, self._names(answer))
        self._remember(answer)
        return self.claims[-1]

    @rule(sink=sinks, times=st.integers(1, 2), decision=decisions, in_time=decisions)
    def settle_what_another_has_claimed_and_then_that(
        self, sink: str, times: int, decision: Decision, in_time: Decision
    ) -> None:
        """What a claim that ran out came to changes nothing, before and after the other one has settled."""
        mine = self._new(sink)
        for _ in range(times):
            self.now += timedelta(seconds=60)
            self.retake(left_behind=False)
            before = len(self.claims)
            self.claim(sink, 50, probe=False)
        self._settle(mine, decision)
        for claim in self.claims[before:]:
            self._settle(claim, in_time)
        self._settle(mine, decision)

    @rule(sink=sinks, other=st.none() | sinks)
    def die_and_be_replayed_and_die_again(self, sink: str, other: str | None) -> None:
        """Only what is dead is replayed, and each only once."""
        claim = self._new(sink)
        for _ in range(2):
            self._settle(claim, Dead("no such mailbox"))
            new = self._replay(claim.delivery.id, other)
            self._replay(claim.delivery.id, other)
            before = len(self.claims)
            self.claim(other or sink, 50, probe=False)
            claim = next((one for one in self.claims[before:] if one.delivery.id == new), claim)

    def _outlived(self) -> list[Claim]:
        """Claims of deliveries that are claimed once more."""
        states = {id_: debt.line for id_, debt in self.model.deliveries.items()}
        now = [(one, states.get(one.delivery.id)) for one in self.claims]
        return [one for one, line in now if line and line.claimed_until and line.attempt > one.delivery.attempt]

    @precondition(lambda self: self.claims)
    @rule(which=which)
    def release(self, which: int) -> None:
        claim = self.claims[-1 - which % len(self.claims)]
        assert self.run(self.store.release(claim, now=self.now)) == self.model.release(claim, now=self.now)

    @rule(left_behind=st.booleans())
    def retake(self, *, left_behind: bool) -> None:
        found = self.run(self.store.retake(now=self.now, left_behind=left_behind))
        sorted_ = replace(found, poison=tuple(sorted(found.poison)))
        assert sorted_ == self.model.retake(now=self.now, left_behind=left_behind)

    @rule(sink=sinks, times=st.integers(1, 5))
    def vanish_with_every_claim(self, sink: str, times: int) -> None:
        for _ in range(times):
            self.claim(sink, 2, probe=False)
            self.now += timedelta(seconds=60)
            self.retake(left_behind=False)

    @rule(
        sink=sinks, state=st.sampled_from(LaneState), failures=st.integers(0, 2), outdated=st.sampled_from((0, 0, 0, 1))
    )
    def set_lane(self, sink: str, state: LaneState, failures: int, outdated: int) -> None:
        down = state is LaneState.PROBING
        version = self.model.lanes.get(sink, LaneRow(sink)).version - outdated
        row = LaneRow(sink, state, self.until if down else None, failures, "down" if down else None, self.now, version)
        assert self.run(self.store.set_lane(row, now=self.now)) == self.model.set_lane(row, now=self.now)

    # --- putting right ---

    def _any_delivery(self, which: int, state: DeliveryState) -> str:
        """Most likely one in this state."""
        ids = sorted(self.model.deliveries)
        fit = [id_ for id_ in ids if self.model.deliveries[id_].line.state is state]
        choice = (fit if which % 4 else ids) or ["there is none"]
        return choice[which % len(choice)]

    @rule(which=which, sink=st.none() | sinks)
    def replay(self, which: int, sink: str | None) -> None:
        self._replay(self._any_delivery(which, DeliveryState.DEAD), sink)

    def _replay(self, old: str, sink: str | None) -> str | type[Exception]:
        answer = self.refusable(self.store.replay(old, sink=sink, now=self.now))
        assert answer == refusable(lambda: self.model.replay(old, str(answer), sink=sink, now=self.now))
        return answer

    @rule(which=which)
    def end_body(self, which: int) -> None:
        id_ = self._any_body(which)
        answer = self.refusable(self.store.end_quarantined(id_, reason="a scanner"))
        assert answer == refusable(lambda: self.model.end_quarantined(id_, reason="a scanner"))

    @rule(which=which, state=st.sampled_from([DeliveryState.PENDING, DeliveryState.DEAD]))
    def end(self, which: int, state: DeliveryState) -> None:
        id_ = self._any_delivery(which, state)
        answer = self.refusable(self.store.end(id_, reason="moved", now=self.now))
        assert answer == refusable(lambda: self.model.end(id_, reason="moved", now=self.now))

    def _any_body(self, which: int) -> str:
        return (sorted(self.model.bodies) or ["there is none"])[which % max(len(self.model.bodies), 1)]

    @rule(which=which, call_id=st.sampled_from(["call-1", "call-2", None]), owed=owings, known=st.booleans())
    def read_again(self, which: int, call_id: str | None, owed: list[Owed], *, known: bool) -> None:
        id_ = self._any_body(which)
        kept = self.model.bodies.get(id_)
        text = "Der Preis." if known or kept is None else id_
        received_at = kept.line.received_at if kept else self.now
        source = kept.line.source if kept else "sipgate"
        said = replace(
            self._arrival(call_id, text, source=source, owed=owed), received_at=received_at, accepted_at=self.now
        )
        answer = self.refusable(self.store.read_again(id_, said))
        names = self._names(answer)
        assert answer == refusable(lambda: self.model.read_again(id_, said, names))
        self._remember(answer)

    @rule(which=which)
    def keep_unread(self, which: int) -> None:
        id_ = self._any_body(which)
        answer = self.refusable(self.store.keep_unread(id_, reason="still not JSON"))
        assert answer == refusable(lambda: self.model.keep_unread(id_, reason="still not JSON"))

    @rule(which=which, routes=st.lists(st.sampled_from(ROUTES), unique=True), owed=owings)
    def route_again(self, which: int, routes: list[str], owed: list[Owed]) -> None:
        id_ = (sorted(self.model.events) or ["there is none"])[which % max(len(self.model.events), 1)]
        decided: dict[str, Any] = {"routes": routes, "rules": "rules-2", "owed": owed, "now": self.now}
        answer = self.refusable(self.store.route_again(id_, **decided))
        names = Names(deliveries=self._deliveries_of(id_))
        assert answer == refusable(lambda: self.model.route_again(id_, names, **decided))

    @rule(
        events=st.integers(-2, 2),
        bodies=st.integers(-2, 2),
        seen=st.none() | st.integers(-2, 2),
        limit=st.integers(1, 3),
    )
    def purge(self, events: int, bodies: int, seen: int | None, limit: int) -> None:
        """Before times around now; what was seen to its end, the others as far as one purge goes."""
        before, of_bodies = self.now + timedelta(days=events / 2), self.now + timedelta(days=bodies / 2)
        had = {line.id: line for line in self._all(self.store.events)}
        removed = self.run(self.store.purge(events=before, quarantine=of_bodies, seen=None, limit=limit))
        left_events = {line.id for line in self._all(self.store.events)}
        left_bodies = {line.id for line in self._all(self.store.quarantined)}
        more = self.model.may_be_purged(before, of_bodies)
        assert removed == self.model.purge(
            self.model.events.keys() - left_events,
            self.model.bodies.keys() - left_bodies,
            events=before,
            quarantine=of_bodies,
            seen=None,
        )
        assert removed.quarantined <= limit
        months = Counter(Month.of(line.received_at) for id_, line in had.items() if id_ not in left_events)
        assert removed.events <= limit or len(months) == 1, "more than the limit, and no month as a whole"
        assert bool(removed) == more, "nothing is left when a purge has removed nothing"
        if seen is not None:
            of_seen = self.now + timedelta(days=seen / 2)
            forgotten = 0
            while gone := self.run(self.store.purge(events=None, quarantine=None, seen=of_seen, limit=limit)):
                forgotten += gone.seen
            forgets = {"events": None, "quarantine": None, "seen": of_seen}
            assert Purged(seen=forgotten) == self.model.purge((), (), **forgets)

    # --- the end of a router ---

    @rule(crash=st.booleans())
    def restart(self, *, crash: bool) -> None:
        """With a write in the middle of which the caller was cancelled; a router that is alone then retakes all."""
        arriving = self._arrival("call-3", str(self.now), source="sipgate", owed=[Owed("a", claim_until=self.until)])
        known = self.model.event_lines()
        self.run(cut_off(self.store.accept(arriving)))
        if crash:
            self.run(self.store.check())  # what waited before it is written
            self.engine = self.engine.left_by_a_crash()
        self.run(self.left.aclose())
        self.store = self.run(self.left.enter_async_context(self.engine.open()))
        new = [line for line in self._all(self.store.events) if line.id not in {one.id for one in known}]
        names = Names()
        for line in new:
            self.last_sequence = line.sequence
            names = Names(line.id, line.sequence, self._deliveries_of(line.id))
        self.model.accept(arriving, names)
        self.retake(left_behind=True)

    # --- the store equals the model ---

    def _all(self, pages: Callable[..., Awaitable[Page[T]]], **asked: Any) -> list[T]:
        return self.run(every(lambda after: pages(after=after, **asked)))

    @invariant()
    def the_sums_are_equal(self) -> None:
        assert self.run(self.store.summary()) == self.model.summary()
        assert self.run(self.store.backlog()) == self.model.backlog()
        assert self.run(self.store.unread()) == self.model.unread()
        assert self.run(self.store.oldest()) == self.model.oldest()
        assert self.run(self.store.lanes()) == self.model.lanes
        assert {name: self.run(self.store.heard(name)) for name in SOURCES} == {n: self.model.heard(n) for n in SOURCES}
        assert Counter(self.run(self.store.channels())) == Counter(self.model.channels_seen.values())

    @invariant()
    def every_line_is_equal(self) -> None:
        assert self._all(self.store.events) == self.model.event_lines()
        assert self._all(self.store.deliveries) == self.model.delivery_lines()
        assert self._all(self.store.quarantined) == self.model.quarantine_lines()

    @invariant()
    def everything_about_each_is_equal(self) -> None:
        async def told() -> tuple[list[Any], ...]:
            store, model = self.store, self.model
            return (
                await asyncio.gather(*(store.event(id_) for id_ in model.events)),
                await asyncio.gather(*(store.delivery(id_) for id_ in model.deliveries)),
                await asyncio.gather(*(store.quarantined_body(id_) for id_ in model.bodies)),
            )

        events, deliveries, bodies = self.run(told())
        assert events == [self.model.event(id_) for id_ in self.model.events]
        assert deliveries == [(debt.line, tuple(debt.attempts)) for debt in self.model.deliveries.values()]
        assert bodies == list(self.model.bodies.values())

    @invariant()
    def an_id_has_its_time(self) -> None:
        millisecond = timedelta(milliseconds=1)
        model = self.model
        times = [(one.id, one.received_at) for one in model.event_lines()]
        times += [(one.id, one.received_at) for one in model.quarantine_lines()]
        times += [(one.id, one.accepted_at) for one in model.delivery_lines()]
        for id_, time in times:
            assert first_id(time) <= id_ < first_id(time + millisecond)

    @rule(
        wanted=st.builds(
            Wanted,
            since=st.none() | spans.map(lambda s: timedelta(seconds=-s)),
            until=st.none() | spans.map(lambda s: timedelta(seconds=s)),
            source=st.none() | sources,
            channel=st.none() | st.sampled_from(["17", "sales", "SALES hotline", "none"]),
            direction=st.none() | st.sampled_from(Direction),
            route=st.none() | st.sampled_from(ROUTES),
            sink=st.none() | sinks,
        ),
        reason=st.none() | st.sampled_from(["lost", "BUSY", "moved"]),
        ended=st.none() | st.booleans(),
        routed=st.none() | st.sampled_from(RoutedAs),
        state=st.none() | st.sampled_from(DeliveryState),
        limit=st.integers(1, 3),
        which=st.none() | which,
    )
    def list_what_is_wanted(
        self,
        wanted: Wanted,
        reason: str | None,
        ended: bool | None,
        routed: RoutedAs | None,
        state: DeliveryState | None,
        limit: int,
        which: int | None,
    ) -> None:
        """`wanted` has its times as seen from now."""
        since, until = (
            None if span is None else self.now + cast("timedelta", span) for span in (wanted.since, wanted.until)
        )
        wanted = replace(wanted, since=since, until=until)
        of = (
            None
            if which is None or not self.model.events
            else sorted(self.model.events)[which % len(self.model.events)]
        )
        events = self._all(self.store.events, wanted=wanted, routed=routed, limit=limit)
        assert events == self.model.event_lines(wanted, routed)
        asked = replace(wanted, reason=reason, ended=ended)
        deliveries = self._all(self.store.deliveries, wanted=asked, state=state, event_id=of, limit=limit)
        assert deliveries == self.model.delivery_lines(asked, state, of)
        bodies = self._all(self.store.quarantined, wanted=asked, limit=limit)
        assert bodies == self.model.quarantine_lines(asked)


def refusable(doing: Callable[[], T]) -> T | type[Exception]:
    """The answer, or the kind of the refusal."""
    try:
        return doing()
    except (Conflict, QuarantineFull, Unknown) as refusal:
        return type(refusal)


async def cut_off(doing: Awaitable[Any]) -> None:
    """Begin it, and cancel who waits for it."""
    task = asyncio.ensure_future(doing)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.timeout(extent(300, 7200))
def test_an_engine_does_what_the_model_does(
    kind: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A counterexample that could be shorter, before the time of the test is over.
    monkeypatch.setattr("hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS", extent(45, 300))
    machine = seed(SEED)(type("Comparison", (Comparison,), {"new_engine": staticmethod(engines(kind, request))}))
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=extent(60, 4000) if kind == "sqlite" else extent(20, 1000),
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
