"""What a router keeps of itself in the database, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.store.sqlite.queries import SQL

if TYPE_CHECKING:
    import sqlite3


def memo(connection: sqlite3.Connection, *, name: str) -> bytes | None:
    """What was kept under this name."""
    row = connection.execute(SQL["memo"], {"name": name}).fetchone()
    return None if row is None else bytes(row["content"])


def keep_memo(connection: sqlite3.Connection, *, name: str, content: bytes) -> None:
    """Keep this there."""
    connection.execute(SQL["keep_memo"], {"name": name, "content": content})
