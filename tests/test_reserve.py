"""The reserve: what is kept free of calls, and what is given up for all else."""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from router.errors import StoreFull
from router.store.sqlite import trouble
from router.store.sqlite.reserve import FILL_EVERY, PORTION, Reserve

MIB = 2**20


class FakeDisk:
    """How much is free, and what time it is."""

    def __init__(self) -> None:
        self.free = 100 * MIB
        self.now = 1000.0


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> FakeDisk:
    fake = FakeDisk()
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=fake.free // 1024, f_frsize=1024))
    monkeypatch.setattr(time, "monotonic", lambda: fake.now)
    return fake


def filled(folder: Path, disk: FakeDisk, size: int) -> Reserve:
    reserve = Reserve(folder / "reserve", size)
    while reserve.left < size:
        disk.now += FILL_EVERY
        reserve.fill()
    return reserve


def full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
    return error


def test_calls_may_take_what_is_free_beyond_the_reserve(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 30 * MIB)
    assert reserve.room(0, 0) == 70 * MIB
    assert reserve.room(5 * MIB, 0) == 65 * MIB, "the database has yet to take up so much from the log"
    assert reserve.room(0, 10 * MIB) == 80 * MIB
    assert reserve.room(0, 99 * MIB) == 85 * MIB, "the other half of the reserve is for the log"


def test_once_there_is_no_room_there_is_none_until_it_is_a_tenth_of_the_reserve(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 30 * MIB)
    for free, room in ((31, 1), (30, 0), (31, 0), (33, 0), (34, 4), (31, 1), (20, 0)):
        disk.free = free * MIB
        assert reserve.room(0, 0) == room * MIB
    disk.free = 100 * MIB
    assert reserve.room(0, 0)
    disk.free = 31 * MIB
    assert isinstance(reserve.refusal(), StoreFull)
    assert reserve.room(0, 0) == 0, "what was refused makes it so, too"


def test_it_is_filled_a_portion_at_a_time_while_there_is_room_for_both_halves(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 5 * PORTION // 2)
    reserve.fill()
    assert reserve.left == 0, "not at once"
    sizes = []
    for _ in range(4):
        disk.now += FILL_EVERY
        reserve.fill()
        reserve.fill()
        sizes.append(reserve.left)
    assert sizes == [PORTION, 2 * PORTION, 5 * PORTION // 2, 5 * PORTION // 2]
    assert reserve.path.stat().st_mode & 0o777 == 0o600
    assert reserve.path.stat().st_blocks * 512 >= reserve.left, "it is really there"

    lacking = Reserve(tmp_path / "other", 4 * PORTION)
    disk.free = 5 * PORTION
    disk.now += FILL_EVERY
    lacking.fill()
    assert lacking.left == 0


def test_where_calls_are_refused_it_is_filled_before_they_are_taken_in_again(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 8 * PORTION)
    disk.free = 8 * PORTION
    disk.now += FILL_EVERY
    reserve.fill()
    assert reserve.left == 0, "calls are taken in"
    assert reserve.room(0, 0) == 0
    disk.free = 3 * PORTION
    disk.now += FILL_EVERY
    reserve.fill()
    assert reserve.left == PORTION, "from another program's hands"
    disk.free = 2 * PORTION
    disk.now += FILL_EVERY
    reserve.fill()
    assert reserve.left == PORTION, "what was just given up is not taken back"


def test_a_smaller_one_gives_back_what_is_too_much(disk: FakeDisk, tmp_path: Path) -> None:
    filled(tmp_path, disk, 3 * PORTION)
    smaller = Reserve(tmp_path / "reserve", PORTION)
    disk.now += FILL_EVERY
    smaller.fill()
    assert smaller.left == PORTION


def test_what_meets_a_full_disk_is_done_again_after_each_portion_that_is_given_up(
    disk: FakeDisk, tmp_path: Path
) -> None:
    reserve = filled(tmp_path, disk, 3 * PORTION)
    left = []

    def write() -> str:
        left.append(reserve.left // PORTION)
        if len(left) < 3:
            raise full()
        return "written"

    assert reserve.spend(write) == "written"
    assert left == [3, 2, 1]


def test_when_nothing_is_left_the_full_disk_is_told(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = filled(tmp_path, disk, 2 * PORTION)

    def write() -> None:
        raise full()

    with pytest.raises(sqlite3.OperationalError):
        reserve.spend(write)
    assert reserve.left == 0
    assert not reserve.give()


def test_other_trouble_spends_nothing(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = filled(tmp_path, disk, PORTION)

    def write() -> None:
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(OSError, match="Input/output"):
        reserve.spend(write)
    assert reserve.left == PORTION


def test_without_a_reserve_nothing_is_refused_and_no_file_is_made(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "reserve", 0)
    disk.free = 0
    disk.now += FILL_EVERY
    reserve.fill()
    assert reserve.room(0, 0) > 2**40
    assert not reserve.path.exists()


def test_a_disk_that_cannot_be_asked_refuses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written will tell: the folder may be gone, and then that is what is wrong."""
    reserve = Reserve(tmp_path / "gone" / "reserve", 30 * MIB)
    assert reserve.room(0, 0) > 2**40
    assert reserve.left == 0
    assert not reserve.give()


def test_a_purge_takes_no_more_than_can_be_written_down(disk: FakeDisk, tmp_path: Path) -> None:
    reserve = filled(tmp_path, disk, 4 * PORTION)
    assert reserve.within(2 * MIB) == 2 * MIB
    disk.free = 0
    assert reserve.within(2 * MIB) == PORTION
    assert Reserve(tmp_path / "none", 0).within(2 * MIB) == 2 * MIB


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (full(), True),
        (OSError(errno.ENOSPC, ""), True),
        (OSError(errno.EDQUOT, ""), True),
        (OSError(errno.EIO, ""), False),
        (ValueError(), False),
    ],
)
def test_what_says_that_a_disk_is_full(error: Exception, *, is_full: bool) -> None:
    assert trouble.disk_is_full(error) is is_full
