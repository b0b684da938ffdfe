"""Templates: the operator's text, filled with an event as plain data. Text from a call is never compiled.

minijinja with fuel, and only with what costs some: a loop ends, and no number in a template makes a text of its size.
Who doubles a text forty times over can still fill the memory, but has to mean it.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

import minijinja

from router.errors import Rejected
from router.event import EVENT_FIELDS, Channel, Number
from router.text import cut

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from router.sink import Template

#: Instructions a template may spend, and characters it may write.
FUEL = 200_000
MAX_OUTPUT = 1_000_000
#: They build texts and lists of any length at no cost in fuel.
_REMOVED_FILTERS = ("format", "indent", "replace", "join", "center", "slice", "batch")
#: What a text is safe for, only who puts it there can know.
_NOT_OURS = ("safe",)
#: What stands between two quotes or is a number may be a value; only these kinds of errors speak of the template alone.
_ABOUT_THE_TEMPLATE = ("SyntaxError", "UnknownFilter", "UnknownTest", "UnknownFunction", "UnknownMethod", "BadEscape")
_MAY_BE_A_VALUE = re.compile(r"""["'`\d]""")
#: `event.` and a name; below these names, only those.
_INSIDE = {
    "channel": {field.name for field in fields(Channel)},
    "caller": {field.name for field in fields(Number)},
    "callee": {field.name for field in fields(Number)},
}


class Renderer:
    """Compiles templates for one time zone. Filters of ours: `date(format)`, `cut(length)`."""

    def __init__(self, timezone: ZoneInfo) -> None:
        self.timezone = timezone
        self._environment = minijinja.Environment(
            debug=False,  # otherwise an error's text shows every variable
            fuel=FUEL,
            undefined_behavior="strict",
            pycompat=False,
            finalizer=lambda value: "" if value is None else value,
            filters={"date": self._date, "cut": _cut, "tojson": _tojson},
            auto_escape_callback=lambda _name: False,
        )
        for name in (*_REMOVED_FILTERS, *_NOT_OURS):
            self._environment.remove_filter(name)
        self._environment.remove_global("debug")
        self._compiled = 0

    def compile(self, source: str) -> Template:
        """A template. Raises ValueError with the line and what is wrong."""
        self._compiled += 1
        name = f"template-{self._compiled}"
        try:
            self._environment.add_template(name, source)
            unknown = _unknown_names(self._environment.undeclared_variables_in_template(name, nested=True))
        except minijinja.TemplateError as error:
            raise ValueError(_explained(error)) from None
        if unknown:
            message = f"template: an event has no {', '.join(unknown)}; it has {', '.join(EVENT_FIELDS)}"
            raise ValueError(message)
        return _Compiled(self._environment, name)

    def _date(self, value: str | None, form: str = "%d.%m.%Y %H:%M") -> str | None:
        """A time of the event in the configured zone, written as `form` (strftime) says; None stays None."""
        return datetime.fromisoformat(value).astimezone(self.timezone).strftime(form) if value else None


class _Compiled:
    """One compiled template."""

    def __init__(self, environment: minijinja.Environment, name: str) -> None:
        self._environment = environment
        self._name = name

    def render(self, **values: Any) -> str:
        """The text. Raises `Rejected` with the line: no later attempt would fare better."""
        try:
            text: str = self._environment.render_template(self._name, **values)
        except minijinja.TemplateError as error:
            raise Rejected(_explained(error)) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            message = f"template: a filter or method could not use its value ({type(error).__name__})"
            raise Rejected(message) from None
        if len(text) > MAX_OUTPUT:
            message = f"template: wrote more than {MAX_OUTPUT} characters"
            raise Rejected(message)
        return text


def _cut(value: str | None, length: int) -> str | None:
    """At most `length` characters, with a visible mark where something was cut; None stays None."""
    return cut(str(value), length) if value is not None else None


def _tojson(value: Any) -> str:
    """As JSON: integers exact, and nothing in it that could end a script or an attribute."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text.translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&'\u2028\u2029"})


def _unknown_names(used: set[str]) -> list[str]:
    """The names below `event` that no event has. They fail here, because filters are given None for them."""
    unknown = []
    for name in used:
        top, _, path = name.partition(".")
        field, _, inside = path.partition(".")
        known = field in EVENT_FIELDS and (not inside or field not in _INSIDE or inside in _INSIDE[field])
        if top == "event" and path and not known:
            unknown.append(path)
    return sorted(unknown)


def _explained(error: minijinja.TemplateError) -> str:
    """What is wrong, without any value."""
    where = f"line {error.line}: " if error.line else ""
    message = error.message.partition(" (in template-")[0]
    if error.kind not in _ABOUT_THE_TEMPLATE and error.detail and _MAY_BE_A_VALUE.search(error.detail):
        message = message.removesuffix(f": {error.detail}")
    return f"template: {where}{message}"
