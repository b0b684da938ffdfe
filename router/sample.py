"""A call that never was: what templates are tried on when they are loaded, and what test deliveries carry. Pure.

Its people and words are invented; its numbers are those that the Bundesnetzagentur keeps for films.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from router.event import (
    ActionItem,
    Channel,
    Direction,
    Event,
    Number,
    NumberKind,
    Participant,
    Segment,
    SmallTalk,
    SmartAnswer,
    Speaker,
)


def sample_event(**changes: Any) -> Event:
    """An event in which nothing is missing, with `changes` to its fields."""
    fields: dict[str, Any] = {
        "id": "019cd6de-e2a0-7000-8000-000000000001",
        "sequence": 1,
        "source": "sipgate",
        "format": "sipgate",
        "received_at": datetime(2026, 3, 10, 8, 20, 21, tzinfo=UTC),
        "revision": 1,
        "call_id": "call_sample_0001",
        "direction": Direction.INBOUND,
        "caller": Number("+4915228817386", "+4915228817386", NumberKind.E164),
        "callee": Number("+493023125014", "+493023125014", NumberKind.E164),
        "started_at": datetime(2026, 3, 10, 8, 15, 4, tzinfo=UTC),
        "ended_at": datetime(2026, 3, 10, 8, 20, 16, tzinfo=UTC),
        "duration": 312.0,
        "channel": Channel("5f0c3a52-6a0e-4c55-9a9b-3b1b0a5e7c11", "Support"),
        "headline": "Rückfrage zur Rechnung",
        "summary": "Frau Brückner fragt nach der Rechnung für Februar und möchte in einen größeren Tarif wechseln.",
        "note": "Tarif L anbieten.",
        "transcript": (
            Segment(Speaker.CALLER, 0.8, 6.4, "Guten Morgen, hier ist Jana Brückner aus Köln."),
            Segment(Speaker.CALLEE, 6.75, 13.15, "Guten Morgen Frau Brückner, was kann ich für Sie tun?"),
        ),
        "action_items": (ActionItem("ai_1", "Tarifoptionen per E-Mail senden"),),
        "smart_answers": (SmartAnswer("sa_1", "Gibt es Verkaufspotenzial?", "Ja, ein größerer Tarif."),),
        "small_talk": (SmallTalk("st_1", "Baustelle", "Vor dem Büro wird gebaut."),),
        "participants": (Participant("u_1", "Tobias Weiß"),),
        "raw": {"call": {"id": "call_sample_0001"}},
    }
    return Event(**fields | changes)


def bare_event(**changes: Any) -> Event:
    """An event in which everything is missing that can be: templates must bear that, too."""
    fields: dict[str, Any] = {
        "id": "019cd6de-e2a0-7000-8000-000000000002",
        "sequence": 2,
        "source": "sipgate",
        "format": "sipgate",
        "received_at": datetime(2026, 3, 10, 8, 21, 21, tzinfo=UTC),
        "revision": 1,
        "raw": {"call": {}},
    }
    return Event(**fields | changes)


#: What strangers say if they wish us harm, in the markup of whoever may show it.
HOSTILE_TEXT = (
    "# <b>&amp;**_x_** `{{7*7}}` [x](javascript:alert(1)) <!channel> @everyone <https://evil.example|mehr>\r\n"
    "- =?utf-8?q?x=0ABcc:v@x.example?=\r\nBcc: v@x.example\r\n\u202e\u200b\x1b[31m\0 👩‍👩‍👧 " + "ä" * 300
)


def hostile_event(**changes: Any) -> Event:
    """An event in which every text is hostile: templates must bear that, and mean nothing by it."""
    text = HOSTILE_TEXT
    fields: dict[str, Any] = {
        "id": "019cd6de-e2a0-7000-8000-000000000003",
        "call_id": text,
        "caller": Number(text),
        "callee": Number(text),
        "channel": Channel(text, text),
        "headline": text,
        "summary": text,
        "note": text,
        "transcript": (Segment(Speaker.OTHER, None, None, text),),
        "action_items": (ActionItem(None, text),),
        "smart_answers": (SmartAnswer(None, text, None), SmartAnswer(None, None, text)),
        "small_talk": (SmallTalk(None, text, None),),
        "participants": (Participant(None, text),),
        "revision": 2,
    }
    return sample_event(**fields | changes)
