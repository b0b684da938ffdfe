"""Readers for the lists that every dialect has: action items, smart answers, small talk, colleagues.

Each takes what stood in the body, however it is wrapped, and leaves out what has no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from router.event import ActionItem, Participant, SmallTalk, SmartAnswer
from router.formats import parts

#: Keys that only wrap a list.
_WRAPPERS: Final = ("items", "content", "entries", "list", "value", "results")
#: Where the text of an action item may be, after `content` and `text`.
_TASK: Final = ("title", "task", "action", "description", "name", "item", "body", "summary")
_BULLET: Final = re.compile(r"\s*(?:[-*•–]|\d{1,3}[.)])\s+")


def action_items(value: Any) -> tuple[ActionItem, ...]:
    """Things to be done."""
    return tuple(
        ActionItem(parts.text(item.get("id")), said) for item in _entries(value) if (said := _first(item, _TASK))
    )


def smart_answers(value: Any) -> tuple[SmartAnswer, ...]:
    """Questions and what the call says to them."""
    made = (
        SmartAnswer(
            parts.text(item.get("id")),
            parts.text(item.get("question")),
            parts.text(item.get("answer")) or (None if "question" in item else parts.text(item)),
        )
        for item in _entries(value)
    )
    return tuple(answer for answer in made if answer.question or answer.answer)


def small_talk(value: Any) -> tuple[SmallTalk, ...]:
    """What was said beside the point."""
    made = (
        SmallTalk(
            parts.text(item.get("id")),
            parts.text(item.get("topic")),
            parts.text(item.get("description")) or parts.text(item),
            pinned=item.get("pinned") is True,
            dismissed=item.get("dismissed") is True,
        )
        for item in _entries(value)
    )
    return tuple(talk for talk in made if talk.topic or talk.description)


def participants(value: Any) -> tuple[Participant, ...]:
    """Colleagues who were on the call, as sipgate writes them."""
    made = (_participant(item) for item in parts.items(value))
    return tuple(person for person in made if person.name or person.id)


def _participant(item: dict[str, Any]) -> Participant:
    names = (parts.text(item.get("firstName")), parts.text(item.get("lastName")))
    full = parts.text(item.get("fullName")) or " ".join(name for name in names if name)
    return Participant(parts.text(item.get("userId")), full or None)


def _entries(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list, also of one in a wrapper; a text is one entry for each of its bullets."""
    for _ in range(3):
        inner = (
            next((value[key] for key in _WRAPPERS if isinstance(value.get(key), list)), None)
            if isinstance(value, dict)
            else None
        )
        if inner is None:
            break
        value = inner
    if isinstance(value, str) and any(map(_BULLET.match, value.splitlines())):
        value = [_BULLET.sub("", line, count=1) for line in value.splitlines()]
    return parts.items(value)


def _first(item: dict[str, Any], keys: tuple[str, ...]) -> str | None:
    return parts.text(item) or next((said for key in keys if (said := parts.text(item.get(key)))), None)
