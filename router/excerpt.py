"""What of an event leaves: the parts that a sink sends, its numbers masked or full, as an event or as JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from pydantic_core import to_json

from router.event import Event, plain
from router.people import masked
from router.sink import Numbers, Part

_SURROGATES = re.compile("[\ud800-\udfff]")


def outgoing(event: Event, parts: Collection[Part] | None = None, numbers: Numbers = Numbers.FULL) -> Event:
    """The event with these parts only (None: with all), and with masked numbers where that is asked for.

    What is left out is missing in the way that anything can be missing. The raw body stays only where all does.
    """
    kept: dict[str, Any] = {}
    if parts is not None:
        empty = Event.__dataclass_fields__
        kept = {part.value: empty[part.value].default for part in Part if part not in parts}
    if numbers is Numbers.MASKED:
        kept |= {"caller": masked(event.caller), "callee": masked(event.callee)}
    return replace(event, raw=None, **kept) if kept else event


def as_json(event: Event) -> bytes:
    """The event as `plain` has it, in UTF-8: integers of any size exact, every key always there."""
    return exact_json(plain(event))


def exact_json(value: Any, *, indent: int | None = None) -> bytes:
    """Any of our answers as JSON in UTF-8: integers exact, null for what is no number in JSON, times with Z."""
    try:
        return to_json(value, indent=indent, inf_nan_mode="null")
    except ValueError:  # a lone surrogate, which no format of ours leaves in
        return to_json(_scrubbed(value), indent=indent, inf_nan_mode="null")


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATES.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_scrubbed(item) for item in value]
    return value
