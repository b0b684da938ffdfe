"""A disk that fails: what was answered is kept, what was not is refused, and no sync is tried again where it failed.

A sync that failed has lost what it was for, as on Linux: the system goes on showing it, and a second sync would succeed
without it. So the power goes here as well.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from crashvfs import watching
from cuts import Story
from extent import SEED, dice, extent
from faults import Operation, never, now_and_then
from platter import Platter, lay
from router.errors import StoreError
from router.store.sqlite import copying, open_store, writer
from router.store.values import Accepted, Duplicate
from store_engines import accepted, arrival

#: Of one story.
CUTS: Final = 18
STORIES: Final = extent(1, 12)
_EVERYTHING: Final[tuple[Operation, ...]] = ("open", "read", "write", "short write", "truncate", "sync", "remove")


@pytest.fixture(autouse=True)
def _busy_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is moved and cut all the time."""
    monkeypatch.setattr(writer, "PAGES_TO_MOVE", 60)
    monkeypatch.setattr(writer, "IDLE", 0.0)
    monkeypatch.setattr(writer, "LARGEST_LOG", 300_000)


@pytest.mark.parametrize("number", range(STORIES))
@pytest.mark.parametrize(
    ("operations", "about"),
    [(("sync",), 8), (("write", "short write"), 200), (("read", "open"), 50), (_EVERYTHING, 100)],
    ids=["sync", "write", "read", "everything"],
)
@pytest.mark.case("DUR-07")
async def test_a_failing_disk_loses_nothing_that_was_answered_not_even_when_the_power_goes_then(
    tmp_path: Path, number: int, operations: tuple[Operation, ...], about: int
) -> None:
    name = f"{operations} {number}"
    story = Story(tmp_path, dice(name), now_and_then(dice(f"failing {name}"), *operations, about=about))
    await story.tell(CUTS)
    assert story.broken == {}, f"AFTERCALL_SEED={SEED}, and what was left is in {tmp_path}"
    assert story.synced_again == []
    assert story.seen["promises"], story.seen
    assert any(story.seen[operation] for operation in operations), story.seen


@pytest.mark.parametrize("which", range(3))
@pytest.mark.case("DUR-07")
async def test_a_sync_that_fails_while_the_store_closes_is_not_tried_again_on_the_same_descriptor(
    tmp_path: Path, which: int
) -> None:
    platter, syncs = Platter(), 0

    def fails(operation: Operation, _: str) -> bool:
        nonlocal syncs
        syncs += operation == "sync"
        return operation == "sync" and syncs == which + 1

    folder = tmp_path / "life"
    folder.mkdir()
    with watching(folder, platter) as watched:
        async with open_store(folder / "aftercall.db", parse=json.loads) as store:
            first = await accepted(store, arrival())
            watched.fails = fails
    assert platter.synced_again() == []
    for number in range(12):
        left = tmp_path / f"cut-{number}"
        left.mkdir()
        lay(platter.after(len(platter.steps), dice(f"closing {which} {number}")), left)
        async with open_store(left / "aftercall.db", parse=json.loads) as store:
            assert await store.accept(arrival()) == Duplicate(first.event_id)
        copying.verified(left / "aftercall.db")


@pytest.mark.case("DUR-07")
async def test_what_a_failed_sync_left_in_the_cache_alone_is_not_built_upon_after_a_kill(tmp_path: Path) -> None:
    """The next process finds the refused commit in the log and takes it for whole; the disk never had it."""
    disk = Platter()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    with watching(first, disk) as watched:
        async with open_store(first / "aftercall.db", parse=json.loads) as store:
            kept = [await accepted(store, arrival("kept"))]
            watched.fails = lambda operation, path: operation == "sync" and path.endswith("-wal")
            with pytest.raises(StoreError, match="SQLITE_IOERR_FSYNC"):
                await store.accept(arrival("refused", "what was refused"))
            killed = len(disk.steps)
            watched.fails = never
    disk = disk.killed(killed)
    second.mkdir()
    lay(disk.shown(killed), second)
    with watching(second, disk):
        async with open_store(second / "aftercall.db", parse=json.loads) as store:
            kept.append(await accepted(store, arrival("kept, too", "something else")))
            answered = len(disk.steps)
    for number in range(12):
        left = tmp_path / f"cut-{number}"
        left.mkdir()
        lay(disk.after(answered, dice(f"cache {number}"), "nothing"), left)
        async with open_store(left / "aftercall.db", parse=json.loads) as store:
            assert [await store.event(one.event_id) is not None for one in kept] == [True, True]
        copying.verified(left / "aftercall.db")


