"""From a body to a call: the formats, and the choice between them.

Formats are pure and tolerant: a part that is missing, null or odd is left out, never an exception; what is left out is
still in the body that is kept. The choice is made by content and can be explained:

1. A signed or encrypted envelope is a vCon, and nothing beside it is read: a clear copy proves nothing. What looks
   sealed and cannot be opened is refused.
2. Of the formats that lack nothing, the one of which the body has most signs.
3. Of those that have as many, the first one in `FORMATS`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from router.errors import Unreadable
from router.event import Call, Trust
from router.formats import body as bodies
from router.formats import seals, sipgate, sipgate_ci, vcon
from router.formats.reading import Format, Found, Manner, Reading

__all__ = ["FORMATS", "Format", "Found", "Manner", "find", "raw", "read"]

#: Every format that is installed, by name.
FORMATS: dict[str, Format] = {form.name: form for form in (sipgate.FORMAT, sipgate_ci.FORMAT, vcon.FORMAT)}


def find(value: Any, manner: Manner | None = None, now: datetime | None = None) -> Found:
    """What a parsed body says, and how that was found out. Raises `Unreadable` where no format can read it.

    `now` is when certificates have to be valid.
    """
    if not isinstance(value, dict):
        message = f"a JSON {_KINDS.get(type(value), 'value')}, not an object"
        raise Unreadable(message)
    reading = Reading(manner or Manner(), now)
    form, why, also = _choice(value, reading.manner.pinned)
    if reading.manner.pinned is not None and also:
        reading.remark(f"it looks more like {also[0][0]}, but this source reads every body as {form.name}")
    call = form.read(value, reading)
    if reading.manner.only_verified and call.trust is not Trust.VERIFIED:
        why_not = f" ({'; '.join(reading.remarks)})" if reading.remarks else ""
        message = f"not signed by anyone whom this source trusts{why_not}"
        raise Unreadable(message)
    raw = _raw(value) if reading.manner.pinned else form.raw(value)  # the same form where nothing is pinned
    return Found(form.name, call, raw, why, also, tuple(reading.remarks), tuple(reading.unread))


def read(value: Any, pinned: str | None = None) -> tuple[str, Call]:
    """The name of the format of a parsed body, and its call. Raises `Unreadable`."""
    found = find(value, Manner(pinned))
    return found.format, found.call


def raw(body: bytes) -> Any:
    """The event's `raw` from the body that was kept. Raises `Unreadable`."""
    return _raw(bodies.value(body))


def _raw(value: Any) -> Any:
    """By content alone, so that it is the same whenever it is asked for."""
    try:
        return _choice(value, None)[0].raw(value) if isinstance(value, dict) else value
    except Unreadable:
        return value


def _choice(body: dict[str, Any], pinned: str | None) -> tuple[Format, str, tuple[tuple[str, str], ...]]:
    """The format, why it, and the others that could have been it."""
    if pinned is not None:
        form = FORMATS[pinned]
        lacking = "it is a sealed envelope" if seals.sealed(body) and form is not vcon.FORMAT else form.lacks(body)
        if lacking is not None:
            message = f"not {pinned}, the only format of this source: {lacking}"
            raise Unreadable(message)
        signs = form.signs(body)
        better = [(other.name, _has(found)) for other, found in _fitting(body) if len(found) > len(signs)]
        return form, f"the only format of this source; {_has(signs)}", tuple(better)
    if seals.sealed(body):
        return vcon.FORMAT, f"it is a sealed envelope: {_has(vcon.signs(body))}; nothing beside that is read", ()
    ranked = _fitting(body)
    if not ranked:
        raise Unreadable(_near_miss(body))
    (form, signs), others = ranked[0], ranked[1:]
    return form, _has(signs), tuple((other.name, _has(found)) for other, found in others)


def _fitting(body: dict[str, Any]) -> list[tuple[Format, tuple[str, ...]]]:
    """The formats that lack nothing, each with its signs; most signs first."""
    fitting = [(form, form.signs(body)) for form in FORMATS.values() if form.lacks(body) is None]
    return sorted(fitting, key=lambda fit: -len(fit[1]))


def _near_miss(body: dict[str, Any]) -> str:
    """Why nothing fits, and what comes nearest."""
    near = [(form, signs, form.lacks(body)) for form in FORMATS.values() if (signs := form.signs(body))]
    if not near:
        return f"no known format: nothing in it is of {', '.join(FORMATS)}"
    form, signs, lacking = max(near, key=lambda one: len(one[1]))
    return f"no known format: nearly {form.name}, for it has {', '.join(signs)}; but {lacking}"


def _has(signs: tuple[str, ...]) -> str:
    return f"it has {', '.join(signs)}" if signs else "it lacks nothing that has to be there"


_KINDS: dict[type, str] = {
    list: "list",
    str: "string",
    int: "number",
    float: "number",
    bool: "word",
    type(None): "null",
}
