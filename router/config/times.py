"""The parts of rules that are about time, from how people write them: durations, days, times of day, holidays.

Each raises ValueError with what is wrong and what to write.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterator
from datetime import date, time, timedelta
from functools import cache

from router.config.grammar import DurationRange
from router.errors import Discreet
from router.matching import DurationIs
from router.scalars import parse_duration

_DAYS = (
    ("monday", "montag"),
    ("tuesday", "dienstag"),
    ("wednesday", "mittwoch"),
    ("thursday", "donnerstag"),
    ("friday", "freitag"),
    ("saturday", "samstag"),
    ("sunday", "sonntag"),
)
_CLOCK = re.compile(r"([01]?\d|2[0-4]):([0-5]\d)")
_COMPARISON = re.compile(r"(>=|<=|>|<)\s*(.+)")


def duration(wanted: DurationRange | str) -> DurationIs:
    """`{min: 5m, max: 1h}`, or a comparison like `>= 5m`."""
    if isinstance(wanted, DurationRange):
        low, high = wanted.min, wanted.max
        if low is None and high is None:
            message = "is empty; write min, max or both"
            raise Discreet(message)
        if low is not None and high is not None and low > high:
            message = "min is more than max, so no call fits"
            raise Discreet(message)
        asked = " and ".join(
            f"{sign} {bound.total_seconds():g} s" for sign, bound in ((">=", low), ("<=", high)) if bound is not None
        )
        return DurationIs(asked, _seconds(low), _seconds(high))
    matched = _COMPARISON.fullmatch(wanted.strip())
    try:
        how, bound = matched.groups() if matched else ("", "")
        return DurationIs(wanted, **{_BOUNDS[how]: parse_duration(bound).total_seconds()})
    except (KeyError, ValueError):
        message = 'compares with no duration; write ">= 5m" or {min: 5m, max: 1h}'
        raise Discreet(f"{wanted!r} {message}", instead=message) from None


_BOUNDS = {">=": "at_least", "<=": "at_most", ">": "over", "<": "under"}


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else duration.total_seconds()


def days(entry: str) -> Iterator[int]:
    """`mon-fri` or `sat`; a range may go over the week's end."""
    first, dash, last = entry.casefold().replace(" ", "").partition("-")
    found = [_day(name) for name in ((first, last) if dash else (first,))]
    if None in found:
        message = "is no day; write mon, tue, wed, thu, fri, sat, sun or a range like mon-fri"
        raise Discreet(f"{entry!r} {message}", instead=message)
    begin, end = found[0] or 0, found[-1] or 0
    yield from ((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _day(name: str) -> int | None:
    """The day that this is the beginning of, in English or German: `mo`, `mon`, `monday`."""
    if len(name) < 2:  # noqa: PLR2004 - a single letter is not enough
        return None
    return next((day for day, names in enumerate(_DAYS) if any(full.startswith(name) for full in names)), None)


def clock(text: str) -> time | None:
    """A time of day; 24:00 is midnight at the end of the day, which is None."""
    matched = _CLOCK.fullmatch(text.strip())
    if matched is None or (matched[1] == "24" and matched[2] != "00"):
        message = 'is no time of day; write it like "08:00"'
        raise Discreet(f"{text!r} {message}", instead=message)
    return None if matched[1] == "24" else time(int(matched[1]), int(matched[2]))


@cache
def holidays(code: str) -> Container[date]:
    """The public holidays of this country or state."""
    import holidays

    country, _, state = code.strip().upper().partition("-")
    try:
        return holidays.country_holidays(country, subdiv=state or None)
    except NotImplementedError:
        message = "is no country or state that is known; write a code like DE, DE-NW, AT or CH-ZH"
        raise Discreet(f"{code!r} {message}", instead=message) from None
