"""The outline of a body: its technical keys, kinds and lengths, and nothing that anybody said. For reporting what was not read."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import Any, Final

from router.errors import Unreadable
from router.formats import body as bodies
from router.unpacking import GZIP

#: What keys are made of in the formats that are read, and in those that others send: a key of other words may be
#: somebody's name.
_VOCABULARY: Final = """
    account action additional address agent all alg alternatives amended an analysis and answer answers any app appended
    application area array assistant at attachment attachments audio basis bcc begin body bot bridge by call callback
    called callee caller calling calls campaign category cc channel channels chunks ciphertext city civicaddress client
    code company confidence connected consultation contact content conversation count country created criteria critical
    custom customer cty data date department description device dialog direction display disposition domain duration
    email enc encoded encoding encrypted encryption end ended ending error event events extension extensions external
    file filename files finished first flags for format from full gmlpos group handled hash header headline headlines
    history id ids identifier if in inbound info initial input insights intent interaction internal is item items iv jumps
    key keys kind label lang language languages last lawful length level line link list location locale mailto media
    mediatype members message messages meta metadata method mimetype missed model models must name names not note notes
    num number numbers object of on organization origin original originator outbound outcome output owner paragraphs
    part participant participants parties party payload phone priority product properties protected provider
    punctuated question questions queue rating reason received recipients recording recordings redacted ref reference
    remote request required result results role room scenarios schema scope score segment segments sender sentences
    sentiment sequence service session sha sign signature signatures signed sip sipgate size skill small smart source
    speaker speakers start started starting state status stir stop subject summaries summary system tag tags talk target
    task tasks team tel tenant text ticket time timestamp timezone title to token tokens topic topics total transaction
    transcript transcription transcriptions transcripts transfer transferee transferor trunk type understand unprotected
    updated uri url user users utc uuid value values vcon vendor version video voice voicemail webhook with word words wtf
    zone
"""
_WORDS: Final = frozenset(_VOCABULARY.split())
_OTHER_KEYS: Final = frozenset({"$ref", "@type", "x5c", "x5u", "k", "aftercall_event"})
#: What a programmer's key looks like, and a word in it.
_KEY: Final = re.compile(r"[A-Za-z]+([_\-][A-Za-z]+)*")
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
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
    ours = _KEY.fullmatch(key) and _WORDS.issuperset(word.lower() for word in _WORD.findall(key))
    return key if ours or key in _OTHER_KEYS else f"<key {at + 1}, {len(key)} characters>"


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
