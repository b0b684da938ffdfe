"""The documented sipgate bundle: `callHeadline`, `call`, `channel`, `transcriptions`, `summary`, `note`, ….

Source: sipgate help, "Can I retrieve my AI-generated channel data via API interface?" (read 2026). Times are epoch
milliseconds and the duration is in seconds there; what arrives is read by what adds up.
"""

from __future__ import annotations

from typing import Any, Final

from router.event import ActionItem, Call, Channel, Participant, Segment, SmallTalk, SmartAnswer
from router.formats import parts

NAME: Final = "sipgate"


def claims(body: Any) -> bool:
    """An object with a `call` object, and without the `assist` of sipgate's newer webhooks or a vCon's version."""
    return isinstance(body, dict) and isinstance(body.get("call"), dict) and not {"assist", "vcon"} & body.keys()


def read(body: dict[str, Any]) -> Call:
    """The call of a bundle."""
    call, channel = parts.mapping(body.get("call")), parts.mapping(body.get("channel"))
    started_at, ended_at = parts.instant(call.get("startTime")), parts.instant(call.get("endTime"))
    segments = [(item, said) for item in parts.items(body.get("transcriptions")) if (said := parts.text(item))]
    times = parts.offsets(
        [(item.get("startTime"), item.get("endTime")) for item, _ in segments],
        sum(len(said) for _, said in segments),
        started_at,
    )
    return Call(
        call_id=parts.text(call.get("id")),
        direction=parts.direction(call.get("direction")),
        caller=parts.party(call.get("caller")),
        callee=parts.party(call.get("callee")),
        started_at=started_at,
        ended_at=ended_at,
        duration=parts.duration(call.get("duration"), started_at, ended_at),
        channel=Channel(parts.text(channel.get("id")), parts.text(channel.get("name"))),
        headline=parts.text(body.get("callHeadline")),
        summary=parts.text(body.get("summary")),
        note=parts.text(body.get("note")),
        transcript=tuple(
            Segment(parts.speaker(item.get("speaker")), start, end, said)
            for (item, said), (start, end) in zip(segments, times, strict=True)
        ),
        action_items=tuple(
            ActionItem(parts.text(item.get("id")), said)
            for item in parts.items(body.get("actionItems"))
            if (said := parts.text(item))
        ),
        smart_answers=tuple(
            answer
            for item in parts.items(body.get("smartAnswers"))
            if (answer := _smart_answer(item)).question or answer.answer
        ),
        small_talk=tuple(
            talk
            for item in parts.items(body.get("smallTalkItems"))
            if (talk := _small_talk(item)).topic or talk.description
        ),
        participants=tuple(
            person
            for item in parts.items(call.get("users"))
            if (person := _participant(item)).name or person.id
        ),
    )  # fmt: skip


def _smart_answer(item: dict[str, Any]) -> SmartAnswer:
    return SmartAnswer(parts.text(item.get("id")), parts.text(item.get("question")), parts.text(item.get("answer")))


def _small_talk(item: dict[str, Any]) -> SmallTalk:
    return SmallTalk(
        parts.text(item.get("id")),
        parts.text(item.get("topic")),
        parts.text(item.get("description")) or parts.text(item),
        pinned=item.get("pinned") is True,
        dismissed=item.get("dismissed") is True,
    )


def _participant(item: dict[str, Any]) -> Participant:
    names = (parts.text(item.get("firstName")), parts.text(item.get("lastName")))
    full = parts.text(item.get("fullName")) or " ".join(name for name in names if name)
    return Participant(parts.text(item.get("userId")), full or None)
