"""The outline of a body: its keys, kinds and lengths, and nothing that anybody said. For reporting what was not read."""

from __future__ import annotations

import itertools
import re
from typing import Any, Final

from router.errors import Unreadable
from router.formats import body as bodies

#: What a key looks like; one that looks otherwise may be a name or a number of somebody.
_KEY: Final = re.compile(r"[$@]?[A-Za-z_][A-Za-z0-9_.:/\-]{0,63}")
#: Items of a list that are shown; the others are only counted.
_SHOWN: Final = 20
#: First one that fits.
_KINDS: Final = (
    ("blank", re.compile(r"\s*")),
    ("digits", re.compile(r"\d+")),
    ("number", re.compile(r"[+\-]?\d[\d .,()/\-]*")),
    ("time", re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:?\d\d.{0,20})?")),
    ("UUID", re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")),
    ("URL", re.compile(r"[a-z][a-z0-9+.\-]{1,20}:\S+")),
    ("e-mail address", re.compile(r"[^\s@]+@[^\s@]+")),
    ("JSON", re.compile(r"\s*[\[{].*[\]}]\s*", re.DOTALL)),
    ("base64", re.compile(r"[A-Za-z0-9+/_\-\s]{40,}={0,2}")),
)


def outline(body: bytes) -> dict[str, Any]:
    """`{"json": …}` with every value replaced by its kind; `{"kind", "reason"}` of what is no JSON."""
    try:
        return {"json": _outlined(bodies.value(body))}
    except Unreadable as error:
        return {"kind": _kind_of_bytes(body), "reason": str(error)}


def _outlined(value: Any) -> Any:
    match value:
        case dict():
            return {_key(key, at): _outlined(item) for at, (key, item) in enumerate(value.items())}
        case list():
            shown = [_outlined(item) for item in itertools.islice(value, _SHOWN)]
            return shown if len(value) <= _SHOWN else [*shown, f"<{len(value) - _SHOWN} more>"]
        case str():
            return f"<{_kind(value)}, {len(value)} characters>"
        case bool() | None:
            return value
        case int():
            return f"<integer, {len(str(value))} digits>"
        case _:
            return "<number>"


def _key(key: str, at: int) -> str:
    return key if _KEY.fullmatch(key) else f"<key {at + 1}, {len(key)} characters>"


def _kind(text: str) -> str:
    return next((name for name, shape in _KINDS if shape.fullmatch(text)), "text")


def _kind_of_bytes(body: bytes) -> str:
    if body.startswith(bodies.GZIP):
        return "gzip"
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return "bytes that are no UTF-8"
    start = text.lstrip("\ufeff \t\r\n")
    if start.startswith(("{", "[")):
        return "nearly JSON"
    if start.startswith("<"):
        return "XML or HTML"
    return "a form" if re.match(r"[\w.\[\]%\-]+=", start) else "text"
