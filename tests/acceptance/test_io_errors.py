"""A disk that fails: what was answered is kept, what was not is refused, and no sync is tried again where it failed.

A sync that failed has lost what it was for, as on Linux: the system goes on showing it, and a second sync would succeed
without it. So the power goes here as well.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pytest

from crashvfs import watching
from cuts import Story
from extent import SEED, dice, extent
from faults import Operation, never, now_and_then
from platter import Platter, lay
from router.errors import StoreError
from router.store.base import Duplicate
from router.store.sqlite import copying, open_store, writer
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
