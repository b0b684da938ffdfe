"""Remarks on what stood in a body and was left out or guessed: by the name of its key, without quoting it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from router.event import Direction
from router.formats import parts
from router.formats.reading import Reading


def look_at_times(given: dict[str, Any], keys: tuple[str, ...], where: str, reading: Reading) -> None:
    """What is there and is no time; what is one, and says no zone."""
    for key in keys:
        value = given.get(key)
        if value in (None, "", [], {}):
            continue
        if parts.instant(value) is None:
            reading.remark(f"`{where}.{key}` is no time of a call; left out")
        elif isinstance(value, str) and parts.number_of(value) is None and _without_zone(value):
            reading.remark(f"`{where}.{key}` has no zone; taken as UTC")


def look_at_call(call: dict[str, Any], reading: Reading) -> None:
    """The `call` object of sipgate's bundles."""
    look_at_times(call, ("startTime", "endTime"), "call", reading)
    started_at, ended_at = parts.instant(call.get("startTime")), parts.instant(call.get("endTime"))
    if parts.ended(started_at, ended_at) is not ended_at:
        reading.remark("`call.endTime` is before `call.startTime`; left out")
    if parts.text(call.get("direction")) and parts.direction(call.get("direction")) is Direction.UNKNOWN:
        reading.remark("`call.direction` is no direction that is known here")


def look_at_duration(
    given: Any, made: float | None, where: str, reading: Reading, *, milliseconds: bool = False
) -> None:
    """Whether what was made of it is what it says, in the unit that is documented (seconds, or `milliseconds`)."""
    number = parts.number_of(given)
    if number is None:
        if given not in (None, "", [], {}):
            reading.remark(f"`{where}.duration` is no number; left out")
    elif made == (number / 1000 if milliseconds else number):
        return
    elif made == (number if milliseconds else number / 1000):
        reading.remark(f"`{where}.duration` is read as {'seconds' if milliseconds else 'milliseconds'}")
    else:
        reading.remark(f"`{where}.duration` does not add up; end − start counts, where both are known")


def _without_zone(value: str) -> bool:
    return datetime.fromisoformat(value.strip()).tzinfo is None
