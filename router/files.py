"""Files below a root: each is there completely or not at all, and no symlink below the root is followed.

Names come in as they are to be (`router.paths` makes them safe). What may block happens in threads of the tree's own:
a network drive that hangs keeps nobody else waiting. An attempt that is called off leaves its threads to finish.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from io import BufferedWriter
from pathlib import Path
from threading import Event, Lock
from typing import ParamSpec, TypeVar

from aiofiles import threadpool

from router.errors import ConfigError, Rejected, Unavailable
from router.failpoints import Failpoint, reached
from router.paths import numbered_name

P = ParamSpec("P")
T = TypeVar("T")

#: Files at one path. Each is compared with before another number is tried.
MOST_VERSIONS = 1000

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK: what stands there may be a pipe.
_THERE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_TEMPORARY = re.compile(r"\.aftercall-[0-9a-f]{16}\.tmp")
#: Seconds that opening waits for a drive that does not answer.
_PATIENCE = 5.0
#: Seconds after which a temporary file is nobody's, where the file system has no locks to tell.
_ABANDONED = 86400
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
#: For file systems without links: one at a time looks whether a name is free, and takes it.
_TAKING = Lock()
#: Folders whose place in their parents is known to be durable; forgotten when they are more than this.
_MOST_SYNCED = 10_000


class FileTree:
    """A root, and the threads that work below it."""

    def __init__(self, root: Path, *, threads: int = 8) -> None:
        self.root = root
        self._threads = ThreadPoolExecutor(threads, "files")
        self._closing = Event()
        #: What is left to the threads, and waited for at the end.
        self._left: set[Future[None]] = set()
        self._synced: set[tuple[str, ...]] = set()

    async def open(self) -> str | None:
        """Make the root, and remove what killed processes left. Why it cannot be used now, or None.

        Raises `ConfigError` where it never will: it is a file.
        """
        self._leave(_sweep, self.root, self._closing)
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._run(_make_root, self.root)
        except NotADirectoryError:
            message = "is a file, or lies below one; name a folder"
            raise ConfigError(f"{self.root} {message}", instead=f"the root {message}") from None
        except TimeoutError:
            return f"no answer within {_PATIENCE:g} s"
        except OSError as error:
            return error.strerror or type(error).__name__
        return None

    async def close(self) -> None:
        """Wait for what was left to the threads, for as long as the caller has patience."""
        self._closing.set()
        try:
            await _ended(*self._left)
        finally:
            self._threads.shutdown(wait=False)

    async def put(self, folders: Sequence[str], name: str, content: bytes) -> str:
        """Write a file; its path below the root. The same bytes at the same path: done. Other bytes: `~r2`, `~r3`, ….

        Once it returns, the file and every folder on the way to it are on stable storage.
        """
        draft = _Draft(self.root, folders, name, self._synced)
        try:
            file = threadpool.wrap(await self._run(draft.begin), executor=self._threads)
            await file.write(content)
            await file.flush()
            return "/".join((*folders, await self._run(draft.publish, content)))
        except OSError as error:
            problem = _failure(error, self.root)
        finally:
            closed = self._leave(draft.close)
            if not _called_off():
                await _ended(closed)
        # Out here, so that the system's error, which names the file, is not chained to ours.
        raise problem

    async def _run(self, step: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.wrap_future(self._threads.submit(step, *args, **kwargs))

    def _leave(self, step: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> Future[None]:
        left = self._threads.submit(step, *args, **kwargs)
        self._left.add(left)
        left.add_done_callback(self._left.discard)
        return left


async def _ended(*steps: Future[None]) -> None:
    """Wait for steps that run to their end, whoever stops waiting."""
    if steps:
        await asyncio.wait([asyncio.wrap_future(step) for step in steps])


def _called_off() -> bool:
    """Whether this task is being cancelled: it must not wait for a step that hangs."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _failure(error: OSError, root: Path) -> Unavailable | Rejected:
    """For whoever is on call. The names below the root come from calls, so they are not in it."""
    if isinstance(error, _InTheWay):
        return Rejected(f"{root}: a symlink, or something else that does not belong there, stands in the way below it")
    reason = f"{root}: {error.strerror or type(error).__name__}"
    if error.errno in (errno.ENAMETOOLONG, errno.EILSEQ):
        return Rejected(f"{reason}: a name of the path is not possible on this file system")
    return Unavailable(reason, whole_lane=True)


# --- in threads ---


class _InTheWay(OSError):
    """What stands below the root is not what may be gone through, or written over."""


