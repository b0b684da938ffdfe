"""What was answered is not lost when the power goes, whatever the disk had not written by then.

The store is the real one, on Python's own SQLite. What it asks of its disk is written down while several use it at once;
then the power goes at many moments of that, and the store opens again on what each of them may have left.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from cuts import Story
from extent import SEED, dice, extent
from router.store.sqlite import database, writer

#: Of one story.
CUTS: Final = 30
STORIES: Final = extent(1, 10)


@pytest.fixture(autouse=True)
def _busy_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log is moved and cut all the time."""
    monkeypatch.setattr(writer, "PAGES_TO_MOVE", 60)
    monkeypatch.setattr(writer, "IDLE", 0.0)
    monkeypatch.setattr(writer, "LARGEST_LOG", 300_000)


def less_safe(monkeypatch: pytest.MonkeyPatch, synchronous: str, number: int) -> None:
    """As if that were a safeguard of the store."""
    safeguards = [one for one in database._SAFEGUARDS if one[1] != "PRAGMA synchronous"]
    safeguards.append((f"PRAGMA synchronous = {synchronous}", "PRAGMA synchronous", number))
    assert len(safeguards) == len(database._SAFEGUARDS)
    monkeypatch.setattr(database, "_SAFEGUARDS", tuple(safeguards))


@pytest.mark.parametrize("number", range(STORIES))
async def test_nothing_that_was_answered_is_lost_when_the_power_goes(tmp_path: Path, number: int) -> None:
    story = Story(tmp_path, dice(f"power {number}"))
    await story.tell(CUTS)
    assert story.broken == {}, f"AFTERCALL_SEED={SEED}, and what was left is in {tmp_path}"
    assert story.seen["cuts"] == CUTS
    assert all(story.seen[what] for what in ("promises", "shared commits", "checkpoints")), story.seen
    assert story.seen["refused"] == 0


# Most cuts lose something here, so that sixty which lose nothing are not to be met with.


async def test_with_less_than_full_synchronous_the_same_test_finds_a_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    less_safe(monkeypatch, "NORMAL", 1)
    story = Story(tmp_path, dice("power"))
    await story.tell(60, until_broken=True)
    found = [line for lines in story.broken.values() for line in lines]
    assert any(not line.startswith("damaged") for line in found), (story.broken, story.seen)


async def test_without_synchronous_the_same_test_finds_loss_or_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    less_safe(monkeypatch, "OFF", 0)
    story = Story(tmp_path, dice("power"))
    await story.tell(60, until_broken=True)
    assert story.broken, story.seen
