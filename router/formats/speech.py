"""What was said: transcripts as sipgate writes them, and as plain text with a name before each turn."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from router.event import Segment, Speaker
from router.formats import parts

#: `Caller: Guten Tag`, with some room before and after the name.
_TURN: Final = re.compile(r"\s{0,8}([^\s:][^:\n]{0,79}?)\s{0,8}:(?:\s+(.*)|)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Said:
    """One turn, with its times as they were sent."""

    speaker: Speaker
    start: Any
    end: Any
    text: str


def transcript(value: Any, started_at: datetime | None, duration: float | None) -> tuple[Segment, ...]:
    """A list of `{speaker, startTime, endTime, text}`; the text may be called `content`."""
    said = (
        Said(parts.speaker(item.get("speaker")), item.get("startTime"), item.get("endTime"), text)
        for item in parts.items(value)
        if (text := parts.text(item))
    )
    return segments(said, started_at, duration=duration)


def segments(
    said: Iterable[Said], started_at: datetime | None, *, seconds: bool = False, duration: float | None = None
) -> tuple[Segment, ...]:
    """The turns with their times as seconds from the call's start; see `parts.offsets`."""
    said = list(said)
    times = parts.offsets(
        [(one.start, one.end) for one in said],
        sum(len(one.text) for one in said),
        started_at,
        seconds=seconds,
        duration=duration,
    )
    return tuple(Segment(one.speaker, start, end, one.text) for one, (start, end) in zip(said, times, strict=True))


def turns(text: str, who: Callable[[str], Speaker | None]) -> Sequence[Said]:
    """A text as its turns: a line that begins with a name that `who` knows, and a colon, begins the next one.

    A text without any is one turn, of nobody in particular.
    """
    found: list[tuple[Speaker, list[str]]] = []
    for line in text.splitlines():
        named = _TURN.fullmatch(line)
        speaker = who(named[1]) if named else None
        if named and speaker is not None:
            found.append((speaker, [named[2] or ""]))
        elif found:
            found[-1][1].append(line)
        elif line.strip():
            found.append((Speaker.OTHER, [line]))
    made = ((speaker, parts.text("\n".join(lines))) for speaker, lines in found)
    return [Said(speaker, None, None, said) for speaker, said in made if said]


def sipgate_speaker(name: str) -> Speaker | None:
    """`Caller` and `Callee`; nobody else has a name in sipgate's texts."""
    speaker = parts.speaker(name)
    return None if speaker is Speaker.OTHER else speaker
