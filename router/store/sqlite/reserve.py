"""The reserve: room on the store's disk that no call is taken into, so that what was taken in can be seen through.

As much as `size` has to be free, or calls are refused, before SQLite would have to. What is settled, ended or purged
goes on in what is free. As much again lies in a file, where no other program can take it: where the disk is full to the
last byte, that file is given up, a portion at a time. It is filled when there is room for both, and before calls are
taken in again.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from router.errors import StoreFull
from router.scalars import written_size
from router.store.sqlite import folder
from router.store.sqlite.trouble import disk_is_full

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

#: What is given up or filled at once; and seconds between two fillings, so that no call waits for long.
PORTION: Final = 2**20
FILL_EVERY: Final = 1.0
_BOUNDLESS: Final = 2**62


class Reserve:
    """The reserve of one store; used by the writer's thread alone. `size` 0: there is none."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self._short = False
        self._fill_at = time.monotonic() + FILL_EVERY

    @property
    def left(self) -> int:
        """Bytes in the file."""
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def beyond(self, promised: int, spare: int) -> int:
        """Bytes that are free beyond the reserve and what the database has yet to take up from the log; or missing.

        `spare`: free pages of the database. One half of the reserve is for the log, and the other for the database.
        """
        return self._free() + min(spare, self.size // 2) - promised - self.size if self.size else _BOUNDLESS

    def room(self, promised: int, spare: int) -> int:
        """Bytes that calls may take. Where there were none, that is 0 until it is a tenth of the reserve."""
        room = self.beyond(promised, spare)
        self._short = room <= (self.size // 10 if self._short else 0)
        return 0 if self._short else room

    def within(self, most: int) -> int:
        """As many bytes of a large removal as can be written down now: all of them first go into the log."""
        return min(most, (self._free() + self.left) // 4) if self.size else most

    def refusal(self) -> StoreFull:
        """What is answered to a call that there is no room for; from now on there is none until there is that tenth."""
        self._short = True
        message = (
            f"{self.path.parent}: its disk is nearly full, and no call is taken into the last {written_size(self.size)} "
            "(keep.reserve): free some space there; nothing has to be restarted"
        )
        return StoreFull(message)

    def give(self) -> bool:
        """Give up a portion of the file; False where nothing is left of it."""
        left = self.left
        if not left:
            return False
        with suppress(OSError):
            self._change(lambda file: os.ftruncate(file, max(left - PORTION, 0)))
        return self.left < left

    def spend(self, do: Callable[[], T]) -> T:
        """Do it, and again after each portion that is given up, as long as the disk is too full for it."""
        while True:
            try:
                return do()
            except Exception as error:
                if not (disk_is_full(error) and self.give()):
                    raise

    def fill(self) -> None:
        """Fill the file by a portion, if it lacks one, there is room for it, and the last one was a while ago."""
        now = time.monotonic()
        if now < self._fill_at:
            return
        self._fill_at = now + FILL_EVERY
        left = self.left
        with suppress(OSError):  # what cannot be filled now may be later
            if left > self.size:
                self._change(lambda file: os.ftruncate(file, self.size))
            elif left < self.size and self._free() > (2 * PORTION if self._short else self.size + PORTION):
                # Not zeros: a file system that compresses would keep no room for them.
                portion = os.urandom(min(PORTION, self.size - left))
                self._change(lambda file: os.pwrite(file, portion, left))

    def _change(self, change: Callable[[int], object]) -> None:
        """Change the file, and wait until the file system has: some free nothing before. Its name is on the disk, too."""
        new = not self.path.exists()
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            change(file)
            os.fsync(file)
        finally:
            os.close(file)
        if new:
            folder.sync(self.path.parent)

    def _free(self) -> int:
        """Bytes that are free for us. Where that cannot be known, the write itself will tell."""
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:
            return _BOUNDLESS
        return disk.f_bavail * disk.f_frsize
