"""What many ask of a store at the same moment shares commits, and comes to what some order of it would have come to."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from extent import dice, extent
from router.delivery import Again, Dead, Decision, DeliveryState, Done
from router.errors import Conflict
from router.store.base import Store
from router.store.values import Accepted, Claim, Owed
from store_engines import KINDS, NOW, arrival, at, engines, every, quarantine, settlement

SINKS = ("a", "b")


@dataclass
class Crowd:
    """Many tasks that use one store, and what all of them together were answered."""

    store: Store
    falls: random.Random
    claims: list[Claim] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    came: int = 0
    created: int = 0
    lost: int = 0
    #: (delivery, attempt) of what was settled or released in time.
    ended: list[tuple[str, int]] = field(default_factory=list)
    replayed: list[str] = field(default_factory=list)
    read: list[str] = field(default_factory=list)

    async def member(self, steps: int) -> None:
        for _ in range(steps):
            await self.falls.choice((self.accept, self.accept, self.claim, self.settle, self.settle, self.mend))()

    async def accept(self) -> None:
        self.came += 1
        if self.falls.random() < 0.1:
            await quarantine(self.store, str(self.falls.randrange(5)).encode())
            return
        until = at(60) if self.falls.random() < 0.5 else None
        call_id, text = f"call-{self.falls.randrange(6)}", str(self.falls.randrange(4))
        owed = tuple(Owed(sink, until, once=self.falls.random() < 0.5) for sink in SINKS)
        self._count(await self.store.accept(arrival(call_id, text, owed=owed)))

    def _count(self, answer: object) -> None:
        if isinstance(answer, Accepted):
            self.accepted.append(answer.event_id)
            self.created += answer.deliveries
            self.claims.extend(answer.claims)

    async def claim(self) -> None:
        limit = self.falls.randrange(1, 4)
        found = await self.store.claim(self.falls.choice(SINKS), limit=limit, now=at(1), until=at(60))
        assert len(found.claims) <= limit
        self.claims.extend(found.claims)

    async def settle(self) -> None:
        """Any claim there ever was, so that most ends are fought over."""
        if not self.claims:
            return
        claim = self.claims[-self.falls.randrange(1, min(len(self.claims), 12) + 1)]
        decisions: tuple[Decision, ...] = (Done(), Again(NOW, "busy", spent=False), Dead("never"))
        decision = self.falls.choice((*decisions, None))
        if decision is None:
            settled = await self.store.release(claim, now=at(1))
        else:
            settled = await self.store.settle(claim, settlement(decision))
        if settled:
            self.ended.append((claim.delivery.id, claim.delivery.attempt))

    async def mend(self) -> None:
        match self.falls.randrange(4):
            case 0:
                taken = await self.store.retake(now=at(2), left_behind=self.falls.random() < 0.2)
                self.lost += taken.lost
            case 1:
                for line in (await self.store.deliveries(state=DeliveryState.DEAD, limit=1)).items:
                    await self._replay(line.id)
            case 2:
                for body in (await self.store.quarantined(limit=1)).items:
                    await self._read(body.id)
            case _:
                for event in (await self.store.events(limit=3)).items:
                    owed = [Owed(sink, once=True) for sink in SINKS]
                    again = await self.store.route_again(event.id, routes=["r"], rules="r", owed=owed, now=NOW)
                    self.created += len(again.sinks)

    async def _replay(self, id_: str) -> None:
        try:
            await self.store.replay(id_, now=NOW)
        except Conflict:
            return
        self.replayed.append(id_)
        self.created += 1

    async def _read(self, id_: str) -> None:
        try:
            self._count(await self.store.read_again(id_, arrival(f"read-{self.falls.randrange(3)}", owed=("a",))))
        except Conflict:
            return
        self.read.append(id_)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("round_", range(extent(3, 100)))
@pytest.mark.timeout(300)
async def test_what_many_do_at_once_adds_up(
    kind: str, round_: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with engines(kind, request)(tmp_path) as engine:
        async with engine.open() as store:
            crowd = Crowd(store, dice(f"at once {round_}"))
            await asyncio.gather(*(crowd.member(extent(20, 60)) for _ in range(20)))
            summary = await store.summary()
            events = await every(lambda after: store.events(after=after))
            lines = await every(lambda after: store.deliveries(after=after))
            backlog = await store.backlog()
            attempts = [found for line in lines if (found := await store.delivery(line.id))]
            assert store.effort.largest_batch > 1, "nothing shared a commit: the test has shown nothing"

    claimed = [(claim.delivery.id, claim.delivery.attempt) for claim in crowd.claims]
    assert len(claimed) == len(set(claimed)), "a delivery was claimed twice"
    assert Counter(id_ for id_, _ in claimed) == Counter({line.id: line.attempt for line in lines if line.attempt})
    assert len(crowd.ended) == len(set(crowd.ended)), "a claim was settled twice"
    for line, tries in attempts:
        ended = {one.attempt for one in tries if one.outcome != "lost"}
        assert ended == {attempt for id_, attempt in crowd.ended if id_ == line.id}
        assert line.attempt == len(tries) + (line.state is DeliveryState.CLAIMED)
    assert sum(line.lost for line in lines) == crowd.lost

    assert sorted(line.id for line in events) == sorted(crowd.accepted), "each new content is one event"
    assert len({(line.call_id, line.revision) for line in events}) == len(events), "a revision was given twice"
    assert len({line.sequence for line in events}) == len(events)
    assert len(set(crowd.replayed)) == len(crowd.replayed), "a delivery was replayed twice"
    assert Counter(crowd.replayed) == Counter(line.replay_of for line in lines if line.replay_of)
    assert len(set(crowd.read)) == len(crowd.read), "a body was read twice"

    assert summary.received == crowd.came == summary.events + summary.duplicates + summary.quarantined
    assert summary.events == len(events) == summary.routed + summary.unmatched + summary.unrouted
    assert summary.deliveries["created"] == crowd.created == len(lines)
    assert {(s, state): n for s, row in backlog.items() for state, n in row.items()} == Counter(
        (line.sink, line.state.value) for line in lines
    )
