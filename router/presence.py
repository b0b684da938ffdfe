"""That this router is there, said every few seconds; who else is, and what of them does not fit together.

With each beat it learns the time that all routers of the store go by (see `clock.SharedClock`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, NoReturn

from router.about import version
from router.clock import SharedClock, pause
from router.errors import NameTaken, StoreError
from router.store.values import ALIVE, BEAT_EVERY, Card

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import JumpingClock
    from router.store.base import Store
    from router.store.lines import RouterLine

#: Seconds that a machine's clock may be wrong without a word.
WRONG: Final = 5.0
#: Seconds that may be waited for the list of routers.
_SEEING: Final = 2.0
#: Characters of a hash of rules that people are shown.
SHORT: Final = 8


class Presence:
    """One router's. `rules` is the hash of those in force."""

    def __init__(
        self, store: Store, *, clock: JumpingClock, rules: str, log: FilteringBoundLogger, hold: bool = False
    ) -> None:
        self._rules = rules
        self._hold = hold
        #: Those that there were when they could be asked for last.
        self._seen: Sequence[RouterLine] = ()
        self._store = store
        self._clock = clock
        self._log = log
        self._taken: str | None = None
        self._failing = False
        self._kept_house = store.keeps_house
        #: The clock was wrong when it beat last.
        self._wrong = False

    @property
    def seen(self) -> Sequence[RouterLine]:
        """Those that there were a few seconds ago; while the store is away, none is alive that nobody has heard of since."""
        lately = self._clock.now() - ALIVE
        return [
            line if line.here or line.seen_at > lately else replace(line, alive=False, keeps_house=False)
            for line in self._seen
        ]

    async def begin(self) -> None:
        """A beat, after which the clock is right: until the router takes anything in. Raises `StoreError`."""
        await self._beat()
        self._clock.follow()
        self._tell_of_clock()

    async def beat_for_ever(self) -> NoReturn:
        """Beat every few seconds; the first time soon: others may have come meanwhile."""
        while True:
            await self.beat()
            await pause(self._clock, BEAT_EVERY)

    async def beat(self) -> None:
        """Beat. Of what fails the log has a line where it is news."""
        try:
            await self._beat()
        except NameTaken as error:
            if self._taken is None:
                self._log.error("router.name_taken", reason=str(error))
            self._taken = str(error)
            with suppress(StoreError):
                self._seen = await self._store.routers()
        except StoreError as error:
            if not self._failing:
                self._log.warning("router.not_seen", reason=str(error))
            self._failing = True
        else:
            if self._taken is not None:
                self._log.info("router.name_regained")
            if self._failing:
                self._log.info("router.seen_again")
            self._taken, self._failing = None, False
            self._tell_of_clock()
        if self._store.keeps_house != self._kept_house:
            self._kept_house = self._store.keeps_house
            self._log.info("house.taken" if self._kept_house else "house.lost")

    async def _beat(self) -> None:
        clock = self._clock if isinstance(self._clock, SharedClock) else None
        asked = clock.steady() if clock else self._clock.now()
        card = Card(version(), self._rules, clock.ahead.total_seconds() if clock else 0.0, self._hold)
        time = await self._store.beat(card, now=self._clock.now())
        if clock is not None and time is not None:
            clock.hear(time, asked=asked)
        with suppress(TimeoutError):  # who is there is known a little later then: nothing may keep the next beat
            async with asyncio.timeout(_SEEING):
                self._seen = await self._store.routers()

    def reloaded(self, rules: str) -> None:
        """Other rules are in force, or the same."""
        self._rules = rules

    def _tell_of_clock(self) -> None:
        if not isinstance(self._clock, SharedClock):
            return
        ahead = self._clock.ahead.total_seconds()
        wrong = abs(ahead) > WRONG
        if wrong and not self._wrong:
            self._log.warning("clock.wrong", reason=_wrong("the clock of this machine", ahead))
        elif self._wrong and not wrong:
            self._log.info("clock.right")
        self._wrong = wrong

    def remarks(self, lines: Iterable[RouterLine] | None = None) -> list[str]:
        """What does not fit together, for whoever looks after these routers; `lines`: those that there are now."""
        return [*filter(None, [self._taken]), *remarks(self.seen if lines is None else lines)]


def remarks(lines: Iterable[RouterLine]) -> list[str]:
    """Where those that are alive differ, and should not."""
    alive = [line for line in lines if line.alive]
    found = []
    if len({line.rules for line in alive}) > 1:
        which = _listed((line.name, line.rules[:SHORT]) for line in alive)
        found.append(f"routes differ: {which}: reload, or give all the same file")
    if len({line.version for line in alive}) > 1:
        which = _listed((line.name, line.version) for line in alive)
        found.append(f"versions differ: {which}: bring all to the newest")
    for line in alive:
        if abs(line.ahead) > WRONG:
            whose = "the clock of this machine" if line.here else f"the clock of {line.name}'s machine"
            found.append(_wrong(whose, line.ahead))
    return found


def _listed(pairs: Iterable[tuple[str, str]]) -> str:
    return ", ".join(f"{name} has {value}" for name, value in pairs)


def _wrong(whose: str, ahead: float) -> str:
    apart = f"{abs(ahead):.0f} s {'ahead of' if ahead > 0 else 'behind'}"
    return f"{whose} is {apart} the database server's; aftercall goes by the server's; set it right (NTP)"
