"""Taking in: from a complete, authentic body to one commit that holds it and everything it is owed."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from router import formats
from router.errors import Unreadable
from router.facts import Facts
from router.failpoints import Failpoint, reached
from router.formats import body as bodies
from router.routing import Routed, RoutingTable
from router.store.values import Accepted, Arrival, Duplicate, Owed, RoutedAs

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.formats import Found, Manner
    from router.metrics import Metrics
    from router.store.base import Store
    from router.ways import InForce, Ways

#: Bytes; larger bodies, and those that may take long, are understood on a thread: they hold nobody up.
_LARGE = 128 * 1024


@dataclass(frozen=True, slots=True)
class Understood:
    """What a body says, and what the rules say to it. `routed` None: routing failed, with `failure`."""

    found: Found
    digest: bytes
    repeated_key: bool
    routed: Routed | None
    failure: Exception | None = None


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """Why a body cannot be read. `failure`: it is our own fault."""

    digest: bytes
    reason: str
    failure: Exception | None = None


def understand(
    body: bytes, source: str, manner: Manner | None, table: RoutingTable, now: datetime | None = None
) -> Understood | NotUnderstood:
    """Read and route a body. Pure, and never raises: no body and no rule may cost a call."""
    digest = None
    try:
        parsed = bodies.parse(body)
        digest = parsed.digest
        found = formats.find(parsed.value, manner, now)
    except Unreadable as error:
        return NotUnderstood(digest or bodies.digest_of_bytes(body), str(error))
    except Exception as error:  # noqa: BLE001 - see the docstring
        reason = f"our reading of it failed ({type(error).__name__}); please report this"
        return NotUnderstood(digest or bodies.digest_of_bytes(body), reason, error)
    try:
        routed = table.route(Facts(found.call, source))
    except Exception as error:  # noqa: BLE001 - see the docstring
        return Understood(found, digest, parsed.repeated_key, None, error)
    return Understood(found, digest, parsed.repeated_key, routed)


@dataclass(frozen=True, slots=True)
class Unread:
    """The receipt of a body that nobody could read: it is kept in quarantine."""

    quarantine_id: str
    reason: str
    duplicate: bool = False


#: What the sender is told.
Receipt = Accepted | Duplicate | Unread


class Inbox:
    """The way in. Everything about one body is decided by what is in force when it is complete."""

    def __init__(self, ways: Ways, *, store: Store, clock: Clock, log: FilteringBoundLogger, metrics: Metrics) -> None:
        self._ways = ways
        self._store = store
        self._clock = clock
        self._log = log
        self._metrics = metrics
        #: Large bodies are understood one after the other: together they would stop the event loop.
        self._understanding = asyncio.Lock()

    async def accept(self, source: str, body: bytes, *, content_type: str | None = None) -> Receipt:
        """Keep a body, and what it is owed. When this returns, both are on stable storage.

        Raises `StoreError` where that is not known to be so, `QuarantineFull` among them.
        """
        now, by = self._clock.now(), self._ways.now
        table, manner = by.config.table, by.config.manners.get(source)
        if len(body) > _LARGE or bodies.may_take_long(body):
            async with self._understanding:
                read = await asyncio.to_thread(understand, body, source, manner, table, now)
        else:
            read = understand(body, source, manner, table, now)
        if isinstance(read, NotUnderstood):
            return await self._quarantine(source, body, content_type, read, now)
        if read.failure is not None:
            self._log.error("routing.failed", source=source, exc_info=read.failure)
        receipt = await self._keep(by, source, body, content_type, read, now)
        self._report(source, read, receipt, now)
        return receipt

    async def _keep(
        self, by: InForce, source: str, body: bytes, content_type: str | None, read: Understood, now: datetime
    ) -> Accepted | Duplicate:
        """One commit; what it gives birth to goes straight to its lane."""
        owed = [by.lanes[sink].owed(now, born_claimed=True) for sink in (read.routed.sinks if read.routed else ())]
        reserved = {entry.sink for entry in owed if entry.claim_until is not None}
        try:
            arrival = arrival_of(
                read,
                source=source,
                body=body,
                content_type=content_type,
                received_at=now,
                rules=by.config.table.digest,
                owed=owed,
            )
            receipt = await self._store.accept(arrival)
            if isinstance(receipt, Accepted):
                reached(Failpoint.AFTER_COMMIT)
                for claim in receipt.claims:
                    reserved.discard(claim.delivery.sink)
                    by.lanes[claim.delivery.sink].start(claim)
        finally:
            for sink in reserved:
                by.lanes[sink].give_back()
        if isinstance(receipt, Accepted):
            for entry in owed:
                if entry.claim_until is None:
                    by.lanes[entry.sink].wake()
        return receipt

    async def _quarantine(
        self, source: str, body: bytes, content_type: str | None, read: NotUnderstood, now: datetime
    ) -> Unread:
        if read.failure is not None:
            self._log.error("format.failed", source=source, exc_info=read.failure)
        kept = await self._store.quarantine(
            source=source,
            body=body,
            digest=read.digest,
            content_type=content_type,
            reason=read.reason,
            now=now,
            room=self._ways.now.config.quarantine_size,
        )
        result = "duplicate" if kept.duplicate else "quarantined"
        self._log.warning("body.quarantined", source=source, quarantine_id=kept.id, reason=read.reason, size=len(body))
        self._metrics.received(source, result, (self._clock.now() - now).total_seconds())
        return Unread(kept.id, read.reason, kept.duplicate)

    def _report(self, source: str, read: Understood, receipt: Accepted | Duplicate, now: datetime) -> None:
        duration = (self._clock.now() - now).total_seconds()
        if isinstance(receipt, Duplicate):
            self._log.info("event.repeated", source=source, event_id=receipt.event_id)
            self._metrics.received(source, "duplicate", duration)
            return
        self._log.info(
            "event.accepted",
            source=source,
            event_id=receipt.event_id,
            revision=receipt.revision,
            format=read.found.format,
            remarks=list(read.found.remarks) or None,
            routes=list(read.routed.fired) if read.routed else None,
            deliveries=receipt.deliveries,
            repeated_key=read.repeated_key or None,
            duration_ms=round(duration * 1000, 1),
        )
        self._metrics.received(source, "event", duration)
        self._metrics.accepted(source, read.found.format)


def arrival_of(
    read: Understood,
    *,
    source: str,
    body: bytes,
    content_type: str | None,
    received_at: datetime,
    rules: str,
    owed: Iterable[Owed],
    accepted_at: datetime | None = None,
) -> Arrival:
    """What the store is given of a body that was read: `rules` decided, and it is owed to these."""
    return Arrival(
        source=source,
        format=read.found.format,
        call=read.found.call,
        raw=read.found.raw,
        body=body,
        content_type=content_type,
        digest=read.digest,
        received_at=received_at,
        accepted_at=accepted_at,
        routed=_routed_as(read.routed),
        routes=read.routed.fired if read.routed else (),
        rules=rules,
        owed=tuple(owed),
    )


def _routed_as(routed: Routed | None) -> RoutedAs:
    if routed is None:
        return RoutedAs.UNROUTED
    return RoutedAs.ROUTED if routed.fired else RoutedAs.UNMATCHED
