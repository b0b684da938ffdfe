"""The transcript of a vCon, wherever and in whatever shape it stands; the best one is taken.

Analyses as lists of turns (the working group's own, WTF, Deepgram, Whisper and others), or as plain text with or
without names; text dialogs; attachments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from router.event import Segment, Speaker
from router.formats import parts
from router.formats.speech import Said, segments, turns
from router.formats.vcon_content import content, media
from router.formats.vcon_people import People, indices, named_in

#: Keys under which the turns may be, finest first.
_LISTS: Final = (
    "utterances", "segments", "chunks", "turns", "paragraphs", "messages", "entries", "monologues", "transcriptions",
    "results", "channels", "alternatives", "data",
)  # fmt: skip
#: Keys under which the whole text may be, likeliest last.
_TEXTS: Final = ("sentence", "message", "value", "body", "content", "transcription", "transcript", "text")
_STARTS: Final = ("start", "startTime", "start_time", "begin", "offset", "timestamp")
_ENDS: Final = ("end", "endTime", "end_time")
#: Deeper than any vendor's.
_DEEPEST: Final = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """One transcript. The lowest rank is the best; those of the same rank may be of several dialogs."""

    rank: int
    dialog: int | None
    began: datetime | None
    segments: tuple[Segment, ...]


def transcript(
    analyses: Sequence[dict[str, Any]],
    attached: Sequence[dict[str, Any]],
    dialogs: Sequence[dict[str, Any]],
    people: People,
    started_at: datetime | None,
    duration: float | None,
) -> tuple[Segment, ...]:
    """Of the call that began at `started_at` and took `duration` seconds."""
    found = [_of(item, 0, dialogs, people, started_at, duration) for item in analyses]
    found += [_of(item, 10, dialogs, people, started_at, duration) for item in attached]
    found.append(_of_dialogs(dialogs, people, started_at))
    good = [one for one in found if one.segments]
    best = min((one.rank for one in good), default=0)
    once: dict[int | None, Candidate] = {}
    for one in good:
        if one.rank == best:
            once.setdefault(one.dialog, one)
    if None in once:  # of the whole conversation
        return once[None].segments
    ordered = sorted(
        once.values(), key=lambda one: (one.began is None, one.began and one.began.timestamp(), one.dialog)
    )
    return tuple(segment for one in ordered for segment in _moved(one, started_at))


def _moved(one: Candidate, started_at: datetime | None) -> tuple[Segment, ...]:
    """Its times, which count from its dialog's start, as times from the call's start."""
    if started_at is None or one.began is None or one.began <= started_at:
        return one.segments
    later = (one.began - started_at).total_seconds()
    return tuple(
        replace(
            segment,
            start=None if segment.start is None else segment.start + later,
            end=None if segment.end is None else segment.end + later,
        )
        for segment in one.segments
    )


def _of(
    item: dict[str, Any],
    rank: int,
    dialogs: Sequence[dict[str, Any]],
    people: People,
    started_at: datetime | None,
    duration: float | None,
) -> Candidate:
    """What an analysis or an attachment says."""
    at = next(indices(item.get("dialog")), None)
    dialog = dialogs[at] if at is not None and at < len(dialogs) else {}
    began = parts.instant(dialog.get("start")) or started_at
    found = _find(content(item))
    if isinstance(found, list):
        made = _timed(found, people, began, duration if (own := length(dialog)) is None else own)
        times = any(segment.start is not None for segment in made)
        return Candidate(rank + (0 if times else 1), at if dialog else None, began, made)
    said = turns(found or "", people.who)
    plain = segments(said, began)
    return Candidate(rank + (3 if len(plain) > 1 else 4), at if dialog else None, began, plain)


def _of_dialogs(dialogs: Sequence[dict[str, Any]], people: People, started_at: datetime | None) -> Candidate:
    """A conversation in writing: its messages by their times."""
    messages: list[tuple[datetime | None, Sequence[Said]]] = []
    for dialog in dialogs:
        if not written(dialog) or not isinstance(text := _find(content(dialog)), str):
            continue
        start = dialog.get("start")
        sender = next(named_in(dialog), None)
        said = turns(text, people.who)
        if len(said) == 1 and said[0].speaker is Speaker.OTHER:
            said = [Said(people.speaker(sender), start, _end(start, dialog.get("duration")), said[0].text)]
        messages.append((parts.instant(start), said))
    messages.sort(key=lambda message: (message[0] is None, message[0] and message[0].timestamp()))
    made = segments([one for _, said in messages for one in said], started_at, seconds=True)
    return Candidate(2 if len(messages) > 1 else 5, None, started_at, made)


def length(dialog: dict[str, Any]) -> float | None:
    """How long a dialog was, in seconds."""
    start, end = parts.instant(dialog.get("start")), parts.instant(dialog.get("end"))
    return parts.duration(dialog.get("duration"), start, end)


def written(dialog: dict[str, Any]) -> bool:
    """Whether it is a message in writing."""
    kind = dialog.get("type")
    return kind in ("text", "email", "chat", "message", "sms") or (
        kind not in ("recording", "audio", "video") and media(dialog).startswith("text/")
    )


def _timed(
    items: list[dict[str, Any]], people: People, began: datetime | None, length: float | None
) -> tuple[Segment, ...]:
    said = [
        Said(_speaker(item, people), (start := _first(item, _STARTS)), _stop(item, start), text)
        for item in items
        if (text := _text(item))
    ]
    # Who writes `startTime` writes milliseconds, as sipgate does; all others say that they write seconds.
    seconds = not any("startTime" in item for item in items)
    return segments(said, began, seconds=seconds, duration=length)


def _stop(item: dict[str, Any], start: Any) -> Any:
    end = _first(item, _ENDS)
    return _end(start, item.get("duration")) if end is None else end


def _end(start: Any, duration: Any) -> Any:
    """The end in the notation of the start."""
    length, number = parts.number_of(duration), parts.number_of(start)
    if length is None or length < 0:
        return None
    if number is not None:
        return number + length
    began = parts.instant(start)
    try:
        return (began + timedelta(seconds=length)).isoformat() if began else None
    except OverflowError:
        return None


def _first(item: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((item[key] for key in keys if item.get(key) is not None), None)


def _speaker(item: dict[str, Any], people: People) -> Speaker:
    """By the index of the party, or a name. A number in `speaker` counts voices, and says nothing of parties."""
    for key in ("parties", "party"):
        for index in indices(item.get(key)):
            return people.speaker(index)
    for key in ("speaker", "speaker_name", "speaker_label", "role", "name", "from"):
        name = item.get(key)
        if isinstance(name, str) and (who := people.who(name)) is not None:
            return who
    return Speaker.OTHER


def _find(value: Any, depth: int = 0) -> list[dict[str, Any]] | str | None:
    """The turns in a value, or at least its text."""
    if isinstance(value, str):
        return parts.text(value)
    if depth > _DEEPEST:
        return None
    if isinstance(value, list):
        return _find_in_list(value, depth)
    if not isinstance(value, dict):
        return None
    inner = [_find(_considered(key, value[key]), depth + 1) for key in (*_LISTS, *_TEXTS) if value.get(key)]
    lists: list[list[dict[str, Any]]] = [found for found in inner if isinstance(found, list)]
    texts = [found for found in inner if isinstance(found, str)]
    return lists[0] if lists else texts[-1] if texts else _text(value)


def _considered(key: str, value: Any) -> Any:
    """Of alternatives the likeliest, which is the first one."""
    return value[:1] if key == "alternatives" and isinstance(value, list) else value


def _find_in_list(value: list[Any], depth: int) -> list[dict[str, Any]] | str | None:
    plain = [{"text": item} if isinstance(item, str) else item for item in value]
    objects = [item for item in plain if isinstance(item, dict)]
    flat = [item for item in objects if _text(item) and not any(item.get(key) for key in _LISTS)]
    if flat:
        return flat
    found = [_find(item, depth + 1) for item in plain if isinstance(item, dict | list)]
    deep = [item for one in found if isinstance(one, list) for item in one]
    texts = [one for one in found if isinstance(one, str)]
    return deep or (texts[0] if texts else None)


def _text(item: dict[str, Any]) -> str | None:
    """The words of one turn."""
    for key in reversed(_TEXTS):
        if isinstance(item.get(key), str) and (said := parts.text(item[key])):
            return said
    for key in ("sentences", "words"):
        pieces = (
            next((said for name in ("punctuated_word", "text", "word") if (said := parts.text(piece.get(name)))), None)
            for piece in parts.items(item.get(key))
        )
        if said := " ".join(piece for piece in pieces if piece):
            return said
    return None
