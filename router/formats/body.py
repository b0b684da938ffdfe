"""A received body as JSON: parsed, and digested so that equal content has equal digests.

The standard library's parser, not pydantic's: it takes what sipgate could send (lone surrogates), and it hands out
the text of every number, which the digest needs to be exact.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any, NoReturn

from router import unpacking
from router.errors import Unreadable
from router.unpacking import GZIP, Corrupt, TooLarge

#: Deeper than any real call; far from the parser's own limit, which differs between Pythons.
MAX_DEPTH = 200
#: Bytes that a body may hold that is a gzip. (One that HTTP knows of is taken off while it comes in, with its own limit.)
MAX_UNPACKED = 16 * 2**20

#: A gzip in base64, a signed payload (which may be one), a MIME message, and escapes that could hide any of them.
#: Each begins with one character as it is: only then does Python look for these first, which is far quicker.
_MAY_TAKE_LONG = re.compile(
    rb'H4sI|"payload"|m(?i:essage|ultipart)\\?/|M(?i:essage|ultipart)\\?/|\\u00(2[fF]|3[0-9]|[4-7])'
)

#: A JSON Web Signature or Encryption in one line: base64url of a header, and dots.
_COMPACT = re.compile(r"\s*eyJ[\w\-]*(\.[\w\-]*){2,4}\s*\Z", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Parsed:
    """A JSON body. `repeated_key`: an object had the same key twice (the last one counts, as everywhere)."""

    value: Any
    #: SHA-256 over canonical JSON: sorted keys, no spaces, numbers as they were written.
    digest: bytes
    repeated_key: bool = False


def parse(body: bytes) -> Parsed:
    """The body as JSON, with its digest. Lone surrogates become U+FFFD in the value.

    UTF-8, with or without BOM, UTF-16 and UTF-32 are read (RFC 8259 wants UTF-8; senders differ), and a gzip of them.
    Raises `Unreadable` with a reason that quotes nothing.
    """
    text = _text(body)
    loaded, repeated, exact = _loaded(text)
    canonical = _dumped(loaded) if exact else _canonical(text)
    digest = hashlib.sha256(canonical.encode()).digest()
    return Parsed(_scrubbed(loaded) if "\\ud" in canonical else loaded, digest, repeated)


def may_take_long(body: bytes) -> bool:
    """Whether reading it may take far longer than its size says: there may be a gzip in it, or around it."""
    return (
        body.startswith(GZIP)
        or not json.detect_encoding(body).startswith("utf-8")
        or _MAY_TAKE_LONG.search(body) is not None
    )


def value(body: bytes | str, most: int | None = None) -> Any:
    """The value of `parse` alone. A text may be JSON as well. Raises as `parse`.

    `most`: bytes that it may hold where it is a gzip.
    """
    text = body if isinstance(body, str) else _text(body, most)
    loaded, *_ = _loaded(text)
    return _scrubbed(loaded) if "\\u" in text else loaded


def gunzipped(data: bytes, most: int) -> bytes:
    """What is in a gzip, or the data where it is none. Raises `Unreadable` where it is damaged or holds more."""
    if not data.startswith(GZIP):
        return data
    try:
        return unpacking.gunzipped(data, most)
    except Corrupt:
        raise Unreadable("a gzip that is damaged or not complete") from None
    except TooLarge:
        raise Unreadable(f"a gzip of more than {most} bytes") from None


def _text(body: bytes, most: int | None = None) -> str:
    body = gunzipped(body, MAX_UNPACKED if most is None else most)
    try:
        return body.decode(json.detect_encoding(body)).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"not text: byte {error.start} is no {error.encoding}"
        raise Unreadable(message) from None


def _loaded(text: str) -> tuple[Any, bool, bool]:
    """The value, whether a key was repeated, and whether all numbers are as they were written."""
    repeated, exact = False, True

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        made = dict(pairs)
        repeated |= len(made) != len(pairs)
        return made

    def integer(digits: str) -> int | str:
        nonlocal exact
        number = _integer(digits)
        exact &= isinstance(number, int)
        return number

    def decimal(number: str) -> float:
        nonlocal exact
        exact = False
        return float(number)

    try:
        value = json.loads(
            text, object_pairs_hook=members, parse_int=integer, parse_float=decimal, parse_constant=_no_constant
        )
    except json.JSONDecodeError as error:
        if _COMPACT.match(text):
            raise Unreadable("a signed or encrypted body in the compact form; only JSON is read") from None
        message = f"not JSON: {error.msg.removesuffix(' at')} at line {error.lineno} column {error.colno}"
        raise Unreadable(message) from None
    except RecursionError:
        raise Unreadable(_TOO_DEEP) from None
    if _deeper_than(value, MAX_DEPTH):
        raise Unreadable(_TOO_DEEP)
    return value, repeated, exact


def digest_of_bytes(body: bytes) -> bytes:
    """The digest of a body that is no JSON."""
    return hashlib.sha256(body).digest()


def is_digest(digest: bytes, body: bytes) -> bool:
    """Whether this is the digest of a body: of its JSON, or of its bytes."""
    if digest == digest_of_bytes(body):
        return True
    try:
        return digest == parse(body).digest
    except Unreadable:
        return False


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


def _canonical(text: str) -> str:
    """The JSON with sorted keys, without spaces, in ASCII; numbers that Python would round stay as they were written."""
    # Marks such numbers at both ends while they are strings. It is made of the text, so that no string in the text can
    # have it; most bodies have no such number.
    mark = ""

    def written(number: str) -> str:
        nonlocal mark
        mark = mark or hashlib.sha256(text.encode()).hexdigest()[:32]
        return f"{mark}{number}{mark}"

    def integer(digits: str) -> int | str:
        number = _integer(digits)
        return number if isinstance(number, int) else written(digits)

    exact = json.loads(text, parse_int=integer, parse_float=written)
    canonical = _dumped(exact)
    return canonical.replace(f'"{mark}', "").replace(f'{mark}"', "") if mark else canonical


def _dumped(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _integer(text: str) -> int | str:
    """An integer, exact; one with more digits than Python converts stays text."""
    try:
        return int(text)
    except ValueError:
        return text


def _no_constant(name: str) -> NoReturn:
    message = f"not JSON: {name} is no number in JSON"
    raise Unreadable(message)


def _deeper_than(value: Any, limit: int) -> bool:
    """Whether containers are nested deeper than `limit`; walks level by level, so that it does not nest itself."""
    level = [value]
    for _ in range(limit + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [below for item in containers for below in (item.values() if isinstance(item, dict) else item)]
    return True


def _scrubbed(value: Any) -> Any:
    """The value with U+FFFD for every lone surrogate, which no output could encode. At most `MAX_DEPTH` deep."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
    return value
