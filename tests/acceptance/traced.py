"""What a whole router asks of its disk, as strace sees it, and when its answers leave."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from platter import Platter
from surface import Mark, Sync, SyncFolder, Truncate, Write

_CALLS: Final = (
    "openat,open,creat,close,write,writev,pwrite64,pwritev,pwritev2,ftruncate,fallocate,fsync,fdatasync,rename,renameat,renameat2,"
    "link,linkat,unlink,unlinkat,rmdir,mkdir,mkdirat,sendto,sendmsg"
)
_LINE: Final = re.compile(r"(\d+) +(.*)")
_CALL: Final = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_DESCRIPTOR: Final = re.compile(r"(AT_FDCWD|\d+)<((?:\\x[0-9a-f]{2}|[^>])*)>")
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


def command(trace: Path, *more: str) -> tuple[str, ...]:
    """What to put before a command, to have it traced; skips, loudly, where that cannot be."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: THAT FILES ARE ON THE DISK BEFORE THE ANSWER IS NOT SHOWN HERE")
    tried = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"strace may not trace here, so the order on the disk is NOT SHOWN: {tried.stderr}")
    # -D: the router stays our own child, so that signals reach it; all texts in full, and as hexadecimal numbers.
    return (
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-y",
        "-xx",
        "-s",
        "100000000",
        "-o",
        str(trace),
        "-e",
        f"trace={_CALLS}",
        *more,
    )


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the system, as it began or as it ended."""

    name: str
    #: The arguments as they are written.
    arguments: str
    result: int

    @property
    def descriptors(self) -> list[tuple[str, str]]:
        """Descriptors among the arguments, and the paths of their files."""
        return [
            (number, _decoded(path).decode(errors="replace")) for number, path in _DESCRIPTOR.findall(self.arguments)
        ]

    @property
    def texts(self) -> list[bytes]:
        """Texts among the arguments: names, and what is written."""
        return [_decoded(text) for text in _TEXT.findall(_DESCRIPTOR.sub("", self.arguments))]

    @property
    def paths(self) -> list[str]:
        """The files that are named, in full."""
        folders = [path for _, path in self.descriptors] or [""]
        folders += folders[-1:] * len(self.texts)
        return [str(Path(folder, os.fsdecode(name))) for folder, name in zip(folders, self.texts, strict=False)]


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()


def calls(trace: Path) -> Iterator[Call]:
    """All calls, in the order in which they ended; those that send, in the order in which they began."""
    begun: dict[str, str] = {}
    for line in trace.read_text("ascii").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        thread, text = found.groups()
        if text.endswith("<unfinished ...>"):
            text = text.removesuffix("<unfinished ...>").rstrip()
            if text.startswith("send"):
                yield Call(text.partition("(")[0], text.partition("(")[2], 0)
            else:
                begun[thread] = text
            continue
        if text.startswith("<... "):
            text = begun.pop(thread, "") + text.partition(" resumed>")[2]
        if (whole := _CALL.match(text)) is not None:
            yield Call(whole[1], whole[2], int(whole[3]))


def platter(trace: Path, folder: Path, before: dict[str, bytes]) -> Platter:
    """The disk under this folder; each text that was sent is a `Mark` on it."""
    return _Disk(folder, Platter(before)).told(trace)


class _Disk:
    def __init__(self, folder: Path, disk: Platter) -> None:
        self._folder, self._disk = folder, disk
        #: Where each descriptor writes next.
        self._at: dict[str, int] = {}
        self._handles: dict[str, int] = {}

    def told(self, trace: Path) -> Platter:
        for number, call in enumerate(calls(trace), 1):
            if call.name.startswith("send"):
                for text in call.texts:
                    self._disk.add(Mark(text))
            elif call.result >= 0 or "sync" in call.name:
                self._take(call, number)
        return self._disk

    def _below(self, path: str) -> str | None:
        try:
            below = Path(path).relative_to(self._folder)
        except ValueError:
            return None
        return None if below.name.endswith("-shm") else str(below)

    def _take(self, call: Call, number: int) -> None:
        match call.name:
            case "openat" | "open" | "creat":
                self._open(call, number)
            case "mkdir" | "mkdirat":
                if (path := self._below(call.paths[0])) is not None:
                    self._disk.folder(path)
            case "rename" | "renameat" | "renameat2" | "link" | "linkat":
                old, new = (self._below(path) for path in call.paths)
                if old is not None and new is not None:
                    (self._disk.link if call.name.startswith("link") else self._disk.rename)(old, new)
            case "unlink" | "unlinkat" | "rmdir":
                if (path := self._below(call.paths[0])) is not None:
                    self._disk.remove(path)
            case _:
                if call.descriptors and (path := self._below(call.descriptors[0][1])) is not None:
                    self._change(call, path, call.descriptors[0][0])

    def _open(self, call: Call, number: int) -> None:
        descriptor = str(call.result)
        self._at[descriptor], self._handles[descriptor] = 0, number
        path = self._below(call.paths[0])
        if path is not None and "O_DIRECTORY" not in call.arguments:
            if "O_CREAT" in call.arguments:
                self._disk.file(path)
            if "O_TRUNC" in call.arguments:
                self._disk.add(Truncate(self._disk.file(path), 0))

    def _change(self, call: Call, path: str, descriptor: str) -> None:
        if call.name == "close":
            return
        file = self._disk.find(path)
        if file is None:
            if "sync" in call.name and (self._folder / path).is_dir():
                self._disk.add(SyncFolder(path))
            return
        if "sync" in call.name:
            self._disk.add(Sync(file, call.result < 0, self._handles.get(descriptor, 0)))
            return
        last = call.arguments.rpartition(", ")[2]
        match call.name:
            case "ftruncate":
                self._disk.add(Truncate(file, int(last)))
            case "pwrite64":
                self._disk.add(Write(file, int(last), call.texts[0][: call.result]))
            case "write":
                at = self._at.get(descriptor, 0)
                self._disk.add(Write(file, at, call.texts[0][: call.result]))
                self._at[descriptor] = at + call.result
            case _:
                raise AssertionError(call)
