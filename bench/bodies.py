"""The calls that are sent: about 2 KB each, in German, each with its number and the time at which it was due.

Every clock here is `time.monotonic_ns`, which is one for all processes of a machine: whoever gets a call knows at once
how long it was on its way.
"""

from __future__ import annotations

import json
import re

#: In everything that is sent, however it was written anew on its way.
MARK = re.compile(rb"bench-(\d{9})-(\d{19})")
_PLACE = "bench-?"

_CALL = {
    "callHeadline": "Fräulein Süß möchte einen Rückruf wegen der Kündigungsfrist",
    "call": {
        "id": _PLACE,
        "caller": "+4915199900017",
        "callee": "+4930999000",
        "startTime": 1764158400000,
        "endTime": 1764158612000,
        "duration": 212,
        "direction": "inbound",
    },
    "channel": {"id": "7e2f4c7c-0d51-4a43-8a0e-6c1f5b0a9d21", "name": "Kundendienst Süd"},
    "transcriptions": [
        {"speaker": ("callee", "caller")[at % 2], "startTime": at * 9_000, "endTime": at * 9_000 + 8_000, "text": text}
        for at, text in enumerate(
            [
                "Grüß Gott, Kundendienst Süd, Sie sprechen mit Jörg Müßig. Was kann ich für Sie tun?",
                "Guten Tag, Süß mein Name. Ich habe Ihre Rechnung über zweihundertfünfzig Euro bekommen.",
                "Einen Augenblick, ich öffne Ihre Unterlagen. Es geht um den Vertrag für die Büroräume?",
                "Genau. Ich würde gern wissen, bis wann ich ihn kündigen müsste, und was danach übrig bleibt.",
                "Die Frist läuft bis zum Ende des übernächsten Monats. Ich schicke Ihnen das auch schriftlich.",
                "Das wäre schön. Und rufen Sie mich bitte zurück, falls die Geschäftsführung zustimmt.",
            ]
        )
    ],
    "summary": "Frau Süß fragt nach der Kündigungsfrist für die Büroräume und nach ihrer letzten Rechnung über "
    "250 €. Herr Müßig nennt die Frist, schickt sie schriftlich und ruft zurück, sobald die Geschäftsführung zustimmt.",
    "note": {"content": "Bestandskundin; war über die Höhe der Rechnung verärgert."},
    "actionItems": [
        {"id": "ai_1", "text": "Kündigungsfrist schriftlich bestätigen"},
        {"id": "ai_2", "text": "Rückruf nach Rücksprache mit der Geschäftsführung"},
    ],
    "smallTalkItems": [
        {"id": "st_1", "topic": "Urlaub", "description": "War in Österreich.", "pinned": False, "dismissed": False}
    ],
    "smartAnswers": [{"id": "sa_1", "question": "Droht eine Kündigung?", "answer": "Möglicherweise."}],
}
_BEFORE, _AFTER = json.dumps(_CALL, ensure_ascii=False).encode().split(_PLACE.encode())
SIZE = len(_BEFORE) + len("bench-") + 9 + 1 + 19 + len(_AFTER)


def body(number: int, due: int) -> bytes:
    """The call of this number; `due` in nanoseconds."""
    return b"%bbench-%09d-%019d%b" % (_BEFORE, number, due, _AFTER)


def head(path: str) -> bytes:
    """What stands in front of each, in a request to this path."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {SIZE}\r\n\r\n"
    ).encode()
