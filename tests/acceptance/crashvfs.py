"""SQLite's own way to a disk, watched: the very library that Python's `sqlite3` uses writes down what it asks of the disk.

It is a VFS of SQLite, the default one while it is installed, made of the one of the system: what is not watched goes
straight through. So nothing of the product knows of it. It also plays a disk that fails.
"""

from __future__ import annotations

import _sqlite3
import ctypes
import errno
import itertools
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from unittest import mock

import pytest

from faults import ERRORS, Fault, Operation, never
from platter import Platter
from surface import Sync, SyncFolder, Truncate, Write

_ONE, _BIG, _POINTER = ctypes.c_int, ctypes.c_int64, ctypes.c_void_p

_OPEN = ctypes.CFUNCTYPE(_ONE, _POINTER, _POINTER, _POINTER, _ONE, _POINTER)
_DELETE = ctypes.CFUNCTYPE(_ONE, _POINTER, _POINTER, _ONE)
_CLOSE = ctypes.CFUNCTYPE(_ONE, _POINTER)
_TRANSFER = ctypes.CFUNCTYPE(_ONE, _POINTER, _POINTER, _ONE, _BIG)
_TRUNCATE = ctypes.CFUNCTYPE(_ONE, _POINTER, _BIG)
_SYNC = ctypes.CFUNCTYPE(_ONE, _POINTER, _ONE)


class _Vfs(ctypes.Structure):
    """`sqlite3_vfs`, up to version 3."""

    _fields_ = (
        ("version", _ONE), ("file_size", _ONE), ("longest_path", _ONE), ("next", _POINTER), ("name", ctypes.c_char_p),
        ("data", _POINTER), ("open", _POINTER), ("delete", _POINTER), ("others", _POINTER * 14),
    )  # fmt: skip


class _Methods(ctypes.Structure):
    """`sqlite3_io_methods`, up to version 3."""

    _fields_ = (
        ("version", _ONE), ("close", _POINTER), ("read", _POINTER), ("write", _POINTER), ("truncate", _POINTER),
        ("sync", _POINTER), ("others", _POINTER * 13),
    )  # fmt: skip


#: `sqlite3_file`: where its methods are.
_FILE = ctypes.POINTER(_POINTER)

_CREATE: Final = 0x4
#: The kinds of files whose folder the system's VFS syncs with their first sync (unixSync, UNIXFILE_DIRSYNC).
_FOLDER_TOO: Final = 0x800 | 0x4000 | 0x80000

#: Never the same number, whoever watches.
_HANDLES: Final = itertools.count(1)


@dataclass
class Watched:
    """A folder whose disk is watched, and can be made to fail."""

    folder: Path
    platter: Platter
    fails: Fault = never
    #: How often it failed, by what was asked.
    failures: Counter[str] = field(default_factory=Counter)

    def has_failed(self, operation: Operation, path: str) -> bool:
        """Whether it fails now."""
        if failed := self.fails(operation, path):
            self.failures[operation] += 1
        return failed

    def known(self, path: str) -> str | None:
        """The path below the folder, if it is there and lasts: an index of the log does not."""
        try:
            below = Path(path).relative_to(self.folder)
        except ValueError:
            return None
        return None if below.name.endswith("-shm") else str(below)


@dataclass
class _Open:
    path: str
    file: int
    handle: int
    original: _Methods
    folder_too: bool


