"""Which version a database has, and how it gets to the newest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from router.errors import StoreError
from router.failpoints import Failpoint, reached
from router.store import migrations as newer
from router.store.migrations import Migration, migrations
from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

#: Each text ends by setting `user_version` to its version.
KNOWN: Final = migrations(__package__)


def refuse_newer(connection: sqlite3.Connection, place: object, known: Sequence[Migration] = KNOWN) -> None:
    """Raise `StoreError` where the database is of a version that is not known."""
    newer.refuse_newer(_version(connection), known[-1].version, place)


def refuse_other(connection: sqlite3.Connection, place: object) -> None:
    """Raise `StoreError` where the database is of another version than this program writes."""
    refuse_newer(connection, place)
    newer.refuse_older(_version(connection), KNOWN[-1].version, place)


def is_new(connection: sqlite3.Connection) -> bool:
    """Whether nothing was ever made of the database."""
    return _version(connection) == 0 and connection.execute(SQL["any_table"]).fetchone() is None


def half_copy(connection: sqlite3.Connection) -> str | None:
    """What a copy into this database has noted, while it is not finished."""
    if connection.execute(SQL["has_half_copy"]).fetchone() is None:
        return None
    return str(connection.execute(SQL["half_copy"]).fetchone()["noted"])


def refuse_half_copy(connection: sqlite3.Connection, place: object) -> None:
    """Raise `StoreError` where a copy into this database was begun, and not finished."""
    newer.refuse_half_copy(half_copy(connection), place, "remove it")


def migrate(connection: sqlite3.Connection, known: Sequence[Migration] = KNOWN) -> None:
    """Bring the database to the newest version known."""
    version = _version(connection)
    for migration in known:
        if migration.version > version:
            _apply(connection, migration)


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    try:
        connection.executescript(SQL["begin"] + migration.text)
        if _version(connection) != migration.version:
            message = f"migration {migration.version} did not set its user_version"
            raise StoreError(message)
        reached(Failpoint.IN_MIGRATION)
        connection.execute(SQL["commit"])
    except BaseException:
        if connection.in_transaction:
            connection.execute(SQL["rollback"])
        raise


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute(SQL["user_version"]).fetchone()[0])
