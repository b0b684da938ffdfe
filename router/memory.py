"""What must not be forgotten of alarms: of the router's own in a file of its own, of all routers' in the store.

So nothing is told twice after a restart, nor when another router keeps house, and what is over by then is told. The file is
there also while the store is not. What is lost, or damaged, is told once more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from router.errors import StoreError
from router.standing import Standing
from router.store.sqlite import folder

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.store.base import Store

#: What it is called in the store.
MEMO: Final = "alarms"
#: Seconds that the store may take to keep it.
_PATIENCE: Final = 30.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept. `listening`: see `Listening.to_keep`."""

    standing: tuple[Standing, ...] = ()
    listening: Mapping[str, datetime] = field(default_factory=dict)


_KEPT: Final = TypeAdapter(Kept)


class FileMemory:
    """Of the router's own."""

    def __init__(self, file: Path, log: FilteringBoundLogger) -> None:
        self._file = file
        self._log = log
        self._written: bytes | None = None

    async def recall(self) -> Kept:
        """What was kept before a restart."""
        try:
            return _read(await asyncio.to_thread(self._file.read_bytes), self._log)
        except FileNotFoundError:
            return Kept()
        except OSError as error:
            self._log.warning("alarms.forgotten", reason=type(error).__name__)
            return Kept()

    async def keep(self, kept: Kept) -> None:
        """Keep this in its place."""
        content = _KEPT.dump_json(kept)
        if content == self._written:
            return
        try:
            await asyncio.to_thread(folder.replace, self._file, content)
        except OSError as error:
            self._log.warning("alarms.not_kept", reason=error.strerror)
        else:
            self._written = content


class StoreMemory:
    """Of all routers that share a store, kept by the one that keeps house."""

    def __init__(self, store: Store, log: FilteringBoundLogger) -> None:
        self._store = store
        self._log = log
        #: What may be there, if nobody else has kept house since: what is known to be there, and what a write that failed
        #: has left there all the same.
        self._ours: set[bytes | None] = set()
        self._there: bytes | None = None

    async def peek(self) -> Kept:
        """What is kept at the moment. Raises `StoreError`."""
        return _read(await self._store.memo(MEMO), self._log)

    async def recall(self) -> Kept | None:
        """What is kept; None where this router kept it, and knows more by now. Raises `StoreError`.

        Looked at each time: another router may have kept house for a moment, and nobody would know.
        """
        content = await self._store.memo(MEMO)
        self._there = content
        if content in self._ours:
            return None
        self._ours = {content}
        return _read(content, self._log)

    def leave(self) -> None:
        """Another router keeps house, and whatever is there is its own."""
        self._ours = set()

    async def keep(self, kept: Kept) -> None:
        """Keep this in its place. Where that fails it is tried again the next time."""
        content = _KEPT.dump_json(kept)
        if content == self._there:
            return
        self._ours.add(content)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._store.keep_memo(MEMO, content)
        except (StoreError, TimeoutError) as error:
            self._log.warning("alarms.not_kept", reason=str(error) or type(error).__name__)
        else:
            self._ours, self._there = {content}, content


def _read(content: bytes | None, log: FilteringBoundLogger) -> Kept:
    """What was kept."""
    if content is None:
        return Kept()
    try:
        return _KEPT.validate_json(content)
    except ValidationError as error:
        log.warning("alarms.forgotten", reason=type(error).__name__)
        return Kept()
