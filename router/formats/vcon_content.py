"""The content of a vCon's analyses, attachments and text dialogs, as every draft and many libraries write it.

`encoding` is a hint and no more: bodies come as JSON in a string, as JSON in a string in JSON, as base64 that is
called base64url, as plain text that is called base64. What makes sense is taken. (Gzips are unpacked before: `vcon_bounds`.)
"""

from __future__ import annotations

import codecs
import email
import email.message
import json
import re
from contextlib import suppress
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from router.errors import Unreadable
from router.formats import body as bodies
from router.formats import parts
from router.formats.seals import decoded

#: How often JSON may be in a string in JSON.
_WRAPPED: Final = 3
_DATA_URL: Final = re.compile(r"data:([^;,]*)[^,]*?(;base64)?,", re.IGNORECASE)
#: Shorter ones that look like base64 but are none were meant as they are: "positive".
_TOO_SHORT: Final = 40
_CHARSET: Final = re.compile(r"""(?i);\s*charset\s*=\s*["']?([a-z0-9_.:-]{1,40})""")
#: By Python's names.
_CODECS: Final = frozenset({
    "ascii", "utf-8", "utf-16", "utf-16-be", "utf-16-le", "utf-32", "utf-32-be", "utf-32-le", "big5", "cp437", "cp850",
    "euc_jp", "euc_kr", "gb18030", "gb2312", "gbk", "koi8-r", "koi8-u", "mac-roman", "shift_jis",
    *(f"cp{page}" for page in range(1250, 1259)), *(f"iso8859-{part}" for part in (*range(1, 12), 13, 14, 15, 16)),
})  # fmt: skip
#: Keys under which a text may be.
_PROSE: Final = ("summary", "text", "content", "body", "value", "result", "output", "message", "transcript")


def content(item: dict[str, Any]) -> Any:
    """What is in it: a text, or a value where it is JSON; None where it is neither."""
    body = item.get("body")
    if body is None:
        body = item.get("transcript")  # before 0.0.1
    if not isinstance(body, str):
        return body
    kind, encoding = media(item), str(item.get("encoding")).casefold()
    text: str | None = body
    if link := _DATA_URL.match(body[:200]):
        kind = kind or link[1].casefold()
        rest = body[link.end() :]
        text = _from_base64(rest, item) if link[2] else _as_text(unquote_to_bytes(rest), item)
    elif encoding.startswith("base64"):
        text = _from_base64(body, item)
    if text is None:
        return None
    if kind.startswith(("multipart/", "message/")):
        return _mail(str(item.get("mediatype") or item.get("mimetype")), text)
    value = unwrapped(text, sure=encoding == "json" or kind.endswith("json"))
    # Brackets do not make JSON of what says that it is text, unless there is something in them that has names.
    return (
        text
        if kind == "text/plain" and isinstance(value, list) and not any(isinstance(x, dict) for x in value)
        else value
    )


def media(item: dict[str, Any]) -> str:
    """The media type without its parameters; empty where it has none."""
    given = item.get("mediatype") or item.get("mimetype")
    return given.partition(";")[0].strip().casefold() if isinstance(given, str) else ""


def unwrapped(text: str, *, sure: bool = False) -> Any:
    """The value of a text that is JSON, also in several layers; any other text as it is."""
    value: Any = text
    for _ in range(_WRAPPED):
        if not isinstance(value, str) or not value.lstrip().startswith(("{", "[", '"') if sure else ("{", "[")):
            break
        try:
            value = bodies.value(value)
        except Unreadable:
            break
    return value


def prose(value: Any) -> str | None:
    """The text of a value: its own, or that of the part that has it."""
    if isinstance(value, list):
        return "\n".join(said for item in value if not isinstance(item, list) and (said := prose(item))) or None
    if isinstance(value, dict):
        inner = (value.get(key) for key in _PROSE)
        return next((said for one in inner if not isinstance(one, dict | list) and (said := parts.text(one))), None)
    return parts.text(value)


def _from_base64(body: str, item: dict[str, Any]) -> str | None:
    """The text that was encoded; the body itself where it cannot be base64; None where it is no text."""
    data = decoded(body)
    if data is None:
        return body
    text = _as_text(data, item)
    return body if text is None and len(body) < _TOO_SHORT else text


def _as_text(data: bytes, item: dict[str, Any]) -> str | None:
    """In the charset that the item names, or that the bytes show; what says that it is text is not given up."""
    named = _CHARSET.search(str(item.get("mediatype") or item.get("mimetype")))
    for charset in (_known(named and named[1]), json.detect_encoding(data)):
        with suppress(UnicodeError):
            if charset:
                return data.decode(charset) or None
    return data.decode(errors="replace") if media(item).startswith("text/") else None


def _mail(kind: str, text: str) -> str | None:
    """The plain text of a MIME message; the whole where there is none."""
    head = "" if kind.casefold().startswith("message/") else f"Content-Type: {' '.join(kind.split())}\n\n"
    try:
        message = email.message_from_string(head + text)
        for part in message.walk():
            if part.get_content_type() == "text/plain" and (said := _payload(part)):
                return said
    except (
        LookupError,
        ValueError,
        TypeError,
        AttributeError,
        RecursionError,
    ):  # of the email package, which trusts what it reads
        return text
    return text


def _payload(part: email.message.Message) -> str | None:
    data = part.get_payload(decode=True)
    if not isinstance(data, bytes):
        return None
    return data.decode(_known(part.get_content_charset()) or "utf-8", "replace")


def _known(charset: str | None) -> str | None:
    """The codec of a charset that texts come in. Python has others under such names, which are slow, or no text at all."""
    try:
        codec = codecs.lookup(charset).name if charset else None
    except (LookupError, ValueError):
        return None
    return codec if codec in _CODECS else None
