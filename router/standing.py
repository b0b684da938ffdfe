"""Which alarms stand, and what of them has to be told: once when something is wrong, once when it is well. Pure.

Whoever looks hands in everything that is wrong at the moment, and what nobody can look at any more: of that nobody is
told that it is well, only that it is over. How all that was found is not known here. An alarm that stood
before a restart stands after it, if it is handed in as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from router.alarm import Alarm, Cause, Whose

#: Nothing about the same thing is told twice within this time, however often it comes and goes; of what somebody does
#: by hand it is not long: that may be wrong once more, in another way.
QUIET: Final = timedelta(minutes=10)
_QUIET_BY_HAND: Final = timedelta(minutes=1)
#: How many are told in an hour; the others wait, or are over before their turn comes. Each of the urgent causes has as
#: many for itself: no lot of others keeps it waiting.
MOST: Final = 20
_URGENT: Final = frozenset({Cause.STORE, Cause.DISK, Cause.QUARANTINE_FULL, Cause.BLOCKED, Cause.RELOAD})
#: What was told stays told, but for what is counted: when there are more an hour later, that is told again.
GROWN: Final = timedelta(hours=1)
#: So long an all-clear is for those who have not taken it.
OVER: Final = timedelta(days=1)
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
    #: The sinks that took what was told last.
    informed: frozenset[str] = frozenset()
    #: The sinks that were told that it is wrong, and not yet that it is well.
    worried: frozenset[str] = frozenset()

    @property
    def known(self) -> bool:
        """Whether those who are told believe that it is wrong."""
        return self.told is not None and self.told.cleared is None

    def concerns(self, sink: str) -> bool:
        """Whether this sink is to be told how it is now: who never heard that it is wrong need not know that it is well."""
        return self.alarm.cleared is None or sink in self.worried

    def quiet(self, span: timedelta, now: datetime) -> bool:
        """Whether it was told within this time. A clock that is set back ends the wait: it would never end otherwise."""
        return self.told_at is not None and timedelta(0) <= now - self.told_at < span

    def due(self, now: datetime) -> bool:
        """Whether it has to be told."""
        if self.quiet(_QUIET_BY_HAND if self.alarm.cause is Cause.RELOAD else QUIET, now):
            return False
        if self.told is None or not self.known:
            return self.alarm.cleared is None
        grown = self.alarm.cause in _COUNTED and self.alarm.count > self.told.count and not self.quiet(GROWN, now)
        return self.alarm.cleared is not None or grown

    def lacks(self, sink: str) -> bool:
        """Whether this sink has not taken what was told last, and should. Nobody is told that something never heard of is well."""
        if self.told is None:
            return False
        if self.told.cleared is None:
            return self.alarm.cleared is None and sink not in self.informed
        return sink in self.worried

    def found(self, alarm: Alarm) -> Standing:
        """It is still wrong, since it was first; or again, since now. Where there are fewer, more than that are more."""
        same, told = self.alarm.cleared is None, self.told
        if told is not None and told.cleared is None and alarm.count < told.count:
            told = replace(told, count=alarm.count)
        alarm = replace(alarm, since=min(self.alarm.since, alarm.since)) if same else alarm
        return replace(self, alarm=alarm, told=told)

    def gone(self, now: datetime, unwatched: Alarm | None = None) -> Standing | None:
        """It is not wrong, or not looked at any more (and then as it is); None where that can be forgotten."""
        if not self.known and not self.quiet(OVER if self.worried else QUIET, now):
            return None
        if self.alarm.cleared:
            return self
        count = self.alarm.count if unwatched is None else unwatched.count
        return replace(self, alarm=replace(self.alarm, cleared=now, unwatched=unwatched is not None, count=count))

    def taken(self, sink: str, alarm: Alarm) -> Standing:
        """A sink took what was told, now or earlier."""
        worried = self.worried | {sink} if alarm.cleared is None else self.worried - {sink}
        told = self.told
        is_last = told is not None and alarm.cleared == told.cleared and alarm.count >= told.count
        return replace(self, worried=worried, informed=self.informed | {sink} if is_last else self.informed)

    def remembered(self, router: str) -> Standing:
        """As this router goes on with it that says so from now on: what nobody had taken is not told yet."""
        alarm = replace(self.alarm, router=router)
        return replace(self, alarm=alarm) if self.informed or self.worried else Standing(alarm)


@dataclass(frozen=True, slots=True)
class Register:
    """All that stands."""

    standing: Mapping[Key, Standing] = field(default_factory=dict)
    #: When something was told, within the last hour, and about what.
    told_at: tuple[tuple[datetime, Cause], ...] = ()

    @classmethod
    def of(cls, standing: Iterable[Standing]) -> Register:
        """With these."""
        return cls({key_of(one.alarm): one for one in standing})

    def of_whom(self, whose: Whose) -> tuple[Standing, ...]:
        """Those of this kind."""
        return tuple(one for one in self.standing.values() if one.alarm.whose is whose)

    def instead(self, whose: Whose, standing: Iterable[Standing] = ()) -> Register:
        """With these in place of all of this kind: another router has looked at them."""
        others = {key: one for key, one in self.standing.items() if one.alarm.whose is not whose}
        return replace(self, standing={**others, **Register.of(standing).standing})

    @property
    def active(self) -> tuple[Alarm, ...]:
        """What is wrong, told or not, the most urgent first."""
        return _by_urgency(one.alarm for one in self.standing.values() if one.alarm.cleared is None)

    def looked(self, wrong: Iterable[Alarm], now: datetime, unwatched: Iterable[Alarm] = ()) -> Register:
        """After a look that found all this wrong, did not look at that, and found nothing else."""
        unseen = {key_of(alarm): alarm for alarm in unwatched}
        found = {key_of(alarm): alarm for alarm in wrong}
        after = {
            key: self.standing[key].found(alarm) if key in self.standing else Standing(alarm)
            for key, alarm in found.items()
        }
        for key, before in self.standing.items():
            if key not in found and (gone := before.gone(now, unseen.get(key))):
                after[key] = gone
        return replace(self, standing=after)

    def due(self, now: datetime) -> tuple[Alarm, ...]:
        """What is to be told now, the most urgent first; no more than may be told in an hour."""
        spent = Counter(_purse(cause) for _, cause in self._recent(now))
        due = []
        for alarm in _by_urgency(one.alarm for one in self.standing.values() if one.due(now)):
            if spent[_purse(alarm.cause)] < MOST:
                spent[_purse(alarm.cause)] += 1
                due.append(alarm)
        return tuple(due)

    def told(self, alarms: Iterable[Alarm], now: datetime) -> Register:
        """After these were told: somebody has to take them."""
        alarms = tuple(alarms)
        told = {
            key: replace(self.standing[key], alarm=alarm, told=alarm, told_at=now, informed=frozenset())
            for key, alarm in zip(map(key_of, alarms), alarms, strict=True)
        }
        return Register({**self.standing, **told}, (*self._recent(now), *((now, alarm.cause) for alarm in alarms)))

    def taken(self, sink: str, alarm: Alarm) -> Register:
        """After a sink took this."""
        key = key_of(alarm)
        if key not in self.standing:
            return self
        return replace(self, standing={**self.standing, key: self.standing[key].taken(sink, alarm)})

    def lacking(self, sink: str) -> tuple[Alarm, ...]:
        """What was told and this sink has not taken, the most urgent first; no more than may be told in an hour."""
        return _by_urgency(one.told for one in self.standing.values() if one.told and one.lacks(sink))[:MOST]

    def _recent(self, now: datetime) -> Iterator[tuple[datetime, Cause]]:
        return ((at, cause) for at, cause in self.told_at if timedelta(0) <= now - at < _HOUR)


def _by_urgency(alarms: Iterable[Alarm]) -> tuple[Alarm, ...]:
    return tuple(sorted(alarms, key=lambda alarm: (_URGENCY[alarm.cause], alarm.since, alarm.subject)))


def _purse(cause: Cause) -> Cause | None:
    """Out of which it is told: its own, or the one that all others share."""
    return cause if cause in _URGENT else None
