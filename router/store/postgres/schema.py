"""Which version a database has, and how it gets to the newest, while other routers start or run.

Each migration is one transaction, and one router does it; those that start at the same moment wait. Older routers that run
go on: so a migration adds, and takes nothing away that they use. They are refused at their next start.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from router.errors import StoreError
from router.failpoints import Failpoint, reached
from router.store import migrations as migrations_
from router.store.keys import SeenKey, made
from router.store.migrations import Migration, migrations, refuse_newer, refuse_older
from router.store.postgres.queries import execute, fetch, first, only

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from asyncpg import Connection

KNOWN: Final = migrations(__package__)

#: The lock on the schema: any number that no other program in this database locks.
_LOCK: Final = 0x_6166_7465_7263_616C
#: The lock of whoever copies from or to this database.
COPY_LOCK: Final = _LOCK + 1
#: How to be rid of all that a store has in a database.
REMOVAL: Final = "remove it (DROP SCHEMA aftercall CASCADE)"


@asynccontextmanager
async def locked(connection: Connection) -> AsyncIterator[None]:
    """Nobody else changes the schema meanwhile. Not within a transaction: it would not see what the one before changed."""
    await fetch(connection, "lock_schema", {"lock": _LOCK})
    yield
    await fetch(connection, "unlock_schema", {"lock": _LOCK})


async def migrate(connection: Connection, place: object, known: Sequence[Migration] = KNOWN) -> None:
    """Bring the database to the newest version known; under the lock. Raises `StoreError` where it is newer than that."""
    if not (await only(connection, "has_schema"))["there"]:
        async with connection.transaction():
            await execute(connection, "add_schema")
            await execute(connection, "add_migrations")
    version = await _version(connection)
    refuse_newer(version, known[-1].version, place)
    for migration in known:
        if migration.version > version:
            async with connection.transaction():
                await _apply(connection, migration)


async def _apply(connection: Connection, migration: Migration) -> None:
    await connection.execute(migration.text)
    await fetch(connection, "migrated", {"version": migration.version, "name": migration.name})
    reached(Failpoint.IN_MIGRATION)


async def refuse_other(connection: Connection, place: object) -> None:
    """Raise `StoreError` where the database is of another version than this program writes."""
    version = await _version(connection)
    refuse_newer(version, KNOWN[-1].version, place)
    refuse_older(version, KNOWN[-1].version, place)


async def half_copy(connection: Connection) -> str | None:
    """What a copy into this database has noted, while it is not finished."""
    if not (await only(connection, "has_half_copy"))["there"]:
        return None
    return str((await only(connection, "half_copy"))["noted"])


async def refuse_half_copy(connection: Connection, place: object) -> None:
    """Raise `StoreError` where a copy into this database was begun, and not finished."""
    migrations_.refuse_half_copy(await half_copy(connection), place, REMOVAL)


async def _version(connection: Connection) -> int:
    return int((await only(connection, "version"))["version"])


async def key(connection: Connection) -> SeenKey:
    """The key of `seen`, the same for all routers of this database; made under the lock where nothing was seen yet.

    Raises `StoreError` where it is missing: with another one, whatever comes again would be new.
    """
    if (found := await first(connection, "seen_key")) is not None:
        return SeenKey(found["key"])
    if (await only(connection, "any_seen"))["any"]:
        message = (
            "the table aftercall.seen_key is empty, without which no call is known again: restore it from a backup"
        )
        raise StoreError(message)
    key = SeenKey(made())
    await fetch(connection, "set_seen_key", {"key": key.key})
    return key
