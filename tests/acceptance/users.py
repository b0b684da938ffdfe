"""Several who use a store at once, and write down what they asked and what they were answered."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from random import Random
from typing import Final

from facts import Fact
from platter import Platter
from router.delivery import Again, Dead, Done, LaneRow, LaneState
from router.errors import StoreError
from router.store.base import Store
from router.store.values import Accepted, Arrival, Claim, Owed, Purged
from store_engines import arrival, at, quarantine, set_lane, settlement
from surface import Mark

SINKS: Final = ("one", "two")
#: What is older than this is purged now and then. Nothing that is older waits for anything.
OLD: Final = at(-500)


class Users:
    """Several at once who use a store, and write down what they asked and what they were answered."""

    def __init__(self, store: Store, platter: Platter, *, seed: object, life: int) -> None:
        self._store, self._platter, self._seed, self._life = store, platter, seed, life
        self._claims: list[Claim] = []
        self._dead: list[str] = []
        self._unread: list[str] = []
        self._old: set[str] = set()
        self._sent: list[Arrival] = []
        #: So that what was answered last is how a lane was set last.
        self._setting = asyncio.Lock()
        #: How often the store said that it could not.
        self.refused = 0

    async def live(self, rounds: int, *, together: int = 8) -> None:
        """So many rounds, in each of which so many things are asked at once."""
        for number in range(rounds):
            await asyncio.gather(*(self._act(f"{self._life}-{number}-{n}") for n in range(together)))

    async def go_on(self) -> None:
        """What is asked now is answered at once."""
        await self._accept(f"{self._life}-at-last", Random(0))

    def _note(self, what: str, key: str = "", value: object = None, *, answered: bool = True) -> None:
        self._platter.add(Mark(Fact(what, key, value, answered)))

    async def _act(self, name: str) -> None:
        dice = Random(f"{self._seed} {name}")  # its own: others draw in an order that is never the same
        acts = (self._accept, self._accept, self._accept, self._old_call, self._again, self._claim, self._settle,
                self._settle, self._replay, self._quarantine, self._read, self._purge, self._lane)  # fmt: skip
        try:
            await dice.choice(acts)(name, dice)
        except StoreError:
            self.refused += 1

    async def _accept(self, name: str, dice: Random) -> None:
        text = f"what {name} said " * dice.choice((1, 10, 1000))
        owed = tuple(Owed(sink, dice.choice((None, at(60)))) for sink in SINKS)
        await self._receive(replace(arrival(name, text), owed=owed))

    async def _old_call(self, name: str, dice: Random) -> None:
        await self._receive(arrival(name, f"old news of {name}", when=-1000))

    async def _again(self, _: str, dice: Random) -> None:
        """As a sender does who was told 503, and sometimes one who was told 202."""
        if self._sent:
            await self._receive(dice.choice(self._sent))

    async def _receive(self, arriving: Arrival) -> None:
        new = arriving not in self._sent
        self._sent.append(arriving)
        self._note("received", answered=False)
        answer = await self._store.accept(arriving)
        self._note("received")
        assert isinstance(answer, Accepted) or not new
        old = arriving.received_at < OLD
        self._note("stored", answer.event_id, (arriving.call.call_id, arriving.body, old))
        if isinstance(answer, Accepted):
            self._hold(answer.claims)
            if old:
                self._old.add(answer.event_id)

    async def _claim(self, _: str, dice: Random) -> None:
        sink = dice.choice(SINKS)
        self._hold((await self._store.claim(sink, limit=3, now=at(1), until=at(60))).claims)

    def _hold(self, claims: tuple[Claim, ...]) -> None:
        for claim in claims:
            self._note("claimed", claim.delivery.id, claim.delivery.attempt)
        self._claims += claims

    async def _settle(self, name: str, dice: Random) -> None:
        if self._claims:
            claim = self._claims.pop(dice.randrange(len(self._claims)))
            decision = dice.choice((Done(f"remote {name}"), Dead(f"never {name}"), Again(at(0.5), f"later {name}")))
            how = settlement(decision)
            assert await self._store.settle(claim, how), "nobody else settles"
            self._note("settled", claim.delivery.id, (claim, how))
            if isinstance(decision, Dead):
                self._dead.append(claim.delivery.id)

    async def _replay(self, _: str, dice: Random) -> None:
        if self._dead:
            dead = self._dead.pop()
            self._note("replay", dead, answered=False)
            self._note("replay", dead, await self._store.replay(dead, now=at(2)))

    async def _quarantine(self, name: str, dice: Random) -> None:
        body = f"{{{name}".encode() * dice.choice((1, 500))
        self._note("received", answered=False)
        id_ = await quarantine(self._store, body)
        self._note("received")
        self._note("quarantined", id_, body)
        self._unread.append(id_)

    async def _read(self, name: str, dice: Random) -> None:
        if self._unread:
            id_ = self._unread.pop()
            self._note("read again", id_, answered=False)
            answer = await self._store.read_again(id_, arrival(name, name, owed=SINKS))
            assert isinstance(answer, Accepted)
            self._note("stored", answer.event_id, (name, json.dumps({"summary": name}).encode(), False))

    async def _purge(self, _: str, dice: Random) -> None:
        old = frozenset(self._old)
        self._note("purge", answered=False)
        while await self._store.purge(events=OLD, quarantine=OLD, seen=None) != Purged():
            pass
        self._note("purge", value=old)

    async def _lane(self, name: str, dice: Random) -> None:
        row = LaneRow(dice.choice(SINKS), LaneState.PAUSED, reason=name)
        async with self._setting:
            self._note("lane", row.sink, row, answered=False)
            await set_lane(self._store, row, now=at(2))
            self._note("lane", row.sink, row)
