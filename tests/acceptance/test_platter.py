"""The disk on which the power goes: it keeps what was synced, may lose anything else, and remembers who was hasty."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from platter import Platter
from surface import MOODS, SECTOR, Mark, Sync, SyncFolder, Truncate, Write

OLD, NEW = b"o" * 3 * SECTOR, b"n" * 3 * SECTOR


def left(disk: Platter, mood: str, times: int = 60) -> set[bytes | None]:
    """What is left of `a` after the last step, in many tries."""
    return {disk.after(len(disk.steps), Random(seed), mood).get("a") for seed in range(times)}


def overwritten() -> Platter:
    disk = Platter({"a": OLD})
    disk.add(Write(1, 0, NEW))
    return disk


def test_what_is_synced_is_there_whatever_happens() -> None:
    disk = overwritten()
    disk.add(Sync(1))
    assert [left(disk, mood) for mood in MOODS] == [{NEW}] * 4


def test_what_is_not_synced_is_there_or_not() -> None:
    sectors = {NEW[:SECTOR] * n + OLD[SECTOR * n :] for n in range(4)}
    assert left(overwritten(), "nothing") == {OLD}
    assert left(overwritten(), "everything") == {NEW}
    assert left(overwritten(), "torn") == sectors
    assert len(left(overwritten(), "scattered")) == 8


def test_a_sync_that_failed_may_have_lost_what_it_was_for_and_the_next_one_does_not_bring_it_back() -> None:
    disk = overwritten()
    disk.add(Sync(1, failed=True))
    disk.add(Sync(1))
    assert {OLD, NEW} < left(disk, "everything")
    assert disk.shown(len(disk.steps)) == {"a": NEW}


def test_a_file_can_be_cut_or_not() -> None:
    disk = Platter({"a": OLD})
    disk.add(Truncate(1, 0))
    assert left(disk, "scattered") == {OLD, b""}


def made(disk: Platter) -> None:
    disk.file("a")


def renamed(disk: Platter) -> None:
    disk.rename("b", "a")


def linked(disk: Platter) -> None:
    disk.link("b", "a")


@pytest.mark.parametrize(("act", "content"), [(made, b""), (renamed, OLD), (linked, OLD)])
def test_a_name_is_certain_when_its_folder_is_synced(act: Callable[[Platter], None], content: bytes) -> None:
    disk = Platter({"b": OLD})
    act(disk)
    assert left(disk, "scattered") == {None, content}
    disk.add(SyncFolder("."))
    assert left(disk, "nothing") == {content}


def test_a_removal_is_certain_when_its_folder_is_synced() -> None:
    disk = Platter({"a": OLD})
    disk.remove("a")
    assert left(disk, "torn") == {None, OLD}
    disk.add(SyncFolder("."))
    assert left(disk, "nothing") == {None}


def test_a_file_is_there_only_when_its_folder_is() -> None:
    disk = Platter()
    disk.folder("new")
    disk.file("new/a")
    disk.add(SyncFolder("new"))
    assert disk.after(len(disk.steps), Random(1), "nothing") == {}
    disk.add(SyncFolder("."))
    assert disk.after(len(disk.steps), Random(1), "nothing") == {"new/a": b""}


def test_a_name_that_comes_before_its_content_is_hasty() -> None:
    disk = Platter()
    disk.add(Write(disk.file("draft"), 0, NEW))
    disk.rename("draft", "a")
    assert len(disk.hasty_names()) == 2, "it was not synced, and its new name is not certain"
    disk = Platter()
    disk.add(Write(disk.file("draft"), 0, NEW))
    disk.add(Sync(1))
    disk.rename("draft", "a")
    disk.add(SyncFolder("."))
    assert disk.hasty_names() == []


def test_a_second_sync_through_a_descriptor_on_which_the_first_failed_is_told() -> None:
    disk = Platter()
    number = disk.file("a")
    for handle, failed in ((1, False), (1, True), (2, False), (1, False)):
        disk.add(Sync(number, failed, handle))
    assert disk.synced_again() == ["a"]


def test_what_was_asked_is_told_by_the_names_that_files_had_then() -> None:
    disk = Platter({"a": OLD})
    disk.add(Write(1, SECTOR, NEW))
    disk.add(Sync(disk.file("new"), handle=7))
    disk.rename("new", "b")
    disk.add(Truncate(2, 0))
    disk.add(Sync(2, failed=True, handle=8))
    disk.add(SyncFolder("."))
    disk.add(Mark("somebody knows"))
    assert disk.told(7).splitlines() == [
        "1 a write 1536 at 512",
        "2 new is file 2",
        "3 new sync done through 7",
        "4 new is renamed to b",
        "5 b truncate to 0",
        "6 b sync FAILED through 8",
        "7 SyncFolder(path='.')",
    ]
