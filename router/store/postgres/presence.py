"""That a router is there: a connection of its own, which holds its name, and the keys of the house while nobody else does.

Both are locks of that connection. The server lets go of them when it ends, however that comes: a router that is killed
is gone at once, and one whose machine is, when it does not answer any more (see `server`). A router that hangs with
its connection open does not beat; whoever wants what it holds ends that connection.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from router.errors import NameTaken, StoreError
from router.store.lines import RouterLine
from router.store.postgres.queries import execute, fetch, first, only
from router.store.rows import moment
from router.store.values import ALIVE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from asyncpg import Connection, Record

    from router.store.postgres.server import Server, Session
    from router.store.values import Card

#: Seconds that a name is waited for at the start: so long the connection of an earlier run may linger.
WAITS: Final = 30.0
#: Seconds the same while a router runs: what lingers then is its own, and it ends that.
_WAITS_AGAIN: Final = 2.0
_LOOK_AGAIN: Final = 0.2
#: For so many beats of its own a router that finds others there leaves the house to them: they know more of the clock.
_NEW_FOR: Final = 2
#: The lock of whoever keeps house.
HOUSE: Final = 0x_6166_7468_6F75_7365
#: Seconds in which who holds a lock was not seen to beat: by this machine's time, for the server's clock may be set.
SILENT: Final = ALIVE.total_seconds()
_CLOSED: Final = "the store is closed"


class Presence:
    """One router's. `begin` takes the name, each `beat` says that it is there, `end` that it is there no more."""

    def __init__(
        self, server: Server, *, waits: float, silent: float, patience: float, waiting: Callable[[str], object]
    ) -> None:
        """`waits`: seconds that the name may be another's at the start; `waiting` is told of it once. `silent`: see `SILENT`."""
        self._server = server
        self._lock = _lock_of(server.router)
        self._waits = waits
        self._silent = silent
        #: By lock, the last beat that was seen of who holds it, and when it was seen first, by the loop's time.
        self._heard: dict[int, tuple[Record, float]] = {}
        self._patience = patience
        self._waiting = waiting
        #: What this run is known by, whoever has had the name before.
        self.run = str(uuid4())
        self._session: Session | None = None
        self._has_keys = False
        #: How often it has beaten, up to `_NEW_FOR`.
        self._beats = 0
        self._beating = asyncio.Lock()
        #: The server's process behind the last connection: where that was lost, it may not have noticed, and hold the name.
        self._left: list[int] = []

    @property
    def keeps_house(self) -> bool:
        """Whether this router does the chores of all."""
        return self._has_keys and self.has_name

    @property
    def has_name(self) -> bool:
        """Whether nobody else can have the name, as far as is known here."""
        return self._session is not None and not self._session.is_lost

    async def begin(self) -> None:
        """Take the name. Raises `NameTaken`, or another `StoreError`."""
        self._session = await self._connected(self._waits, self._waiting)

    async def beat(self, card: Card) -> datetime:
        """See `Store.beat`."""
        async with self._beating:
            session = self._session
            if session is None:
                raise StoreError(_CLOSED)
            if session.is_lost:
                session = self._session = await self._connected(_WAITS_AGAIN)
            try:
                with session.within(self._patience):
                    return await self._beaten(session.connection, card)
            except Exception as error:  # noqa: BLE001 - told to whoever looks after the router
                session.give_up()
                raise session.explain(error) from None

    async def _beaten(self, connection: Connection, card: Card) -> datetime:
        has_keys = self._has_keys or (not card.holds and await self._takes_house(connection))
        row = {
            "name": self._server.router,
            "run": self.run,
            "version": card.version,
            "rules": card.rules,
            "ahead": card.ahead,
            "holds": card.holds,
            "forgets": has_keys,
        }
        time = moment((await only(connection, "beat", row))["time"])
        self._has_keys, self._beats = has_keys, min(self._beats + 1, _NEW_FOR)
        return time

    async def _takes_house(self, connection: Connection) -> bool:
        if self._beats < _NEW_FOR:
            others = await only(connection, "others", {"name": self._server.router, "alive": ALIVE})
            if others["any"]:
                return False
        await self._end_holder(connection, HOUSE)
        return await _took(connection, HOUSE)

    async def end(self) -> None:
        """Let go of everything; a repeat does nothing."""
        async with self._beating:
            session, self._session = self._session, None
            if session is not None:
                with suppress(Exception), session.within(self._patience):
                    await fetch(session.connection, "leave", {"name": self._server.router, "run": self.run})
                await session.close()

    # --- the name ---

    async def _connected(self, waits: float, waiting: Callable[[str], object] = lambda _: None) -> Session:
        session = await self._server.connect()
        try:
            with session.within(waits + self._patience):
                # What is said here may be lost, and must not wait for a standby: the name would be lost meanwhile.
                await execute(session.connection, "answer_at_once")
                await self._take_name(session.connection, waits, waiting)
        except BaseException as error:
            session.give_up()
            if isinstance(error, Exception):
                raise session.explain(error) from None
            raise
        self._has_keys = False
        self._left = [session.pid]
        return session

    async def _take_name(self, connection: Connection, waits: float, waiting: Callable[[str], object]) -> None:
        now = asyncio.get_running_loop().time
        until, told = now() + waits, False
        while True:
            await self._end_holder(connection, self._lock, self._left)
            if await _took(connection, self._lock):
                return
            if now() >= until:
                raise NameTaken(await self._taken(connection))
            if not told:
                waiting(await self._taken(connection))
                told = True
            await asyncio.sleep(_LOOK_AGAIN)

    async def _end_holder(self, connection: Connection, lock: int, pids: Sequence[int] = ()) -> None:
        """End the connection of who has this lock, where nobody is behind it: it is one of these, or does not beat."""
        now = asyncio.get_running_loop().time()
        beat = await first(connection, "last_beat", {"lock": lock})
        if beat is not None:
            last, since = self._heard.get(lock, (None, now))
            if last is None or (last["pid"], last["beat_at"]) != (beat["pid"], beat["beat_at"]):
                since = now
            self._heard[lock] = beat, since
            if now - since >= self._silent:
                pids = [*pids, beat["pid"]]
        if pids:
            await fetch(connection, "end_holder", {"lock": lock, "pids": [*pids]})

    async def _taken(self, connection: Connection) -> str:
        """Who has the name, and what to do."""
        name = self._server.router
        found = await first(connection, "holder", {"lock": self._lock, "name": name})
        known = []
        if found is not None:
            address, since, version = found["address"], found["since"], found["version"]
            known += [f"at {address}"] if address else []
            known += [f"since {moment(since):%Y-%m-%d %H:%M:%S} UTC"] if since is not None else []
            known += [f"version {version}"] if version else []
        return (
            f"{self._server.place}: another router there has the name {name!r} ({', '.join(known) or 'it has just come'}): "
            "give each router a `name` of its own in routes.yaml, or end that one"
        )


async def routers(connection: Connection, *, here: str) -> tuple[RouterLine, ...]:
    """Which routers there are; `here` is the run that asks."""
    return tuple(
        RouterLine(
            name=row["name"],
            alive=row["alive"],
            here=row["run"] == here,
            keeps_house=row["keeps_house"],
            holds=row["holds"],
            version=row["version"],
            rules=row["rules"],
            started_at=moment(row["started_at"]),
            seen_at=moment(row["beat_at"]),
            ahead=row["ahead"],
        )
        for row in await fetch(connection, "routers", {"house": HOUSE, "alive": ALIVE})
    )


async def _took(connection: Connection, lock: int) -> bool:
    return bool((await only(connection, "take_lock", {"lock": lock}))["taken"])


def _lock_of(name: str) -> int:
    """The lock of a name: a number that no other lock of ours has."""
    return int.from_bytes(hashlib.sha256(b"aftercall router " + name.encode()).digest()[:8], "big") >> 1
