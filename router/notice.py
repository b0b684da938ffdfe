"""What people are told: a title and a document. Here the notice of an alarm, in the words of one language. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from router.alarm import Alarm, Cause
from router.markup import Block, Document, Span, Style
from router.text import cut, one_line

if TYPE_CHECKING:
    from router.people import Wording

#: Characters of a subject.
_LONGEST: Final = 80


@dataclass(frozen=True, slots=True)
class Notice:
    """What people are told."""

    #: On one line, never empty: for subjects, notifications, and whoever shows no more than that.
    title: str
    document: Document

    def headed(self) -> tuple[Block, Document]:
        """Its title as a block, and what comes below: for vendors that show the two in different places."""
        match self.document:
            case (Block(style=Style.TITLE) as title, *rest):
                return title, tuple(rest)
        return Block(Style.TITLE, ((Span(self.title),),)), self.document


class _Words(NamedTuple):
    """Of one cause: what is wrong, that it is well again, what to do."""

    wrong: str
    well: str
    advice: str


def alarm_notice(alarm: Alarm, wording: Wording) -> Notice:
    """What people are told about an alarm: which router says so, what is wrong or well again, since when, and what to do."""
    words, head = _WORDS[wording.language][alarm.cause], _HEADS[wording.language]
    if alarm.cause is Cause.BLOCKED and alarm.subject:
        words = _BLOCKED_BY[wording.language]
    subject = cut(one_line(alarm.subject), _LONGEST)
    since = wording.date(alarm.since)
    router = cut(one_line(alarm.router), _LONGEST)
    kind = f"{head[alarm.kind]} ({router})" if router else head[alarm.kind]
    if alarm.cleared is None:
        title = f"{kind}: " + words.wrong.format(subject=subject, count=alarm.count)
        lines = [head["since"].format(since), words.advice.format(subject=subject)]
    else:
        said = _ENDED[wording.language][alarm.cause] if alarm.unwatched else words.well
        title = f"{kind}: " + said.format(subject=subject, count=alarm.count)
        lines = [head["span"].format(since, wording.date(alarm.cleared))]
    return Notice(
        title,
        (
            Block(Style.TITLE, ((Span(title),),)),
            Block(Style.TEXT, tuple((Span(line),) for line in lines)),
            Block(Style.FINE_PRINT, ((Span(head["who"]),),)),
        ),
    )


_HEADS: Final = {
    "de": {
        "raised": "Alarm", "cleared": "Entwarnung", "ended": "Alarm beendet", "since": "Seit {}.", "span": "Von {} bis {}.",
        "who": "aftercall über sich selbst",
    },
    "en": {
        "raised": "Alarm", "cleared": "All clear", "ended": "Alarm ended", "since": "Since {}.", "span": "From {} until {}.",
        "who": "aftercall about itself",
    },
}  # fmt: skip

_WORDS: Final = {
    "de": {
        Cause.STORE: _Words(
            "Anrufe können nicht gespeichert werden",
            "Anrufe werden wieder gespeichert",
            "Wer Anrufe schickt, bekommt 503. Was fehlt, sagen /readyz und das Log.",
        ),
        Cause.DISK: _Words(
            "Der Speicherplatz geht zu Ende",
            "Es ist wieder Speicherplatz da",
            "Ist er zu Ende, werden keine Anrufe mehr angenommen. Platz machen; wie lange was bleibt, sagt keep.",
        ),
        Cause.QUARANTINE_FULL: _Words(
            "Die Quarantäne von {subject} ist fast voll",
            "In der Quarantäne von {subject} ist wieder Platz",
            "Ist sie voll, wird nicht mehr angenommen, was niemand lesen kann (503). Was es ist: aftercall quarantine; noch "
            "einmal lesen: aftercall quarantine replay; die Grenze: keep.quarantine_size.",
        ),
        Cause.BLOCKED: _Words(
            "Der ganze Router stand still ({count})",
            "Der Router läuft wieder ohne Stillstand",
            "Welche Senke es war, ist nicht zu sagen; vielleicht kommt der Rechner nicht mit. Mehr im Log: loop.blocked.",
        ),
        Cause.RELOAD: _Words(
            "{subject} wurde nicht übernommen",
            "{subject} gilt",
            "Es gilt, was vorher galt. Was falsch ist, sagt aftercall check.",
        ),
        Cause.DOWN: _Words(
            "{subject} nimmt nichts an",
            "{subject} nimmt wieder an",
            "Was ansteht, wartet. Den Grund zeigt aftercall status.",
        ),
        Cause.HANGS: _Words(
            "{subject} hängt ({count})",
            "{subject} hängt nicht mehr",
            "Diese Senke hört nicht auf, wenn ihre Zeit um ist; ein Neustart des Routers beendet sie.",
        ),
        Cause.DEAD: _Words(
            "Unzustellbar an {subject}: {count}",
            "Nichts Unzustellbares an {subject} ist mehr offen (wiederholt, beendet oder gelöscht)",
            "Welche und warum: aftercall dead; noch einmal: aftercall replay.",
        ),
        Cause.OLDEST: _Words(
            "An {subject} wartet etwas zu lange ({count})",
            "An {subject} wartet nichts mehr zu lange",
            "Was wartet und warum, zeigen aftercall status und aftercall deliveries.",
        ),
        Cause.QUARANTINE: _Words(
            "In Quarantäne: {count}",
            "In Quarantäne ist nichts mehr offen (gelesen, beendet oder gelöscht)",
            "Das konnte niemand lesen. Was und warum: aftercall quarantine.",
        ),
        Cause.SILENT: _Words(
            "Keine Anrufe von {subject}",
            "Wieder Anrufe von {subject}",
            "Hat beim Anbieter jemand die URL geändert? Er kennt nur eine; aftercall url zeigt unsere.",
        ),
    },
    "en": {
        Cause.STORE: _Words(
            "Calls cannot be stored",
            "Calls are stored again",
            "Whoever sends calls is answered 503. /readyz and the log say what is missing.",
        ),
        Cause.DISK: _Words(
            "The disk is nearly full",
            "There is room on the disk again",
            "Once it is full, no more calls are taken in. Free some space; keep says how long things stay.",
        ),
        Cause.QUARANTINE_FULL: _Words(
            "The quarantine of {subject} is nearly full",
            "There is room in the quarantine of {subject} again",
            "Once it is full, what nobody can read is not taken in any more (503). What it is: aftercall quarantine; read it "
            "again: aftercall quarantine replay; the limit: keep.quarantine_size.",
        ),
        Cause.BLOCKED: _Words(
            "The whole router stood still ({count})",
            "The router stands still no longer",
            "Nobody can say which sink it was; maybe the machine does not keep up. More in the log: loop.blocked.",
        ),
        Cause.RELOAD: _Words(
            "{subject} was refused",
            "{subject} is in force",
            "What was in force before still is. aftercall check says what is wrong.",
        ),
        Cause.DOWN: _Words(
            "{subject} takes nothing",
            "{subject} takes calls again",
            "What is owed waits. aftercall status shows the reason.",
        ),
        Cause.HANGS: _Words(
            "{subject} hangs ({count})",
            "{subject} hangs no longer",
            "This sink does not end when its time is over; a restart of the router ends it.",
        ),
        Cause.DEAD: _Words(
            "Dead letters of {subject}: {count}",
            "No dead letter of {subject} is open any more (replayed, ended or purged)",
            "Which and why: aftercall dead; once more: aftercall replay.",
        ),
        Cause.OLDEST: _Words(
            "Something has waited too long for {subject} ({count})",
            "Nothing waits too long for {subject} any more",
            "What waits and why: aftercall status and aftercall deliveries.",
        ),
        Cause.QUARANTINE: _Words(
            "In quarantine: {count}",
            "Nothing in quarantine is open any more (read, ended or purged)",
            "Nobody could read it. What and why: aftercall quarantine.",
        ),
        Cause.SILENT: _Words(
            "No calls from {subject}",
            "Calls from {subject} again",
            "Has somebody changed the URL at the vendor? It knows only one; aftercall url shows ours.",
        ),
    },
}

#: Where what it is about is not looked at any more: nobody says that it is well.
_ENDED: Final = {
    "de": dict.fromkeys(Cause, "{subject} wird nicht mehr beobachtet") | {
        Cause.DOWN: "{subject} ist nicht mehr eingerichtet; was dafür noch wartet, ist verwaist: {count}",
        Cause.RELOAD: "{subject} wird nicht mehr gelesen",
        Cause.SILENT: "Ob Anrufe von {subject} kommen, wird nicht mehr beobachtet",
    },
    "en": dict.fromkeys(Cause, "{subject} is not watched any more") | {
        Cause.DOWN: "{subject} is not set up any more; what still waits for it is orphaned: {count}",
        Cause.RELOAD: "{subject} is not read any more",
        Cause.SILENT: "Whether calls come from {subject} is not watched any more",
    },
}  # fmt: skip

#: Where it is known who.
_BLOCKED_BY: Final = {
    "de": _Words(
        "{subject} hielt den ganzen Router auf ({count})",
        "{subject} hält den Router nicht mehr auf",
        "Diese Senke rechnet oder wartet, wo alle anderen warten. Die Stelle steht im Log: loop.blocked.",
    ),
    "en": _Words(
        "{subject} kept the whole router waiting ({count})",
        "{subject} keeps the router waiting no longer",
        "This sink computes or waits where all others wait. The log has the place: loop.blocked.",
    ),
}
