"""The one connection that writes, on a thread of its own: what waits when a commit starts goes into it.

Each operation has a savepoint, so that one that fails does not fail its neighbours. Where the commit itself fails, or
SQLite left the transaction, all of them fail, and the connection is given up: a failed fsync is never repeated on the
same descriptor. The next batch opens a new one. The same thread moves the log into the database file, when nothing
waits, because SQLite before 3.51.3 could damage a database that one connection writes while another moves its log.

A disk that is full takes no calls, and what else is to be written goes on from the reserve (`reserve`).
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from contextlib import suppress
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, TypeVar, cast

from router.errors import StoreBusy, StoreError
from router.failpoints import Failpoint, reached
from router.store.sqlite.batch import PAGE, PAGES_PER_WRITE, Batch, Write
from router.store.sqlite.database import Moved
from router.store.sqlite.queries import SQL
from router.store.sqlite.trouble import disk_is_full, spoils_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from router.store.effort import Effort
    from router.store.sqlite.database import Database
    from router.store.sqlite.reserve import Reserve

T = TypeVar("T")

#: Together with the number of writes, what may wait: bodies are held in memory until their commit.
LARGEST_QUEUE_BYTES: Final = 256 * 2**20

#: The log is moved when about this many pages are in it and nothing came for `IDLE` seconds …
PAGES_TO_MOVE: Final = 1_000
IDLE: Final = 0.05
#: … or at this size, whoever waits. (At 64 MiB the slowest answers took twice as long, and no more went through.)
LARGEST_LOG: Final = 16 * 2**20


#: Seconds until readers that were in the way are waited for again.
PATIENCE_WITH_READERS: Final = 30.0
#: No queue needs more room than this on the disk.
_AMPLE: Final = 4 * LARGEST_QUEUE_BYTES


class _Next(Enum):
    """What the thread does next."""

    WORK = auto()
    MOVE = auto()
    STOP = auto()


class Writer:
    """Takes operations from the event loop and answers them when they are durable.

    `open_first` opens the database when the thread starts, `open_again` after trouble. At the end `before_close` is
    called with the connection, if there is one, which is then closed, and `after_close` called, whatever failed before.
    """

    def __init__(
        self,
        database: Database,
        reserve: Reserve,
        effort: Effort,
        *,
        open_first: Callable[[], sqlite3.Connection],
        open_again: Callable[[], sqlite3.Connection],
        before_close: Callable[[sqlite3.Connection | None], None],
        after_close: Callable[[], None],
        waiting: int,
    ) -> None:
        self._database = database
        self._reserve = reserve
        self._effort = effort
        self._open_first = open_first
        self._open_again = open_again
        self._before_close = before_close
        self._after_close = after_close
        self._limit = waiting
        self._queue: deque[Write] = deque()
        self._queued_bytes = 0
        self._wake = threading.Condition()
        self._stopping = False
        self._connection: sqlite3.Connection | None = None
        #: About how many pages the log has that are not in the database file.
        self._unmoved = 0
        self._log_size = 0
        #: About how many bytes the database has yet to take up from the log.
        self._promised = 0
        #: Bytes of free pages in the database, when the log was moved last.
        self._spare = 0
        #: When the log may be cut to make room, after readers were in the way.
        self._cut_at = 0.0
        self._loop = asyncio.get_running_loop()
        self._opened: asyncio.Future[Exception | None] = self._loop.create_future()
        self._stopped: asyncio.Future[Exception | None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._run, name="aftercall-store-writer")

    # --- on the event loop ---

    @property
    def waiting(self) -> int:
        """How many writes wait for the thread."""
        return len(self._queue)

    async def start(self) -> None:
        """Start the thread, which opens the database; raises what opening raised."""
        self._thread.start()
        if (error := await asyncio.shield(self._opened)) is not None:
            raise error

    async def run(
        self,
        operation: Callable[[sqlite3.Connection], T],
        *,
        weight: int = 0,
        intake: bool = False,
        alone: bool = False,
    ) -> T:
        """Do this in a commit, and return its result when that is durable.

        Raises `StoreBusy`, with nothing queued, where too much waits: what takes calls in (`intake`) at the limit,
        the rest at twice as much, because refusing to write down what has happened would make it happen again.
        Raises `StoreFull`: calls before they are written, where the disk has too little room.
        """
        write = Write(operation, self._loop.create_future(), weight, intake, alone)
        with self._wake:
            if self._stopping:
                raise StoreError(_CLOSED)
            factor = 1 if intake else 2
            full = len(self._queue) >= factor * self._limit
            if full or (self._queue and self._queued_bytes + weight > factor * LARGEST_QUEUE_BYTES):
                message = f"{self.waiting} writes are waiting for the disk; try again in a moment"
                raise StoreBusy(message)
            self._queue.append(write)
            self._queued_bytes += weight
            self._wake.notify()
        return cast("T", await write.future)

    async def stop(self) -> None:
        """Finish what waits, close the connection, and join the thread; a repeat does nothing."""
        if self._thread.ident is None:  # never started
            return
        with self._wake:
            self._stopping = True
            self._wake.notify()
        await asyncio.shield(self._stopped)
        self._thread.join()

    # --- on the thread ---

    def _run(self) -> None:
        try:
            self._connection = self._open_first()
        except Exception as error:  # noqa: BLE001 - told to whoever opens the store
            self._tell(_signal, self._opened, error)
        else:
            self._tell(_signal, self._opened, None)
            self._work()
        finally:
            self._finish()
            self._tell(_signal, self._stopped, None)

    def _work(self) -> None:
        while (step := self._wait()) is not _Next.STOP:
            if step is _Next.WORK:
                self._commit()
            if step is _Next.MOVE or (self._log_size > LARGEST_LOG and self._unmoved >= PAGES_TO_MOVE):
                self._move_log()
            if self._database.in_doubt:  # whoever reads might see what was lost
                with suppress(Exception):  # the next write meets the same trouble and says so
                    self._connected()
            self._reserve.fill()

    def _wait(self) -> _Next:
        with self._wake:
            patience = IDLE if self._unmoved >= PAGES_TO_MOVE else None
            if not self._wake.wait_for(lambda: bool(self._queue) or self._stopping, patience):
                return _Next.MOVE
            return _Next.WORK if self._queue else _Next.STOP

    def _take(self, batch: Batch) -> list[Write]:
        """Put what waits and fits into the batch; one that goes alone goes into an empty batch only.

        Calls that the disk has no room for are refused.
        """
        taken: list[Write] = []
        refused: list[Write] = []
        with self._wake:
            while self._queue and batch.has_room and not (batch.writes and self._queue[0].alone):
                write = self._queue.popleft()
                self._queued_bytes -= write.weight
                (taken if batch.add(write) else refused).append(write)
        for write in refused:
            write.error = self._reserve.refusal()
        self._tell(_answer, refused)
        return taken

    def _room(self) -> int:
        """Bytes that calls may take on the disk; where more waits, the log is moved and, if that helps, cut first."""
        room = self._reserve.room(self._promised, self._spare)
        with self._wake:
            wanted = sum(2 * write.size for write in self._queue if write.intake) if room < _AMPLE else 0
        if wanted and room <= wanted and self._unmoved:
            self._move_log()
            room = self._reserve.room(self._promised, self._spare)
        helps = self._reserve.beyond(self._promised, self._spare) + self._log_size > wanted
        if wanted and room <= wanted and helps and time.monotonic() >= self._cut_at:
            self._move_log(cut=True)
            room = self._reserve.room(self._promised, self._spare)
        return room

    def _commit(self) -> None:
        batch = Batch(self._room())
        self._take(batch)
        if not batch.writes:
            return
        try:
            while not self._done(batch):
                pass
            self._log_size = self._database.verify()
        except Exception as error:  # noqa: BLE001 - told to everyone in the batch
            self._give_up(rescue=isinstance(error, Moved))
            for write in batch.writes:
                write.error = self._database.explain(error)
                write.error.__cause__ = error
        else:
            self._effort.writes += sum(write.error is None for write in batch.writes)
        self._tell(_answer, batch.writes)

    def _done(self, batch: Batch) -> bool:
        """Do the batch; False where the disk was too full for it and may not be any more: nothing of it is done."""
        connection = self._connected()
        try:
            if batch.alone:
                batch.writes[0].result = batch.writes[0].operation(connection)
            else:
                self._commit_together(connection, batch)
        except Exception as error:
            if not disk_is_full(error):
                raise
            if connection.in_transaction:
                connection.execute(SQL["rollback"])
            if not self._made_room(batch, error):
                raise
            return False
        return True

    def _made_room(self, batch: Batch, error: Exception) -> bool:
        """Do something about a full disk: refuse calls, move the log, give up some of the reserve."""
        if calls := batch.without_calls():
            for write in calls:
                write.error = self._database.explain(error)
                write.error.__cause__ = error
            self._tell(_answer, calls)
            return True
        return (self._unmoved > 0 and self._move_log()) or self._reserve.give()

    def _commit_together(self, connection: sqlite3.Connection, batch: Batch) -> None:
        connection.execute(SQL["begin"])
        taken = list(batch.writes)
        while taken:
            for write in taken:
                self._do(connection, write)
            taken = self._take(batch)
        if batch.weight:  # what only asks or settles has none
            reached(Failpoint.BEFORE_COMMIT)
        began = time.perf_counter()
        connection.execute(SQL["commit"])
        self._effort.commit_seconds.add(time.perf_counter() - began)
        self._effort.commit_writes.add(len(batch.writes))
        self._effort.commits += 1
        self._effort.largest_batch = max(self._effort.largest_batch, len(batch.writes))
        self._unmoved += len(batch.writes) * PAGES_PER_WRITE + 2 * batch.weight // PAGE
        self._promised += batch.size

    def _do(self, connection: sqlite3.Connection, write: Write) -> None:
        write.error = None
        connection.execute(SQL["begin_operation"])
        try:
            write.result = write.operation(connection)
        except Exception as error:
            if spoils_connection(error) or not connection.in_transaction or (disk_is_full(error) and not write.intake):
                raise
            connection.execute(SQL["undo_operation"])
            if isinstance(error, sqlite3.Error):
                write.error = self._database.explain(error)
                write.error.__cause__ = error
            elif isinstance(error, UnicodeError):  # its own words would quote the text
                write.error = StoreError(_NO_UNICODE)
            else:
                write.error = error
        connection.execute(SQL["end_operation"])

    def _move_log(self, *, cut: bool = False) -> bool:
        """Move the log into the database file; cut it where it has grown too large, or is to be. Whether that worked."""
        self._unmoved = 0
        try:
            connection = self._connected()
            pages, moved = self._reserve.spend(lambda: self._database.move_log(connection))
            if pages == moved and (cut or self._log_size > LARGEST_LOG):
                if self._database.empty_log(connection):
                    self._log_size = 0
                else:
                    self._cut_at = time.monotonic() + PATIENCE_WITH_READERS
            (spare,) = connection.execute(SQL["spare_pages"]).fetchone()
        except Exception:  # noqa: BLE001 - nobody waits for this; the next write meets the same trouble and says so
            self._give_up()
            return False
        self._promised, self._spare = (pages - moved) * PAGE, spare * PAGE
        self._effort.checkpoints += 1
        return True

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = self._open_again()
        return self._connection

    def _give_up(self, *, rescue: bool = False) -> None:
        """Close the connection, which undoes what is not committed.

        `rescue`: a file was removed under us. What the log holds still goes into the database file, wherever that
        is now, and the log is left empty: it would be read into a database that was put in our place.
        """
        connection, self._connection = self._connection, None
        if connection is None:
            return
        with suppress(sqlite3.Error):
            if rescue:
                self._database.empty_log(connection)
        with suppress(sqlite3.Error):
            connection.close()

    def _finish(self) -> None:
        with self._wake:
            self._stopping = True
            left = list(self._queue)  # none, unless a bug ended this thread
            self._queue.clear()
        for write in left:
            write.error = StoreError(_CLOSED)
        self._tell(_answer, left)
        with suppress(Exception):  # what was answered is durable, and nobody is left to be told
            self._before_close(self._connection)
        self._give_up()
        self._after_close()

    def _tell(self, callback: Callable[..., None], *arguments: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(callback, *arguments)


_CLOSED: Final = "the store is closed"
_NO_UNICODE: Final = "a text is not valid Unicode and cannot be stored"


def _answer(batch: Sequence[Write]) -> None:
    for write in batch:
        if write.future.done():  # cancelled: the write is done all the same
            continue
        if write.error is None:
            write.future.set_result(write.result)
        else:
            write.future.set_exception(write.error)


def _signal(future: asyncio.Future[Exception | None], error: Exception | None) -> None:
    if not future.done():
        future.set_result(error)
