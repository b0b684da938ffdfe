"""A copy of a database that is whole while a router writes it: one snapshot, of what is in the database, and verified.

`VACUUM INTO` copies rows, not pages: what was purged is not in the copy. It is another process's connection that reads,
and it only reads. Nothing may open the database's files otherwise: closing them would drop the router's own locks.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from router.errors import StoreError
from router.store.keys import SeenKey
from router.store.sqlite import looking, schema
from router.store.sqlite.queries import SQL
from router.store.sqlite.trouble import code, explain

if TYPE_CHECKING:
    from pathlib import Path

    from router.store.lines import Summary

#: Seconds to wait for a lock; a router that starts or stops may have one for a moment.
_PATIENCE: Final = 10.0


@dataclass(frozen=True, slots=True)
class Copied:
    """What is in a copy."""

    summary: Summary
    #: What the copy keeps to know the key of `seen` again; None where nothing was ever opened.
    proof: bytes | None

    def fits(self, key: bytes) -> bool:
        """Whether this is the key that the database was filled with."""
        return self.proof == SeenKey(key).proof()


def size(database: Path) -> int:
    """About the bytes that a copy will take. Raises `StoreError`."""
    try:
        with closing(_opened(database)) as connection:
            return int(connection.execute(SQL["used_bytes"]).fetchone()[0])
    except sqlite3.Error as error:
        raise explain(error, database) from error


def copy(database: Path, into: Path) -> None:
    """Copy what is committed now into an empty file. Raises `StoreError`; the file is no copy then."""
    try:
        with closing(_opened(database)) as connection:
            schema.refuse_other(connection, database)
            schema.refuse_half_copy(connection, database)
            connection.execute(SQL["copy"], {"into": str(into.absolute())})
    except sqlite3.Error as error:
        raise explain(error, into if code(error) == sqlite3.SQLITE_FULL else database) from error


def verified(copied: Path) -> Copied:
    """What is in the copy. Raises `StoreError` where its pages, its rows or its sums do not hold."""
    try:
        with closing(_opened(copied, immutable=True)) as connection:
            connection.execute(SQL["look"])
            for check in ("check_pages", "check_references", "check_sums"):
                found = connection.execute(SQL[check]).fetchone()
                if found is not None and found[0] != "ok":
                    what = check.removeprefix("check_")
                    message = f"the {what} of the copy do not hold, and so may those of the database: check the disk"
                    raise StoreError(message)
            known = connection.execute(SQL["seen_key"]).fetchone()
            return Copied(looking.summary(connection), None if known is None else bytes(known["proof"]))
    except sqlite3.Error as error:
        raise explain(error, copied) from error


def _opened(path: Path, *, immutable: bool = False) -> sqlite3.Connection:
    """A connection that can only read; `immutable`: a file that nobody writes, and beside which nothing is made."""
    mode = "mode=ro&immutable=1" if immutable else "mode=ro"
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{mode}", uri=True, timeout=_PATIENCE, isolation_level=None
    )
    connection.row_factory = sqlite3.Row
    return connection
