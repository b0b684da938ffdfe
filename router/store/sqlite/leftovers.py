"""What a crash or a failed sync left in the log: it is on the disk before SQLite takes it for whole, and all of it counts.

What a failed fsync lost stays in the system's cache, as clean as what is on the disk (Rebello et al., "Can Applications
Recover from fsync Failures?", USENIX ATC 2020, for ext4, XFS and Btrfs). So the next process finds a commit in the log
that the disk never had. SQLite would sync a file in which nothing waits, and copy the commit over the database: when
the power goes in the middle of that, half of it is there, and no log that has the rest.

Nor is what was moved before a failed sync safe. Where a reader stops a move half way, SQLite notes in the log's index
that so many pages are moved, and syncs none of them; that is left to the next move. If that one's sync fails, they may be
lost, and nobody copies them again. (`walCheckpoint`, wal.c: the sync is for a whole move only, `nBackfill` for any.)

Both mend alike: write the log once more, where it is, and sync that; and make the index void, so that SQLite reads the
log anew, and moves it from its beginning.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from router.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PORTION: Final = 2**20
#: Both copies of the index's header, and the locks of whoever writes, moves the log, or reads it anew: see SQLite's
#: "WAL-mode File Format".
_HEADER: Final = 96
_LOCKS: Final = (120, 3)


def make_sure(log: Path, index: Path, *, patience: float) -> None:
    """Put what the log shows on the disk, and have all of it read and moved again.

    No connection of this process may be open: closing the index here would drop its locks. Whoever reads in another
    process may go on. Raises `OSError`, and `StoreError` where another program keeps its locks for so many seconds.
    """
    if not log.exists() or not log.stat().st_size:
        return
    with _locked(index, patience) as descriptor:
        _write_again(log)
        if descriptor is not None and os.fstat(descriptor).st_size >= _HEADER:
            os.pwrite(descriptor, bytes(_HEADER), 0)


@contextmanager
def _locked(index: Path, patience: float) -> Iterator[int | None]:
    """The index, in which nobody changes anything meanwhile; None where there is none, and so nobody who could."""
    try:
        descriptor = os.open(index, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        _lock(descriptor, index, time.monotonic() + patience)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, index: Path, until: float) -> None:
    start, length = _LOCKS
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except (BlockingIOError, PermissionError):
            if time.monotonic() >= until:
                message = f"{index}: another program has locked the database: end it"
                raise StoreError(message) from None
            time.sleep(0.01)
        else:
            return


def _write_again(log: Path) -> None:
    """Write the bytes that are there; whatever the disk has of them already stays as it is when the power goes."""
    descriptor = os.open(log, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        offset = 0
        while portion := os.pread(descriptor, _PORTION, offset):
            offset += os.pwrite(descriptor, portion, offset)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
