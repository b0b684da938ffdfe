"""Numbered migrations: each is one transaction, so a database is at one version or at the next, never between."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Final

from router.errors import StoreError
from router.failpoints import Failpoint, reached
from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

_NAME = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """The way from the version before to `version`; the text ends by setting `user_version` to it."""

    version: int
    name: str
    text: str


def migrations() -> tuple[Migration, ...]:
    """The migrations that this program knows, first one first."""
    found = (
        Migration(int(match[1]), match[2], file.read_text("utf-8"))
        for file in resources.files(__package__).joinpath("migrations").iterdir()
        if (match := _NAME.fullmatch(file.name))
    )
    return tuple(sorted(found, key=lambda migration: migration.version))


KNOWN: Final = migrations()


def refuse_newer(connection: sqlite3.Connection, known: Sequence[Migration] = KNOWN) -> None:
    """Raise `StoreError` where the database is of a version that is not known."""
    version, newest = _version(connection), known[-1].version
    if version > newest:
        message = (
            f"the database has version {version}, and this aftercall knows versions up to {newest}: it was written by "
            "a newer aftercall, so install that one again; nothing was changed"
        )
        raise StoreError(message)


def refuse_other(connection: sqlite3.Connection) -> None:
    """Raise `StoreError` where the database is of another version than this program writes."""
    refuse_newer(connection)
    if (version := _version(connection)) < (newest := KNOWN[-1].version):
        message = (
            f"the database has version {version}, and this aftercall writes version {newest}: do this with the "
            "aftercall that wrote it, or start this one once; nothing was changed"
        )
        raise StoreError(message)


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
