"""The database's files and the connections to them. A connection without every safeguard is not handed out."""

from __future__ import annotations

import os
import sqlite3
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from router.errors import StoreError
from router.store.lines import Room
from router.store.sqlite import folder, leftovers
from router.store.sqlite.queries import SQL
from router.store.sqlite.trouble import disk_failed, explain

if TYPE_CHECKING:
    from pathlib import Path

#: STRICT tables; RETURNING is older (3.35).
OLDEST_SQLITE: Final = (3, 37, 0)

#: How long a connection waits for a lock that only another program can have, in seconds.
_PATIENCE = 2.0

#: What every connection is set to, and must then answer. `temp_store`: savepoints would spill calls into /tmp.
_SAFEGUARDS: Final[tuple[tuple[str, str, object], ...]] = (
    ("PRAGMA journal_mode = WAL", "PRAGMA journal_mode", "wal"),
    ("PRAGMA synchronous = FULL", "PRAGMA synchronous", 2),
    ("PRAGMA foreign_keys = ON", "PRAGMA foreign_keys", 1),
    ("PRAGMA secure_delete = ON", "PRAGMA secure_delete", 1),
    ("PRAGMA mmap_size = 0", "PRAGMA mmap_size", 0),
    ("PRAGMA trusted_schema = OFF", "PRAGMA trusted_schema", 0),
    ("PRAGMA temp_store = MEMORY", "PRAGMA temp_store", 2),
    ("PRAGMA wal_autocheckpoint = 0", "PRAGMA wal_autocheckpoint", 0),
)
_ON_DARWIN: Final[tuple[tuple[str, str, object], ...]] = (
    ("PRAGMA fullfsync = ON", "PRAGMA fullfsync", 1),
    ("PRAGMA checkpoint_fullfsync = ON", "PRAGMA checkpoint_fullfsync", 1),
)
_ONLY_READS: Final[tuple[tuple[str, str, object], ...]] = (("PRAGMA query_only = ON", "PRAGMA query_only", 1),)


class Moved(StoreError):
    """A file of the database was removed or replaced while the router ran."""


@dataclass
class Database:
    """One database, by its path, and whether its files are still the ones that were opened."""

    path: Path
    #: The disk failed while the log was moved: what was moved before may be lost, and only the log has it for certain.
    in_doubt: bool = False
    _files: dict[Path, tuple[int, int]] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The write-ahead log."""
        return self.path.with_name(f"{self.path.name}-wal")

    @property
    def index(self) -> Path:
        """The index of the log, which all who read it share."""
        return self.path.with_name(f"{self.path.name}-shm")

    def create(self) -> None:
        """Make an empty database file where there is none. SQLite gives its other files the same permissions."""
        if not self.path.exists():
            folder.create(self.path)

    def connect(self, *, only_reads: bool = False) -> sqlite3.Connection:
        """A connection with every safeguard on, each read back; raises `StoreError` where one is not.

        Never creates the file. The writer's connection stays in the thread that opened it. One that only reads can do
        nothing else: where it is the last to close, SQLite neither moves nor removes the log.
        """
        connection = sqlite3.connect(
            f"{self.path.absolute().as_uri()}?mode={'ro' if only_reads else 'rw'}",
            uri=True,
            timeout=_PATIENCE,
            isolation_level=None,
            check_same_thread=not only_reads,
        )
        try:
            connection.row_factory = sqlite3.Row
            # What is no UTF-8 any more must not fail the query. What is delivered of it is known by its digest.
            connection.text_factory = partial(str, encoding="utf-8", errors="replace")
            safeguards = _SAFEGUARDS + (_ON_DARWIN if sys.platform == "darwin" else ())
            for safeguard in safeguards + (_ONLY_READS if only_reads else ()):
                self._set(connection, *safeguard)
        except BaseException:
            connection.close()
            raise
        return connection

    def _set(self, connection: sqlite3.Connection, statement: str, question: str, wanted: object) -> None:
        connection.execute(statement).fetchall()
        answer = connection.execute(question).fetchone()
        found = 0 if answer is None else answer[0]  # no answer: SQLite was compiled without it
        if found != wanted:
            message = (
                f"{self.path}: {statement!r} had no effect ({question} is {found}): the folder must be on a local disk"
            )
            raise StoreError(message)

    def remember(self, *others: Path) -> None:
        """From now on, the database, its log and `others` must stay the files that they are."""
        self._files = {path: _identity(path) for path in (self.path, self.log, *others)}

    def verify(self) -> int:
        """Raise `Moved` if a file was removed or replaced; otherwise the size of the log in bytes."""
        size = 0
        for path, identity in self._files.items():
            try:
                status = path.stat()
            except OSError:
                status = None
            if status is None or (status.st_dev, status.st_ino) != identity:
                message = f"{path} was removed or replaced while the router ran: put it back, or restart the router"
                raise Moved(message)
            if path == self.log:
                size = status.st_size
        return size

    def room(self, reserve: int) -> Room:
        """What the files take, and what the disk has. Raises `StoreError`."""
        try:
            disk = os.statvfs(self.path.parent)
            log = self.log.stat().st_size if self.log.exists() else 0
            free, total = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
            return Room(self.path.stat().st_size, log, free, total, reserve)
        except OSError as error:
            raise self.explain(error) from error

    def make_sure(self) -> None:
        """Put on the disk what a crash or a failed sync left in the log (see `leftovers`); no connection may be open."""
        leftovers.make_sure(self.log, self.index, patience=_PATIENCE)

    def move_log(self, connection: sqlite3.Connection) -> tuple[int, int]:
        """Copy the log into the database file, as far as no reader is in the way: its pages, and those that are moved."""
        _, pages, moved = self._move(connection, "move_log")
        return pages, moved

    def empty_log(self, connection: sqlite3.Connection) -> bool:
        """Copy the log into the database file and cut it to nothing; False where a reader was in the way."""
        busy, _, _ = self._move(connection, "empty_log")
        return not busy

    def _move(self, connection: sqlite3.Connection, how: str) -> tuple[int, int, int]:
        try:
            busy, pages, moved = connection.execute(SQL[how]).fetchone()
        except sqlite3.Error as error:
            self.in_doubt = self.in_doubt or disk_failed(error)
            raise
        return busy, pages, moved

    def explain(self, error: Exception) -> StoreError:
        """The error for callers."""
        return explain(error, self.path)


def refuse_old_sqlite(version: tuple[int, int, int] = sqlite3.sqlite_version_info) -> None:
    """Raise `StoreError` where Python comes with an SQLite that cannot do what we need."""
    if version < OLDEST_SQLITE:
        needed, found = (".".join(map(str, numbers)) for numbers in (OLDEST_SQLITE, version))
        message = f"SQLite {needed} or newer is needed, and this Python has {found}: use a newer Python or system"
        raise StoreError(message)


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino
