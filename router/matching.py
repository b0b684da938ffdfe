"""Conditions on a call: whether they hold, and why. Pure; plain and readable, the reference for anything faster.

A condition on something missing is false, and its `not` is true. Conditions are three-valued for the sake of `never`
rules: there a channel condition on a call without a channel is unknown (None), and unknown counts as matching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any, Protocol

from router.event import Direction, Number, NumberKind
from router.facts import Facts, TextField
from router.keywords import Keyword
from router.text import Fold, name_key


@dataclass(frozen=True, slots=True)
class Finding:
    """Why a condition held or not: what was asked, the answer, what the call has, and the parts of it."""

    asked: str
    #: None: unknown (see the module's docstring).
    held: bool | None
    found: str | None = None
    parts: tuple[Finding, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        made: dict[str, Any] = {"condition": self.asked, "held": self.held, "found": self.found}
        return made | {"conditions": [part.plain() for part in self.parts]} if self.parts else made


class Condition(Protocol):
    """Something that holds for a call, or does not."""

    def holds(self, facts: Facts) -> bool | None:
        """Whether it does; None where that is unknown."""

    def explain(self, facts: Facts) -> Finding:
        """Whether, and why."""


@dataclass(frozen=True, slots=True)
class All:
    """Every part holds; with no part at all, always."""

    parts: tuple[Condition, ...] = ()

    def holds(self, facts: Facts) -> bool | None:
        """False if a part is false, else unknown if a part is unknown."""
        answer: bool | None = True
        for part in self.parts:
            held = part.holds(facts)
            if held is False:
                return False
            answer = answer and held
        return answer

    def explain(self, facts: Facts) -> Finding:
        """With every part."""
        return Finding("all of" if self.parts else "every call", self.holds(facts), None, _explained(self.parts, facts))


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds."""

    parts: tuple[Condition, ...]

    def holds(self, facts: Facts) -> bool | None:
        """True if a part is true, else unknown if a part is unknown."""
        answer: bool | None = False
        for part in self.parts:
            held = part.holds(facts)
            if held:
                return True
            answer = None if held is None else answer
        return answer

    def explain(self, facts: Facts) -> Finding:
        """With every part."""
        return Finding("any of", self.holds(facts), None, _explained(self.parts, facts))


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Condition

    def holds(self, facts: Facts) -> bool | None:
        """The opposite; unknown stays unknown."""
        held = self.part.holds(facts)
        return None if held is None else not held

    def explain(self, facts: Facts) -> Finding:
        """With the part."""
        return Finding("not", self.holds(facts), None, _explained((self.part,), facts))


def _explained(parts: tuple[Condition, ...], facts: Facts) -> tuple[Finding, ...]:
    return tuple(part.explain(facts) for part in parts)


@dataclass(frozen=True, slots=True)
class ChannelIs:
    """The channel has one of these names (as keys), fits one of these globs, or has one of these ids."""

    asked: str
    names: frozenset[str] = frozenset()
    globs: tuple[Callable[[str], bool], ...] = ()
    ids: frozenset[str] = frozenset()
    #: The answer for a call without a channel: False, or None in a `never` rule.
    if_missing: bool | None = False

    def holds(self, facts: Facts) -> bool | None:
        """Names are compared as keys (NFC, trimmed, casefolded), ids exactly."""
        key, id_ = facts.channel_key, facts.call.channel.id
        if key is None and id_ is None:
            return self.if_missing
        if id_ in self.ids or (key is not None and (key in self.names or any(glob(key) for glob in self.globs))):
            return True
        # A rule that names the channel by what this call lacks cannot be answered either.
        asks_name, asks_id = bool(self.names or self.globs), bool(self.ids)
        return self.if_missing if (asks_name and key is None) or (asks_id and id_ is None) else False

    def may_be(self, text: str) -> bool:
        """Whether a channel of this name or id is one of them."""
        key = name_key(text)
        return text in self.ids or key in self.names or any(glob(key) for glob in self.globs)

    def explain(self, facts: Facts) -> Finding:
        """With the call's channel."""
        return Finding(f"channel: {self.asked}", self.holds(facts), facts.call.channel.name)


@dataclass(frozen=True, slots=True)
class DirectionIs:
    """The call went in one of these directions."""

    directions: frozenset[Direction]

    def holds(self, facts: Facts) -> bool:
        """Exact."""
        return facts.call.direction in self.directions

    def explain(self, facts: Facts) -> Finding:
        """With the call's direction."""
        return Finding(f"direction: {_listed(self.directions)}", self.holds(facts), facts.call.direction)


@dataclass(frozen=True, slots=True)
class SourceIs:
    """The call came in at one of these sources."""

    sources: frozenset[str]

    def holds(self, facts: Facts) -> bool:
        """Exact."""
        return facts.source in self.sources

    def explain(self, facts: Facts) -> Finding:
        """With the call's source."""
        return Finding(f"source: {_listed(self.sources)}", self.holds(facts), facts.source)


class Party(StrEnum):
    """Whose number a condition asks for."""

    CALLER = "caller"
    CALLEE = "callee"
    NUMBER = "number"


@dataclass(frozen=True, slots=True)
class NumberIs:
    """A party's number is one of these (E.164), begins with one of these, or is of one of these kinds."""

    party: Party
    asked: str
    exact: frozenset[str] = frozenset()
    prefixes: tuple[str, ...] = ()
    kinds: frozenset[NumberKind] = frozenset()

    def holds(self, facts: Facts) -> bool:
        """`number` asks either party."""
        return any(self._fits(number) for number in self._numbers(facts))

    def _numbers(self, facts: Facts) -> tuple[Number, ...]:
        match self.party:
            case Party.CALLER:
                return (facts.call.caller,)
            case Party.CALLEE:
                return (facts.call.callee,)
            case Party.NUMBER:
                return (facts.call.caller, facts.call.callee)

    def _fits(self, number: Number) -> bool:
        e164 = number.e164
        return number.kind in self.kinds or (
            e164 is not None and (e164 in self.exact or e164.startswith(self.prefixes or "-"))
        )

    def explain(self, facts: Facts) -> Finding:
        """With the call's numbers."""
        found = ", ".join(number.e164 or number.raw or number.kind for number in self._numbers(facts))
        return Finding(f"{self.party}: {self.asked}", self.holds(facts), found)


@dataclass(frozen=True, slots=True)
class DurationIs:
    """The call lasted so long. `at_least` and `at_most` are included, `over` and `under` are not; seconds."""

    asked: str
    at_least: float | None = None
    at_most: float | None = None
    over: float | None = None
    under: float | None = None

    def holds(self, facts: Facts) -> bool:
        """False where the duration is unknown."""
        lasted = facts.call.duration
        return (
            lasted is not None
            and (self.at_least is None or lasted >= self.at_least)
            and (self.at_most is None or lasted <= self.at_most)
            and (self.over is None or lasted > self.over)
            and (self.under is None or lasted < self.under)
        )

    def explain(self, facts: Facts) -> Finding:
        """With the call's duration."""
        lasted = facts.call.duration
        return Finding(f"duration: {self.asked}", self.holds(facts), None if lasted is None else f"{lasted:g} s")


@dataclass(frozen=True, slots=True)
class TimeIs:
    """The call began on one of these days, between these local times, on no holiday.

    `until` is excluded; a window over midnight belongs to the day on which it began.
    """

    asked: str
    local: Callable[[datetime], datetime] = field(repr=False)
    #: Monday is 0.
    days: frozenset[int] = frozenset(range(7))
    begins: time = time.min
    #: None: midnight.
    until: time | None = None
    is_holiday: Callable[[date], bool] | None = field(default=None, repr=False)

    def holds(self, facts: Facts) -> bool:
        """False where the start is unknown."""
        if facts.call.started_at is None:
            return False
        local = self.local(facts.call.started_at)
        day, clock = local.date(), local.time()
        if self.until is not None and self.until <= self.begins:
            if clock < self.until:
                day -= timedelta(days=1)
            elif clock < self.begins:
                return False
        elif clock < self.begins or (self.until is not None and clock >= self.until):
            return False
        return day.weekday() in self.days and not (self.is_holiday is not None and self.is_holiday(day))

    def explain(self, facts: Facts) -> Finding:
        """With the call's local start."""
        started_at = facts.call.started_at
        found = None if started_at is None else f"{self.local(started_at):%a %Y-%m-%d %H:%M:%S %z}"
        return Finding(f"time: {self.asked}", self.holds(facts), found)


@dataclass(frozen=True, slots=True)
class Has:
    """The call has at least one of these parts."""

    parts: tuple[str, ...]

    def holds(self, facts: Facts) -> bool:
        """Names of fields of the event."""
        return any(getattr(facts.call, part) for part in self.parts)

    def explain(self, facts: Facts) -> Finding:
        """With the parts that are there."""
        found = _listed(part for part in self.parts if getattr(facts.call, part))
        return Finding(f"has: {_listed(self.parts)}", self.holds(facts), found or None)


@dataclass(frozen=True, slots=True)
class TextHas:
    """A text field has any of these keywords, all of those, and none of these."""

    where: TextField
    fold: Fold
    any_of: tuple[Keyword, ...] = ()
    all_of: tuple[Keyword, ...] = ()
    none_of: tuple[Keyword, ...] = ()

    def holds(self, facts: Facts) -> bool:
        """False where the field is missing, whatever is asked of it."""
        text = facts.text(self.where, self.fold)
        return (
            text is not None
            and (not self.any_of or any(word.found_in(text) is not None for word in self.any_of))
            and all(word.found_in(text) is not None for word in self.all_of)
            and not any(word.found_in(text) is not None for word in self.none_of)
        )

    def explain(self, facts: Facts) -> Finding:
        """With the words that were found."""
        text = facts.text(self.where, self.fold)
        asked = {"any": self.any_of, "all": self.all_of, "none": self.none_of}
        parts = "; ".join(
            f"{how} {_listed(repr(word.source) for word in words)}" for how, words in asked.items() if words
        )
        found = None
        if text is not None:
            hits = (word.found_in(text) for words in asked.values() for word in words)
            found = ", ".join(dict.fromkeys(hit for hit in hits if hit is not None)) or None
        return Finding(f"{self.where}: {parts}", self.holds(facts), found)


def _listed(words: Iterable[object]) -> str:
    return ", ".join(sorted(str(word) for word in words))
