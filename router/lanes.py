"""A lane: one sink's way out. It claims what is due while it has room, attempts it, and settles what came of it.

Nothing in here knows HTTP or SQL, and no lane knows another: a slow, broken or hostile sink delays its own lane only.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, assert_never

from router.attempt import OpenSink, attempt, told
from router.behalf import on_behalf_of
from router.delivery import Again, LaneRow, LaneState, Outcome, Refused, Retry
from router.errors import StoreError
from router.gate import Gate
from router.settling import STORE_PAUSE, Settling
from router.sink import AlarmSink, Revisions
from router.store.values import Claim, Owed
from router.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from structlog.typing import FilteringBoundLogger

    from router.alarm import Alarm
    from router.clock import Clock
    from router.delivery import Delivery
    from router.metrics import Metrics
    from router.retry import RetryPolicy
    from router.sink import Sink, SinkConfig
    from router.store.base import Store

#: A claim outlives its attempt's timeout by this, so that a slow settle is not a lost claim.
CLAIM_MARGIN: Final = timedelta(seconds=30)
#: Seconds that cancelled attempts may take to end; a sink that ignores cancellation is left behind.
LAST_WORD: Final = 5.0


class Lane:
    """One sink's way out. Runs in one event loop; `run` is its only loop, each attempt a task that it owns."""

    def __init__(
        self,
        name: str,
        way: OpenSink,
        *,
        store: Store,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: Metrics,
        row: LaneRow | None = None,
        timeline: Timeline | None = None,
        hold: bool = False,
        forbidding: Callable[[Delivery], str | None] = lambda _: None,
    ) -> None:
        self.name = name
        self._way = way
        self._store = store
        self._clock = clock
        self._log = log.bind(sink=name)
        self._settling = Settling(
            store=store, clock=clock, log=self._log, metrics=metrics, timeline=timeline or Timeline()
        )
        self.gate = Gate(row or LaneRow(name), store=store, clock=clock, log=self._log, changed=self.wake)
        #: The router sends nothing: the lane stays as it is, and begins no attempt.
        self._hold = hold
        self._busy = 0
        self._behind = True
        self._stopping = False
        self._resting = False
        self._wake = asyncio.Event()
        #: With the sink that each goes through.
        self._attempts: dict[asyncio.Task[None], OpenSink] = {}
        #: Of these and of alarms, with the loop's time at which each should have ended long ago.
        self._ends: dict[asyncio.Task[Any], float] = {}
        #: The alarms that are being told.
        self._alarms: dict[asyncio.Task[Outcome], Sink] = {}
        #: The lane that has its name after it was closed.
        self.successor: Lane | None = None

        #: The name of the `never` rule in force that keeps a call from here: it beats what was owed before it was written.
        self._forbidding = forbidding

    def __repr__(self) -> str:
        return f"<Lane {self.name} {self.row.state} busy={self._busy}/{self.config.concurrency} behind={self._behind}>"

    @property
    def row(self) -> LaneRow:
        """How it stands, as far as is known here."""
        return self.gate.row

    @property
    def config(self) -> SinkConfig:
        """How its sink is set."""
        return self._way.config

    @property
    def sink(self) -> Sink:
        """Where it leads at present."""
        return self._way.sink

    @property
    def policy(self) -> RetryPolicy:
        """How failed attempts are repeated."""
        return self._way.policy

    @property
    def idle(self) -> bool:
        """Nothing is in flight, and nothing is to be done before some time or event comes."""
        return self._resting and not self._wake.is_set() and not self._attempts

    @property
    def still(self) -> bool:
        """No attempt and no alarm is under way, not even one that was called off long ago."""
        return not self._ends

    # --- what others ask of it ---

    def owed(self, now: datetime, *, born_claimed: bool = False) -> Owed:
        """A delivery to this sink, for the store; with `born_claimed` a slot is reserved for it where there is one."""
        return Owed(
            self.name,
            claim_until=self.reserve(now) if born_claimed else None,
            once=self.config.revisions is Revisions.IGNORE,
            due=self.policy.first(now),
        )

    def reserve(self, now: datetime) -> datetime | None:
        """Take a slot for a delivery that is about to be born: until when to claim it, or None where it must wait.

        A reserved slot is either started or given back.
        """
        if not self._sends(LaneState.OPEN) or self._behind or self._busy >= self.config.concurrency:
            return None
        if self.policy.schedule[0] or self.config.rate:
            return None  # it is born pending: it is due later, or the store knows when it may go
        self._busy += 1
        return self._claim_until(now)

    def give_back(self) -> None:
        """The reserved delivery was not born."""
        self._busy -= 1
        if self._behind:
            self._wake.set()

    def start(self, claim: Claim, *, probe: bool = False) -> None:
        """Attempt a claim whose slot is taken already; give it back where the lane was closed meanwhile.

        Also where an attempt could outlast it, because the timeout was lengthened meanwhile.
        """
        sends = self._sends(LaneState.PROBING if probe else LaneState.OPEN)
        lasts = claim.until >= self._clock.now() + self.config.timeout
        doing = self._attempt(claim, self._way, probe=probe) if sends and lasts else self._hand_back(claim)
        task = asyncio.create_task(doing, name=f"attempt {self.name}")
        self._attempts[task] = self._way
        task.add_done_callback(self._attempts.pop)
        self._watch(task)

    def _watch(self, task: asyncio.Task[Any]) -> None:
        self._ends[task] = asyncio.get_running_loop().time() + (self.config.timeout + CLAIM_MARGIN).total_seconds()
        task.add_done_callback(self._ends.pop)

    def _sends(self, state: LaneState) -> bool:
        return self.row.state is state and not self._stopping and not self._hold and self._store.has_name

    def overdue(self, at: float) -> int:
        """How many attempts and alarms go on at this time of the loop that were called off long ago.

        Their sink does not let go.
        """
        return sum(end <= at for end in self._ends.values())

    async def alarm(self, alarm: Alarm) -> Outcome:
        """Tell an alarm through the lane's sink: one attempt, now, whatever the lane's state is.

        A sink that does not end when its time is over is left behind, and gets no other alarm until it ends.
        """
        sink, limit = self._way.sink, self._way.config.timeout
        if not isinstance(sink, AlarmSink):
            return Refused("a sink of this kind cannot carry alarms")
        if any(one is sink for one in self._alarms.values()):
            return Retry("it hangs in an earlier alarm")
        with on_behalf_of(self.name, self._way.kind):
            task = asyncio.create_task(told(sink, alarm, limit, self._log), name=f"alarm {self.name}")
        self._alarms[task] = sink
        task.add_done_callback(self._alarms.pop)
        self._watch(task)
        try:
            await asyncio.wait([task], timeout=limit.total_seconds() + LAST_WORD)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task], timeout=LAST_WORD)
            raise
        if not task.done():
            return Retry(f"it hangs: it does not end when its {limit.total_seconds():g} s are over")
        return task.result()

    def wake(self) -> None:
        """Something may be due."""
        self._behind = True
        self._wake.set()
        if self.successor is not None:
            self.successor.wake()

    def use(self, way: OpenSink) -> None:
        """Attempts that begin from now on go this way; those in flight end as they began."""
        if way.sink is not self._way.sink:
            self.gate.hurry()
        self._way = way
        self.wake()

    async def run(self) -> None:
        """Until `stop`: then it ends by itself, and what it is claiming just then is released."""
        failing = False  # told once: a store may be away for hours
        while not self._stopping:
            self._wake.clear()
            try:
                look_again = await self._step(self._clock.now())
                failing = False
            except StoreError as error:
                if not failing:
                    self._log.warning("lane.store_failed", reason=str(error))
                failing = True
                look_again = self._clock.now() + STORE_PAUSE
            except Exception as error:  # noqa: BLE001 - a bug must not cost the other lanes anything
                self._log.error("lane.failed", exc_info=error)
                look_again = self._clock.now() + STORE_PAUSE
            if not self._stopping:
                self._resting = True
                await self._clock.wait(self._wake, look_again)
                self._resting = False

    def close(self) -> None:
        """Begin nothing more."""
        self._stopping = self._settling.stopping = True
        self._wake.set()

    async def stop(self, grace: float) -> None:
        """Begin nothing more; give what is in flight `grace` seconds to finish, then release it."""
        self.close()
        await self._end(lambda _: True, grace)

    async def leave(self, sink: Sink, grace: float) -> None:
        """Give what is in flight through this sink `grace` seconds to finish, then release it."""
        await self._end(lambda way: way.sink is sink, grace)

    async def _end(self, meant: Callable[[OpenSink], bool], grace: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        while (mine := self._those(meant)) and (left := deadline - loop.time()) > 0:
            await asyncio.wait(mine, timeout=left)
        # These have all begun then, and what comes meanwhile ends by itself: one that is cancelled before it began could not
        # release its claim.
        await asyncio.sleep(0)
        for task in mine:
            task.cancel()
        if mine:
            _, stuck = await asyncio.wait(mine, timeout=LAST_WORD)
            if stuck:
                self._log.error("sink.ignores_cancellation", attempts=len(stuck))

    def _those(self, meant: Callable[[OpenSink], bool]) -> list[asyncio.Task[None]]:
        return [task for task, way in self._attempts.items() if meant(way)]

    # --- claiming ---

    async def _step(self, now: datetime) -> datetime | None:
        """Claim what can be claimed; when to look again (None: when woken)."""
        if self._hold:
            return None
        if not self._store.has_name:  # what is claimed now, a namesake would take back
            return now + STORE_PAUSE
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
        due = await self._claim(room, now, probe=False)
        return now if self._behind else due

    async def _claim_probe(self, now: datetime) -> datetime | None:
        if self._busy:
            return None
        if (probes_at := self.gate.probes_at(now)) > now:
            return probes_at
        due = await self._claim(1, now, probe=True)
        if due is None and not self._busy:
            await self.gate.nothing_to_probe_with()
        return due

    async def _claim(self, limit: int, now: datetime, *, probe: bool) -> datetime | None:
        """Claim and start up to `limit`; the slots are held meanwhile, so that nobody else takes them."""
        self._busy += limit
        # What is woken while the store answers must be looked for again.
        self._behind = False
        got = 0
        rate = self.config.rate
        try:
            found = await self._store.claim(
                self.name,
                limit=limit,
                now=now,
                until=self._claim_until(now),
                probe=probe,
                lane=self.row,
                interval=rate.interval if rate else None,
            )
            got = len(found.claims)
        finally:
            self._busy -= limit - got
        if found.lane is not None:
            self.gate.stands(found.lane)
            return now
        if probe:
            self.gate.probed()
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

    async def _attempt(self, claim: Claim, way: OpenSink, *, probe: bool) -> None:
        try:
            began = self._clock.now()
            rule = self._forbidding(claim.delivery)
            if rule is not None:
                outcome: Outcome = Refused(f"the never rule {rule!r} keeps this call from here")
            else:
                with on_behalf_of(self.name, way.kind):
                    outcome = await attempt(way.sink, claim.delivery, way.config.timeout, self._log)
            # What a rule decided, or was found out through a sink that is replaced, says nothing about the far side.
            tells = rule is None and way.sink is self._way.sink
            down = self.gate.still_down(outcome) if probe and tells else None
            settled = await self._settling.settle(claim, outcome, began, way, probe=probe, lane=down)
            if settled is not None and settled.lane is not None:
                self.gate.written(settled.lane)
            elif settled is not None and tells and down is None:
                await self.gate.learn(outcome, settled.now, probe=probe)
            if settled is None or isinstance(settled.decision, Again):
                self.wake()  # there is a new time at which something is due
        except asyncio.CancelledError:
            await self._settling.release(claim)
            self.wake()
            raise
        except Exception as error:  # noqa: BLE001 - a bug, here or in a plugin; the claim runs out, and nobody else suffers
            self._log.error("lane.failed", delivery_id=claim.delivery.id, exc_info=error)
        finally:
            self._busy -= 1
            if self._behind or self.row.state is not LaneState.OPEN:
                self._wake.set()

    async def _hand_back(self, claim: Claim) -> None:
        """Give back a claim that came too late to be attempted, and its slot."""
        try:
            await self._settling.release(claim)
        finally:
            self._busy -= 1
            self.wake()
