"""Templates: the operator's text, filled with an event as plain data. Text from a call is never compiled.

minijinja with fuel, and only with what costs some: a loop ends, and no number in a template makes a text of its size.
Who doubles a text forty times over can still fill the memory, but has to mean it.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields
from datetime import datetime
from functools import wraps
from typing import TYPE_CHECKING, Any

import minijinja

from router.errors import Discreet, Rejected
from router.event import EVENT_FIELDS, Channel, Number, NumberKind
from router.markup import as_value
from router.people import duration, written
from router.people import masked as masked_number
from router.text import cut

if TYPE_CHECKING:
    from collections.abc import Callable
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
    "channel": [field.name for field in fields(Channel)],
    "caller": [field.name for field in fields(Number)],
    "callee": [field.name for field in fields(Number)],
}


class Renderer:
    """Compiles templates for one time zone. Filters of ours: `date(format)`, `duration`, `phone(masked)`, `cut(length)`."""

    def __init__(self, timezone: ZoneInfo) -> None:
        self.timezone = timezone
        self._texts = self._environment(lambda value: "" if value is None else value)
        self._messages = self._environment(as_value)
        self._compiled = 0

    def compile(self, source: str) -> Template:
        """A template of text. Raises ValueError with the line and what is wrong."""
        return self._compile(self._texts, source)

    def compile_message(self, source: str) -> Template:
        """A template of `markup`, which `markup.parse` reads once it is filled. Raises ValueError as `compile` does."""
        return self._compile(self._messages, source)

    def _environment(self, finalizer: Callable[[Any], Any]) -> minijinja.Environment:
        filters: dict[str, Callable[..., Any]] = {
            "date": self._date,
            "duration": _duration,
            "phone": _phone,
            "cut": _cut,
            "tojson": _tojson,
        }
        environment = minijinja.Environment(
            debug=False,  # otherwise an error's text shows every variable
            fuel=FUEL,
            undefined_behavior="strict",
            pycompat=False,
            finalizer=finalizer,
            filters={name: _guarded(name, filter_) for name, filter_ in filters.items()},
            auto_escape_callback=lambda _name: False,
        )
        for name in (*_REMOVED_FILTERS, *_NOT_OURS):
            environment.remove_filter(name)
        environment.remove_global("debug")
        return environment

    def _compile(self, environment: minijinja.Environment, source: str) -> Template:
        self._compiled += 1
        name = f"template-{self._compiled}"
        try:
            environment.add_template(name, source)
            names = frozenset(environment.undeclared_variables_in_template(name, nested=True))
        except minijinja.TemplateError as error:
            raise Discreet(_explained(error), instead=_explained(error, discreetly=True)) from None
        for used in sorted(names):
            if wrong := _unknown(used):
                where = lines_of(rf"{re.escape(used)}(?![a-z_])", source)
                known = wrong.partition("; ")[2]
                raise Discreet(f"template: {where}{wrong}", instead=f"template: {where}there is no such name; {known}")
        return _Compiled(environment, name, source, names)

    def _date(self, value: str | None, form: str = "%d.%m.%Y %H:%M") -> str | None:
        """A time of the event in the configured zone, written as `form` (strftime) says; None stays None."""
        return datetime.fromisoformat(value).astimezone(self.timezone).strftime(form) if value else None


class _Compiled:
    """One compiled template."""

    def __init__(self, environment: minijinja.Environment, name: str, source: str, names: frozenset[str]) -> None:
        self.names = names
        self._environment = environment
        self._name = name
        self._source = source

    def render(self, **values: Any) -> str:
        """The text. Raises `Rejected` with the line: no later attempt would fare better."""
        try:
            text: str = self._environment.render_template(self._name, **values)
        except _Misused as misused:
            where = lines_of(rf"\|\s*{misused.name}\b", self._source)
            message = (
                f"template: {where}the filter `{misused.name}` cannot use what it was given; {_USAGE[misused.name]}"
            )
            raise Unfillable(message, instead=message) from None
        except minijinja.TemplateError as error:
            raise Unfillable(_explained(error), instead=_explained(error, discreetly=True)) from None
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            message = f"template: a value could not be used ({type(error).__name__})"
            raise Rejected(message) from None
        if len(text) > MAX_OUTPUT:
            message = f"template: wrote more than {MAX_OUTPUT} characters"
            raise Rejected(message)
        return text


#: For who used one otherwise.
_USAGE = {
    "date": "it takes a time of the event, like {{ event.started_at | date('%d.%m.%Y') }}",
    "duration": "it takes seconds, like {{ event.duration | duration }}",
    "phone": "it takes a party of the event, like {{ event.caller | phone }}",
    "cut": "it takes a text, and a number of characters: {{ event.summary | cut(300) }}",
    "tojson": "it takes a value of the event, like {{ event.headline | tojson }}",
}


class Unfillable(Rejected):
    """A template cannot be filled; `instead` says it without a word of the template."""

    def __init__(self, reason: str, *, instead: str) -> None:
        super().__init__(reason)
        self.instead = instead


class _Misused(Exception):
    """A filter was given what it cannot use. It is the template's mistake; minijinja knows no line of it."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def _guarded(name: str, filter_: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, which raises nothing but `_Misused`: an error of Python's could quote the call."""

    @wraps(filter_)
    def guarded(*arguments: Any, **options: Any) -> Any:
        try:
            return filter_(*arguments, **options)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
            raise _Misused(name) from None

    return guarded


def lines_of(pattern: str, source: str) -> str:
    """Where that stands in a template: `line 4: `, `line 4 or 9: `; nothing where it cannot be said."""
    lines = [str(number) for number, line in enumerate(source.split("\n"), 1) if re.search(pattern, line)]
    return f"line {' or '.join(lines)}: " if 0 < len(lines) < 4 else ""  # noqa: PLR2004 - more say nothing


def _cut(value: str | None, length: int) -> str | None:
    """At most `length` characters, with a visible mark where something was cut; None stays None."""
    return cut(str(value), length) if value is not None else None


def _duration(value: float | None) -> str | None:
    """Seconds as `5:12`; None stays None."""
    return None if value is None else duration(value)


def _phone(value: dict[str, str | None] | str | None, masked: bool = False) -> str | None:  # noqa: FBT001, FBT002 - an option
    """A party of the event as people write its number, or masked; None stays None."""
    if value is None:
        return None
    if isinstance(value, str):
        number = Number(value, value if re.fullmatch(r"\+[0-9]{7,15}", value) else None)
    else:
        number = Number(value["raw"] or "", value["e164"], NumberKind(value["kind"] or "unknown"))
    return written(masked_number(number) if masked else number)


def _tojson(value: Any) -> str:
    """As JSON: integers exact, and nothing in it that could end a script or an attribute."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text.translate({ord(char): f"\\u{ord(char):04x}" for char in "<>&'\u2028\u2029"})


def _unknown(name: str) -> str | None:
    """What is wrong with a name below `event`. Said before anything is filled, because filters are given None for it."""
    top, _, path = name.partition(".")
    field, _, inside = path.partition(".")
    if top != "event" or not path:
        return None
    if field not in EVENT_FIELDS:
        return f"an event has no {field}; it has {', '.join(EVENT_FIELDS)}"
    if inside and field in _INSIDE and inside not in _INSIDE[field]:
        return f"event.{field} has no {inside}; it has {', '.join(_INSIDE[field])}"
    return None


def _explained(error: minijinja.TemplateError, *, discreetly: bool = False) -> str:
    """What is wrong, without any value; `discreetly`: and without a word of the template."""
    where = f"line {error.line}: " if error.line else ""
    message = error.message.partition(" (in template-")[0]
    told = error.kind in _ABOUT_THE_TEMPLATE and not discreetly
    if error.detail and not told and (discreetly or _MAY_BE_A_VALUE.search(error.detail)):
        message = message.removesuffix(f": {error.detail}")
    return f"template: {where}{message}"
