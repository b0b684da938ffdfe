"""The connections that read: no look waits for a write, and each sees one snapshot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from router.errors import StoreError
from router.store.postgres.queries import execute
from router.store.postgres.trouble import breaks

if TYPE_CHECKING:
    from asyncpg import Connection

    from router.store.postgres.server import Server, Session

T = TypeVar("T")

_CONNECTIONS: Final = 3
#: Seconds that one look may take.
PATIENCE: Final = 30.0
_CLOSED: Final = "the store is closed"


class Readers:
    """A few connections, opened when they are needed first, and threads for what takes the event loop too long."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._free = asyncio.Semaphore(_CONNECTIONS)
        self._idle: list[Session] = []
        self._looks = set[asyncio.Task[object]]()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="aftercall-store-reader")
        self._closed = False

    async def read(self, look: Callable[[Connection], Awaitable[T]]) -> T:
        """What `look` finds, all in one snapshot. It goes on when whoever asked is gone: its connection is whole then."""
        if self._closed:
            raise StoreError(_CLOSED)
        task = asyncio.create_task(self._read(look), name="store reader")
        self._looks.add(task)
        task.add_done_callback(self._looks.discard)
        return await asyncio.shield(task)

    async def work(self, function: Callable[[], T]) -> T:
        """Do this beside the event loop."""
        if self._closed:
            raise StoreError(_CLOSED)
        return await asyncio.get_running_loop().run_in_executor(self._threads, function)

    async def close(self) -> None:
        """Finish what was begun, and close the connections; a repeat does nothing."""
        self._closed = True
        if self._looks:
            await asyncio.wait(self._looks)
        while self._idle:
            await self._idle.pop().close()
        self._threads.shutdown(wait=False)

    async def _read(self, look: Callable[[Connection], Awaitable[T]]) -> T:
        async with self._free:
            while self._idle and self._idle[-1].is_lost:
                self._idle.pop()
            session = self._idle.pop() if self._idle else await self._server.connect()
            try:
                with session.within(PATIENCE):
                    return await self._looked(session, look)
            except Exception as error:
                if breaks(error):
                    session.give_up()
                if isinstance(error, StoreError):
                    raise
                raise session.explain(error) from None
            finally:
                if not session.is_lost:
                    self._idle.append(session)

    async def _looked(self, session: Session, look: Callable[[Connection], Awaitable[T]]) -> T:
        await execute(session.connection, "look")
        try:
            return await look(session.connection)
        finally:
            if not session.is_lost:
                await execute(session.connection, "rollback")
