"""Between PostgreSQL's values and those that rows have in every engine: times are microseconds, ids and texts are `str`.

PostgreSQL takes no U+0000 into a text. It is written as U+FDD0 (no character, by Unicode's word) and a digit, and so is
U+FDD0 itself, so that every text comes back as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncpg import Connection

_ESCAPE: Final = "\ufdd0"
_NUL: Final = "\x00"
#: 2000-01-01, from which PostgreSQL counts, in microseconds since the epoch.
_Y2K: Final = 946_684_800 * 1_000_000
#: No id: it is given to nothing.
NIL: Final = bytes(16)


async def install(connection: Connection) -> None:
    """Make this connection give and take values as rows have them."""
    for name, encoder, decoder, format_ in (
        ("text", str.encode, text_out, "binary"),
        ("uuid", id_in, id_out, "binary"),
        ("timestamptz", time_in, time_out, "tuple"),
    ):
        await connection.set_type_codec(name, schema="pg_catalog", encoder=encoder, decoder=decoder, format=format_)


def value_in(value: Any) -> Any:
    """A value as the connection takes it: asyncpg has one way of its own for lists of texts, so this is no codec."""
    if isinstance(value, str) and (_NUL in value or _ESCAPE in value):
        return value.replace(_ESCAPE, f"{_ESCAPE}1").replace(_NUL, f"{_ESCAPE}0")
    return value


def text_out(stored: bytes) -> str:
    """A stored text."""
    text = bytes(stored).decode()
    if _ESCAPE in text:
        text = text.replace(f"{_ESCAPE}0", _NUL).replace(f"{_ESCAPE}1", _ESCAPE)
    return text


def id_in(text: str) -> bytes:
    """An id as it is stored; what is none finds nothing."""
    try:
        stored = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        return NIL
    return stored if len(stored) == len(NIL) else NIL


def id_out(stored: bytes) -> str:
    """A stored id."""
    text = bytes(stored).hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def time_in(micros: int) -> tuple[int]:
    """A time as it is stored."""
    return (micros - _Y2K,)


def time_out(stored: tuple[int]) -> int:
    """A stored time."""
    return stored[0] + _Y2K
