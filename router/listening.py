"""Listening for sources and channels that should not be silent: when something came last, or since when in vain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from router.alarm import Alarm, Cause
from router.symptoms import Quiet
from router.text import name_key

if TYPE_CHECKING:
    from router.config import Config
    from router.store.base import Store
    from router.store.lines import ChannelLine
    from router.timeline import Since


class Listening:
    """What `silent_after` names, as it was at the last look.

    A source is listened to from the beginning, a channel once a call has come: a name that is no channel would be silent
    for ever.
    """

    def __init__(self, since: Since) -> None:
        self._since = since
        #: As written down: when something came last, or since when nothing ever came.
        self._last: dict[str, datetime] = {}
        self._unheard: set[str] = set()

    def remember(self, kept: Mapping[str, datetime]) -> None:
        """What was kept, before a restart or by another router."""
        self._last, self._unheard = dict(kept), set(kept)

    def to_keep(self, active: Iterable[Alarm]) -> dict[str, datetime]:
        """What must not be forgotten: who was never heard, and of whom it was told."""
        silent = {alarm.subject for alarm in active if alarm.cause is Cause.SILENT}
        return {name: at for name, at in sorted(self._last.items()) if name in silent | self._unheard}

    async def look(self, config: Config, store: Store, now: datetime) -> tuple[Quiet, ...]:
        """Those that are listened to now. Raises `StoreError`."""
        heard = {name: at async for name, at in _heard(config, store)}
        last = {name: at or self._last.get(name, now) for name, at in heard.items()}
        found = tuple(
            Quiet(
                name,
                config.alarms.silent_after[name],
                since=self._since.of((Cause.SILENT, name), at, now),
                still=self._last.get(name) == at,
            )
            for name, at in last.items()
        )
        self._last, self._unheard = last, {name for name, at in heard.items() if at is None}
        return found


async def _heard(config: Config, store: Store) -> AsyncIterator[tuple[str, datetime | None]]:
    if not config.alarms.silent_after:
        return
    channels = await store.channels()
    for name in config.alarms.silent_after:
        if name in config.sources:
            yield name, await store.heard(name)
        elif (at := _called(name, channels)) is not None:
            yield name, at


def _called(name: str, channels: Iterable[ChannelLine]) -> datetime | None:
    """When a call came last on the channel of this name or id."""
    key = name_key(name)
    return max((line.last_at for line in channels if line.id == name or name_key(line.name or "") == key), default=None)
