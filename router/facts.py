"""The facts of one call, as conditions look at them: names as keys, texts folded once. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property

from router.event import Call
from router.text import Fold, FoldedText, name_key

#: What stands between two texts of one field: a sentence end, so that no phrase spans them.
_BETWEEN = "\n.\n"


class TextField(StrEnum):
    """The fields that text conditions look at. `text` is all of them but small talk."""

    SUMMARY = "summary"
    HEADLINE = "headline"
    NOTE = "note"
    TRANSCRIPT = "transcript"
    ACTION_ITEMS = "action_items"
    SMART_ANSWERS = "smart_answers"
    SMALL_TALK = "small_talk"
    TEXT = "text"


class Facts:
    """What conditions may know of one call. Texts are folded once, when the first condition asks."""

    def __init__(self, call: Call, source: str) -> None:
        self.call = call
        self.source = source
        self._texts: dict[tuple[TextField, Fold], FoldedText | None] = {}

    @cached_property
    def channel_key(self) -> str | None:
        """The channel's name as rules compare it."""
        return name_key(self.call.channel.name) if self.call.channel.name else None

    def text(self, where: TextField, fold: Fold) -> FoldedText | None:
        """One text field, folded; None where it is missing."""
        key = (where, fold)
        if key not in self._texts:
            joined = _BETWEEN.join(_texts(self.call, where))
            self._texts[key] = FoldedText(joined, fold) if joined else None
        return self._texts[key]


def _texts(call: Call, where: TextField) -> Iterator[str]:
    match where:
        case TextField.SUMMARY | TextField.HEADLINE | TextField.NOTE:
            found = [getattr(call, where.value)]
        case TextField.TRANSCRIPT:
            found = [segment.text for segment in call.transcript]
        case TextField.ACTION_ITEMS:
            found = [item.text for item in call.action_items]
        case TextField.SMART_ANSWERS:
            found = [text for answer in call.smart_answers for text in (answer.question, answer.answer)]
        case TextField.SMALL_TALK:
            found = [text for talk in call.small_talk for text in (talk.topic, talk.description)]
        case TextField.TEXT:
            for part in TextField:
                if part not in (TextField.SMALL_TALK, TextField.TEXT):
                    yield from _texts(call, part)
            return
    yield from (text for text in found if text)
