"""What routers keep of themselves in the database, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.store.postgres.queries import fetch, first

if TYPE_CHECKING:
    from asyncpg import Connection


async def memo(connection: Connection, *, name: str) -> bytes | None:
    """What was kept under this name."""
    row = await first(connection, "memo", {"name": name})
    return None if row is None else bytes(row["content"])


async def keep_memo(connection: Connection, *, name: str, content: bytes) -> None:
    """Keep this there."""
    await fetch(connection, "keep_memo", {"name": name, "content": content})
