"""A lane: one sink's way out. It claims what is due while it has room, attempts it, and settles what came of it.

Nothing in here knows HTTP or SQL, and no lane knows another: a slow, broken or hostile sink delays its own lane only.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, assert_never

from router import retry
from router.attempt import attempt
from router.delivery import Again, Dead, Delivered, DeliveryState, Done, LaneRow, LaneState, Outcome, Refused, Retry
from router.errors import StoreError
from router.pace import Pace
from router.store.base import Claim, Settlement

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.metrics import Metrics
    from router.retry import RetryPolicy
    from router.sink import Sink, SinkConfig
    from router.store.base import Store

#: A claim outlives its attempt's timeout by this, so that a slow settle is not a lost claim.
CLAIM_MARGIN: Final = timedelta(seconds=30)
#: Seconds that cancelled attempts may take to end; a sink that ignores cancellation is left behind.
LAST_WORD: Final = 5.0
#: Seconds after which a store that failed is asked again.
STORE_PAUSE: Final = timedelta(seconds=1)


class Lane:
    """One sink's way out. Runs in one event loop; `run` is its only loop, each attempt a task that it owns."""

    def __init__(
        self,
        name: str,
        config: SinkConfig,
        sink: Sink,
        *,
        policy: RetryPolicy,
        store: Store,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: Metrics,
        row: LaneRow | None = None,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.name = name
        self.config = config
        self.policy = policy
        self._sink = sink
        self._recipient, self._parts = _record(config)
        self._store = store
        self._clock = clock
        self._log = log.bind(sink=name)
        self._metrics = metrics
        self._dice = dice
        # A restart is a good moment to look whether the far side is back.
        self.row = replace(row, next_at=clock.now()) if row and row.state is LaneState.PROBING else row or LaneRow(name)
        self._pace = Pace(config.rate.interval if config.rate else None)
        self._busy = 0
        self._behind = True
        self._stopping = False
        self._resting = False
        self._wake = asyncio.Event()
        #: Held while the state changes: what an attempt found out must not undo what an operator said meanwhile.
        self._changing = asyncio.Lock()
        self._attempts: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Lane {self.name} {self.row.state} busy={self._busy}/{self.config.concurrency} behind={self._behind}>"

    @property
    def idle(self) -> bool:
        """Nothing is in flight, and nothing is to be done before some time or event comes."""
        return self._resting and not self._wake.is_set() and not self._attempts

    # --- what others ask of it ---

    def reserve(self, now: datetime) -> datetime | None:
        """Take a slot for a delivery that is about to be born: until when to claim it, or None where it must wait.

        A reserved slot is either started or given back.
        """
        if (
            not self._sends(LaneState.OPEN)
            or self._behind
            or self._busy >= self.config.concurrency
            or not self._pace.allowed(now)
        ):
            return None
        if self.policy.schedule[0]:
            return None  # it is born pending, due later
        self._busy += 1
        self._pace.spend(1, now)
        return self._claim_until(now)

    def give_back(self) -> None:
        """The reserved delivery was not born."""
        self._busy -= 1
        self._pace.give_back(1)
        if self._behind:
            self._wake.set()

    def start(self, claim: Claim, *, probe: bool = False) -> None:
        """Attempt a claim whose slot is taken already; give it back where the lane was closed meanwhile."""
        wanted = LaneState.PROBING if probe else LaneState.OPEN
        doing = self._attempt(claim, probe=probe) if self._sends(wanted) else self._hand_back(claim)
        task = asyncio.create_task(doing, name=f"attempt {self.name}")
        self._attempts.add(task)
        task.add_done_callback(self._attempts.discard)

    def _sends(self, state: LaneState) -> bool:
        return self.row.state is state and not self._stopping

    def wake(self) -> None:
        """Something may be due."""
        self._behind = True
        self._wake.set()

    async def pause(self) -> None:
        """Begin no more attempts until `resume`; none begins after this returned. Raises `StoreError`."""
        async with self._changing:
            await self._set(LaneState.PAUSED, reason="paused by an operator")

    async def resume(self) -> None:
        """Go on, also after the far side said that it is gone. Raises `StoreError`."""
        async with self._changing:
            await self._set(LaneState.OPEN)

    async def run(self) -> None:
        """Until `stop`: then it ends by itself, and what it is claiming just then is released."""
        while not self._stopping:
            self._wake.clear()
            try:
                look_again = await self._step(self._clock.now())
            except StoreError as error:
                self._log.warning("lane.store_failed", reason=str(error))
                look_again = self._clock.now() + STORE_PAUSE
            except Exception as error:  # noqa: BLE001 - a bug must not cost the other lanes anything
                self._log.error("lane.failed", exc_info=error)
                look_again = self._clock.now() + STORE_PAUSE
            if not self._stopping:
                self._resting = True
                await self._clock.wait(self._wake, look_again)
                self._resting = False

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what is in flight `grace` seconds to finish, then release it."""
        self._stopping = True
        self._wake.set()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while self._attempts and (left := deadline - loop.time()) > 0:
            await asyncio.wait(self._attempts, timeout=left)
        await asyncio.sleep(0)  # a task that is cancelled before it began could not release its claim
        for task in self._attempts:
            task.cancel()
        if self._attempts:
            _, stuck = await asyncio.wait(self._attempts, timeout=LAST_WORD)
            if stuck:
                self._log.error("sink.ignores_cancellation", attempts=len(stuck))

    # --- claiming ---

    async def _step(self, now: datetime) -> datetime | None:
        """Claim what can be claimed; when to look again (None: when woken)."""
        match self.row.state:
            case LaneState.OPEN:
                return await self._claim_due(now)
            case LaneState.PROBING:
                return await self._claim_probe(now)
            case LaneState.PAUSED | LaneState.DISABLED:
                return None
            case _:
                assert_never(self.row.state)

    async def _claim_due(self, now: datetime) -> datetime | None:
        room = self.config.concurrency - self._busy
        if room <= 0:
            self._behind = True
            return None
        limit = min(room, self._pace.allowed(now))
        if limit == 0:
            return self._pace.free_at
        due = await self._claim(limit, now, probe=False)
        return now if self._behind else due

    async def _claim_probe(self, now: datetime) -> datetime | None:
        if self._busy:
            return None
        next_at = self.row.next_at
        if next_at is not None and now < next_at <= now + retry.LONGEST_RETRY_AFTER:  # else the clock was set back
            return next_at
        if not self._pace.allowed(now):
            return self._pace.free_at
        return await self._claim(1, now, probe=True)

    async def _claim(self, limit: int, now: datetime, *, probe: bool) -> datetime | None:
        """Claim and start up to `limit`; the slots are held meanwhile, so that nobody else takes them."""
        self._busy += limit
        self._pace.spend(limit, now)
        # What is woken while the store answers must be looked for again.
        self._behind = False
        got = 0
        try:
            found = await self._store.claim(
                self.name, limit=limit, now=now, until=self._claim_until(now), probe=probe
            )  # fmt: skip
            got = len(found.claims)
        finally:
            self._busy -= limit - got
            self._pace.give_back(limit - got)
        for claim in found.claims:
            self.start(claim, probe=probe)
        for delivery_id, event_id in found.damaged:
            reason = "what is stored of the event is damaged"
            self._log.error("delivery.dead", delivery_id=delivery_id, event_id=event_id, reason=reason)
        self._behind = self._behind or got == limit
        return found.next_due

    def _claim_until(self, now: datetime) -> datetime:
        return now + self.config.timeout + CLAIM_MARGIN

    # --- attempting ---

    async def _attempt(self, claim: Claim, *, probe: bool) -> None:
        try:
            started_at = self._clock.now()
            outcome = await attempt(self._sink, claim.delivery, self.config.timeout, self._log)
            await self._settle(claim, outcome, started_at, probe=probe)
        except asyncio.CancelledError:
            await self._release(claim)
            raise
        except Exception as error:  # noqa: BLE001 - a bug, here or in a plugin; the claim runs out, and nobody else suffers
            self._log.error("lane.failed", delivery_id=claim.delivery.id, exc_info=error)
        finally:
            self._busy -= 1
            if self._behind or self.row.state is not LaneState.OPEN:
                self._wake.set()

    async def _settle(self, claim: Claim, outcome: Outcome, started_at: datetime, *, probe: bool) -> None:
        now = self._clock.now()
        decision = retry.decide(
            self.policy,
            outcome,
            retries=claim.retries,
            accepted_at=claim.accepted_at,
            give_up=self.config.give_up,
            now=now,
            dice=self._dice(),
            probe=probe,
        )
        settlement = Settlement(
            decision=decision,
            outcome=_NAMES[type(outcome)],
            started_at=started_at,
            now=now,
            recipient=self._recipient,
            parts=self._parts if isinstance(outcome, Delivered) else (),
        )
        # What has happened is written down also while the router stops.
        writing = asyncio.ensure_future(self._written(claim, settlement))
        try:
            settled = await asyncio.shield(writing)
        except asyncio.CancelledError:
            await writing
            raise
        self._report(claim, settlement, settled=settled)
        if settled:
            await self._follow(outcome, now, probe=probe)
        if isinstance(decision, Again):
            self.wake()  # there is a new time at which something is due

    async def _written(self, claim: Claim, settlement: Settlement) -> bool:
        """Settle, again and again while the store fails and the claim holds."""
        while True:
            try:
                return await self._store.settle(claim, settlement)
            except StoreError as error:
                self._log.warning("lane.store_failed", delivery_id=claim.delivery.id, reason=str(error))
                if self._stopping or self._clock.now() >= claim.until:
                    return False  # the claim is lost then, and due again when the router starts or the claim ends
                await self._clock.wait(asyncio.Event(), self._clock.now() + STORE_PAUSE)

    async def _hand_back(self, claim: Claim) -> None:
        """Give back a claim that came too late to be attempted, and its slot."""
        try:
            await self._release(claim)
        finally:
            self._busy -= 1
            self.wake()

    async def _release(self, claim: Claim) -> None:
        try:
            await self._store.release(claim, now=self._clock.now())
        except StoreError as error:  # it is lost then, and due again when the claim runs out
            self._log.warning("lane.store_failed", delivery_id=claim.delivery.id, reason=str(error))

    def _report(self, claim: Claim, settlement: Settlement, *, settled: bool) -> None:
        """The one wide line of an attempt."""
        delivery, decision = claim.delivery, settlement.decision
        duration = (settlement.now - settlement.started_at).total_seconds()
        self._log.info(
            "delivery.attempted",
            kind=getattr(self.config, "kind", None),
            delivery_id=delivery.id,
            event_id=delivery.event.id,
            source=delivery.event.source,
            attempt=delivery.attempt,
            outcome=settlement.outcome,
            state=_STATES[type(decision)],
            reason=None if isinstance(decision, Done) else decision.reason,
            next_at=decision.at.isoformat() if isinstance(decision, Again) else None,
            duration_ms=round(duration * 1000, 1),
            recipient=settlement.recipient,
            settled=settled,
        )
        if isinstance(decision, Dead) and settled:
            self._log.warning(
                "delivery.dead", delivery_id=delivery.id, event_id=delivery.event.id, reason=decision.reason
            )
        age = (settlement.now - claim.accepted_at).total_seconds() if isinstance(decision, Done) else None
        self._metrics.attempted(self.name, settlement.outcome, duration, age)

    # --- the lane's state ---

    async def _follow(self, outcome: Outcome, now: datetime, *, probe: bool) -> None:
        """What an attempt's outcome means for the lane. A store that fails leaves the state as it was."""
        try:
            async with self._changing:
                await self._change(outcome, self.row.state, now, probe=probe)
        except StoreError as error:
            self._log.warning("lane.store_failed", reason=str(error))

    async def _change(self, outcome: Outcome, state: LaneState, now: datetime, *, probe: bool) -> None:
        match outcome:
            case Retry(reason, retry_after, whole_lane) if state is LaneState.OPEN and whole_lane:
                await self._probe(1, retry_after, reason, now)
            case Retry(reason, retry_after, _) if state is LaneState.PROBING and probe:
                await self._probe(self.row.failures + 1, retry_after, reason, now)
            case Refused(reason, whole_lane=True) if state in (LaneState.OPEN, LaneState.PROBING):
                await self._set(LaneState.DISABLED, reason=reason)
            case Delivered() | Refused() if state is LaneState.PROBING and probe:
                await self._set(LaneState.OPEN)
            case _:
                pass

    async def _probe(self, failures: int, retry_after: timedelta | None, reason: str, now: datetime) -> None:
        next_at = retry.probe_at(failures, retry_after, now)
        await self._set(LaneState.PROBING, next_at=next_at, failures=failures, reason=reason)

    async def _set(
        self, state: LaneState, *, next_at: datetime | None = None, failures: int = 0, reason: str | None = None
    ) -> None:
        """Change the state: in the store, which releases what is held when the lane opens, and then here.

        Raises `StoreError`, with nothing changed here.
        """
        now = self._clock.now()
        changed = state is not self.row.state
        row = LaneRow(self.name, state, next_at, failures, reason, now if changed else self.row.since)
        await self._store.set_lane(row, now=now)
        self.row = row
        if changed:
            write = self._log.info if state is LaneState.OPEN else self._log.warning
            write("lane.changed", state=state, reason=reason)
        self.wake()


def _record(config: SinkConfig) -> tuple[str | None, tuple[str, ...]]:
    """What is kept with each delivery, as text, whatever a plugin's configuration gives."""
    recipient = config.recipient()
    return None if recipient is None else str(recipient), tuple(map(str, config.parts()))


_STATES = {Done: DeliveryState.DELIVERED, Again: DeliveryState.PENDING, Dead: DeliveryState.DEAD}
_NAMES = {Delivered: "delivered", Retry: "retry", Refused: "refused"}