class _Shim:
    """The VFS. What C calls stays alive with it."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._library = ctypes.CDLL(_sqlite3.__file__)
        find = self._library.sqlite3_vfs_find
        find.restype = _POINTER
        self._original = find(None)
        self._files: dict[int, _Open] = {}
        self._tables: dict[int, tuple[_Methods, _Methods]] = {}
        #: What went wrong in here; the callers are C and cannot be told.
        self.bugs: list[BaseException] = []
        self._of_file = {
            "close": _CLOSE(self._guarded(self._close)),
            "read": _TRANSFER(self._guarded(self._read)),
            "write": _TRANSFER(self._guarded(self._write)),
            "truncate": _TRUNCATE(self._guarded(self._truncate)),
            "sync": _SYNC(self._guarded(self._sync)),
        }
        self._open_it = _OPEN(self._guarded(self._open))
        self._delete_it = _DELETE(self._guarded(self._delete))
        original = _Vfs.from_address(self._original)
        self._open_original = _OPEN(original.open)
        self._delete_original = _DELETE(original.delete)
        self._vfs = _Vfs.from_buffer_copy(original)
        self._vfs.name = b"aftercall-watched"
        self._vfs.open, self._vfs.delete = _address(self._open_it), _address(self._delete_it)

    def install(self) -> None:
        assert self._library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1) == 0

    def uninstall(self) -> None:
        assert self._library.sqlite3_vfs_unregister(ctypes.byref(self._vfs)) == 0
        assert self._library.sqlite3_vfs_register(_POINTER(self._original), 1) == 0
        assert not self._files, "something is still open"
        for bug in self.bugs:
            raise bug

    def _guarded(self, function: Callable[..., int]) -> Callable[..., int]:
        def call(*arguments: Any) -> int:
            try:
                return function(*arguments)
            except BaseException as bug:  # noqa: BLE001 - raised at the end
                self.bugs.append(bug)
                return sqlite3.SQLITE_INTERNAL

        return call

    def _open(self, _: int, name: int | None, file: int, flags: int, out: int | None) -> int:
        path = os.fsdecode(ctypes.string_at(name)) if name else ""
        below = self._watched.known(path)
        if below is not None and self._watched.has_failed("open", below):
            _FILE.from_buffer(_POINTER(file)).contents.value = None
            return ERRORS["open"]
        new = not Path(path).exists()
        result = int(self._open_original(self._original, name, file, flags, out))
        if below is None or result:
            return result
        methods = _FILE.from_buffer(_POINTER(file)).contents
        original, ours = self._table(methods.value or 0)
        folder_too = new and bool(flags & _CREATE) and bool(flags & _FOLDER_TOO)
        number = self._watched.platter.file(below)
        self._files[file] = _Open(below, number, next(_HANDLES), original, folder_too)
        methods.value = ctypes.addressof(ours)
        return result

    def _table(self, address: int) -> tuple[_Methods, _Methods]:
        if address not in self._tables:
            original = _Methods.from_address(address)
            ours = _Methods.from_buffer_copy(original)
            for name, function in self._of_file.items():
                setattr(ours, name, _address(function))
            self._tables[address] = original, ours
        return self._tables[address]

    def _delete(self, _: int, name: int, sync_folder: int) -> int:
        below = self._watched.known(os.fsdecode(ctypes.string_at(name)))
        if below is not None and self._watched.has_failed("remove", below):
            return ERRORS["remove"]
        result = int(self._delete_original(self._original, name, sync_folder))
        if below is not None and not result:
            self._watched.platter.remove(below)
            if sync_folder:
                self._watched.platter.add(SyncFolder(str(Path(below).parent)))
        return result

    def _close(self, file: int) -> int:
        return int(_CLOSE(self._files.pop(file).original.close)(file))

    def _read(self, file: int, buffer: int, size: int, offset: int) -> int:
        opened = self._files[file]
        if self._watched.has_failed("read", opened.path):
            return ERRORS["read"]
        return int(_TRANSFER(opened.original.read)(file, buffer, size, offset))

    def _write(self, file: int, buffer: int, size: int, offset: int) -> int:
        opened = self._files[file]
        if self._watched.has_failed("write", opened.path):
            return ERRORS["write"]
        failed = self._watched.has_failed("short write", opened.path)
        if failed:
            size //= 2
        result = int(_TRANSFER(opened.original.write)(file, buffer, size, offset))
        if not result:
            self._watched.platter.add(Write(opened.file, offset, ctypes.string_at(buffer, size)))
        return ERRORS["short write"] if failed else result

    def _truncate(self, file: int, size: int) -> int:
        opened = self._files[file]
        if self._watched.has_failed("truncate", opened.path):
            return ERRORS["truncate"]
        result = int(_TRUNCATE(opened.original.truncate)(file, size))
        if not result:
            self._watched.platter.add(Truncate(opened.file, size))
        return result

    def _sync(self, file: int, _: int) -> int:
        """Only written down: the machine of the test keeps its power."""
        opened = self._files[file]
        failed = self._watched.has_failed("sync", opened.path)
        self._watched.platter.add(Sync(opened.file, failed, opened.handle))
        if failed:
            return ERRORS["sync"]
        if opened.folder_too:
            opened.folder_too = False
            self._watched.platter.add(SyncFolder(str(Path(opened.path).parent)))
        return sqlite3.SQLITE_OK


def _address(function: Any) -> int:
    return ctypes.cast(function, _POINTER).value or 0


@contextmanager
def watching(folder: Path, platter: Platter) -> Iterator[Watched]:
    """The folder's disk, watched: what SQLite asks of it, and which files Python syncs, renames and removes there.

    What Python writes is known when it is synced or renamed, by what is in the file then.
    """
    require()
    watched = Watched(folder, platter)
    shim = _Shim(watched)
    fsync, rename, unlink = os.fsync, os.rename, os.unlink

    def content(path: Path, *, synced: bool) -> None:
        if (below := watched.known(str(path))) is not None:
            number = platter.file(below)
            written = path.read_bytes()
            platter.add(Write(number, 0, written))
            platter.add(Truncate(number, len(written)))  # a file that is written where it is was never shorter
            if synced:
                platter.add(Sync(number, failed := watched.has_failed("sync", below)))
                if failed:
                    raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))

    def watched_fsync(descriptor: int) -> None:
        for path in (folder, *folder.iterdir()):
            if os.path.samestat(path.stat(), os.fstat(descriptor)):
                if path == folder:
                    platter.add(SyncFolder("."))
                else:
                    content(path, synced=True)
                return
        fsync(descriptor)

    def watched_rename(old: Path, new: Path) -> None:
        below = watched.known(str(old)), watched.known(str(new))
        if below[0] is not None and below[1] is not None:
            if not any(isinstance(step, Sync) and step.file == platter.file(below[0]) for step in platter.steps):
                content(Path(old), synced=False)
            platter.rename(below[0], below[1])
        rename(old, new)

    def watched_unlink(path: Path) -> None:
        unlink(path)
        if (below := watched.known(str(path))) is not None:
            platter.remove(below)

    with (
        mock.patch.object(os, "fsync", watched_fsync),
        mock.patch.object(os, "rename", watched_rename),
        mock.patch.object(os, "unlink", watched_unlink),
    ):
        shim.install()
        try:
            yield watched
        finally:
            shim.uninstall()


def require() -> None:
    """Skip, loudly, where Python's SQLite cannot be reached."""
    if not hasattr(ctypes.CDLL(_sqlite3.__file__), "sqlite3_vfs_register"):
        pytest.skip("this Python hides its SQLite: THAT A POWER CUT LOSES NOTHING IS NOT SHOWN HERE")
