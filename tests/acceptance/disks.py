"""Small disks of their own: a tmpfs in a namespace, which a process keeps for as long as the test lasts."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

import pytest

#: What mounts and makes disks lies where many users do not look.
_PATH: Final = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin", "/sbin"])
#: As a user who may do that, or else as root.
_NAMESPACES: Final = ("-Urm", "-m")


@dataclass(frozen=True)
class Disk:
    """A disk of `size` bytes at `inside`, for those whom `enter` starts; everybody else finds it at `outside`."""

    size: int
    inside: Path
    outside: Path
    enter: tuple[str, ...]

    @property
    def free(self) -> int:
        """Bytes."""
        disk = os.statvfs(self.outside)
        return disk.f_bavail * disk.f_frsize

    @property
    def hog(self) -> Path:
        """What another program wrote."""
        return self.outside / "hog"

    def fill(self, leave: int = 0) -> None:
        """As another program would, down to the last byte or to these."""
        with self.hog.open("ab", buffering=0) as file:
            try:
                while (more := self.free - leave) > 0:
                    file.write(bytes(min(more, 2**20)))
            except OSError:
                return  # it is full

    def turn_read_only(self) -> None:
        """As the kernel does with a disk that fails: whoever has it open cannot write any more, nor anybody else."""
        self._do(f"mount -o remount,abort {self.inside}")

    def mount_again(self) -> None:
        """Repaired."""
        self._do(f"umount {self.inside} && mount -o loop {self.inside}.img {self.inside}")

    def _do(self, command: str) -> None:
        subprocess.run([*self.enter, "sh", "-c", command], check=True, env={**os.environ, "PATH": _PATH})


@asynccontextmanager
async def small_disk(at: Path, size: int) -> AsyncIterator[Disk]:
    """A disk at this path; where none can be mounted, the test is skipped, loudly."""
    at.mkdir()
    async with _mounted(at, size, f"mount -t tmpfs -o size={size} tmpfs {at}", _NAMESPACES) as disk:
        yield disk


@asynccontextmanager
async def failing_disk(at: Path, size: int) -> AsyncIterator[Disk]:
    """A disk in a file, which can fail; for root alone."""
    at.mkdir()
    mount = f"truncate -s {size} {at}.img && mkfs.ext4 -q {at}.img && mount -o loop {at}.img {at}"
    async with _mounted(at, size, mount, ("-m",), ("truncate", "mkfs.ext4", "losetup")) as disk:
        yield disk


def _skip(why: str) -> NoReturn:
    pytest.skip(f"{why}: A REAL DISK IN TROUBLE IS NOT TESTED")


@asynccontextmanager
async def _mounted(
    at: Path, size: int, mount: str, namespaces: tuple[str, ...], tools: tuple[str, ...] = ()
) -> AsyncIterator[Disk]:
    tools = ("unshare", "nsenter", "mount", *tools)
    if missing := [tool for tool in tools if shutil.which(tool, path=_PATH) is None]:
        _skip(f"there is no {' and no '.join(missing)}")
    for namespace in namespaces:
        keeper = await asyncio.create_subprocess_exec(
            "unshare", namespace, "sh", "-c", f"{mount} && echo mounted && exec sleep 3600",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, env={**os.environ, "PATH": _PATH},
        )  # fmt: skip
        assert keeper.stdout is not None
        if await keeper.stdout.readline() == b"mounted\n":
            break
        await keeper.wait()
    else:
        _skip("no disk can be mounted: this takes a user who may")
    user = ("-U", "--preserve-credentials") if "U" in namespace else ()
    enter = ("nsenter", "-t", str(keeper.pid), *user, "-m", "--")
    try:
        yield Disk(size, at, Path(f"/proc/{keeper.pid}/root{at}"), enter)
    finally:
        keeper.send_signal(signal.SIGKILL)
        await keeper.wait()
