"""After an attempt: what came of it is decided, written down for good, and reported in one wide line."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from router import retry
from router.attempt import OpenSink
from router.delivery import Again, Dead, Delivered, DeliveryState, Done, Outcome, Refused, Retry
from router.errors import StoreError
from router.store.values import Claim, Settlement
from router.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.delivery import Decision, LaneRow
    from router.metrics import Metrics
    from router.store.base import Store

#: Seconds after which a store that failed is asked again.
STORE_PAUSE: Final = timedelta(seconds=1)

_STATES = {Done: DeliveryState.DELIVERED, Again: DeliveryState.PENDING, Dead: DeliveryState.DEAD}
_NAMES = {Delivered: "delivered", Retry: "retry", Refused: "refused"}


@dataclass(frozen=True, slots=True)
class Settled:
    """What was written."""

    decision: Decision
    now: datetime
    #: How the lane stands, where that was written with it; None also where another router has set it since.
    lane: LaneRow | None


@dataclass(slots=True, kw_only=True)
class Settling:
    """Settles one lane's attempts."""

    store: Store
    clock: Clock
    log: FilteringBoundLogger
    metrics: Metrics
    #: What is given up is given up for time that passed, and not for a clock that was set.
    timeline: Timeline = field(default_factory=Timeline)
    dice: Callable[[], float] = random.random
    #: The lane stops: a store that fails is not waited for any more.
    stopping: bool = field(default=False, init=False)

    async def settle(
        self,
        claim: Claim,
        outcome: Outcome,
        began: datetime,
        way: OpenSink,
        *,
        probe: bool,
        lane: LaneRow | None = None,
    ) -> Settled | None:
        """What was written, `lane` in the same step; None where the claim was lost meanwhile, or the store failed until it was.

        What has happened is written down also where this is cancelled.
        """
        now = self.clock.now()
        decision = retry.decide(
            way.policy,
            outcome,
            retries=claim.retries,
            accepted_at=now - self.timeline.passed(claim.accepted_at, now),
            give_up=way.config.give_up,
            now=now,
            dice=self.dice(),
            probe=probe,
        )
        settlement = Settlement(
            decision=decision,
            outcome=_NAMES[type(outcome)],
            started_at=began,
            now=now,
            recipient=way.recipient,
            parts=way.parts if isinstance(outcome, Delivered) else (),
        )
        writing = asyncio.ensure_future(self._written(claim, settlement, lane))
        try:
            settled = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        self._report(claim, settlement, way, settled=settled is not None)
        return settled

    async def release(self, claim: Claim) -> None:
        """Give a claim back that was not attempted, or not to its end."""
        try:
            await self.store.release(claim, now=self.clock.now())
        except StoreError as error:  # it is lost then, and due again when the claim runs out
            self.log.warning("lane.store_failed", delivery_id=claim.delivery.id, reason=str(error))

    async def _written(self, claim: Claim, settlement: Settlement, lane: LaneRow | None) -> Settled | None:
        """Settle, again and again while the store fails and the claim holds."""
        failing = False
        while True:
            try:
                if lane is None:
                    in_time, row = await self.store.settle(claim, settlement), None
                else:
                    in_time, row = await self.store.settle_probe(claim, settlement, lane)
                return Settled(settlement.decision, settlement.now, row) if in_time else None
            except StoreError as error:
                if not failing:
                    self.log.warning("lane.store_failed", delivery_id=claim.delivery.id, reason=str(error))
                failing = True
                if self.stopping or self.clock.now() >= claim.until:
                    return None  # the claim is lost then, and due again when the router starts or the claim ends
                await self.clock.wait(asyncio.Event(), self.clock.now() + STORE_PAUSE)

    def _report(self, claim: Claim, settlement: Settlement, way: OpenSink, *, settled: bool) -> None:
        delivery, decision = claim.delivery, settlement.decision
        duration = (settlement.now - settlement.started_at).total_seconds()
        self.log.info(
            "delivery.attempted",
            kind=way.kind,
            delivery_id=delivery.id,
            event_id=delivery.event.id,
            source=delivery.event.source,
            attempt=delivery.attempt,
            outcome=settlement.outcome,
            state=_STATES[type(decision)],
            reason=None if isinstance(decision, Done) else decision.reason,
            next_at=decision.at.isoformat() if isinstance(decision, Again) else None,
            duration_ms=round(duration * 1000, 1),
            settled=settled,
        )
        if isinstance(decision, Dead) and settled:
            self.log.warning(
                "delivery.dead", delivery_id=delivery.id, event_id=delivery.event.id, reason=decision.reason
            )
        passed = self.timeline.passed(claim.accepted_at, settlement.now).total_seconds()
        age = max(passed, 0.0) if isinstance(decision, Done) else None
        self.metrics.attempted(delivery.sink, settlement.outcome, duration, age)
