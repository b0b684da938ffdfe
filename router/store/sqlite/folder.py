"""The data folder: private, durable, and one process's own. What its files mean is left to others."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from router.errors import StoreInUse

if TYPE_CHECKING:
    from pathlib import Path


def make(folder: Path) -> None:
    """Create the folder and what is missing above it, all 0700 and on stable storage."""
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        make(folder.parent)
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not folder.is_dir():
            raise
        return
    folder.chmod(0o700)
    sync(folder)
    sync(folder.parent)


def sync(folder: Path) -> None:
    """Put the folder's entries on stable storage."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def create(path: Path, content: bytes = b"") -> None:
    """Create a file, 0600 under any umask, and put it and its name on stable storage; as a whole or not at all.

    Raises `FileExistsError` where there is one, which stays as it is: of several processes one creates it. The draft
    that a crash leaves beside it is used up by the next.
    """
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600), "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # whoever waited here has the finished file open, or a draft of no use
        if os.path.lexists(path):
            draft.unlink(missing_ok=True)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
        os.fchmod(file.fileno(), 0o600)
        file.truncate(0)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        draft.rename(path)
    sync(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Write a file, 0600, in the place of what is there. After a crash it is the old one or the new one, as a whole.

    One process at a time; what a crash leaves of a draft is used up by the next. Raises `OSError`, and leaves no draft.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "wb") as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)  # on a full disk there is no room for half of it
        raise
    sync(path.parent)


class FolderLock:
    """The folder is ours until this is released, or the process ends, however it ends.

    The lock is on a file of its own: closing any descriptor of the database's files would drop SQLite's own locks.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "lock"
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. Raises `StoreInUse`, with the pid of whoever has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            message = (
                f"{self.path.parent} is in use by process {holder or '(unknown)'}: stop that router first, or ask it "
                "what you want to know (aftercall status)"
            )
            raise StoreInUse(message) from None
        except BaseException:
            os.close(descriptor)
            raise
        with suppress(OSError):  # on a full disk the lock holds without a name
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let others have the folder. The file stays: removing it would let two processes hold two locks."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
