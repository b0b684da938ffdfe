"""The names under which vendors send the parts of a call: built in, and what an operator adds.

Nobody outside has seen sipgate's own vCon, nor all of its newer webhooks, and every transcription service has names of
its own. Case, spaces, dots, dashes and underscores do not count.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

#: The parts of a call that have a name where they come from.
Part = Literal["headline", "summary", "note", "transcript", "action_items", "smart_answers", "small_talk"]

PARTS: Final[tuple[Part, ...]] = get_args(Part)

#: The built-in ones, as `plain` makes them.
NAMES: Final[Mapping[Part, frozenset[str]]] = {
    "headline": frozenset({"headline", "callheadline", "title", "calltitle"}),
    "summary": frozenset({"summary", "callsummary", "conversationsummary", "summarization", "zusammenfassung"}),
    "note": frozenset({"note", "notes", "callnote", "agentnote", "agentnotes", "notiz"}),
    "transcript": frozenset({
        "transcript", "transcripts", "transcription", "transcriptions", "calltranscript", "diarized",
        "diarizedtranscript", "diarization", "transcriptredacted", "wtf", "wtftranscription", "wtftranscript",
    }),
    "action_items": frozenset({
        "actionitems", "actionitem", "actions", "tasks", "todo", "todos", "nextsteps", "followups", "aufgaben",
    }),
    "smart_answers": frozenset({"smartanswers", "smartanswer", "answers", "questionsandanswers", "qa"}),
    "small_talk": frozenset({"smalltalk", "smalltalkitems", "smalltalkitem"}),
}  # fmt: skip


def part(name: object, aliases: Mapping[str, Sequence[str]]) -> Part | None:
    """Which part of a call this is a name of; an operator's aliases come before the built-in names."""
    given = plain(name)
    if not given:
        return None
    for candidate in PARTS:
        if any(plain(alias) == given for alias in aliases.get(candidate, ())):
            return candidate
    return next((candidate for candidate in PARTS if given in NAMES[candidate]), None)


def plain(name: object) -> str:
    """A name as it is compared."""
    return re.sub(r"[\W_]+", "", name.casefold()) if isinstance(name, str) else ""
