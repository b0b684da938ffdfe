"""Which alarms stand, and what of them has to be told: once when something is wrong, once when it is well. Pure.

Whoever looks hands in everything that is wrong at the moment; how that was found is not known here. An alarm that stood
before a restart stands after it, if it is handed in as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from router.alarm import Alarm, Cause

#: Nothing about the same thing is told twice within this time, however often it comes and goes.
QUIET: Final = timedelta(minutes=10)
#: How many are told in an hour; the others wait, or are over before their turn comes.
MOST: Final = 20
#: What was told stays told, but for what is counted: when there are more a day later, that is told again.
GROWN: Final = timedelta(days=1)
_COUNTED: Final = frozenset({Cause.DEAD, Cause.QUARANTINE})
_HOUR: Final = timedelta(hours=1)
_URGENCY: Final = {cause: at for at, cause in enumerate(Cause)}

Key = tuple[Cause, str]


def key_of(alarm: Alarm) -> Key:
    """What is told apart: a cause, and whom it is about."""
    return alarm.cause, alarm.subject


@dataclass(frozen=True, slots=True)
class Standing:
    """One alarm as it is, and as it was told last."""

    alarm: Alarm
    told: Alarm | None = None
    told_at: datetime | None = None

    @property
    def known(self) -> bool:
        """Whether those who are told believe that it is wrong."""
        return self.told is not None and self.told.cleared is None

    def quiet(self, span: timedelta, now: datetime) -> bool:
        """Whether it was told within this time. A clock that is set back ends the wait: it would never end otherwise."""
        return self.told_at is not None and timedelta(0) <= now - self.told_at < span

    def due(self, now: datetime) -> bool:
        """Whether it has to be told."""
        if self.quiet(QUIET, now):
            return False
        if self.told is None or not self.known:
            return self.alarm.cleared is None
        grown = self.alarm.cause in _COUNTED and self.alarm.count > self.told.count and not self.quiet(GROWN, now)
        return self.alarm.cleared is not None or grown

    def found(self, alarm: Alarm) -> Standing:
        """It is (still, or again) wrong: since it was first, as long as nobody was told that it was well."""
        same = self.alarm.cleared is None or self.known
        return replace(self, alarm=replace(alarm, since=min(self.alarm.since, alarm.since)) if same else alarm)

    def gone(self, now: datetime) -> Standing | None:
        """It is not wrong; None where that can be forgotten."""
        if not self.known and not self.quiet(QUIET, now):
            return None
        return self if self.alarm.cleared else replace(self, alarm=replace(self.alarm, cleared=now))


@dataclass(frozen=True, slots=True)
class Register:
    """All that stands."""

    standing: Mapping[Key, Standing] = field(default_factory=dict)
    #: When something was told, within the last hour.
    told_at: tuple[datetime, ...] = ()

    @property
    def active(self) -> tuple[Alarm, ...]:
        """What is wrong, told or not, the most urgent first."""
        wrong = (one.alarm for one in self.standing.values() if one.alarm.cleared is None)
        return tuple(sorted(wrong, key=lambda alarm: (_URGENCY[alarm.cause], alarm.since, alarm.subject)))

    def looked(self, wrong: Iterable[Alarm], now: datetime) -> Register:
        """After a look that found all this wrong, and nothing else."""
        found = {key_of(alarm): alarm for alarm in wrong}
        after = {
            key: self.standing[key].found(alarm) if key in self.standing else Standing(alarm)
            for key, alarm in found.items()
        }
        for key, before in self.standing.items():
            if key not in found and (gone := before.gone(now)):
                after[key] = gone
        return replace(self, standing=after)

    def due(self, now: datetime) -> tuple[Alarm, ...]:
        """What is to be told now, the most urgent first; no more than may be told in an hour."""
        room = MOST - sum(timedelta(0) <= now - at < _HOUR for at in self.told_at)
        due = [one.alarm for one in self.standing.values() if one.due(now)]
        due.sort(key=lambda alarm: (_URGENCY[alarm.cause], alarm.since, alarm.subject))
        return tuple(due[: max(room, 0)])

    def told(self, alarms: Iterable[Alarm], now: datetime) -> Register:
        """After these were told."""
        alarms = tuple(alarms)
        told = {key_of(alarm): Standing(alarm, alarm, now) for alarm in alarms}
        recent = (at for at in self.told_at if timedelta(0) <= now - at < _HOUR)
        return Register({**self.standing, **told}, (*recent, *(now for _ in alarms)))
