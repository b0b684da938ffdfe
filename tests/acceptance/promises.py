"""Whether what a store promised holds of what is left of it."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import invariants
from facts import Known
from router.delivery import Again, Dead, DeliveryState, Done
from router.errors import StoreError
from router.store.base import Store
from router.store.sqlite import copying, open_store
from router.store.values import Accepted, Duplicate, Settlement
from store_engines import arrival, at, every
from users import SINKS


async def broken(folder: Path, known: Known) -> list[str]:
    """Which promises the store that is left in this folder does not keep; it is used and changed by that."""
    path = folder / "aftercall.db"
    try:
        async with open_store(path, parse=json.loads) as store:
            found = await _Look(store, known).all()
        copying.verified(path)
    except StoreError as error:
        return [f"damaged: {error}"]
    remains = [f"old news of {call}".encode() for call, event in known.calls.items() if event in known.gone]
    files = {file.name: file.read_bytes() for file in folder.iterdir()}
    return found + [
        f"{text!r} is still in {name}" for name, content in files.items() for text in remains if text in content
    ]


class _Look:
    """Compares a store with what there must be."""

    def __init__(self, store: Store, known: Known) -> None:
        self._store, self._known = store, known
        self._found: list[str] = []

    async def all(self) -> list[str]:
        await self._sums()
        await self._events()
        await self._deliveries()
        await self._rest()
        await self._from_now_on()
        return self._found

    def _expect(self, true: object, what: str) -> None:
        if not true:
            self._found.append(what)

    async def _sums(self) -> None:
        sums, known = await self._store.summary(), self._known
        self._expect(
            known.answered <= sums.received <= known.asked,
            f"{sums.received} received: {known.answered} to {known.asked}",
        )
        self._found += invariants.sums(asdict(sums))

    async def _events(self) -> None:
        for event_id, body in self._known.bodies.items():
            stored = await self._store.event(event_id)
            if event_id in self._known.gone:
                self._expect(stored is None, f"event {event_id} was purged and is back")
            elif stored is None:
                self._expect(self._known.may_go and event_id in self._known.old, f"event {event_id} is lost")
            else:
                self._expect(stored.body == body, f"event {event_id} has another body")
        for line in await every(lambda after: self._store.events(after=after)):
            await self._owes(line.id)

    async def _owes(self, event_id: str) -> None:
        """A call is stored with everything that it is owed, or not at all, also where nobody was answered."""
        stored = await self._store.event(event_id)
        lines = await every(lambda after: self._store.deliveries(event_id=event_id, after=after))
        owed = () if stored is not None and b"old news of" in stored.body else SINKS
        sinks = {line.sink for line in lines}
        self._expect(sinks == set(owed), f"event {event_id} is owed to {sorted(sinks)}: half of it is lost")

    async def _deliveries(self) -> None:
        for id_, attempt in self._known.claimed.items():
            found = await self._store.delivery(id_)
            self._expect(found and found[0].attempt >= attempt, f"claim {attempt} of {id_} is forgotten")
        for claim, how in self._known.settled:
            id_, attempt = claim.delivery.id, claim.delivery.attempt
            found = await self._store.delivery(id_)
            if found is None:
                self._found.append(f"delivery {id_} is lost")
                continue
            outcomes = {line.attempt: line.outcome for line in found[1]}
            self._expect(outcomes.get(attempt) == how.outcome, f"settling {attempt} of {id_} is forgotten")
            self._expect(found[0].state in self._states(id_, how), f"{id_} was {how.outcome} and is {found[0].state}")
            self._expect(not await self._store.settle(claim, how), f"{id_} is settled a second time")

    def _states(self, id_: str, how: Settlement) -> set[DeliveryState]:
        match how.decision:
            case Done():
                return {DeliveryState.DELIVERED}
            case Dead() if id_ in self._known.replayed:
                return {DeliveryState.REPLAYED}
            case Dead() if id_ in self._known.asked_to_replay:
                return {DeliveryState.DEAD, DeliveryState.REPLAYED}
            case Dead():
                return {DeliveryState.DEAD}
            case _:
                return set(DeliveryState)

    async def _rest(self) -> None:
        for old, new in self._known.replayed.items():
            found = await self._store.delivery(new)
            self._expect(found and found[0].replay_of == old, f"the replay of {old} is lost")
        for id_, body in self._known.unread.items():
            if id_ not in self._known.left:
                kept = await self._store.quarantined_body(id_)
                self._expect(kept and kept.body == body, f"{id_} is missing in quarantine")
        lanes = {sink: replace(row, version=0) for sink, row in (await self._store.lanes()).items()}
        for sink, rows in self._known.lanes.items():
            self._expect(lanes.get(sink) in rows, f"lane {sink} is {lanes.get(sink)}: {rows}")

    async def _from_now_on(self) -> None:
        """What is over does not go out again, what is known is known, and what is new is taken."""
        over = {claim.delivery.id for claim, how in self._known.settled if not isinstance(how.decision, Again)}
        await self._store.retake(now=at(100), left_behind=True)
        for sink in SINKS:
            claims = (await self._store.claim(sink, limit=100_000, now=at(100), until=at(160))).claims
            again = over & {claim.delivery.id for claim in claims}
            self._expect(not again, f"{again} go out again")
        for call_id, event_id in [*self._known.calls.items()][-5:]:
            text = json.loads(self._known.bodies[event_id])["summary"]
            answer = await self._store.accept(arrival(call_id, text))
            self._expect(answer == Duplicate(event_id), f"{event_id} is not known any more")
        self._expect(isinstance(await self._store.accept(arrival("a new call", "hello")), Accepted), "no new call")
