"""The outline of a body: its keys, kinds and lengths, and nothing that anybody said. For reporting what was not read."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Final

from router.errors import Unreadable
from router.formats import body as bodies
from router.unpacking import GZIP

#: Keys of the formats that do not look like `_KEY`.
_OUR_KEYS: Final = frozenset({
    "$ref", "@type", "call_id", "message_id", "campaign_id", "content_hash", "created_at", "updated_at",
    "interaction_id", "interaction_type", "lawful_basis", "must_support", "must_understand", "party_history",
    "session_id", "sipgate_webhook", "smart_answers", "small_talk", "start_time", "end_time", "speaker_label",
    "speaker_name", "target_dialog", "transfer_target", "action_items", "aftercall_event", "transfer-target",
    "target-dialog", "wtf_transcription", "punctuated_word", "encrypted_key", "call_started_on", "x5c", "x5u",
})  # fmt: skip
#: What a programmer's key looks like; one that looks otherwise may be somebody's name or number.
_KEY: Final = re.compile(r"[a-z][A-Za-z]{0,30}")
_MEDIA_TYPE: Final = re.compile(r"[a-z]{1,12}/[a-z][a-z0-9.+\-]{0,60}")
#: Digits in a row that may be a number of somebody.
_TELLING: Final = re.compile(r"\d{5}")
#: Items of a list, keys of an object, and values of the whole that are shown; the others are only counted.
_ITEMS: Final = 20
_KEYS: Final = 100
_VALUES: Final = 2_000
_COMPACT_JWS: Final = re.compile(rb"\s*[\w\-]+\.[\w\-]+\.[\w\-]+\s*")
#: First one that fits.
_KINDS: Final = (
    ("blank", re.compile(r"\s*")),
    ("digits", re.compile(r"\d+")),
    ("time", re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:?\d\d.{0,20})?")),
    ("number", re.compile(r"[+\-]?\d[\d .,()/\-]*")),
    ("UUID", re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
    ("URL", re.compile(r"[a-z][a-z0-9+.\-]{1,20}:\S+")),
    ("e-mail address", re.compile(r"[^\s@]+@[^\s@]+")),
    ("JSON", re.compile(r"\s*[\[{].*[\]}]\s*", re.DOTALL)),
    ("base64", re.compile(r"[A-Za-z0-9+/_\-\s]{40,}={0,2}")),
)


def outline(body: bytes) -> dict[str, Any]:
    """`{"json": …}` with every value replaced by its kind; `{"kind", "reason"}` of what is no JSON.

    Takes seconds of a large body, and is itself never large.
    """
    try:
        return {"json": _Outlining().of(bodies.value(body))}
    except Unreadable as error:
        return {"kind": _kind_of_bytes(body), "reason": str(error)}


def media_type(content_type: str | None) -> str | None:
    """The media type of a Content-Type without its parameters, in which a file's name may be."""
    if content_type is None:
        return None
    media = content_type.partition(";")[0].strip().casefold()
    shown = _MEDIA_TYPE.fullmatch(media) and not _TELLING.search(media)
    return media if shown else f"<{len(content_type)} characters>"


@dataclass(slots=True)
class _Outlining:
    """One outline in the making."""

    left: int = _VALUES

    def of(self, value: Any) -> Any:
        self.left -= 1
        match value:
            case dict() if value and self.left <= 0:
                return f"<object, {len(value)} keys>"
            case list() if value and self.left <= 0:
                return f"<list, {len(value)} items>"
            case dict():
                shown = {
                    _key(key, at): self.of(item)
                    for at, (key, item) in enumerate(itertools.islice(value.items(), _KEYS))
                }
                return shown if len(value) <= _KEYS else shown | {f"<{len(value) - _KEYS} more>": None}
            case list():
                items = [self.of(item) for item in itertools.islice(value, _ITEMS)]
                return items if len(value) <= _ITEMS else [*items, f"<{len(value) - _ITEMS} more>"]
            case str():
                return f"<{_kind(value)}, {len(value)} characters>"
            case bool() | None:
                return value
            case int():
                return f"<integer, {len(str(value))} digits>"
            case _:
                return "<number>"


def _key(key: str, at: int) -> str:
    return key if key in _OUR_KEYS or _KEY.fullmatch(key) else f"<key {at + 1}, {len(key)} characters>"


def _kind(text: str) -> str:
    return next((name for name, shape in _KINDS if shape.fullmatch(text)), "text")


def _kind_of_bytes(body: bytes) -> str:
    if body.startswith(GZIP):
        return "gzip"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "bytes that are no UTF-8"
    if body.lstrip().startswith(b"eyJ") and _COMPACT_JWS.fullmatch(body):
        return "a JSON Web Signature in its compact form, which is not read"
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")):
        return "nearly JSON"
    if start.startswith("<"):
        return "XML or HTML"
    return "a form" if re.match(r"[\w.\[\]%\-]+=", start) else "text"
