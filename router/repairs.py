"""Putting right: what an operator has read, routed or sent once more, or given up. One thing, or all that fits.

Every one of these is one transaction of the store, and a second one on the same thing is a `Conflict`: of two
operators one is told that the other was first.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from router.delivery import DeliveryState
from router.errors import Conflict, StoreError, Unknown
from router.facts import Facts
from router.inbox import NotUnderstood, Unread, arrival_of, understand
from router.store.values import Accepted, RoutedAs

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from structlog.typing import FilteringBoundLogger

    from router.inbox import Receipt
    from router.operations import Operations
    from router.store.lines import Page, Wanted
    from router.store.values import RoutedAgain

#: At once, of many: each may hold a large body in memory.
_TOGETHER: Final = 10
_ENDED_BY: Final = "ended by an operator: {}"


@dataclass(frozen=True, slots=True)
class Left:
    """One of many that was left as it was, and why."""

    id: str
    message: str


@dataclass(frozen=True, slots=True)
class Many:
    """What became of a page of many: how many fitted, and of how many it was done (of none in a dry run)."""

    matched: int
    done: int
    left: tuple[Left, ...]
    next: str | None


class Repairs:
    """What can be put right in one router; the log's lines about it have what is bound to `log`: who does it."""

    def __init__(self, operations: Operations, log: FilteringBoundLogger) -> None:
        self._operations = operations
        self._store = operations.store
        self._clock = operations.clock
        self._log = log

    # --- dead letters, and what is pending ---

    async def replay(self, delivery_id: str, *, sink: str | None = None) -> str:
        """Owe a dead delivery again, to its sink or another; the new delivery's id.

        Raises `Unknown`, or `Conflict` where it is not dead or a `never` rule forbids it.
        """
        line, _ = await self._operations.delivery(delivery_id)
        stored, _ = await self._operations.event(line.event_id)
        target = line.sink if sink is None else sink
        lane = self._operations.lane(target)
        rule = self._operations.config.table.forbidding(target, Facts(stored.event, stored.event.source))
        if rule is not None:
            message = f"the never rule {rule.name!r} keeps this call from {target!r}"
            raise Conflict(message)
        new = await self._store.replay(delivery_id, sink=target, now=self._clock.now())
        self._log.info("delivery.replayed", delivery_id=delivery_id, sink=target, new_delivery_id=new)
        lane.wake()
        return new

    async def replay_many(
        self, wanted: Wanted, *, sink: str | None, ended: bool, after: str | None, limit: int, dry: bool
    ) -> Many:
        """As `replay`, of a page of the dead letters wanted: the ended ones, or the others. Raises `Unknown` as there."""
        if sink is not None:
            self._operations.lane(sink)
        wanted = replace(wanted, ended=ended)
        page = await self._store.deliveries(state=DeliveryState.DEAD, wanted=wanted, after=after, limit=limit)
        return await _many(page, lambda delivery_id: self.replay(delivery_id, sink=sink), dry=dry)

    async def end(self, delivery_id: str, reason: str) -> None:
        """Move a pending delivery to the dead letters, or let a dead one rest. Raises `Unknown` or `Conflict`."""
        await self._store.end(delivery_id, reason=_ENDED_BY.format(reason), now=self._clock.now())
        self._log.info("delivery.ended", delivery_id=delivery_id)

    async def end_many(
        self, wanted: Wanted, reason: str, *, dead: bool, orphaned: bool, after: str | None, limit: int, dry: bool
    ) -> Many:
        """As `end`, of a page of the pending deliveries or dead letters wanted; `orphaned`: whose sink is gone."""
        state, wanted = DeliveryState.DEAD if dead else DeliveryState.PENDING, replace(wanted, ended=False)
        page = await self._store.deliveries(state=state, wanted=wanted, after=after, limit=limit)
        gone = [line for line in page.items if not (orphaned and line.sink in self._operations.by_sink)]
        return await _many(page, lambda delivery_id: self.end(delivery_id, reason), dry=dry, of=gone)

    # --- quarantine ---

    async def read_again(self, quarantine_id: str) -> Receipt:
        """Read a quarantined body by today's formats, aliases and trust, and route what it says by today's rules.

        It was received when it came, and is accepted now. Where nobody can read it, it stays, with today's reason.
        Raises `Unknown`, or `Conflict` where its source is gone or somebody was faster.
        """
        kept = await self._operations.quarantined(quarantine_id)
        line, now = kept.line, self._clock.now()
        config, lanes = self._operations.config, self._operations.by_sink
        if line.source not in config.sources:
            message = f"its source {line.source!r} is not configured: nothing says how to read it, or what to trust"
            raise Conflict(message)
        # What it says of certificates and times was meant for when it came.
        read = await asyncio.to_thread(
            understand, kept.body, line.source, config.manners.get(line.source), config.table, line.received_at
        )
        if read.failure is not None:
            event = "format.failed" if isinstance(read, NotUnderstood) else "routing.failed"
            self._log.error(event, source=line.source, quarantine_id=quarantine_id, exc_info=read.failure)
        if isinstance(read, NotUnderstood):
            await self._store.keep_unread(quarantine_id, reason=read.reason)
            self._log.info("body.unreadable", source=line.source, quarantine_id=quarantine_id, reason=read.reason)
            return Unread(quarantine_id, read.reason)
        receipt = await self._store.read_again(
            quarantine_id,
            arrival_of(
                read,
                source=line.source,
                body=kept.body,
                content_type=kept.content_type,
                received_at=line.received_at,
                accepted_at=now,
                rules=config.table.digest,
                owed=[lanes[sink].owed(now) for sink in (read.routed.sinks if read.routed else ())],
            ),
        )
        self._log.info(
            "body.read_again",
            source=line.source,
            quarantine_id=quarantine_id,
            event_id=receipt.event_id,
            duplicate=not isinstance(receipt, Accepted),
        )
        if isinstance(receipt, Accepted):
            self._operations.figures.accepted(line.source, read.found.format)
        self._wake(read.routed.sinks if read.routed else ())
        return receipt

    async def read_many_again(self, wanted: Wanted, *, after: str | None, limit: int, dry: bool) -> Many:
        """As `read_again`, of a page of what is wanted. What stays unreadable is left, with its reason."""

        async def read(quarantine_id: str) -> None:
            receipt = await self.read_again(quarantine_id)
            if isinstance(receipt, Unread):
                raise Conflict(receipt.reason)

        wanted = replace(wanted, ended=False)
        return await _many(await self._store.quarantined(wanted=wanted, after=after, limit=limit), read, dry=dry)

    async def end_body(self, quarantine_id: str, reason: str) -> None:
        """Let a quarantined body rest. Raises `Conflict`."""
        await self._store.end_quarantined(quarantine_id, reason=reason)
        self._log.info("body.ended", quarantine_id=quarantine_id)

    async def end_bodies(self, wanted: Wanted, reason: str, *, after: str | None, limit: int, dry: bool) -> Many:
        """As `end_body`, of a page of what is wanted."""
        page = await self._store.quarantined(wanted=replace(wanted, ended=False), after=after, limit=limit)
        return await _many(page, lambda quarantine_id: self.end_body(quarantine_id, reason), dry=dry)

    def _wake(self, sinks: Iterable[str]) -> None:
        """The lanes of now: they may be others than those that it was written for."""
        for sink in sinks:
            if lane := self._operations.by_sink.get(sink):
                lane.wake()

    # --- events ---

    async def route(self, event_id: str) -> RoutedAgain:
        """Route an event by today's rules, and owe it to whom it never was owed to.

        Raises `Unknown`, or `Conflict` where our routing fails, which changes nothing.
        """
        stored, _ = await self._operations.event(event_id)
        config, lanes, now = self._operations.config, self._operations.by_sink, self._clock.now()
        try:
            # Not on the loop: of a large call it takes long.
            routed = await asyncio.to_thread(config.table.route, Facts(stored.event, stored.event.source))
        except Exception as error:  # noqa: BLE001 - no rule may cost a call
            self._log.error("routing.failed", event_id=event_id, exc_info=error)
            message = f"routing event {event_id} failed ({type(error).__name__}); please report this"
            raise Conflict(message) from None
        owed = [lanes[sink].owed(now) for sink in routed.sinks]
        again = await self._store.route_again(
            event_id, routes=routed.fired, rules=config.table.digest, owed=owed, now=now
        )
        self._log.info("event.routed_again", event_id=event_id, routes=list(routed.fired), sinks=list(again.sinks))
        self._wake(again.sinks)
        return again

    async def route_many(
        self, wanted: Wanted, *, routed: RoutedAs | None, after: str | None, limit: int, dry: bool
    ) -> Many:
        """As `route`, of a page of what is wanted."""
        page = await self._store.events(routed=routed, wanted=wanted, after=after, limit=limit)
        return await _many(page, self.route, dry=dry)


async def _many(
    page: Page[Any], do: Callable[[str], Awaitable[object]], *, dry: bool, of: Sequence[Any] | None = None
) -> Many:
    """Do it to each line of the page (or to those of it that `of` has)."""
    ids = [line.id for line in (page.items if of is None else of)]
    left: list[Left] = []
    for first in range(0, 0 if dry else len(ids), _TOGETHER):
        some = ids[first : first + _TOGETHER]
        for id_, came in zip(some, await asyncio.gather(*map(do, some), return_exceptions=True), strict=True):
            if isinstance(came, (Conflict, Unknown, StoreError)):
                left.append(Left(id_, str(came)))
            elif isinstance(came, BaseException):
                raise came
    return Many(len(ids), 0 if dry else len(ids) - len(left), tuple(left), page.next)
