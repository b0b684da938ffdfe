"""Tolerant readers for the parts that every dialect has: text, times, durations, numbers, people.

Each takes whatever stood in the body and returns a value or None; none of them raises. Units are decided by what
adds up, never by hope: vendors change between seconds, milliseconds and ISO 8601 without saying so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import phonenumbers

from router.event import Direction, Number, NumberKind, Speaker

#: C0 and C1 controls, without line breaks and tabs: never part of what was said.
_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NUMERIC = re.compile(r"[+-]?\d{1,30}(\.\d{1,30})?")
_ANONYMOUS = frozenset({"anonymous", "anonym", "private", "restricted", "withheld", "unavailable", "unterdrückt"})
#: Longer ones could be a subscriber's; sipgate's own integrations skip up to five digits as internal.
_INTERNAL_DIGITS = 5
#: No call lasts longer.
_LONGEST_CALL = timedelta(days=1).total_seconds()
#: Hardly any lasts longer: what tells seconds from milliseconds where nothing else does.
_LIKELY_CALL = timedelta(hours=8).total_seconds()
#: How far a part of a second may be from times in whole ones.
_ROUNDED = 0.5
#: Nobody speaks faster, or slower, in characters a second: what tells seconds from milliseconds in a transcript.
_FASTEST_SPEECH, _SLOWEST_SPEECH = 100, 0.05

_DIRECTIONS = {
    "inbound": Direction.INBOUND,
    "incoming": Direction.INBOUND,
    "in": Direction.INBOUND,
    "outbound": Direction.OUTBOUND,
    "outgoing": Direction.OUTBOUND,
    "out": Direction.OUTBOUND,
}


def text(value: Any) -> str | None:
    """Text without control characters, trimmed; a number's digits; `{"content": …}` or `{"text": …}` unwrapped."""
    match value:
        case str():
            return _CONTROLS.sub("", value).strip() or None
        case bool():
            return None
        case int():
            return str(value)
        case float():
            return str(value) if abs(value) < 2**53 else None  # a larger one has lost digits
        case dict():
            inner = (value.get(key) for key in ("content", "text"))
            return next((said for one in inner if not isinstance(one, dict) and (said := text(one))), None)
        case _:
            return None


def mapping(value: Any) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list; a single object counts as a list of one, a bare text as `{"text": …}`."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item
        elif isinstance(item, str):
            yield {"text": item}


def number_of(value: Any) -> float | None:
    """A finite number, also one that is written as text."""
    if isinstance(value, str) and _NUMERIC.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) < float("inf") else None


def instant(value: Any) -> datetime | None:
    """An aware UTC time from epoch seconds, epoch milliseconds or ISO 8601; one without a zone is taken as UTC.

    Times outside 2000 to 2100 are no times of calls: None.
    """
    number = number_of(value)
    try:
        if number is not None:
            # 10^11 seconds are in the year 5138, 10^11 milliseconds in 1973: nothing lies between.
            moment = datetime.fromtimestamp(number / 1000 if abs(number) >= 1e11 else number, UTC)  # noqa: PLR2004
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        else:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return moment if 2000 <= moment.year <= 2100 else None  # noqa: PLR2004 - as the docstring says


def duration(
    value: Any, started_at: datetime | None, ended_at: datetime | None, *, milliseconds: bool = False
) -> float | None:
    """Seconds. The value counts in the unit in which it is end − start; else end − start counts.

    Where it could be both, or without both times, it is the documented unit (seconds, or `milliseconds`), unless that
    would make a call of over eight hours, or of under a second.
    """
    given = number_of(value)
    span = (ended_at - started_at).total_seconds() if started_at and ended_at else None
    if span is not None and not 0 <= span <= _LONGEST_CALL:
        span = None
    if given is None or given < 0:
        return span
    span = span or None  # who sends the same time twice does not know the other one
    candidates = [given / 1000, given] if milliseconds else [given, given / 1000]
    if span is not None:
        fitting = [c for c in candidates if abs(c - span) <= (max(2.0, span / 50) if c >= 1 else _ROUNDED)]
        nearest = min((abs(c - span) for c in fitting), default=0)
        return next((c for c in fitting if abs(c - span) <= nearest + 1), span)
    likely = [c for c in candidates if (c >= 1 or given in (0, c)) and c <= _LIKELY_CALL]
    return next((c for c in [*likely, *candidates] if c <= _LONGEST_CALL), None)


def ended(started_at: datetime | None, ended_at: datetime | None) -> datetime | None:
    """The end, where it is not before the start."""
    return None if started_at and ended_at and ended_at < started_at else ended_at


