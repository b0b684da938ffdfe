"""What can be asked of a running router, and done to it. The admin listener is one way in; it decides who may."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from router import formats
from router.errors import Conflict, StoreError, Unknown, Unreadable
from router.event import Event, plain
from router.facts import Facts
from router.formats import Found
from router.formats import body as bodies
from router.ids import new_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.config import Config
    from router.lanes import Lane
    from router.metrics import Metrics
    from router.store.base import AttemptLine, DeliveryLine, QuarantinedBody, Store, StoredEvent

#: How long an answer to "is the store there" counts, so that health checks do not load it.
_CHECK_EVERY: Final = timedelta(seconds=2)


_ORPHANED: Final = "no sink of this name is configured; its deliveries wait until there is one, or until they are ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneLine:
    """One lane as it stands. `state` is `orphaned` where deliveries wait for a sink that is not configured."""

    sink: str
    kind: str | None
    state: str
    pending: int
    claimed: int
    dead: int
    since: datetime | None = None
    next_at: datetime | None = None
    reason: str | None = None


class Operations:
    """One router's operations."""

    def __init__(
        self,
        config: Config,
        *,
        store: Store,
        lanes: Mapping[str, Lane],
        metrics: Metrics,
        clock: Clock,
        log: FilteringBoundLogger,
    ) -> None:
        self.store = store
        self._config = config
        self._lanes = lanes
        self._metrics = metrics
        self._clock = clock
        self._log = log
        self._checked: tuple[datetime, list[str]] | None = None
        self._checking: asyncio.Task[list[str]] | None = None

    # --- looking ---

    async def trouble(self) -> list[str]:
        """Why the router is not ready; empty where it is. Whoever asks during a check waits for that one."""
        if self._checked is not None and timedelta(0) <= self._clock.now() - self._checked[0] < _CHECK_EVERY:
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
        self._checked = (self._clock.now(), trouble)
        return trouble

    async def metrics(self, accept: str) -> tuple[bytes, str]:
        """Everything for a scrape, and its content type."""
        return self._metrics.show(
            await self.store.summary(),
            await self.store.backlog(),
            {name: lane.row.state for name, lane in self._lanes.items()},
            self.store.effort,
            accept,
        )

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

    async def lanes(self) -> list[LaneLine]:
        """Every configured sink, and every other one that something is still owed to."""
        backlog = await self.store.backlog()
        owed = {sink for sink, states in backlog.items() if states.get("pending", 0) or states.get("claimed", 0)}
        return [self._line(sink, backlog.get(sink, {})) for sink in [*self._lanes, *sorted(owed - self._lanes.keys())]]

    def _line(self, sink: str, states: Mapping[str, int]) -> LaneLine:
        lane = self._lanes.get(sink)
        row = lane.row if lane else None
        return LaneLine(
            sink=sink,
            kind=getattr(lane.config, "kind", None) if lane else None,
            state=row.state if row else "orphaned",
            pending=states.get("pending", 0),
            claimed=states.get("claimed", 0),
            dead=states.get("dead", 0),
            since=row.since if row else None,
            next_at=row.next_at if row else None,
            reason=row.reason if row else _ORPHANED,
        )

    def explain(self, body: bytes, source: str | None = None) -> dict[str, Any]:
        """What would become of this body, and why; nothing is kept or sent. See `explained`."""
        return explained(self._config, body, source, self._clock.now())

    # --- putting right ---

    async def replay(self, delivery_id: str, *, sink: str | None = None) -> str:
        """Owe a dead delivery again, to its sink or another; the new delivery's id.

        Raises `Unknown`, or `Conflict` where it is not dead or a `never` rule forbids it.
        """
        line, _ = await self.delivery(delivery_id)
        target = sink or line.sink
        if target not in self._lanes:
            message = f"there is no sink {target!r}; configured are: {', '.join(self._lanes)}"
            raise Unknown(message)
        stored, _ = await self.event(line.event_id)
        rule = self._config.table.forbidding(target, Facts(stored.event, stored.event.source))
        if rule is not None:
            message = f"the never rule {rule.name!r} keeps this call from {target!r}"
            raise Conflict(message)
        new = await self.store.replay(delivery_id, sink=sink, now=self._clock.now())
        self._log.info("delivery.replayed", delivery_id=delivery_id, sink=target, new_delivery_id=new)
        self._lanes[target].wake()
        return new

    async def end(self, delivery_id: str, reason: str) -> None:
        """Move a pending delivery to the dead letters. Raises `Unknown` or `Conflict`."""
        await self.store.end(delivery_id, reason=f"ended by an operator: {reason}", now=self._clock.now())
        self._log.info("delivery.ended", delivery_id=delivery_id)

    async def pause(self, sink: str) -> LaneLine:
        """Hold a lane until `resume`."""
        await self._lane(sink).pause()
        return await self._lane_line(sink)

    async def resume(self, sink: str) -> LaneLine:
        """Let a lane go on."""
        await self._lane(sink).resume()
        return await self._lane_line(sink)

    async def _lane_line(self, sink: str) -> LaneLine:
        return self._line(sink, (await self.store.backlog()).get(sink, {}))

    def _lane(self, sink: str) -> Lane:
        if sink not in self._lanes:
            message = f"there is no sink {sink!r}; configured are: {', '.join(self._lanes)}"
            raise Unknown(message)
        return self._lanes[sink]


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
