"""What people read about a call: title, time, duration, numbers, labels; in one language and time zone. Pure.

Every sink for people says these things, so it says them with these words. Everything comes out on one line, as plain
text: escaping for HTML, Markdown or Slack is left to who writes that.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo

import phonenumbers

from router.event import Call, Direction, Event, Number, NumberKind, Speaker, other_party
from router.text import cut, one_line

if TYPE_CHECKING:
    from router.sink import SinkContext

#: Characters of a title.
LONGEST_TITLE: Final = 200
#: Characters of a channel's name or a number beside other things.
_LONGEST_NAME: Final = 80

_LABELS: Final = {
    "de": {
        "call": "Anruf", "summary": "Zusammenfassung", "action_items": "Aufgaben", "note": "Notiz",
        "smart_answers": "Fragen und Antworten", "transcript": "Gespräch", "small_talk": "Nebenbei",
        "participants": "Teilnehmende", "caller": "Anrufer", "callee": "Angerufener", "other": "Stimme",
        "anonymous": "anonym", "unknown": "unbekannt", "updated": "aktualisiert", "inbound": "eingehend",
        "outbound": "ausgehend",
    },
    "en": {
        "call": "Call", "summary": "Summary", "action_items": "Action items", "note": "Note",
        "smart_answers": "Questions and answers", "transcript": "Conversation", "small_talk": "Small talk",
        "participants": "Participants", "caller": "Caller", "callee": "Callee", "other": "Voice",
        "anonymous": "anonymous", "unknown": "unknown", "updated": "updated", "inbound": "inbound",
        "outbound": "outbound",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wording:
    """Built-in texts in one language, times in one zone."""

    language: Literal["de", "en"]
    timezone: str

    @classmethod
    def of(cls, context: SinkContext) -> Wording:
        """As a sink is told to write."""
        return cls(context.language, context.timezone)

    def label(self, name: str) -> str:
        """The word for a part (`summary`, …), a speaker, a direction, or one of call, anonymous, unknown, updated."""
        return _LABELS[self.language][name]

    def title(self, event: Event) -> str:
        """The headline, or something like `Anruf +4915228817386 → Support`; never empty."""
        if event.headline and (headline := one_line(event.headline)):
            return cut(headline, LONGEST_TITLE)
        return cut(f"{self.label('call')} {self.way(event)}", LONGEST_TITLE)

    def way(self, call: Call) -> str:
        """From whom to whom, the company by its channel: `+4915228817386 → Support`; `–` where nobody knows."""
        ours = call.caller if call.direction is Direction.OUTBOUND else call.callee
        inside = cut(one_line(call.channel.name or call.channel.id or ""), _LONGEST_NAME) or self.number(ours)
        outside = self.number(other_party(call))
        if call.direction is Direction.OUTBOUND:
            return f"{inside} → {outside}"
        return f"{outside} {'→' if call.direction is Direction.INBOUND else '–'} {inside}"

    def number(self, number: Number) -> str:
        """As E.164 where it is one, else as it came; a word where there is none."""
        if number.kind is NumberKind.ANONYMOUS:
            return self.label("anonymous")
        return number.e164 or cut(one_line(number.raw), _LONGEST_NAME) or self.label("unknown")

    def speaker(self, speaker: Speaker) -> str:
        """Who says a segment."""
        return self.label(speaker.value)

    def moment(self, moment: datetime) -> str:
        """`2026-03-10 09:15:04+01:00`: local, with its offset, so that the night the clocks change is no riddle."""
        return self.local(moment).isoformat(" ", "seconds")

    def local(self, moment: datetime) -> datetime:
        """The same moment on the clocks of the configured zone."""
        return moment.astimezone(ZoneInfo(self.timezone))


def duration(seconds: float) -> str:
    """`5:12`, or `1:05:12` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def masked(number: Number) -> Number:
    """The number as others may see it: `+49 152 …386`, and no E.164.

    The country, then at most three digits at each end, as long as four in between stay hidden. Internal numbers stay
    as they are: they are the company's own, and say nothing about who calls. Of what is no number (a SIP address) a
    mark is left.
    """
    if number.kind in (NumberKind.INTERNAL, NumberKind.ANONYMOUS) or number == Number(kind=number.kind):
        return number
    if number.e164:
        try:
            parsed = phonenumbers.parse(number.e164)
        except phonenumbers.NumberParseException:
            return Number("…", None, number.kind)
        national = phonenumbers.national_significant_number(parsed)
        return Number(f"+{parsed.country_code} {_hidden(national)}", None, number.kind)
    if any(char.isalpha() for char in number.raw):
        return Number("…", None, number.kind)
    return Number(_hidden("".join(char for char in number.raw if char.isdecimal())), None, number.kind)


#: Digits that stay hidden, and that are shown at each end.
_HIDDEN, _SHOWN = 4, 3


def _hidden(digits: str) -> str:
    tail = max(0, min(_SHOWN, len(digits) - _HIDDEN))
    head = max(0, min(_SHOWN, len(digits) - _HIDDEN - tail))
    end = digits[len(digits) - tail :]
    return f"{digits[:head]} …{end}" if head else f"…{end}"
