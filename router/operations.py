"""What can be asked of a running router, and done to it. The admin listener is one way in; it decides who may."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from router import formats
from router.config.suggest import did_you_mean
from router.delivery import ENDED, LaneState
from router.errors import StoreError, Unknown, Unreadable
from router.event import Event, plain
from router.facts import Facts
from router.formats import Found
from router.formats import body as bodies
from router.ids import new_id
from router.metrics import ORPHANED, Stored
from router.store.lines import Wanted
from router.timeline import Since, Timeline

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Mapping, Sequence

    from structlog.typing import FilteringBoundLogger

    from router.alarm import Alarm
    from router.alarms import Alarms
    from router.clock import Clock
    from router.config import Config
    from router.delivery import LaneRow
    from router.lanes import Lane
    from router.metrics import Metrics
    from router.presence import Presence
    from router.reload import Reload, Reloaded, ReloadState
    from router.store.base import Store
    from router.store.lines import AttemptLine, DeliveryLine, Page, QuarantinedBody, RouterLine, StoredEvent
    from router.ways import Ways

#: How long an answer to "is the store there" counts, so that health checks do not load it.
_CHECK_EVERY: Final = timedelta(seconds=2)


_HELD: Final = "the router sends nothing (serve --hold)"
_ORPHANED: Final = (
    "no sink of this name is configured here; its deliveries wait until there is one, or until they are ended"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLine:
    """One lane as it stands. `state` is `orphaned` where deliveries wait for a sink that is not configured."""

    sink: str
    kind: str | None
    state: str
    pending: int
    claimed: int
    dead: int
    #: Of the dead ones, those that an operator has ended.
    ended: int
    since: datetime | None = None
    next_at: datetime | None = None
    reason: str | None = None


class Operations:
    """One router's operations."""

    def __init__(
        self,
        ways: Ways,
        *,
        store: Store,
        reload: Reload,
        metrics: Metrics,
        alarms: Alarms,
        presence: Presence,
        clock: Clock,
        log: FilteringBoundLogger,
        timeline: Timeline | None = None,
        holding: bool = False,
    ) -> None:
        self.store = store
        #: Nothing is sent, whatever the lanes' states are.
        self.holding = holding
        self._ways = ways
        self._reload = reload
        self.figures = metrics
        self._since = Since(timeline or Timeline())
        self._alarms = alarms
        self._presence = presence
        self.clock = clock
        self.log = log
        self._checked: tuple[datetime, list[str]] | None = None
        self._checking: asyncio.Task[list[str]] | None = None

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._ways.now.config

    @property
    def by_sink(self) -> Mapping[str, Lane]:
        """The lanes in force, by sink."""
        return self._ways.now.lanes

    # --- looking ---

    async def trouble(self) -> list[str]:
        """Why the router is not ready; empty where it is. Whoever asks during a check waits for that one."""
        if self._checked is not None and timedelta(0) <= self.clock.now() - self._checked[0] < _CHECK_EVERY:
            return self._checked[1]
        if self._checking is None or self._checking.done():
            self._checking = asyncio.create_task(self._check(), name="readiness check")
        # Who asked first may go away; the others still wait.
        return await asyncio.shield(self._checking)

    async def _check(self) -> list[str]:
        trouble = []
        try:
            await self.store.check()
        except StoreError as error:
            trouble = [f"store: {error}"]
        self._checked = (self.clock.now(), trouble)
        return trouble

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Everything for a scrape, and its content type."""
        return self.figures.show(
            stored=await self._stored(),
            effort=self.store.effort,
            ready=not await self.trouble(),
            holding=self.holding,
            accept=accept,
        )

    async def _stored(self) -> Stored | None:
        """What the store says of itself; None while it is in trouble, of which the other figures tell."""
        try:
            room = await self.store.room()
        except StoreError:
            room = None
        try:
            return Stored(
                summary=await self.store.summary(),
                backlog=await self.store.backlog(),
                oldest={sink: self._waited(sink, at) for sink, at in (await self.store.oldest()).items()},
                lanes={line.sink: line.state for line in await self.lanes()},
                room=room,
            )
        except StoreError:
            return None

    def _waited(self, sink: str, accepted_at: datetime) -> timedelta:
        """How long it waits, however the clock was set meanwhile."""
        now = self.clock.now()
        return now - self._since.of(sink, accepted_at, now)

    async def event(self, event_id: str) -> tuple[StoredEvent, tuple[DeliveryLine, ...]]:
        """One event with its deliveries. Raises `Unknown`."""
        stored = await self.store.event(event_id)
        if stored is None:
            message = f"there is no event {event_id!r}; what nobody could read is in quarantine"
            raise Unknown(message)
        return stored, (await self.store.deliveries(event_id=event_id, limit=500)).items

    async def delivery(self, delivery_id: str) -> tuple[DeliveryLine, tuple[AttemptLine, ...]]:
        """One delivery with its attempts. Raises `Unknown`."""
        found = await self.store.delivery(delivery_id)
        if found is None:
            message = f"there is no delivery {delivery_id!r}"
            raise Unknown(message)
        return found

    async def refuse_misspelled(self, wanted: Wanted) -> None:
        """Raise `Unknown` for the name of a sink, source or route that is not configured, and that nothing stored has."""
        config, store = self.config, self.store
        sinks, routes = list(self.by_sink), [route.name for route in config.table.routes]
        if wanted.sink is not None and wanted.sink not in sinks:
            await _refuse_unused("sink", wanted.sink, sinks, store.deliveries(wanted=Wanted(sink=wanted.sink), limit=1))
        if wanted.route is not None and wanted.route not in routes:
            await _refuse_unused(
                "route", wanted.route, routes, store.events(wanted=Wanted(route=wanted.route), limit=1)
            )
        if wanted.source is not None and wanted.source not in config.sources:
            of = Wanted(source=wanted.source)
            if not await _some(store.quarantined(wanted=of, limit=1)):
                await _refuse_unused("source", wanted.source, config.sources, store.events(wanted=of, limit=1))

    async def quarantined(self, quarantine_id: str) -> QuarantinedBody:
        """One body that nobody could read. Raises `Unknown`, or `StoreError` where it is not what was stored."""
        found = await self.store.quarantined_body(quarantine_id)
        if found is None:
            message = f"there is no quarantined body {quarantine_id!r}"
            raise Unknown(message)
        # Not on the loop: a large body takes seconds.
        if not await asyncio.to_thread(bodies.is_digest, found.digest, found.body):
            message = f"quarantined body {found.line.id} is damaged: it is not what was stored; check the disk"
            raise StoreError(message)
        return found

    async def alarms(self) -> tuple[Alarm, ...]:
        """What is wrong with the router itself, and with a store that it shares; the most urgent first."""
        return await self._alarms.all()

    async def routers(self) -> tuple[Sequence[RouterLine], list[str]]:
        """Every router of this store, and what of them does not fit together."""
        lines = await self.store.routers()
        return lines, self._presence.remarks(lines)

    def routers_seen(self) -> tuple[Sequence[RouterLine], list[str]]:
        """The same as of a few seconds ago, whatever became of the store."""
        return self._presence.seen, self._presence.remarks()

    async def lanes(self) -> list[LaneLine]:
        """Every configured sink, and every other one that something is still owed to."""
        backlog = await self.store.backlog()
        owed = {sink for sink, states in backlog.items() if states.get("pending", 0) or states.get("claimed", 0)}
        orphans = sorted(owed - self.by_sink.keys())
        former = await self.store.lanes() if orphans else {}
        return [self._line(sink, backlog.get(sink, {}), former.get(sink)) for sink in [*self.by_sink, *orphans]]

    def _line(self, sink: str, states: Mapping[str, int], former: LaneRow | None = None) -> LaneLine:
        """`former`: how the lane of a sink stood when that was still configured."""
        lane = self.by_sink.get(sink)
        row = lane.row if lane else None
        return LaneLine(
            sink=sink,
            kind=getattr(lane.config, "kind", None) if lane else None,
            state=row.state if row else ORPHANED,
            pending=states.get("pending", 0),
            claimed=states.get("claimed", 0),
            dead=states.get("dead", 0),
            ended=states.get(ENDED, 0),
            since=row.since if row else None,
            next_at=row.next_at if row else None,
            reason=self._reason(row) if row else _orphaned(former),
        )

    @property
    def reload_state(self) -> ReloadState:
        """How reloading stands."""
        return self._reload.state

    def _reason(self, row: LaneRow) -> str | None:
        return "; ".join(filter(None, (_HELD if self.holding else None, row.reason))) or None

    def explain(self, body: bytes, source: str | None = None) -> dict[str, Any]:
        """What would become of this body, and why; nothing is kept or sent. See `explained`."""
        return explained(self.config, body, source, self.clock.now())

    # --- lanes ---

    async def pause(self, sink: str) -> LaneLine:
        """Hold a lane until `resume`."""
        await self.lane(sink).gate.pause()
        return await self._lane_line(sink)

    async def resume(self, sink: str) -> LaneLine:
        """Let a lane go on."""
        await self.lane(sink).gate.resume()
        return await self._lane_line(sink)

    async def reload(self) -> Reloaded:
        """Put in force what the files say now. Raises `ConfigError` or `StoreError`; nothing is changed then."""
        return await self._reload.reload()

    async def _lane_line(self, sink: str) -> LaneLine:
        return self._line(sink, (await self.store.backlog()).get(sink, {}))

    def lane(self, sink: str) -> Lane:
        """The lane of a configured sink. Raises `Unknown`."""
        if sink not in self.by_sink:
            message = f"there is no sink {sink!r}; configured are: {', '.join(self.by_sink)}"
            raise Unknown(message)
        return self.by_sink[sink]


def _orphaned(former: LaneRow | None) -> str:
    """Why nothing goes out; also what would still keep it when the sink is back."""
    if former is None or former.state not in (LaneState.PAUSED, LaneState.DISABLED):
        return _ORPHANED
    return f"{former.state}, and will be when it is back; {_ORPHANED}"


async def _some(page: Awaitable[Page[Any]]) -> bool:
    """Whether there is a line, or may be one behind those that were looked at."""
    found = await page
    return bool(found.items) or found.next is not None


async def _refuse_unused(what: str, name: str, known: Iterable[str], page: Awaitable[Page[Any]]) -> None:
    if not await _some(page):
        message = f"there is no {what} {name!r} {did_you_mean(name, known, 'configured')}"
        raise Unknown(message)


def explained(config: Config, body: bytes, source: str | None, now: datetime) -> dict[str, Any]:
    """The event that a body would become, how it was read, every rule with its conditions, and the sinks.

    `source` None: the first one. Raises `Unreadable` with the reason for which it would go to quarantine.
    """
    source = source or next(iter(config.sources))
    if source not in config.sources:
        message = f"there is no source {source!r}; configured are: {', '.join(config.sources)}"
        raise Unknown(message)
    found = formats.find(bodies.value(body), config.manners[source], now)
    event = Event.of(
        found.call,
        id=new_id(now),
        sequence=0,
        source=source,
        format=found.format,
        received_at=now,
        revision=1,
        raw=found.raw,
    )
    return {
        "event": plain(event),
        "format": found.explained(),
        **config.table.explain(Facts(found.call, source)),
    }


def explained_event(config: Config, event: Event, body: bytes) -> dict[str, Any]:
    """As `explained`, of an event that is stored: today's rules on the event as it is, and its body read once more."""
    return {
        "event": plain(event),
        "format": _read_again(config, event, body).explained(),
        **config.table.explain(Facts(event, event.source)),
    }


def _read_again(config: Config, event: Event, body: bytes) -> Found:
    """What is said of the body now, with certificates as they were; the event was made when it came in."""
    try:
        found = formats.find(bodies.value(body), config.manners.get(event.source), event.received_at)
    except Unreadable as error:
        return Found(event.format, event, event.raw, f"it was read as that when it came in; today it is {error}")
    if found.format != event.format:
        why = f"it was read as that when it came in; today it is read as {found.format}: {found.why}"
        return replace(found, format=event.format, why=why)
    return found
