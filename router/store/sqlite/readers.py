"""The connections that read, on two threads of their own: no read waits for a write, and none blocks the event loop."""

from __future__ import annotations

import asyncio
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final, TypeVar

from router.errors import StoreError
from router.store.sqlite.queries import SQL
from router.store.sqlite.trouble import spoils_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from router.store.sqlite.database import Database

T = TypeVar("T")

_THREADS: Final = 2


class Readers:
    """A connection for each thread, open from start to end: while one is open, SQLite keeps the log's file.

    They cannot write. So where one of them is the last to close, the log stays as it is.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        #: None where the connection could not be opened again: the next read tries to.
        self._idle: SimpleQueue[sqlite3.Connection | None] = SimpleQueue()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="aftercall-store-reader")

    def open(self) -> None:
        """Open the connections."""
        for _ in range(_THREADS):
            self._idle.put(self._database.connect(only_reads=True))

    @contextmanager
    def away(self) -> Iterator[None]:
        """No connection is open meanwhile, and whoever wants to read waits. Raises where they cannot be opened again."""
        for old in [self._idle.get() for _ in range(_THREADS)]:
            _close(old)
        again: list[sqlite3.Connection | None] = [None] * _THREADS
        try:
            yield
            for number in range(_THREADS):
                again[number] = self._database.connect(only_reads=True)
        finally:
            for connection in again:
                self._idle.put(connection)

    async def read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        """What `look` finds, all in one snapshot."""
        return await self.work(lambda: self._read(look))

    async def work(self, function: Callable[[], T]) -> T:
        """Do this beside the event loop."""
        try:
            answer = asyncio.get_running_loop().run_in_executor(self._threads, function)
        except RuntimeError:  # shut down
            message = "the store is closed"
            raise StoreError(message) from None
        return await answer

    def stop(self) -> None:
        """Finish what was begun, and begin nothing more."""
        self._threads.shutdown()

    def close(self) -> None:
        """Close the connections; a repeat does nothing."""
        self.stop()
        while not self._idle.empty():
            _close(self._idle.get())

    def _read(self, look: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._idle.get()
        try:
            if connection is None:
                connection = self._database.connect(only_reads=True)
            connection.execute(SQL["look"])
            try:
                return look(connection)
            finally:
                if connection.in_transaction:
                    connection.execute(SQL["rollback"])
        except sqlite3.Error as error:
            if connection is not None and spoils_connection(error):
                connection = self._replaced(connection)
            raise self._database.explain(error) from error
        finally:
            self._idle.put(connection)

    def _replaced(self, old: sqlite3.Connection) -> sqlite3.Connection:
        """A new connection in place of one in trouble; the old one where there is none to be had."""
        with suppress(sqlite3.Error, StoreError):
            self._database.verify()
            new = self._database.connect(only_reads=True)
            _close(old)
            return new
        return old


def _close(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        with suppress(sqlite3.Error):
            connection.close()
