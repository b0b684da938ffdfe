"""The documented sipgate bundle: `callHeadline`, `call`, `channel`, `transcriptions`, `summary`, `note`, ….

Source: sipgate help, "Can I retrieve my AI-generated channel data via API interface?" (read 2026). Times are epoch
milliseconds and the duration is in seconds there; what arrives is read by what adds up.
"""

from __future__ import annotations

from typing import Any, Final

from router.event import Call, Channel
from router.formats import items, parts
from router.formats.oddities import look_at_call, look_at_duration
from router.formats.reading import Format, Reading, present
from router.formats.speech import transcript

NAME: Final = "sipgate"

#: What else there is (`callHeadline`, `summary`, `note`, …) has the same names in other dialects.
_SIGNS: Final = ("call.caller", "call.callee", "channel", "transcriptions")


def signs(body: dict[str, Any]) -> tuple[str, ...]:
    """What only a bundle of this dialect has."""
    return present(body, _SIGNS)


def lacks(body: dict[str, Any]) -> str | None:
    """A `call` object is all that is needed."""
    return None if isinstance(body.get("call"), dict) else "there is no object `call`"


def read(body: dict[str, Any], reading: Reading) -> Call:
    """The call of a bundle."""
    call, channel = parts.mapping(body.get("call")), parts.mapping(body.get("channel"))
    started_at = parts.instant(call.get("startTime"))
    ended_at = parts.ended(started_at, parts.instant(call.get("endTime")))
    duration = parts.duration(call.get("duration"), started_at, ended_at)
    look_at_call(call, reading)
    look_at_duration(call.get("duration"), duration, "call", reading)
    return Call(
        call_id=parts.text(call.get("id")),
        direction=parts.direction(call.get("direction")),
        caller=parts.first_party(call, "caller", "from"),
        callee=parts.first_party(call, "callee", "to"),
        started_at=started_at,
        ended_at=ended_at,
        duration=duration,
        channel=Channel(parts.text(channel.get("id")), parts.text(channel.get("name"))),
        headline=parts.text(body.get("callHeadline")),
        summary=parts.text(body.get("summary")),
        note=parts.text(body.get("note")),
        transcript=transcript(body.get("transcriptions"), started_at, duration),
        action_items=items.action_items(body.get("actionItems")),
        smart_answers=items.smart_answers(body.get("smartAnswers")),
        small_talk=items.small_talk(body.get("smallTalkItems")),
        participants=items.participants(call.get("users")),
    )


FORMAT: Final = Format(NAME, "the documented sipgate bundle (plain JSON)", signs, lacks, read)
