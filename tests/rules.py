"""Rules as a user writes them, and calls to try them on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from router.config import Config, load
from router.event import (
    ActionItem,
    Call,
    Channel,
    Direction,
    Number,
    NumberKind,
    Segment,
    SmallTalk,
    SmartAnswer,
    Speaker,
)
from router.facts import Facts

#: What a file needs besides its rules.
HEAD = """\
sources: {sipgate: {}, other: {}}
sinks:
  archive: {kind: console}
  screen: {kind: console}
  sales: {kind: console}
  crm: {kind: console}
"""

#: Tuesday, 09:15 in Berlin, five minutes.
CALL = Call(
    call_id="call-1",
    direction=Direction.INBOUND,
    caller=Number("+4915228817386", "+4915228817386", NumberKind.E164),
    callee=Number("+493023125014", "+493023125014", NumberKind.E164),
    started_at=datetime(2026, 3, 10, 8, 15, tzinfo=UTC),
    duration=300.0,
    channel=Channel("c1", "Sales Hotline"),
    headline="Rückfrage zur Rechnung",
    summary="Frau Brückner fragt nach der Kündigung und einem Angebot.",
    note="Tarif L anbieten.",
    transcript=(Segment(Speaker.CALLER, 0.0, 1.0, "Guten Morgen."), Segment(Speaker.CALLEE, 1.0, 2.0, "Tag auch.")),
    action_items=(ActionItem("1", "Optionen senden"), ActionItem("2", "Rückruf einplanen")),
    smart_answers=(SmartAnswer("1", "Zufrieden?", "Einigermaßen."),),
    small_talk=(SmallTalk("1", "Baustelle", "Es wird gebaut."),),
)

#: A call of which nothing is known.
NOTHING = Call()


def call(**changes: Any) -> Call:
    """The call with these changes."""
    return replace(CALL, **changes)


def configuration(folder: Path, rules: str) -> Config:
    """The configuration with these rules below the sources and sinks above."""
    file = folder / "routes.yaml"
    file.write_text(HEAD + rules, encoding="utf-8")
    return load(file, {})


def facts(of: Call = CALL, source: str = "sipgate") -> Facts:
    """What rules know of a call."""
    return Facts(of, source)
