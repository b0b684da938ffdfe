"""Templates as settings: tried when the file is read, so that `aftercall check` finds what could not work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from zoneinfo import ZoneInfo

from router.errors import Discreet, Rejected
from router.event import Event, plain
from router.sample import bare_event, hostile_event, sample_event

#: What is said of a template that cannot be filled, without a word of it.
NOT_FILLED: Final = "template: cannot be filled for every call"


def check_template(source: str, values: Callable[[Event], dict[str, Any]] = plain) -> None:
    """Fill it for a call that has everything, one that has nothing, and a hostile one. Raises ValueError.

    `values` makes of an event what the template will see as `event`. What is in `event.raw` only the operator knows, so
    a template that asks it is compiled and no more, where there is one.
    """
    from router.render import Renderer

    template = Renderer(ZoneInfo("UTC")).compile(source)
    asks_raw = any(name == "event.raw" or name.startswith("event.raw.") for name in template.names)
    if asks_raw and values(sample_event())["raw"] is not None:
        return
    for event in (sample_event(), bare_event(), hostile_event()):
        try:
            template.render(event=values(event))
        except Rejected as error:
            raise Discreet(str(error), instead=getattr(error, "instead", NOT_FILLED)) from None
