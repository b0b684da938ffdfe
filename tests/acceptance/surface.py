"""What is on a disk, step by step, and what of that the power leaves when it goes.

What was synced is there. Of the rest anything may be there: nothing, all of it, the first of it, or single sectors in any
order. The same goes for names: a new file, a rename or a removal is certain only when its folder is synced. A write
touches no byte beside its own (SQLite's POWERSAFE_OVERWRITE, which every file system of today gives).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from random import Random
from typing import Final

SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class Write:
    file: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate:
    file: int
    size: int


@dataclass(frozen=True, slots=True)
class Sync:
    """What was written to the file before is safe. Where it failed, it is on the disk or never will be."""

    file: int
    failed: bool = False
    #: The descriptor, by a number that is never used again.
    handle: int = 0


@dataclass(frozen=True, slots=True)
class Name:
    """From now on this name means this file; a folder where it is None."""

    path: str
    file: int | None


@dataclass(frozen=True, slots=True)
class Rename:
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Remove:
    path: str


@dataclass(frozen=True, slots=True)
class SyncFolder:
    path: str


@dataclass(frozen=True, slots=True)
class Mark:
    """Nothing that the disk does: what its user knew at this moment."""

    fact: object


Step = Write | Truncate | Sync | Name | Rename | Remove | SyncFolder | Mark


#: What a power cut leaves of what is not synced; `torn`: the first of it, and a part of the next write.
MOODS: Final = ("nothing", "everything", "torn", "scattered")


@dataclass(slots=True)
class _File:
    #: What is safe.
    safe: bytearray = field(default_factory=bytearray)
    #: What is not.
    waiting: list[Write | Truncate] = field(default_factory=list)


class Surface:
    """The disk, step by step; `dice` decide where it is not certain what happens."""

    def __init__(self, before: Mapping[str, bytes]) -> None:
        self._files = {number: _File(bytearray(content)) for number, content in enumerate(before.values(), 1)}
        #: The names that are safe, and the changes of names that are not.
        self._names: dict[str, int | None] = {path: number for number, path in enumerate(before, 1)}
        self._names.update((str(above), None) for path in before for above in _above(path))
        self._waiting: list[Name | Rename | Remove] = []

    def take(self, step: Step, dice: Random) -> None:
        """This happens next."""
        match step:
            case Write() | Truncate():
                self._file(step.file).waiting.append(step)
            case Sync():
                file = self._file(step.file)
                _settle(file, dice.choice(MOODS) if step.failed else "everything", dice)
            case Name() | Rename() | Remove():
                self._waiting.append(step)
            case SyncFolder():
                waiting, self._waiting = self._waiting, []
                for change in waiting:
                    if step.path in _folders(change):
                        rename(self._names, change)
                    else:
                        self._waiting.append(change)
            case Mark():
                pass

    def left(self, mood: str, dice: Random) -> dict[str, bytes]:
        """What is left when the power goes now; nothing can be asked after that."""
        for change in self._waiting:
            if mood == "everything" or (mood != "nothing" and dice.random() < 0.5):
                rename(self._names, change)
        for file in self._files.values():
            _settle(file, mood, dice)
        return {
            path: bytes(self._file(number).safe)
            for path, number in self._names.items()
            if number is not None and all(str(above) in self._names for above in _above(path))
        }

    def renamed(self, step: Step) -> _File | None:
        """The file that gets a name which is not its first one."""
        match step:
            case Rename():
                number = self._now(step.old)
                return None if number is None else self._file(number)
            case Name(_, int() as number):
                return self._files.get(number)
            case _:
                return None

    @property
    def named(self) -> list[Name | Rename]:
        """Names that are not safe, and not gone again either."""
        paths = [(change, change.new if isinstance(change, Rename) else change.path) for change in self._waiting]
        return [change for change, path in paths if not isinstance(change, Remove) and self._now(path) is not None]

    def _now(self, path: str) -> int | None:
        """The file that the name means for whoever asks the system, safe or not."""
        names = dict(self._names)
        for change in self._waiting:
            rename(names, change)
        return names.get(path)

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())


def rename(names: dict[str, int | None], change: Step) -> None:
    """Change names as this step does, if it does."""
    match change:
        case Name():
            names[change.path] = change.file
        case Rename() if change.old in names:
            names[change.new] = names.pop(change.old)
        case Remove():
            names.pop(change.path, None)


def _above(path: str) -> tuple[PurePosixPath, ...]:
    """The folders that it is in, but for the disk itself."""
    return tuple(PurePosixPath(path).parents)[:-1]


def _folders(change: Name | Rename | Remove) -> set[str]:
    """The folders that have to be synced for it."""
    paths = (change.old, change.new) if isinstance(change, Rename) else (change.path,)
    return {str(PurePosixPath(path).parent) for path in paths}


def _settle(file: _File, mood: str, dice: Random) -> None:
    """What of that which waits is on the disk in the end."""
    waiting, file.waiting = file.waiting, []
    match mood:
        case "nothing":
            return
        case "everything":
            kept = len(waiting)
        case "torn":
            kept = dice.randint(0, len(waiting))
        case _:
            for step in waiting:
                _scatter(file.safe, step, dice)
            return
    for step in waiting[:kept]:
        _apply(file.safe, step)
    if kept < len(waiting):
        match waiting[kept]:
            case Write(number, offset, data):
                _apply(file.safe, Write(number, offset, data[: dice.randint(0, len(data) // SECTOR) * SECTOR]))
            case Truncate():
                pass


def _apply(content: bytearray, step: Write | Truncate) -> None:
    match step:
        case Write(_, offset, data):
            if data:
                content.extend(bytes(max(0, offset - len(content))))
                content[offset : offset + len(data)] = data
        case Truncate(_, size):
            del content[size:]
            content.extend(bytes(size - len(content)))


def _scatter(content: bytearray, step: Write | Truncate, dice: Random) -> None:
    """Each sector by itself; where the file grew, what did not arrive may be what lay there before."""
    if isinstance(step, Truncate):
        if dice.random() < 0.5:
            _apply(content, step)
        return
    for start in range(0, len(step.data), SECTOR):
        piece = step.data[start : start + SECTOR]
        offset = step.offset + start
        if dice.random() < 0.5:
            _apply(content, Write(step.file, offset, piece))
        elif offset >= len(content) and dice.random() < 0.5:
            _apply(content, Write(step.file, offset, dice.randbytes(len(piece))))
