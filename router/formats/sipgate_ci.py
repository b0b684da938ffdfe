"""sipgate's newer "CI webhook": `version`, `call` with `from` and `to`, and `assist` with what the AI made of it.

Source: sipgate help, "How can I set up CI webhooks for sipgate Conversational Intelligence?" (read 2026). Documented
are `call`, `assist.provider`, `assist.transcription` and `assist.callHeadline`; the published example ends there. What
follows in `assist` is read by its names, as they are elsewhere. Numbers have no plus, times are ISO 8601, durations
are in milliseconds; what arrives is read by what adds up.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, TypeVar

from router.event import Call, Channel, Segment
from router.formats import items, parts
from router.formats.names import Part, part
from router.formats.oddities import look_at_call, look_at_duration
from router.formats.reading import Format, Reading, present
from router.formats.speech import segments, sipgate_speaker, transcript, turns

T = TypeVar("T")

NAME: Final = "sipgate-ci"
#: The one that is documented.
VERSION: Final = "1"

_SIGNS: Final = (
    "version", "call.from", "call.to", "call.channel", "assist", "assist.provider", "assist.transcription",
    "assist.callHeadline", "assist.callScenarios",
)  # fmt: skip
#: What else `assist` has.
_NO_PARTS: Final = frozenset({"provider", "callScenarios"})
#: What a version looks like. Anything else may be somebody's name or number, and has no place in a log.
_VERSION: Final = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){0,2}")


def signs(body: dict[str, Any]) -> tuple[str, ...]:
    """What only a bundle of this dialect has."""
    return present(body, _SIGNS)


def lacks(body: dict[str, Any]) -> str | None:
    """A `call` object, and one sign that it is this dialect."""
    if not isinstance(body.get("call"), dict):
        return "there is no object `call`"
    return None if signs(body) else "there is neither `version`, `assist`, nor `from` and `to` in `call`"


def read(body: dict[str, Any], reading: Reading) -> Call:
    """The call of a bundle."""
    _look_at_version(body.get("version"), reading)
    call = parts.mapping(body.get("call"))
    channel = parts.mapping(call.get("channel")) or parts.mapping(body.get("channel"))
    started_at = parts.instant(call.get("startTime"))
    ended_at = parts.ended(started_at, parts.instant(call.get("endTime")))
    duration = parts.duration(call.get("duration"), started_at, ended_at, milliseconds=True)
    look_at_call(call, reading)
    look_at_duration(call.get("duration"), duration, "call", reading, milliseconds=True)
    named = _named(body, reading)

    def first(name: Part, reader: Callable[[Any], T]) -> T | None:
        return next((found for value in named.get(name, ()) if (found := reader(value))), None)

    return Call(
        call_id=parts.text(call.get("id")),
        direction=parts.direction(call.get("direction")),
        caller=parts.first_party(call, "from", "caller"),
        callee=parts.first_party(call, "to", "callee"),
        started_at=started_at,
        ended_at=ended_at,
        duration=duration,
        channel=Channel(parts.text(channel.get("id")), parts.text(channel.get("name"))),
        headline=first("headline", parts.text),
        summary=first("summary", parts.text),
        note=first("note", parts.text),
        transcript=first("transcript", lambda value: _transcript(value, started_at, duration)) or (),
        action_items=first("action_items", items.action_items) or (),
        smart_answers=first("smart_answers", items.smart_answers) or (),
        small_talk=first("small_talk", items.small_talk) or (),
        participants=items.participants(call.get("users")),
    )


def _look_at_version(version: Any, reading: Reading) -> None:
    said = parts.text(version)
    if said is None:
        reading.remark(f"it has no version; read as version {VERSION}")
    elif said != VERSION:
        shown = f"version {said} is" if _VERSION.fullmatch(said) else "its version is"
        reading.remark(f"{shown} not known; read as version {VERSION}")


def _named(body: dict[str, Any], reading: Reading) -> dict[Part, list[Any]]:
    """The parts of `assist` by their names, then what stands beside it: the first one that says something counts."""
    found: dict[Part, list[Any]] = {}
    for where in (parts.mapping(body.get("assist")), body):
        for name, value in where.items():
            if value in (None, "", [], {}):
                continue
            named = part(name, reading.manner.aliases)
            if named is not None:
                found.setdefault(named, []).append(value)
            elif where is not body and name not in _NO_PARTS:
                reading.leave(name)
    return found


def _transcript(value: Any, started_at: Any, duration: float | None) -> tuple[Segment, ...]:
    """`chunks`, or the whole text with `Caller:` and `Callee:` before each turn, or a list as it is."""
    chunks = transcript(value.get("chunks"), started_at, duration) if isinstance(value, dict) else ()
    if chunks:
        return chunks
    if isinstance(value, list):
        return transcript(value, started_at, duration)
    whole = parts.text(value)
    return segments(turns(whole, sipgate_speaker), started_at) if whole else ()


FORMAT: Final = Format(NAME, "sipgate's newer CI webhook", signs, lacks, read)
