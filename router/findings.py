"""What is wrong as far as the store says: of its disk, and of all that routers share in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router import symptoms
from router.alarm import Alarm, Cause
from router.listening import Listening

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping
    from datetime import datetime

    from router.store.base import Store
    from router.timeline import Since
    from router.ways import InForce

#: What only the store knows: where it cannot be asked, all of it stays as it is.
_STORED = frozenset({Cause.DEAD, Cause.OLDEST, Cause.QUARANTINE, Cause.QUARANTINE_FULL, Cause.SILENT, Cause.DISK})


class Findings:
    """What is found in a store. `known` is each time what stood before."""

    def __init__(self, store: Store, since: Since) -> None:
        self._store = store
        self._since = since
        self.listening = Listening(since)

    async def of_the_disk(self, force: InForce, known: Iterable[Alarm], now: datetime) -> list[Alarm]:
        """Whether its disk has room, as far as that can be known. Raises `StoreError`."""
        if (room := await self._store.room()) is None:
            return []
        least = max(force.config.alarms.disk_free, force.config.reserve)
        return [*symptoms.disk(room.free, least, known, now)]

    async def of_all(self, force: InForce, known: Iterable[Alarm], now: datetime) -> tuple[list[Alarm], list[Alarm]]:
        """What is wrong for all routers, and what stands and is not looked at any more. Raises `StoreError`."""
        store, rules, config = self._store, force.config.alarms, force.config
        backlog, accepted = await store.backlog(), await store.oldest()
        oldest = {sink: self._since.of((Cause.OLDEST, sink), at, now) for sink, at in accepted.items()}
        unread, sizes = await store.unread(), await store.quarantine_sizes()
        listened = await self.listening.look(config, store, now)
        found = [
            *symptoms.dead(backlog, now),
            *symptoms.oldest(oldest, backlog, rules.after.oldest, now),
            *symptoms.quarantine(unread, now),
            *symptoms.quarantine_full(sizes, config.quarantine_size, config.server.max_body, known, now),
            *symptoms.silent(listened, known, config.hours, now),
        ]
        return found, unwatched(force, known, {one.subject for one in listened}, backlog)


def unwatched(
    force: InForce,
    known: Iterable[Alarm],
    listened: Container[str] = (),
    backlog: Mapping[str, Mapping[str, int]] | None = None,
) -> list[Alarm]:
    """What stands and is not looked at any more."""
    file = force.config.file.name
    return [*symptoms.unwatched(known, sinks=force.lanes, listened=listened, file=file, backlog=backlog or {})]


def unasked(force: InForce, known: Iterable[Alarm]) -> list[Alarm]:
    """What stands while the store cannot be asked: what only it knows of; also what waits for a sink that is gone."""
    return [
        alarm
        for alarm in known
        if alarm.cause in _STORED or (alarm.cause is Cause.DOWN and alarm.subject not in force.lanes)
    ]
