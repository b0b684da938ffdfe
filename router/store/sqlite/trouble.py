"""SQLite's errors in the words of whoever has to act on them. No text in here holds data."""

from __future__ import annotations

import errno
import sqlite3
from typing import TYPE_CHECKING

from router.errors import StoreError, StoreFull

if TYPE_CHECKING:
    from pathlib import Path

#: What each primary result code asks for. Other codes are a fault of the one operation, or of us.
_ADVICE = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space; nothing has to be restarted",
    sqlite3.SQLITE_IOERR: "the disk failed: look into the system's log and check the disk",
    sqlite3.SQLITE_READONLY: "the database cannot be written: mount it writable and check who owns it",
    sqlite3.SQLITE_PERM: "the database may not be used: check who owns it",
    sqlite3.SQLITE_CANTOPEN: "the database cannot be opened: check that its folder is there and who owns it",
    sqlite3.SQLITE_CORRUPT: "the database is damaged: stop the router, keep a copy of the folder, restore a backup",
    sqlite3.SQLITE_NOTADB: "the file is no database: stop the router, keep a copy of the folder, restore a backup",
    sqlite3.SQLITE_BUSY: "another program has locked the database: end it",
    sqlite3.SQLITE_LOCKED: "another program has locked the database: end it",
    sqlite3.SQLITE_PROTOCOL: "another program has locked the database: end it",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_NOLFS: "the file system does not take files of this size",
    sqlite3.SQLITE_AUTH: "SQLite refused to do it",
    sqlite3.SQLITE_INTERNAL: "SQLite failed inside",
    sqlite3.SQLITE_INTERRUPT: "it was interrupted",
}


def code(error: BaseException) -> int:
    """The primary result code, 0 where the error is not SQLite's."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def spoils_connection(error: BaseException) -> bool:
    """Whether nothing more may be done on the connection that raised this.

    A full disk is not in here: SQLite may have undone one statement only. It tells by leaving the transaction.
    """
    return code(error) in _ADVICE and code(error) != sqlite3.SQLITE_FULL


def disk_is_full(error: BaseException) -> bool:
    """Whether it may succeed with more room on the disk. (The memory that a log's readers share is a file, too.)."""
    if isinstance(error, sqlite3.Error):
        return code(error) == sqlite3.SQLITE_FULL or (
            getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_IOERR_SHMSIZE
        )
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_failed(error: BaseException) -> bool:
    """Whether the disk did not do what it was asked, although there is room."""
    return code(error) == sqlite3.SQLITE_IOERR and not disk_is_full(error)


def explain(error: Exception, path: Path) -> StoreError:
    """The error for callers; it names the database, what failed, and what to do."""
    match error:
        case StoreError():
            return type(error)(str(error))
        case sqlite3.Error() if disk_is_full(error):
            return StoreFull(f"{path}: {_ADVICE[sqlite3.SQLITE_FULL]} ({error.sqlite_errorname})")
        case sqlite3.Error() if code(error) in _ADVICE:
            return StoreError(f"{path}: {_ADVICE[code(error)]} ({error.sqlite_errorname})")
        case sqlite3.Error():
            name = getattr(error, "sqlite_errorname", type(error).__name__)
            return StoreError(f"{path}: SQLite refused the operation ({name}); this is a bug in aftercall")
        case OSError():
            return StoreError(f"{error.filename or path}: {error.strerror or type(error).__name__}")
        case _:
            return StoreError(f"{path}: {type(error).__name__}; this is a bug in aftercall")
