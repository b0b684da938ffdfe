"""The connections that write, each with one transaction at a time: what waits when one is free shares its next commit.

Writes of one kind are done together, in a few statements for all of them. Where one fails by its own fault, what it shared
the transaction with is done again, one by one. Nothing is waited for without an end: a transaction that takes too long, or
a connection that breaks, is given up and made anew beside, and what was in it is not known to be stored. While there is no
connection at all, every write is refused at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import asyncpg

from router.errors import AftercallError, StoreError
from router.failpoints import Failpoint, reached
from router.store.postgres.batch import Kind, Queue, Write
from router.store.postgres.queries import execute, fetch, only
from router.store.postgres.trouble import AGAIN, Repeat, breaks

if TYPE_CHECKING:
    from asyncpg import Connection

    from router.store.effort import Effort
    from router.store.postgres.server import Server, Session

T = TypeVar("T")

#: More are faster only for deliveries on a slow disk, by a third: see docs/scale.md.
CONNECTIONS: Final = 4
#: Seconds until a connection is tried again: the first and the longest time.
_WAITS: Final = (0.1, 5.0)
#: How often a transaction is done again that was in another router's way.
_TRIES: Final = 5
#: Numbers for `shard`; where all are taken, connections share the first.
_SHARDS: Final = 64
#: The lock of a number, with that number.
_SHARD_LOCK: Final = 0x_6166_7463


class Writer:
    """Takes writes and answers them when they are durable. `start` begins with a connection that was opened before."""

    def __init__(
        self, server: Server, effort: Effort, *, waiting: int, patience: float, connections: int = CONNECTIONS
    ) -> None:
        self._server = server
        self._wanted = connections
        self._effort = effort
        self._queue = Queue(waiting)
        #: Seconds that a transaction may take that is not known to be large.
        self._patience = patience
        self._workers: list[asyncio.Task[None]] = []
        #: Those that have nothing to do; the last one is woken first, so that one does it all while there is little.
        self._idle: list[asyncio.Future[None]] = []
        self._sessions: set[Session] = set()
        #: The server's processes behind connections that were given up because they took too long: see `_clear_away`.
        self._left: set[int] = set()
        #: No connection was free for as long as anybody waits, and none has done anything since.
        self._stuck = False
        self._trouble = StoreError(_CLOSED)
        self._stop = asyncio.Event()
        self._stop.set()

    @property
    def connections(self) -> int:
        """How many there are."""
        return len(self._sessions)

    async def start(self, session: Session) -> None:
        """Begin, with this connection and others. Raises `StoreError` where a commit on it is not confirmed."""
        await self._prepare(session)
        self._stop.clear()
        self._sessions.add(session)
        self._workers = [
            asyncio.create_task(self._work(session if n == 0 else None), name=f"store writer {n}")
            for n in range(self._wanted)
        ]

    async def stop(self) -> None:
        """Finish what waits, and close the connections; a repeat does nothing."""
        self._stop.set()
        self._wake(len(self._idle))
        if self._workers:
            await asyncio.wait(self._workers)
        self._refuse(StoreError(_CLOSED))

    async def run(
        self,
        operation: Callable[[Connection], Awaitable[T]],
        *,
        weight: int = 0,
        intake: bool = False,
        patience: float | None = None,
    ) -> T:
        """Do this in a commit of its own; otherwise as `write`."""
        return cast("T", await self.write(_ALONE, operation, weight=weight, intake=intake, patience=patience))

    async def write(
        self, kind: Kind, what: object, *, weight: int = 0, intake: bool = False, patience: float | None = None
    ) -> Any:
        """Do this together with what is of its kind, and return its result when that is durable.

        Raises `StoreBusy`, with nothing queued, where too much waits, and `StoreError` at once where there is no
        connection; what takes calls in (`intake`), also where none is free in time, and at once from then on, until
        one has done something.
        """
        if self._stop.is_set():
            raise StoreError(_CLOSED)
        if not self._sessions:
            raise _again(self._trouble)
        if intake and self._stuck:
            raise StoreError(self._busy)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        write = Write(kind, what, future, weight, self._patience if patience is None else patience)
        self._queue.put(write, intake=intake)
        self._wake(1)
        if not intake:
            return await future
        overdue = asyncio.get_running_loop().call_later(self._patience, self._give_way, write)
        try:
            return await future
        finally:
            overdue.cancel()

    def _give_way(self, write: Write) -> None:
        """Refuse what nobody has begun with.

        The connections that there are may be busy for a minute, with what is large, on a server that does not answer
        any more; whoever sends a call does not wait for that.
        """
        if self._queue.leave(write):
            self._stuck = True
            write.answer(StoreError(self._busy))

    @property
    def _busy(self) -> str:
        return f"{self._server.place}: {_BUSY}"

    # --- the workers ---

    def _wake(self, how_many: int) -> None:
        for _ in range(how_many):
            while self._idle:
                if _ring(self._idle.pop()):
                    break

    async def _work(self, session: Session | None) -> None:
        try:
            while True:
                if session is None:
                    session = await self._connected()
                    if session is None:
                        return
                if session.is_lost:
                    self._gone(session, StoreError(f"{self._server.place}: {_BROKE}"))
                    session = None
                elif session.is_doubtful:
                    with suppress(StoreError):  # it is lost then
                        await self._prove(session)
                        session.is_doubtful = False
                elif batch := self._queue.take():
                    await self._do(session, batch)
                    if session.is_overdue:
                        self._doubt()
                    self._queue.done(batch)
                    self._wake(min(len(self._queue), 1))
                elif self._stop.is_set():
                    return
                else:
                    await self._rest(session)
        finally:
            if session is not None:
                self._sessions.discard(session)
                await session.close()

    async def _rest(self, session: Session) -> None:
        """Wait for something to do, or for the end of the connection."""
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.append(woken)
        session.on_loss = lambda: _ring(woken)
        await woken
        session.on_loss = None

    async def _connected(self) -> Session | None:
        """A new connection, tried until there is one; None where the writer stops."""
        wait, longest = _WAITS
        while not self._stop.is_set():
            session: Session | None = None
            try:
                session = await self._server.connect()
                await self._prepare(session)
            except StoreError as error:
                if session is not None:
                    self._give_up(session)
                self._trouble = error
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), wait)
                wait = min(2 * wait, longest)
            else:
                self._sessions.add(session)
                self._stuck = False
                return session
        return None

    async def _prepare(self, session: Session) -> None:
        """Give it a number of its own to count by, and see that it works. Raises `StoreError`."""
        try:
            with session.within(self._patience):
                await self._clear_away(session)
                for shard in range(1, _SHARDS):
                    row = await only(session.connection, "take_shard", {"lock": _SHARD_LOCK, "shard": shard})
                    if row["taken"]:
                        await fetch(session.connection, "set_shard", {"shard": str(shard)})
                        break
        except Exception as error:  # noqa: BLE001 - told to whoever writes
            session.give_up()
            raise session.explain(error) from None
        await self._prove(session)

    async def _prove(self, session: Session) -> None:
        """See that commits are confirmed on it: with a standby away none is. Raises `StoreError`."""
        try:
            with session.within(self._patience):
                await self._transacted(session, _ALONE, [check])
        except Exception as error:  # noqa: BLE001 - told to whoever writes
            session.give_up()
            raise session.explain(error) from None

    def _give_up(self, session: Session) -> None:
        session.give_up()
        if session.is_overdue:
            self._left.add(session.pid)

    async def _clear_away(self, session: Session) -> None:
        """End what the server still does for connections that were given up.

        A process that waits for a standby does not notice that nobody is there any more. Each would keep its locks and
        one of the server's connections, until none is left.
        """
        left = sorted(self._left)
        if left:
            await fetch(session.connection, "end_processes", {"pids": left})
            self._left.difference_update(left)

    def _doubt(self) -> None:
        """Where one connection got no answer, the others may not either: those with nothing to do find out."""
        for session in self._sessions:
            session.is_doubtful = True
        self._wake(len(self._idle))

    def _gone(self, session: Session, error: StoreError) -> None:
        """This connection is no more. Without another, nothing that waits can be written soon."""
        self._give_up(session)
        self._sessions.discard(session)
        self._trouble = error
        if not self._sessions:
            self._refuse(error)

    def _refuse(self, error: StoreError) -> None:
        for write in self._queue.drain():
            write.answer(_again(error))

    # --- one batch ---

    async def _do(self, session: Session, batch: Sequence[Write], tries: int = _TRIES) -> None:
        """Do these writes and answer them."""
        try:
            with session.within(max(write.patience for write in batch)):
                results, seconds = await self._transacted(
                    session,
                    batch[0].kind,
                    [write.what for write in batch],
                    of_calls=any(write.weight for write in batch),  # what only asks or settles has none
                )
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            if session.is_lost or breaks(error) or isinstance(error, _Unconfirmed):
                if not isinstance(error, _Unconfirmed):
                    session.give_up()
                for write in batch:
                    write.answer(session.explain(error))
            elif isinstance(error, (*AGAIN, Repeat)) and tries > 1:
                await self._do(session, batch, tries - 1)
            elif len(batch) > 1:
                for write in batch:
                    await self._do(session, [write])
            else:
                batch[0].answer(error if _is_an_answer(error) else session.explain(error))
            return
        self._stuck = False
        for write, result in zip(batch, results, strict=True):
            write.answer(result)
        effort = self._effort
        effort.writes += len(batch)
        effort.commits += 1
        effort.commit_seconds.add(seconds)
        effort.commit_writes.add(len(batch))
        effort.largest_batch = max(effort.largest_batch, len(batch))

    async def _transacted(
        self, session: Session, kind: Kind, what: Sequence[Any], *, of_calls: bool = False
    ) -> tuple[Sequence[object], float]:
        """The results, when they are durable, and how long the commit took."""
        connection = session.connection
        await execute(connection, "begin")
        try:
            results = await kind.work(connection, what)
        except Exception:
            if not session.is_lost:
                await execute(connection, "rollback")
            raise
        if of_calls:
            reached(Failpoint.BEFORE_COMMIT)
        began, warned = time.perf_counter(), session.warnings
        if await execute(connection, "commit") != "COMMIT":
            message = f"{self._server.place}: the commit came to nothing; this is a bug in aftercall"
            raise _Unconfirmed(message)
        if session.warnings != warned:
            message = (
                f"{self._server.place}: the wait for a standby was cancelled on the server, so it is not known whether "
                "what was written is there: leave such waits alone"
            )
            raise _Unconfirmed(message)
        return results, time.perf_counter() - began


class _Unconfirmed(StoreError):
    """The commit was answered, and not as it must be."""


async def check(connection: Connection) -> None:
    """Write something that means nothing."""
    await fetch(connection, "check")


async def _each(connection: Connection, what: Sequence[Callable[[Connection], Awaitable[object]]]) -> list[object]:
    return [await operation(connection) for operation in what]


#: What has a commit of its own.
_ALONE: Final = Kind(_each, at_once=_SHARDS, largest=1)
_CLOSED: Final = "the store is closed"
_BUSY: Final = "no connection was free in time: the server answers late, or not at all"
_BROKE: Final = "the connection to the server broke; it is made anew"


def _ring(bell: asyncio.Future[None]) -> bool:
    """Wake who waits for this; False where something else did."""
    if bell.done():
        return False
    bell.set_result(None)
    return True


def _is_an_answer(error: Exception) -> bool:
    """Whether the operation itself says this, and no library."""
    return isinstance(error, AftercallError) or not isinstance(
        error,
        (OSError, UnicodeError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError),
    )


def _again(error: StoreError) -> StoreError:
    """One of the same for each who is told."""
    return type(error)(str(error))
