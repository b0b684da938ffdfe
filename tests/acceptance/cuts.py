"""A store that lives through several power cuts and kills: what one of them leaves is where its next life begins."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from crashvfs import watching
from facts import Fact, known
from faults import Fault, never
from platter import Platter, lay
from promises import broken
from router.store.sqlite import open_store
from store_engines import NOW
from surface import Mark, Sync
from users import Users

_CUTS_OF_LIFE: Final = 6
_ROUNDS: Final = 12


@dataclass
class Story:
    """What became of it; the folder keeps what each cut left."""

    folder: Path
    dice: Random
    fails: Fault = never
    #: Broken promises, by the cut.
    broken: dict[str, list[str]] = field(default_factory=dict)
    #: Files that were synced through a descriptor on which that had failed.
    synced_again: list[str] = field(default_factory=list)
    #: What happened, and how often, to know that something was shown.
    seen: Counter[str] = field(default_factory=Counter)

    async def tell(self, cuts: int, *, until_broken: bool = False) -> None:
        """Live, and cut the power so often. After a power cut a life begins with what is left, after a kill with all."""
        facts: list[object] = []
        disk, start = Platter(), 0
        for life in range(cuts // _CUTS_OF_LIFE):
            await self._live(disk, start, life)
            for number in range(_CUTS_OF_LIFE):
                cut = self._moment(disk, start)
                left, told = disk.after(cut, self.dice), [*facts, *disk.facts(cut)]
                self.seen["cuts"] += 1
                good = await self._holds(f"{life}-{number}", left, told, disk.told(cut))
                if not good and until_broken:
                    return
            if good and self.dice.random() < 0.5:
                disk, facts, start = Platter(left), told, 0
            else:
                start = self._kill(disk, start)
                disk = disk.killed(start)
                self.seen["kills"] += 1
                await self._holds(f"{life}-killed", disk.shown(start), [*facts, *disk.facts(start)], disk.told(start))

    async def _live(self, platter: Platter, start: int, life: int) -> None:
        folder = self.folder / f"life-{life}"
        folder.mkdir()
        lay(platter.shown(start), folder)
        seed = self.dice.random()
        with watching(folder, platter) as watched:
            async with open_store(folder / "aftercall.db", parse=json.loads) as store:
                users = Users(store, platter, seed=seed, life=life)
                await store.retake(now=NOW, left_behind=True)
                watched.fails = self.fails
                await users.live(_ROUNDS)
                if self.dice.random() < 0.5:  # otherwise it closes on a failing disk
                    watched.fails = never
                    await users.go_on()
        self.seen["refused"] += users.refused
        self.seen["shared commits"] += store.effort.largest_batch > 1
        self.seen["checkpoints"] += store.effort.checkpoints
        self.seen.update(watched.failures)
        self.synced_again += platter.synced_again()

    def _moment(self, platter: Platter, start: int) -> int:
        """Just after an answer, or any."""
        answers = [start] + [
            number for number, step in enumerate(platter.steps, 1)
            if number > start and isinstance(step, Mark) and isinstance(step.fact, Fact) and step.fact.answered
        ]  # fmt: skip
        return self.dice.choice((self.dice.choice(answers), self.dice.randint(start, len(platter.steps))))

    def _kill(self, platter: Platter, start: int) -> int:
        """Just after a sync that failed, where there is one: what the next process finds then is not on the disk."""
        failed = [number for number, step in enumerate(platter.steps, 1) if isinstance(step, Sync) and step.failed]
        return self.dice.choice([number for number in failed if number > start] or [self._moment(platter, start)])

    async def _holds(self, cut: str, left: dict[str, bytes], facts: list[object], steps: str) -> bool:
        folder = self.folder / f"cut-{cut}"
        folder.mkdir()
        lay(left, folder)
        if self.dice.random() < 0.5:  # an index of the log from before the cut, or anything
            (folder / "aftercall.db-shm").write_bytes(self.dice.randbytes(2**15))
        learned = known(facts)
        found = await broken(folder, learned)
        self.seen["promises"] += learned.answered
        if found:
            self.broken[cut] = found
            (folder / "steps").write_text(steps)
        return not found
