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
    content = path.read_bytes()
    if len(content) != LENGTH:
        message = f"{path} is damaged ({len(content)} bytes instead of {LENGTH}): restore it"
        raise StoreError(message)
    key = SeenKey(content)
    known = connection.execute(SQL["seen_key"]).fetchone()
    if known is None or not compare_digest(known["proof"], key.proof()):
        if needed:
            message = f"{path} is not the key that the database was filled with: restore the two together"
            raise StoreError(message)
        connection.execute(SQL["begin"])
        connection.execute(SQL["forget_seen_key"])
        connection.execute(SQL["set_seen_key"], {"proof": key.proof()})
        connection.execute(SQL["commit"])
    return key
