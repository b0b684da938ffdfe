"""The server, and the connections to it. A connection without every safeguard is not handed out."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from router.errors import StoreError
from router.store.postgres import codecs
from router.store.postgres.queries import SQL, execute, fetch, only
from router.store.postgres.trouble import breaks, explain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from asyncpg import Connection, PostgresLogMessage

    from router.store.postgres.place import Place

#: 14 is the first that finds the one partition of a row while it updates many.
OLDEST_SERVER: Final = 14
#: Seconds until a server that does not answer counts as away.
PATIENCE: Final = 5.0
#: Seconds that a connection may take to say goodbye.
_GOODBYE: Final = 2.0
#: What every connection is set to.
#:
#: Each statement is written for one way, through an index, whatever the tables have in them: planning it anew each time
#: took far longer than doing it (26 ms of 27, with five months), and statistics of a month that has just begun would lead
#: it through the whole of a table some time. So it is planned once, and what is no index is the last choice.
#:
#: Then: a router that vanished must not hold its locks for long. One whose machine is gone says no goodbye, and
#: its connections end when it has not answered for half a minute: its name is free then, and whoever wants to keeps house.
#:
#: The last ones are what somebody may have set for a role or a database. A warning has to be heard, because it may be all
#: that tells a commit that was not confirmed from one that was; and what takes too long ends here, by `Session.within`.
_SETTINGS: Final = """
    SET search_path = aftercall;
    SET timezone = 'UTC';
    SET jit = off;
    SET plan_cache_mode = force_generic_plan;
    SET enable_seqscan = off;
    SET enable_bitmapscan = off;
    SET enable_sort = off;
    SET enable_hashjoin = off;
    SET enable_mergejoin = off;
    SET idle_in_transaction_session_timeout = '60s';
    SET client_connection_check_interval = '5s';
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SET tcp_user_timeout = '25s';
    SET client_min_messages = warning;
    SET default_transaction_isolation = 'read committed';
    SET statement_timeout = 0;
    SET lock_timeout = 0;
    SET idle_session_timeout = 0;
    SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout';
"""


class Session:
    """One connection, and what is known of it."""

    def __init__(self, connection: Connection, place: Place) -> None:
        self.connection = connection
        self._place = place
        #: The server's process.
        self.pid: int = connection.get_server_pid()
        #: Called when the connection is gone.
        self.on_loss: Callable[[], object] | None = None
        self._lost = False
        #: How many warnings came.
        self.warnings = 0
        #: It was cut because it took too long.
        self.is_overdue = False
        #: It may be of no use any more, and nobody knows yet.
        self.is_doubtful = False
        connection.add_termination_listener(lambda _: self._lose())
        connection.add_log_listener(self._heard)

    def _heard(self, _: object, message: PostgresLogMessage) -> None:
        if getattr(message, "severity_en", None) == "WARNING":
            self.warnings += 1

    @property
    def is_lost(self) -> bool:
        """Whether nothing more can be done on it."""
        return self._lost or self.connection.is_closed()

    def _lose(self) -> None:
        self._lost = True
        if self.on_loss is not None:
            self.on_loss()

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        """Whatever is done in here ends with an error after so long, and the connection with it.

        By cutting it, not by asking the server to cancel: nothing is waited for, and a commit that waits for a standby
        would answer that it was done.
        """
        timer = asyncio.get_running_loop().call_later(seconds, self._cut)
        try:
            yield
        finally:
            timer.cancel()

    def _cut(self) -> None:
        self.is_overdue = True
        self.give_up()

    def give_up(self) -> None:
        """Cut the connection at once; what was not committed is undone."""
        self._lose()
        self.connection.terminate()

    def explain(self, error: BaseException) -> StoreError:
        """The error for callers."""
        return explain(TimeoutError() if self.is_overdue and breaks(error) else error, self._place)

    async def close(self) -> None:
        """End it, politely if that is quick."""
        with suppress(Exception):
            await self.connection.close(timeout=_GOODBYE)
        self._lost = True


class Server:
    """Where connections come from."""

    def __init__(self, place: Place, router: str = "", *, program: str = "aftercall") -> None:
        self.place = place
        #: The name of the router whose claims are made on these.
        self.router = router
        #: What the server's administrator sees in pg_stat_activity.
        self._program = program
        #: Where to ask, the one that was there last first.
        self._urls = list(place.each)

    async def connect(self) -> Session:
        """A connection with every safeguard on. Raises `StoreError`.

        Of several hosts each has its share of the time: one that does not answer must not keep the next from being asked.
        """
        failed: Exception = TimeoutError()
        for url in [*self._urls]:
            try:
                connection = await self._connected(url, PATIENCE / len(self._urls))
            except Exception as error:  # noqa: BLE001 - whatever a library makes of a URL and a network
                # What a server has said tells more than that another one is silent.
                failed = error if isinstance(failed, (OSError, TimeoutError)) else failed
            else:
                self._urls.sort(key=lambda one: one != url)
                return await self._secured(connection)
        raise explain(failed, self.place) from None

    async def _connected(self, url: str, patience: float) -> Connection:
        return await asyncpg.connect(
            url,
            password=self.place.password,
            timeout=patience,
            target_session_attrs=SessionAttribute.read_write,
            statement_cache_size=2 * len(SQL),  # all of them, for as long as the connection lasts
            max_cached_statement_lifetime=0,
            server_settings={"application_name": self._program},
        )

    async def _secured(self, connection: Connection) -> Session:
        session = Session(connection, self.place)
        try:
            with session.within(PATIENCE):
                await self._secure(connection)
        except BaseException as error:
            session.give_up()
            if isinstance(error, Exception):
                raise session.explain(error) from None
            raise
        return session

    async def _secure(self, connection: Connection) -> None:
        major = connection.get_server_version().major
        if major < OLDEST_SERVER:
            message = (
                f"{self.place}: PostgreSQL {OLDEST_SERVER} or newer is needed, and the server has {major}: upgrade it"
            )
            raise StoreError(message)
        encoding = (await only(connection, "encoding"))["server_encoding"]
        if encoding != "UTF8":
            message = (
                f"{self.place}: the database keeps texts as {encoding}, which has no room for every name: make another "
                "with ENCODING 'UTF8' TEMPLATE template0"
            )
            raise StoreError(message)
        await connection.execute(_SETTINGS)
        await codecs.install(connection)
        await fetch(connection, "set_router", {"router": self.router})
        (settings,) = await fetch(connection, "settings")
        for name in ("fsync", "full_page_writes"):
            if settings[name] != "on":
                message = f"{self.place}: the server has {name} = off, and could lose what it has confirmed: set it on"
                raise StoreError(message)
        # Also where it is on already: the server's own setting may be changed while the connection lasts.
        await execute(connection, "set_applied" if settings["synchronous_commit"] == "remote_apply" else "set_durable")
