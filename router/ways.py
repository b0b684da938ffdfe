"""What is in force: one configuration, its lanes and its open sinks; and how the next one takes its place.

The start is the first change: nothing is there before it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router.attempt import OpenSink, is_our_cancellation
from router.errors import ConfigError
from router.facts import Facts
from router.lanes import Lane
from router.opening import HeldSink, alike, context

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.config import Config
    from router.delivery import Delivery, LaneRow
    from router.metrics import Metrics
    from router.store.base import Store
    from router.timeline import Timeline


@dataclass(frozen=True, slots=True)
class InForce:
    """One configuration and the lanes of its sinks. Who takes both from one of these never has halves of two."""

    config: Config
    lanes: Mapping[str, Lane]


@dataclass(frozen=True, slots=True)
class Change:
    """A configuration that can be put in force at once: what it needs is open."""

    config: Config
    #: How each of its sinks is used.
    ways: Mapping[str, OpenSink]
    #: The sinks that were opened for it.
    opened: Mapping[str, HeldSink]
    rows: Mapping[str, LaneRow]

    async def close(self) -> None:
        """It is not put in force after all."""
        await asyncio.gather(*(held.close() for held in self.opened.values()))


class Ways:
    """The lanes and sinks of one router. `now` is read once by whoever decides something by it."""

    def __init__(
        self,
        *,
        store: Store,
        clock: Clock,
        log: FilteringBoundLogger,
        metrics: Metrics,
        grace: float,
        timeline: Timeline | None = None,
        hold: bool = False,
        on_gone: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`on_gone` is called with the name of a sink that is gone, once nothing of it is left."""
        self._store = store
        self._clock = clock
        self._log = log
        self._metrics = metrics
        self._grace = grace
        self._timeline = timeline
        #: No lane sends anything.
        self._hold = hold
        self._on_gone = on_gone
        self._now: InForce | None = None
        self._held: dict[str, HeldSink] = {}
        self._group: asyncio.TaskGroup | None = None
        #: Lanes of sinks that are gone; what comes back to one too late is for the lane that has its name then.
        self._gone: dict[str, Lane] = {}
        #: All of them in which an attempt still goes on.
        self._former: list[Lane] = []
        self._leaving: dict[asyncio.Task[None], HeldSink] = {}

    @property
    def now(self) -> InForce:
        """What is in force."""
        if self._now is None:
            message = "nothing is in force before the first change"
            raise RuntimeError(message)
        return self._now

    def overdue(self, at: float) -> Mapping[str, int]:
        """How many attempts of each sink, those that are gone too, should have ended long ago: see `Lane.overdue`."""
        self._former = [lane for lane in self._former if not lane.still]
        found = Counter[str]()
        for lane in (*self.now.lanes.values(), *self._former):
            found[lane.name] += lane.overdue(at)
        return +found

    # --- the next configuration ---

    async def prepare(self, config: Config) -> Change:
        """Open what is new or changed in this configuration; what is in force goes on as it is.

        What the last change left behind is over first, so that never more than two of a sink are open. Raises
        `ConfigError` with the sink that cannot be opened, or `StoreError`; nothing new is open then.
        """
        if self._leaving:
            await asyncio.wait(self._leaving)
        rows = await self._store.lanes()
        opened: dict[str, HeldSink] = {}
        ways: dict[str, OpenSink] = {}
        try:
            for name, settings in config.sinks.items():
                if self._now is None or name not in self._held or not alike(self._now.config, config, name):
                    opened[name] = HeldSink(settings, context(config, name, self._clock, self._log), self._log)
                    await opened[name].opened()
                held = opened.get(name) or self._held[name]
                ways[name] = OpenSink.of(held.sink, settings, (settings.retry or config.retry).policy())
        except BaseException as error:
            await asyncio.gather(*(held.close() for held in opened.values()))
            if isinstance(error, ConfigError):
                said = error.discreetly() if name in config.filled else str(error)
                message = f"{config.file.name}: sinks.{name}: {said}"
                raise ConfigError(message) from error
            if is_our_cancellation(error):
                raise
            self._log.error("sink.failed", sink=name, exc_info=error)
            message = f"{config.file.name}: sinks.{name}: a bug in its kind ({type(error).__name__})"
            raise ConfigError(message) from error
        return Change(config, ways, opened, rows)

    def take(self, change: Change) -> None:
        """Put it in force, in one step: nothing in here waits, so nobody sees a half of it.

        A lane stays where its sink has a name that was there before; what is in flight ends with the sink that it
        began with. Sinks that were changed or are gone close when that is over, or when the grace is.
        """
        before = self._now.lanes if self._now else {}
        lanes: dict[str, Lane] = {}
        for name, way in change.ways.items():
            if name in before:
                before[name].use(way)
                lanes[name] = before[name]
            else:
                lanes[name] = self._new_lane(name, way, change.rows.get(name))
        for name in [name for name in self._held if name in change.opened or name not in change.ways]:
            self._leave(before[name], self._held.pop(name), gone=name not in change.ways)
        self._held |= change.opened
        self._now = InForce(change.config, lanes)

    def _forbidding(self, delivery: Delivery) -> str | None:
        """The `never` rule in force that keeps a delivery from its sink, whatever was in force when it was owed."""
        table = self.now.config.table
        rule = table.forbidding(delivery.sink, Facts(delivery.event, delivery.event.source)) if table.never else None
        return None if rule is None else rule.name

    def _new_lane(self, name: str, way: OpenSink, row: LaneRow | None) -> Lane:
        lane = Lane(
            name,
            way,
            store=self._store,
            clock=self._clock,
            log=self._log,
            metrics=self._metrics,
            row=row,
            timeline=self._timeline,
            forbidding=self._forbidding,
            hold=self._hold,
        )
        if (predecessor := self._gone.pop(name, None)) is not None:
            predecessor.successor = lane
        self._run(lane)
        return lane

    def _leave(self, lane: Lane, held: HeldSink, *, gone: bool) -> None:
        """Let a sink go, beside everything else."""

        async def leave() -> None:
            await (lane.stop(self._grace) if gone else lane.leave(held.sink, self._grace))
            await held.close()
            if gone and lane.still and self._gone.get(lane.name) is lane:  # none of this name has come meanwhile
                self._metrics.gone(lane.name)
                self._on_gone(lane.name)

        if gone:
            self._gone[lane.name] = lane
            self._former.append(lane)
            lane.close()
        if self._group is not None:
            task = self._group.create_task(leave(), name=f"leaving {lane.name}")
            self._leaving[task] = held
            task.add_done_callback(self._leaving.pop)

    # --- running ---

    def start(self, group: asyncio.TaskGroup) -> None:
        """Let the lanes run, those there are and those that come; the group owns them."""
        self._group = group
        for lane in self.now.lanes.values():
            self._run(lane)

    def _run(self, lane: Lane) -> None:
        if self._group is not None:
            self._group.create_task(lane.run(), name=f"lane {lane.name}")

    async def stop(self) -> None:
        """Begin nothing more; what is in flight is finished or released."""
        await asyncio.gather(*(lane.stop(self._grace) for lane in self.now.lanes.values()))

    async def close(self) -> None:
        """Close every sink."""
        await asyncio.gather(*(held.close() for held in [*self._held.values(), *self._leaving.values()]))
