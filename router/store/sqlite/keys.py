"""The file with the key of `seen`, and the proof in the database that the two belong together."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

from router.errors import StoreError
from router.store.keys import LENGTH, SeenKey, made
from router.store.sqlite import folder
from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

KEY_FILE = "seen.key"


def load(connection: sqlite3.Connection, data: Path) -> SeenKey:
    """The key of this data folder, made where nothing was ever seen.

    Raises `StoreError` where something was, and the key is missing or another: every call would count as new.
    """
    path = data / KEY_FILE
    needed = bool(connection.execute(SQL["any_seen"]).fetchone()[0])
    if not path.exists():
        if needed:
            message = f"{path} is missing, and without it every known call would be taken for a new one: restore it"
            raise StoreError(message)
        folder.create(path, made())
    key = SeenKey(_content(path))
    if not _fits(connection, key):
        if needed:
            raise _another(path)
        connection.execute(SQL["begin"])
        prove(connection, key)
        connection.execute(SQL["commit"])
    return key


def found(connection: sqlite3.Connection, data: Path) -> SeenKey:
    """The key of a store that was open once. Raises `StoreError` where it is missing or another."""
    path = data / KEY_FILE
    if not path.exists():
        message = f"{path} is missing, and without it nothing that was seen is known: restore it"
        raise StoreError(message)
    key = SeenKey(_content(path))
    if not _fits(connection, key):
        raise _another(path)
    return key


def take_over(data: Path, key: SeenKey) -> None:
    """Put the key of another store in the place of the one here, where nothing was ever seen."""
    folder.replace(data / KEY_FILE, key.key)


def prove(connection: sqlite3.Connection, key: SeenKey) -> None:
    """Let the database know this key again, from the commit on."""
    connection.execute(SQL["forget_seen_key"])
    connection.execute(SQL["set_seen_key"], {"proof": key.proof()})


def _content(path: Path) -> bytes:
    content = path.read_bytes()
    if len(content) != LENGTH:
        message = f"{path} is damaged ({len(content)} bytes instead of {LENGTH}): restore it"
        raise StoreError(message)
    return content


def _fits(connection: sqlite3.Connection, key: SeenKey) -> bool:
    known = connection.execute(SQL["seen_key"]).fetchone()
    return known is not None and compare_digest(known["proof"], key.proof())


def _another(path: Path) -> StoreError:
    return StoreError(f"{path} is not the key that the database was filled with: restore the two together")