class _Draft:
    """A file on its way: a temporary one, in the folder where it is to stay. One step at a time, each in a thread."""

    def __init__(self, root: Path, folders: Sequence[str], name: str, synced: set[tuple[str, ...]]) -> None:
        self._root, self._folders, self._name, self._synced = root, folders, name, synced
        self._lock = Lock()
        self._closed = False
        self._folder = -1
        self._file: BufferedWriter | None = None
        self._temporary = f".aftercall-{secrets.token_hex(8)}.tmp"

    def begin(self) -> BufferedWriter:
        """Open the folder and the temporary file, with a lock that says that somebody writes it."""
        with self._lock:
            self._go_on()
            self._folder = _open_folders(self._root, self._folders, self._synced)
            descriptor = os.open(self._temporary, _NEW, 0o600, dir_fd=self._folder)
            self._file = open(descriptor, "wb")  # noqa: PTH123, SIM115 - `close` closes it
            with suppress(OSError):  # no locks here, or somebody sweeps right now: then `publish` finds it gone
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._file

    def publish(self, content: bytes) -> str:
        """Make it durable under the first name that is free, or has these very bytes already."""
        with self._lock:
            self._go_on()
            if self._file is not None:
                os.fsync(self._file.fileno())
            for number in range(1, MOST_VERSIONS + 1):
                name = numbered_name(self._name, number)
                if self._take(name) or self._has(name, content):
                    os.fsync(self._folder)
                    return name
        message = f"{self._root}: {MOST_VERSIONS} other files have this path already; let it name the call"
        raise Rejected(message)

    def close(self) -> None:
        """Remove what is left. A step that still runs ends first."""
        with self._lock, suppress(OSError):
            self._closed = True
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                if self._folder >= 0:
                    with suppress(OSError):
                        os.unlink(self._temporary, dir_fd=self._folder)
                    os.close(self._folder)

    def _go_on(self) -> None:
        if self._closed:
            raise OSError(errno.ECANCELED, os.strerror(errno.ECANCELED))

    def _take(self, name: str) -> bool:
        """Give the file this name, unless something has it."""
        here = self._folder
        try:
            os.link(self._temporary, name, src_dir_fd=here, dst_dir_fd=here, follow_symlinks=False)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with _TAKING:
                with suppress(FileNotFoundError):
                    os.stat(name, dir_fd=here, follow_symlinks=False)
                    return False
                os.rename(self._temporary, name, src_dir_fd=here, dst_dir_fd=here)
        else:
            reached(Failpoint.IN_ARCHIVE_RENAME)
            os.unlink(self._temporary, dir_fd=here)
        return True

    def _has(self, name: str, content: bytes) -> bool:
        """Whether the file of this name has these bytes. Raises `_InTheWay` where it is no file."""
        try:
            descriptor = os.open(name, os.O_RDONLY | _THERE, dir_fd=self._folder)
        except OSError as error:
            raise _in_the_way(error) from None
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise _InTheWay
            if status.st_size != len(content):
                return False
            with open(descriptor, "rb", closefd=False) as file:
                same = file.read(len(content) + 1) == content
            if same:
                os.fsync(descriptor)
            return same
        finally:
            os.close(descriptor)


def _make_root(root: Path) -> None:
    os.close(_open_root(root))


def _open_root(root: Path) -> int:
    """The root, made where it is missing. It may be a symlink: it is the operator's own choice."""
    with suppress(FileNotFoundError):
        return os.open(root, _FOLDER)
    for folder in (*reversed(root.parents), root):
        if not folder.is_dir():
            with suppress(FileExistsError):
                folder.mkdir(0o700)
            above = os.open(folder.parent, _FOLDER)
            try:
                os.fsync(above)
            finally:
                os.close(above)
    return os.open(root, _FOLDER)


def _open_folders(root: Path, folders: Sequence[str], synced: set[tuple[str, ...]]) -> int:
    """The last of these folders, made where they are missing, none of them through a symlink.

    The first time that a folder is used its parent is synced, whoever made it.
    """
    here = _open_root(root)
    try:
        for depth, name in enumerate(folders, 1):
            path = tuple(folders[:depth])
            try:
                below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            except FileNotFoundError:
                synced.discard(path)
                with suppress(FileExistsError):
                    os.mkdir(name, 0o700, dir_fd=here)
                below = os.open(name, _FOLDER | os.O_NOFOLLOW, dir_fd=here)
            here, above = below, here
            try:
                if path not in synced:
                    os.fsync(above)
            finally:
                os.close(above)
            if len(synced) >= _MOST_SYNCED:
                synced.clear()
            synced.add(path)
    except OSError as error:
        os.close(here)
        raise _in_the_way(error) from None
    return here


def _in_the_way(error: OSError) -> OSError:
    return _InTheWay() if error.errno in (errno.ELOOP, errno.ENOTDIR) else error


def _sweep(root: Path, closing: Event) -> None:
    """Remove the temporary files that killed processes left: those that nobody holds a lock on."""
    with suppress(OSError):
        top = os.open(root, _FOLDER)
        try:
            for _, _, names, folder in os.fwalk(".", dir_fd=top, follow_symlinks=False):
                for name in filter(_TEMPORARY.fullmatch, names):
                    _remove_abandoned(folder, name)
                if closing.is_set():
                    return
        finally:
            os.close(top)


def _remove_abandoned(folder: int, name: str) -> None:
    with suppress(OSError):
        descriptor = os.open(name, os.O_RDWR | _THERE, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        except OSError:
            if time.time() - os.fstat(descriptor).st_mtime < _ABANDONED:
                return
        finally:
            os.close(descriptor)
        os.unlink(name, dir_fd=folder)
