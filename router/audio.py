"""Inline audio of a vCon: megabytes of base64 that few receivers want. Takes it out, and nothing else. Pure.

What is signed or encrypted stays as it is: the audio cannot come out without breaking the seal.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from typing import Any, Final

from router.envelope import sealed
from router.unpacking import GZIP, Corrupt, TooLarge, gunzipped

#: What a zipped vCon may unpack to; a larger one is left alone.
_MOST_UNPACKED: Final = 64 * 2**20
#: Where content can stand inline: recordings, what was sent along, spoken analyses.
_PLACES: Final = ("dialog", "attachments", "analysis")
_SOUND: Final = re.compile(r"\s*(audio|video)/", re.IGNORECASE)
_SOUND_URL: Final = re.compile(r"\s*data:(audio|video)/", re.IGNORECASE)
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_=\r\n-]+")
#: Characters without a space: nobody writes like that.
_TELLING: Final = 256
#: Media types under which base64 in a recording is none of our business.
_WRITING: Final = re.compile(r"\s*(text/|message/|multipart/|application/([\w.+-]*\+)?(json|xml|pdf)\b)", re.IGNORECASE)


def without_audio(document: Any) -> Any:
    """The parsed vCon without inline audio and video: `body` and `encoding` are gone, all else is there.

    It is the very same object where there is none.
    """
    if not isinstance(document, dict) or sealed(document):
        return document
    changed = {place: _silent(document[place]) for place in _PLACES if place in document}
    if all(document[place] is left for place, left in changed.items()):
        return document
    return {**document, **changed}


def strip_audio(body: bytes) -> bytes:
    """A received body without inline audio; every other body byte by byte as it came.

    Where audio was taken out, the JSON is written anew: the same values, numbers with all their digits.
    """
    if not body.startswith(GZIP):
        return _stripped(body)
    try:
        unpacked = gunzipped(body, _MOST_UNPACKED)
    except (Corrupt, TooLarge):
        return body
    left = _stripped(unpacked)
    return body if left is unpacked else gzip.compress(left, mtime=0)


def _silent(value: Any) -> Any:
    """An object of one of the places, or a list of them."""
    if isinstance(value, list):
        silent = [_silent(item) for item in value]
        return value if all(map(_same, value, silent)) else silent
    if isinstance(value, dict) and _is_audio(value):
        return {key: item for key, item in value.items() if key not in ("body", "encoding")}
    return value


def _same(one: Any, other: Any) -> bool:
    return one is other


def _is_audio(item: dict[str, Any]) -> bool:
    """Said by its media type, or where that says nothing, by a recording's base64."""
    body, encoding = item.get("body"), item.get("encoding")
    if not body or not isinstance(body, str):
        return False
    media = item.get("mediatype") or item.get("mimetype")
    media = media if isinstance(media, str) else ""
    if _SOUND.match(media) or _SOUND_URL.match(body):
        return True
    if item.get("type") not in ("recording", "audio", "video") or _WRITING.match(media):
        return False
    return str(encoding).casefold().startswith("base64") or (not encoding and _looks_like_base64(body))


def _looks_like_base64(body: str) -> bool:
    return len(body) >= _TELLING and _BASE64.fullmatch(body[:_TELLING]) is not None


def _stripped(body: bytes) -> bytes:
    encoding = json.detect_encoding(body)
    if encoding.startswith("utf-8") and not any(f'"{place}"'.encode() in body for place in _PLACES):
        return body  # most bodies are no vCons, and need not be parsed to know that
    # Marks numbers at both ends while they are strings, so that they are written as they came. No string of the body
    # can have it.
    mark = hashlib.sha256(body).hexdigest()[:32]

    def number(digits: str) -> str:
        return f"{mark}{digits}{mark}"

    try:
        document = json.loads(body.decode(encoding), parse_int=number, parse_float=number, parse_constant=number)
        left = without_audio(document)
        if left is document:
            return body
        text = json.dumps(left, ensure_ascii=False, separators=(",", ":"))
        if not _encodable(text):
            text = json.dumps(left, separators=(",", ":"))
    except (ValueError, RecursionError):
        return body
    return text.replace(f'"{mark}', "").replace(f'{mark}"', "").encode(encoding)


def _encodable(text: str) -> bool:
    """Whether there is no lone surrogate in it, which is JSON only as an escape."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