def offsets(
    times: Sequence[tuple[Any, Any]],
    spoken: int,
    started_at: datetime | None,
    *,
    seconds: bool = False,
    duration: float | None = None,
) -> list[tuple[float | None, float | None]]:
    """Transcript times as seconds from the call's start.

    Milliseconds from the start as sipgate documents them, or `seconds`, unless the other unit adds up better: with the
    call's `duration`, with how fast the `spoken` characters would have been said, with fractions. Absolute times
    (epoch, ISO) are taken relative to the start, or dropped where that is unknown.
    """
    numbers = [n for pair in times for n in map(number_of, pair) if n is not None]
    absolute = any(n >= 1e9 for n in numbers)  # noqa: PLR2004 - eleven days in milliseconds, 2001 in epoch seconds
    in_seconds = _are_seconds(times, numbers, spoken, duration, documented=seconds)

    def offset_of(value: Any) -> float | None:
        number = number_of(value)
        if number is None or absolute:
            moment = instant(value)
            offset = (moment - started_at).total_seconds() if moment and started_at else None
        else:
            offset = number if in_seconds else number / 1000
        return offset if offset is not None and 0 <= offset <= _LONGEST_CALL else None

    return [(offset_of(start), offset_of(end)) for start, end in times]


def _are_seconds(
    times: Sequence[tuple[Any, Any]], numbers: list[float], spoken: int, duration: float | None, *, documented: bool
) -> bool:
    """Whether transcript times are seconds and no milliseconds: the surest evidence first, then what is documented."""
    longest = max(numbers, default=0)
    if longest <= 0:
        return documented
    if duration is not None and longest > (most := duration * 1.1 + 2):
        return documented and longest / 1000 > most  # as milliseconds they fit, or nothing does
    far = duration is not None and longest >= duration / 2
    pairs = ((number_of(start), number_of(end)) for start, end in times)
    speech = sum(end - start for start, end in pairs if start is not None and end is not None and end > start)
    if spoken / (speech or longest) * 1000 > _FASTEST_SPEECH:
        return True
    if not (documented and far) and speech and spoken / speech < _SLOWEST_SPEECH:
        return False
    if duration is None and longest > _LIKELY_CALL:
        return False
    return documented or far or any(n % 1 for n in numbers)


def direction(value: Any) -> Direction:
    """Inbound or outbound, however it is spelt."""
    return _DIRECTIONS.get((text(value) or "").casefold(), Direction.UNKNOWN)


def speaker(value: Any) -> Speaker:
    """Who speaks, however it is spelt."""
    said = (text(value) or "").casefold()
    return Speaker(said) if said in Speaker.__members__.values() else Speaker.OTHER


def party(value: Any) -> Number:
    """A party's number, as E.164 where it is one: `+49…`, `0049…`, or `49…` as sipgate's newer webhooks write it.

    A national number without its country stays as it is, because the country is not known.
    """
    raw = text(value) or ""
    bare = raw.casefold().removeprefix("sip:").removeprefix("tel:").partition("@")[0].partition(";")[0].strip()
    if not bare:
        return Number()
    if bare.strip("+<>\"' ") in _ANONYMOUS:
        return Number(raw, None, NumberKind.ANONYMOUS)
    digits = re.sub(r"[\s()/.\-\u2010-\u2015]", "", bare)
    if not re.fullmatch(r"\+?[0-9]{1,20}", digits):
        return Number(raw)
    if not digits.startswith("+") and len(digits) <= _INTERNAL_DIGITS:
        return Number(raw, None, NumberKind.INTERNAL)
    e164 = _e164(digits)
    return Number(raw, e164, NumberKind.E164) if e164 else Number(raw)


def first_party(call: dict[str, Any], *names: str) -> Number:
    """The party under the first of these names that has one."""
    return next((found for name in names if (found := party(call.get(name))) != Number()), Number())


# One of the two numbers of most calls is a channel's, and looking one up costs more than parsing the JSON around it.
@lru_cache(maxsize=256)
def _e164(digits: str) -> str | None:
    if digits.startswith("00"):
        digits = f"+{digits[2:]}"
    elif digits.startswith("0"):
        return None
    try:
        parsed = phonenumbers.parse(digits if digits.startswith("+") else f"+{digits}")
    except phonenumbers.NumberParseException:
        return None
    # A number that was sent with its plus is one, also in a range that the tables do not know yet.
    known = phonenumbers.is_valid_number(parsed)
    if known or (digits.startswith("+") and phonenumbers.is_possible_number(parsed)):
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    return None
