"""Messages to people: from a delivery to a document, by the sink's own template or the built-in one of its language.

What stands in a message is decided here: only the parts in `send`, numbers as `numbers` says, marks for what is an
update or late. How a document is written is the sink's business.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from importlib import resources
from typing import Annotated, Any, ClassVar, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from router.alarm import Alarm
from router.delivery import Delivery
from router.errors import Discreet, Rejected
from router.event import Event, other_party, plain
from router.excerpt import outgoing
from router.fitting import MARK
from router.markup import Block, Document, Span, Style, parse
from router.notice import Notice, alarm_notice
from router.people import Wording
from router.sample import bare_event, hostile_event, sample_event
from router.sink import Part, PeopleSinkConfig, Revisions, SinkContext, Template
from router.templates import NOT_FILLED
from router.text import cut, one_line

#: Characters of a call that templates are given, of its transcript last; and of one text.
_MOST: Final = 400_000
_LONGEST_TEXT: Final = 100_000
#: What a line break and an item of a list take of them besides, so that there is an end to empty ones: lines and items
#: are what takes time to write.
_ITEM: Final = 100


#: minijinja's own, which need no value.
_FUNCTIONS: Final = {"range", "dict", "namespace"}


@dataclass(frozen=True, slots=True)
class Message(Notice):
    """What people are told about a call."""

    #: The call as far as it may leave: see `outgoing`.
    event: Event
    #: Whether this corrects what was sent before, and says so.
    updated: bool


@cache
def _names(source: str) -> frozenset[str]:
    """What a template asks for."""
    from router.render import Renderer

    return Renderer(ZoneInfo("UTC")).compile_message(source).names


@cache
def built_in(name: str, language: str) -> str:
    """The text of a built-in template."""
    return (resources.files("router") / "messages" / f"{name}.{language}.md").read_text(encoding="utf-8")


def _values(event: Event, routes: tuple[str, ...], wording: Wording, now: datetime, *, updated: bool) -> dict[str, Any]:
    """What a template sees. All of it is plain data."""
    event = _bounded(event)
    return {
        "event": plain(event),
        "title": wording.title(event),
        "facts": wording.facts(event),
        "party": wording.number(other_party(event)),
        "direction": wording.label(event.direction.value),
        "late": wording.late(event, now),
        "updated": updated,
        "routes": ", ".join(routes),
        "speakers": {name: wording.label(name) for name in ("caller", "callee", "other")},
    }


def _filled(template: Template, values: dict[str, Any]) -> Document:
    text = template.render(**values)
    try:
        return parse(text)
    except ValueError as error:
        message = f"template: {error}"
        raise Rejected(message) from None


def _marked(document: Document, values: Mapping[str, Any], names: Collection[str], wording: Wording) -> Document:
    """The document that says what everybody should know of a message: that it corrects one, that it is late.

    Below the title, unless the template has a place of its own for it.
    """
    revision, late = values["event"]["revision"], values["late"]
    marks = (
        (wording.label("updated"), wording.label("correction").format(revision))
        if values["updated"] and "updated" not in names
        else None,
        (wording.label("late"), wording.label("ago").format(late)) if late and "late" not in names else None,
    )
    lines = tuple((Span(f"{mark[0].capitalize()}:", bold=True), Span(f" {mark[1]}")) for mark in marks if mark)
    if not lines:
        return document
    at = 1 if document and document[0].style is Style.TITLE else 0
    return (*document[:at], Block(Style.TEXT, lines), *document[at:])


def _samples() -> Iterator[dict[str, Any]]:
    """What a template sees of a call that has everything, of one that has nothing, and of a hostile one."""
    for event in (sample_event(), bare_event(), hostile_event()):
        late = event.received_at + timedelta(days=1)
        yield _values(event, ("a route",), Wording("de", "UTC"), late, updated=event.revision > 1)


def _look_at_names(template: Template, source: str) -> None:
    """Raises ValueError for names that no template sees."""
    from router.render import lines_of

    known = _values(sample_event(), (), Wording("de", "UTC"), sample_event().received_at, updated=False)
    for name in sorted({name.partition(".")[0] for name in template.names} - known.keys() - _FUNCTIONS):
        where = lines_of(rf"\b{re.escape(name)}\b", source)
        known_names = f"; there is {', '.join(known)}"
        message = f"template: {where}there is no {name}{known_names}"
        raise Discreet(message, instead=f"template: {where}there is no such name{known_names}")


def check_line(source: str) -> None:
    """Try a template of `Writer.line`. Raises ValueError with what is wrong.

    What is in `event.raw` only the operator knows, so a template that asks it is compiled and no more.
    """
    from router.render import Renderer

    template = Renderer(ZoneInfo("UTC")).compile(source)
    _look_at_names(template, source)
    asks_raw = any(name == "event.raw" or name.startswith("event.raw.") for name in template.names)
    for values in () if asks_raw else _samples():
        try:
            template.render(**values)
        except Rejected as error:
            raise Discreet(str(error), instead=getattr(error, "instead", NOT_FILLED)) from None


def _checked(source: str) -> str:
    """Filled for each of the samples."""
    from router.render import Renderer, lines_of

    if "{{" not in source and "{%" not in source:
        message = "template: nothing of a call is in it; write {{ title }} into it, or name a file as ${file:sales.md}"
        raise Discreet(message)
    template = Renderer(ZoneInfo("UTC")).compile_message(source)
    _look_at_names(template, source)
    for values in _samples():
        try:
            document = _filled(template, values)
        except Rejected as error:
            link = re.match(r"template: the link '([^']+)'", str(error))
            where = lines_of(re.escape(f"]({link[1]}"), source) if link else ""
            message = str(error).replace("template: ", f"template: {where}", 1)
            instead = f"template: {where}the link has to begin with https:// or http:// and a host written out, mailto: or tel:"
            if not link:
                instead = getattr(error, "instead", NOT_FILLED).replace("template: ", f"template: {where}", 1)
            raise Discreet(message, instead=instead) from None
        if not document:
            message = "template: says nothing about a call of which only the time is known; write {{ title }} into it"
            raise Discreet(message)
    return source


def _bounded(event: Event) -> Event:
    """The event in a size that every template can bear. Where something is left out, a mark stands."""
    left = _MOST

    def bounded(value: Any) -> Any:
        nonlocal left
        if type(value) is str:  # and no enum
            value = _affordable(value, min(_LONGEST_TEXT, left)) if left > 0 else MARK
            left -= len(value) + _ITEM * value.count("\n")
        elif isinstance(value, tuple):
            value = tuple(items(value))
        elif is_dataclass(value) and not isinstance(value, type):
            value = replace(value, **{field.name: bounded(getattr(value, field.name)) for field in fields(value)})
        return value

    def items(values: Iterable[Any]) -> Iterator[Any]:
        nonlocal left
        for value in values:
            left -= _ITEM
            yield bounded(value)
            if left < 0:  # so the texts of this one are marks
                return

    rest: Event = bounded(replace(event, transcript=(), raw=None))
    return replace(rest, transcript=bounded(event.transcript))


def _affordable(text: str, left: int) -> str:
    """As much of the text as can be had for that."""
    place = -1
    while (place := text.find("\n", place + 1)) >= 0:
        left -= _ITEM
        if left <= place:
            return cut(text[: place + 1], place)
    return cut(text, max(left, 1))


class MessageSinkConfig(PeopleSinkConfig):
    """A sink that writes messages by a template."""

    #: The built-in template: a file `messages/{built_in}.{language}.md` of this package.
    built_in: ClassVar[Literal["chat", "mail", "push"]] = "chat"

    template: Annotated[str, AfterValidator(_checked)] | None = None
    """What messages say, instead of the built-in text: a template, or `${file:…}` for one in a file."""

    def parts(self) -> tuple[str, ...]:
        """Of those in `send`, those that the template writes; the headline is the title, which is seen in any case."""
        names = _names(self.template or built_in(self.built_in, "en"))
        if "event" in names:
            return super().parts()
        written = {Part.HEADLINE, *(name.removeprefix("event.").partition(".")[0] for name in names)}
        return tuple(part for part in super().parts() if part in written)

    def writer(self, context: SinkContext) -> Writer:
        """What writes this sink's messages."""
        return Writer(self, context, self.template or built_in(self.built_in, context.language))


class Writer:
    """Writes one sink's messages."""

    def __init__(self, config: PeopleSinkConfig, context: SinkContext, source: str) -> None:
        self._config = config
        self._clock = context.clock
        self._template = context.templates.compile_message(source)
        self.wording = Wording.of(context)

    def write(self, delivery: Delivery) -> Message:
        """The message. Raises `Rejected` where the template cannot be filled."""
        event = outgoing(delivery.event, self._config.send, self._config.numbers)
        updated = event.revision > 1 and self._config.revisions is Revisions.MARK
        values = _values(event, delivery.routes, self.wording, self._clock.now(), updated=updated)
        document = _marked(_filled(self._template, values), values, self._template.names, self.wording)
        return Message(values["title"], document, event, updated)

    def line(self, template: Template, message: Message, delivery: Delivery) -> str:
        """One line about the same call by a template of text, which sees what that of the message does.

        Raises `Rejected` where it cannot be filled.
        """
        now = self._clock.now()
        values = _values(message.event, delivery.routes, self.wording, now, updated=message.updated)
        return one_line(template.render(**values))

    def alarm(self, alarm: Alarm) -> Notice:
        """What is said about an alarm, whatever the sink's template is."""
        return alarm_notice(alarm, self.wording)
