"""What of a call no place in a vCon says: an attachment of ours, so that the call comes back as it went. Pure.

A vCon has no end of a call beside its duration, no spelling of a number beside the number, and no way to say that
there was no call id. Where our own reader would get another value than the call has, the field stands in an attachment
of purpose `aftercall_event`, as in `format: event`; an ordinary call needs none. `router.vcon` writes it, `formats.vcon`
reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from router.event import (
    CALL,
    ActionItem,
    Call,
    Channel,
    Number,
    NumberKind,
    Participant,
    Segment,
    SmallTalk,
    SmartAnswer,
)
from router.formats import parts

PURPOSE: Final = "aftercall_event"

_E164 = re.compile(r"\+[1-9]\d{1,14}")
_LONGEST_CALL = timedelta(days=1).total_seconds()


def remainder(call: Call, read: Call) -> dict[str, Any]:
    """The fields of `call` that `read` has differently. Trust is none of them: that is the signature's to say."""
    lost = {name for name in _FIELDS if getattr(call, name) != getattr(read, name)}
    written: dict[str, Any] = CALL.dump_python(call, mode="json", include=lost) if lost else {}
    return {name: written[name] for name in _FIELDS if name in lost}


def completed(call: Call, body: Any) -> Call:
    """The call with the fields of such an attachment in place of its own; what is no field is left aside."""
    return replace(call, **{name: read(body[name]) for name, read in _FIELDS.items() if name in parts.mapping(body)})


def _seconds(value: Any) -> float | None:
    number = parts.number_of(value)
    return number if number is not None and 0 <= number <= _LONGEST_CALL else None


def _number(value: Any) -> Number:
    """As it was read before; only a number that looks like one is believed to be E.164."""
    given = parts.mapping(value)
    e164, kind = given.get("e164"), str(given.get("kind"))
    return Number(
        parts.text(given.get("raw")) or "",
        e164 if isinstance(e164, str) and _E164.fullmatch(e164) else None,
        NumberKind(kind) if kind in NumberKind.__members__.values() else NumberKind.UNKNOWN,
    )


def _channel(value: Any) -> Channel:
    return Channel(parts.text(parts.mapping(value).get("id")), parts.text(parts.mapping(value).get("name")))


def _transcript(value: Any) -> tuple[Segment, ...]:
    return tuple(
        Segment(parts.speaker(item.get("speaker")), _seconds(item.get("start")), _seconds(item.get("end")), said)
        for item in parts.items(value)
        if (said := parts.text(item.get("text")))
    )


def _action_items(value: Any) -> tuple[ActionItem, ...]:
    return tuple(
        ActionItem(parts.text(item.get("id")), said)
        for item in parts.items(value)
        if (said := parts.text(item.get("text")))
    )


def _smart_answers(value: Any) -> tuple[SmartAnswer, ...]:
    read = (
        SmartAnswer(parts.text(item.get("id")), parts.text(item.get("question")), parts.text(item.get("answer")))
        for item in parts.items(value)
    )
    return tuple(answer for answer in read if answer.question or answer.answer)


def _small_talk(value: Any) -> tuple[SmallTalk, ...]:
    read = (
        SmallTalk(
            parts.text(item.get("id")),
            parts.text(item.get("topic")),
            parts.text(item.get("description")),
            pinned=item.get("pinned") is True,
            dismissed=item.get("dismissed") is True,
        )
        for item in parts.items(value)
    )
    return tuple(talk for talk in read if talk.topic or talk.description)


def _participants(value: Any) -> tuple[Participant, ...]:
    read = (Participant(parts.text(item.get("id")), parts.text(item.get("name"))) for item in parts.items(value))
    return tuple(person for person in read if person.id or person.name)


#: Every field of a call that a body can say, and how it is read.
_FIELDS: Final[dict[str, Callable[[Any], Any]]] = {
    "call_id": parts.text,
    "direction": parts.direction,
    "caller": _number,
    "callee": _number,
    "started_at": parts.instant,
    "ended_at": parts.instant,
    "duration": _seconds,
    "channel": _channel,
    "headline": parts.text,
    "summary": parts.text,
    "note": parts.text,
    "transcript": _transcript,
    "action_items": _action_items,
    "smart_answers": _smart_answers,
    "small_talk": _small_talk,
    "participants": _participants,
}