@pytest.mark.case("DUR-07")
async def test_a_power_cut_while_a_start_moves_what_a_failed_sync_left_in_the_cache_leaves_no_half_of_it(
    tmp_path: Path,
) -> None:
    disk = Platter()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    with watching(first, disk) as watched:
        async with open_store(first / "aftercall.db", parse=json.loads) as store:
            kept = [await accepted(store, arrival(f"kept-{n}", f"what {n} said " * 100)) for n in range(20)]
        async with open_store(first / "aftercall.db", parse=json.loads) as store:  # its log lacks most of the database
            kept.append(await accepted(store, arrival("kept, too", "a word")))
            watched.fails = lambda operation, path: operation == "sync" and path.endswith("-wal")
            with pytest.raises(StoreError, match="SQLITE_IOERR_FSYNC"):
                await store.accept(arrival("refused", "what was refused " * 1000))
            killed = len(disk.steps)
            watched.fails = never
    disk = disk.killed(killed)
    second.mkdir()
    lay(disk.shown(killed), second)
    with watching(second, disk):
        async with open_store(second / "aftercall.db", parse=json.loads):
            opened = len(disk.steps)
    chance = dice("half of it")
    for number in range(40):
        await _holds(tmp_path / f"cut-{number}", disk.after(chance.randint(killed, opened), chance), kept)


_READER: Final = """
import sqlite3, sys
connection = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True, isolation_level=None)
for _ in sys.stdin:
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    print(connection.execute("SELECT count(*) FROM events").fetchone()[0], flush=True)
print(connection.execute("SELECT count(*) FROM events").fetchone()[0], flush=True)
"""


#: Ends well where somebody else uses the index: whoever finds its byte 128 free takes it for his own, and cuts it.
_USED: Final = """
import fcntl, sys
with open(sys.argv[1], "rb+") as index:
    try:
        fcntl.lockf(index, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 128)
    except OSError:
        sys.exit(0)
sys.exit("it is nobody's")
"""


def _is_used(index: Path) -> None:
    subprocess.run([sys.executable, "-c", _USED, str(index)], check=True)


class _Reader:
    """Another program that reads."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def counts(self) -> int:
        """How many events it sees from now on."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._seen()

    def ends(self) -> int:
        """How many it still saw when it ended."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        seen = self._seen()
        assert self._process.wait(10) == 0
        return seen

    def _seen(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())


@contextmanager
def _reading(database: Path) -> Iterator[_Reader]:
    command = [sys.executable, "-c", _READER, str(database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield _Reader(process)
        finally:
            process.kill()


@pytest.mark.parametrize("reads_on", [False, True], ids=["it ends", "it reads on"])
@pytest.mark.case("DUR-07")
async def test_what_was_moved_of_the_log_before_a_sync_failed_is_moved_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, reads_on: bool
) -> None:
    """A reader stops a move half way, and SQLite syncs nothing of that; the sync of the rest fails, and then loses both."""
    monkeypatch.setattr(writer, "PAGES_TO_MOVE", 10**6)  # at our word only
    disk, failed = Platter(), 0

    def once(operation: Operation, path: str) -> bool:
        nonlocal failed
        fails = operation == "sync" and not path.endswith("-wal") and not failed
        failed += fails
        return fails

    life = tmp_path / "life"
    life.mkdir()
    with watching(life, disk) as watched, _reading(life / "aftercall.db") as reader:
        async with open_store(life / "aftercall.db", parse=json.loads) as store:
            kept = [await accepted(store, arrival(f"kept-{n}", f"what {n} said " * 100)) for n in range(20)]
            assert reader.counts() == 20
            kept.append(await accepted(store, arrival("kept, too", "a word")))
            pages, moved = await store.writer.run(store.database.move_log, alone=True)
            assert 0 < moved < pages, "it is in the way"
            assert (reader.counts() if reads_on else reader.ends()) == 20 + reads_on
            watched.fails = once
            with pytest.raises(StoreError, match="SQLITE_IOERR_FSYNC"):
                await store.writer.run(store.database.move_log, alone=True)
            kept.append(await accepted(store, arrival("kept at last", "a word")))
            _is_used(life / "aftercall.db-shm")
            if reads_on:
                assert reader.ends() == 21, "whatever becomes of the log, it sees what it saw"
            pages, moved = await store.writer.run(store.database.move_log, alone=True)
            assert moved == pages
            kept.append(await accepted(store, arrival("what begins the log anew", "a word")))
            assert (await store.summary()).events == 23
            answered = len(disk.steps)
    assert failed == 1
    assert disk.synced_again() == []
    chance = dice("moved again")
    for number in range(20):
        await _holds(tmp_path / f"cut-{number}", disk.after(chance.randint(answered, len(disk.steps)), chance), kept)


async def _holds(folder: Path, left: dict[str, bytes], kept: list[Accepted]) -> None:
    folder.mkdir()
    lay(left, folder)
    async with open_store(folder / "aftercall.db", parse=json.loads) as store:
        assert [one.event_id for one in kept if await store.event(one.event_id) is None] == []
    copying.verified(folder / "aftercall.db")
