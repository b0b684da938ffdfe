"""Lanes on a real store, with time passed in and sinks that do as they are told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from router.attempt import OpenSink
from router.lanes import Lane
from router.metrics import Metrics
from router.retry import RetryPolicy
from router.store.base import Store
from router.store.lines import AttemptLine, DeliveryLine
from router.store.values import Accepted, Owed
from support import Puppet, PuppetConfig, arrival, until, until_awaited

if TYPE_CHECKING:
    from router.testing import ManualClock


class Bench:
    """A store, a clock, and lanes on it."""

    def __init__(self, store: Store, clock: ManualClock, calls: str = "call") -> None:
        self.store = store
        self._calls = calls
        self.clock = clock
        self.lanes: dict[str, Lane] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._events: list[str] = []

    async def lane(self, puppet: Puppet, name: str = "s", policy: RetryPolicy | None = None, **config: Any) -> Lane:
        made = Lane(
            name,
            OpenSink.of(puppet, PuppetConfig(**config), policy or RetryPolicy(jitter=0)),
            store=self.store,
            clock=self.clock,
            log=structlog.get_logger(),
            metrics=Metrics(),
            row=(await self.store.lanes()).get(name),
        )
        self.lanes[name] = made
        self._loops.append(asyncio.create_task(made.run()))
        await until(lambda: made.idle)
        return made

    async def call(self, *sinks: str) -> Accepted:
        """A new call, owed to these sinks, as the inbox would have it stored."""
        now = self.clock.now()
        owed = [Owed(sink, claim_until=self.lanes[sink].reserve(now)) for sink in sinks or ("s",)]
        receipt = await self.store.accept(arrival(f"{self._calls}-{len(self._events) + 1}", *owed, received_at=now))
        assert isinstance(receipt, Accepted)
        self._events.append(receipt.event_id)
        for claim in receipt.claims:
            self.lanes[claim.delivery.sink].start(claim)
        for entry in owed:
            if entry.claim_until is None:
                self.lanes[entry.sink].wake()
        return receipt

    async def deliveries(self) -> list[DeliveryLine]:
        """Those of its own calls, in their order."""
        found = [line for line in (await self.store.deliveries(limit=500)).items if line.event_id in self._events]
        return sorted(found, key=lambda line: self._events.index(line.event_id))

    async def states(self) -> list[str]:
        return [line.state.value for line in await self.deliveries()]

    async def attempts(self, at: int = 0) -> tuple[AttemptLine, ...]:
        found = await self.store.delivery((await self.deliveries())[at].id)
        assert found is not None
        return found[1]

    async def until_states(self, *states: str) -> None:
        async def reached() -> bool:
            return await self.states() == list(states)

        await until_awaited(reached)

    async def quiet(self) -> None:
        """Until no lane has anything to do at this time."""
        await self.clock.settle()
        await until(lambda: all(lane.idle for lane in self.lanes.values()))

    async def close(self) -> None:
        await asyncio.gather(*(lane.stop(0) for lane in self.lanes.values()))
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
