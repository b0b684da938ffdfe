"""What people read about a call: title, facts, time, duration, numbers, labels; in one language and time zone. Pure.

Every sink for people says these things, so it says them with these words. Everything comes out on one line, as plain
text: escaping for HTML, Markdown or Slack is left to who writes that.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Literal
from zoneinfo import ZoneInfo

import phonenumbers

from router.event import Call, Direction, Event, Number, NumberKind, Speaker, other_party
from router.text import cut, one_line

if TYPE_CHECKING:
    from router.sink import SinkContext

#: Characters of a title.
LONGEST_TITLE: Final = 200
#: A message that comes this long after its call says so.
LATE: Final = timedelta(hours=1)
#: Characters of a channel's name or a number beside other things.
_LONGEST_NAME: Final = 80

_LABELS: Final = {
    "de": {
        "call": "Anruf", "summary": "Zusammenfassung", "action_items": "Aufgaben", "note": "Notiz",
        "smart_answers": "Fragen und Antworten", "transcript": "Gespräch", "small_talk": "Nebenbei",
        "participants": "Teilnehmende", "caller": "Anrufer", "callee": "Angerufener", "other": "Stimme",
        "anonymous": "anonym", "unknown": "unbekannt", "updated": "aktualisiert", "inbound": "eingehend",
        "outbound": "ausgehend", "received": "empfangen", "hour": "1 Stunde", "hours": "{} Stunden",
        "days": "{} Tage", "correction": "Fassung {} dieses Gesprächs", "late": "Verspätet", "ago": "Das Gespräch ist {} her",
        "date": "%d.%m.%Y, %H:%M",
    },
    "en": {
        "call": "Call", "summary": "Summary", "action_items": "Action items", "note": "Note",
        "smart_answers": "Questions and answers", "transcript": "Conversation", "small_talk": "Small talk",
        "participants": "Participants", "caller": "Caller", "callee": "Callee", "other": "Voice",
        "anonymous": "anonymous", "unknown": "unknown", "updated": "updated", "inbound": "inbound",
        "outbound": "outbound", "received": "received", "hour": "1 hour", "hours": "{} hours",
        "days": "{} days", "correction": "revision {} of this call", "late": "Late", "ago": "the call was {} ago",
        "date": "%Y-%m-%d, %H:%M",
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
        """The headline, or something like `Anruf +49 1522 8817386 → Support`; never empty."""
        if event.headline and (headline := one_line(event.headline)):
            return cut(headline, LONGEST_TITLE)
        return cut(f"{self.label('call')} {self.way(event)}", LONGEST_TITLE)

    def way(self, call: Call) -> str:
        """From whom to whom, the company by its channel: `+49 1522 8817386 → Support`; `–` where nobody knows."""
        ours = call.caller if call.direction is Direction.OUTBOUND else call.callee
        inside = cut(one_line(call.channel.name or call.channel.id or ""), _LONGEST_NAME) or self.number(ours)
        outside = self.number(other_party(call))
        if call.direction is Direction.OUTBOUND:
            return f"{inside} → {outside}"
        return f"{outside} {'→' if call.direction is Direction.INBOUND else '–'} {inside}"

    def facts(self, event: Event) -> str:
        """What is known of every call: `eingehend · Support · 10.03.2026, 09:15 · 5:12 · +49 1522 8817386`."""
        channel = one_line(event.channel.name or event.channel.id or "")
        facts = (
            "" if event.direction is Direction.UNKNOWN else self.label(event.direction.value),
            cut(channel, _LONGEST_NAME) if channel else "",
            self.date(event.started_at)
            if event.started_at
            else f"{self.label('received')} {self.date(event.received_at)}",
            "" if event.duration is None else duration(event.duration),
            self.number(other_party(event)),
        )
        return " · ".join(filter(None, facts))

    def late(self, event: Event, now: datetime) -> str | None:
        """How long ago the call ended, in words (`3 Stunden`), where that is over an hour; None where it is not."""
        ended = event.ended_at or event.started_at or event.received_at
        if event.started_at and event.duration is not None:
            ended = max(ended, event.started_at + timedelta(seconds=min(event.duration, 1e8)))
        if now - ended <= LATE:
            return None
        hours = (now - ended) // timedelta(hours=1)
        if hours >= 48:  # noqa: PLR2004 - two days
            return self.label("days").format(hours // 24)
        return self.label("hour" if hours == 1 else "hours").format(hours)

    def number(self, number: Number) -> str:
        """As `written` has it; a word where there is none."""
        if number.kind is NumberKind.ANONYMOUS:
            return self.label("anonymous")
        return written(number) or self.label("unknown")

    def speaker(self, speaker: Speaker) -> str:
        """Who says a segment."""
        return self.label(speaker.value)

    def moment(self, moment: datetime) -> str:
        """`2026-03-10 09:15:04+01:00`: local, with its offset, so that the night the clocks change is no riddle."""
        return self.local(moment).isoformat(" ", "seconds")

    def date(self, moment: datetime) -> str:
        """`10.03.2026, 09:15`; with its offset in the hour that comes twice when the clocks are set back."""
        local = self.local(moment)
        twice = local.utcoffset() != local.replace(fold=1 - local.fold).utcoffset()
        return local.strftime(self.label("date")) + (f" ({local.isoformat()[-6:]})" if twice else "")

    def local(self, moment: datetime) -> datetime:
        """The same moment on the clocks of the configured zone."""
        return moment.astimezone(ZoneInfo(self.timezone))


def duration(seconds: float) -> str:
    """`5:12`, or `1:05:12` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def written(number: Number) -> str:
    """As people write it: `+49 1522 8817386` where it is E.164, else as it came; empty where there is none."""
    if number.e164:
        with suppress(phonenumbers.NumberParseException):
            parsed = phonenumbers.parse(number.e164)
            return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        return number.e164
    return cut(one_line(number.raw), _LONGEST_NAME) if number.raw else ""


def masked(number: Number) -> Number:
    """The number as others may see it: `+49 152 …386`, and no E.164.

    The country, then at most three digits at each end, as long as four in between stay hidden. Internal numbers stay
    as they are: they are the company's own, and say nothing about who calls. Of what is no number (a SIP address, or
    a text of any length) a mark is left.
    """
    if number.kind in (NumberKind.INTERNAL, NumberKind.ANONYMOUS) or number == Number(kind=number.kind):
        return number
    if number.e164 is None and "…" in number.raw:
        return number  # it is masked already
    if number.e164:
        try:
            parsed = phonenumbers.parse(number.e164)
        except phonenumbers.NumberParseException:
            return Number("…", None, number.kind)
        national = phonenumbers.national_significant_number(parsed)
        return Number(f"+{parsed.country_code} {_hidden(national)}", None, number.kind)
    if len(number.raw) > _LONGEST_NAME or any(char.isalpha() for char in number.raw):
        return Number("…", None, number.kind)
    return Number(_hidden("".join(char for char in number.raw if char.isdecimal())), None, number.kind)


#: Digits that stay hidden, and that are shown at each end.
_HIDDEN, _SHOWN = 4, 3


def _hidden(digits: str) -> str:
    tail = max(0, min(_SHOWN, len(digits) - _HIDDEN))
    head = max(0, min(_SHOWN, len(digits) - _HIDDEN - tail))
    end = digits[len(digits) - tail :]
    return f"{digits[:head]} …{end}" if head else f"…{end}"
