"""From a body to a call: the formats, and the choice between them.

A format is a module-level object with a name, a test of the parsed body, and a reader. Formats are pure and tolerant:
a part that is missing, null or odd is left out, never an exception; what is left out is still in `raw`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from router.errors import Unreadable
from router.event import Call
from router.formats import sipgate


@dataclass(frozen=True, slots=True)
class Format:
    """One way in which bodies are written.

    `claims` says whether a parsed body is one; `read` makes the call of a body that it claims.
    """

    name: str
    description: str
    claims: Callable[[Any], bool]
    read: Callable[[dict[str, Any]], Call]


#: Every format that is installed, by name.
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (Format(sipgate.NAME, "the documented sipgate bundle (plain JSON)", sipgate.claims, sipgate.read),)
}


def read(value: Any, pinned: str | None = None) -> tuple[str, Call]:
    """The name of the format that claims this parsed body, and the call it reads.

    `pinned` asks one format only. Raises `Unreadable` where none claims it.
    """
    if not isinstance(value, dict):
        message = f"a JSON {_KINDS.get(type(value), 'value')}, not an object"
        raise Unreadable(message)
    for form in FORMATS.values():
        if pinned in (None, form.name) and form.claims(value):
            return form.name, form.read(value)
    message = f"no known format: an object without the parts of {' or '.join([pinned] if pinned else FORMATS)}"
    raise Unreadable(message)


_KINDS: dict[type, str] = {
    list: "list",
    str: "string",
    int: "number",
    float: "number",
    bool: "word",
    type(None): "null",
}
