"""The values of routes.yaml that have a notation of their own: typed from their text as written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, PlainSerializer
from pydantic_core import core_schema

from router.errors import Discreet

DURATION_PATTERN = r"([0-9]{1,13}(?:\.[0-9]{1,9})?)\s*(ms|s|m|h|d)"
_DURATION = re.compile(DURATION_PATTERN)
_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
#: A century: longer ones are typing errors, and would leave the range of dates.
_LONGEST = timedelta(days=36525)
_SIZE = re.compile(r"([0-9]{1,12})\s*(B|KiB|MiB|GiB|TiB|kB|MB|GB|TB)")
_BYTES = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_RATE = re.compile(r"([0-9]{1,6})\s*/\s*(s|m|h|d)")


def parse_duration(value: Any) -> timedelta:
    """`90d`, `1.5h`, `250ms`; raises ValueError with what to write."""
    if isinstance(value, timedelta):
        return value
    matched = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None:
        message = "is no duration; write a number with ms, s, m, h or d, like 30s or 1.5h"
        raise Discreet(message)
    number, unit = float(matched[1]), _UNITS[matched[2]]
    if number > _LONGEST / unit:
        message = "is longer than a century; write a shorter time"
        raise Discreet(message)
    return number * unit


def written(duration: timedelta) -> str:
    """A duration as it is written in routes.yaml, in the largest unit in which it is a whole number."""
    for name, unit in reversed(_UNITS.items()):
        if duration % unit == timedelta(0) and (duration or name == "s"):
            return f"{duration // unit}{name}"
    return f"{duration.total_seconds():f}".rstrip("0") + "s"


def parse_size(value: Any) -> int:
    """`10 MiB`, `500 kB`, `1000 B`: bytes; raises ValueError with what to write."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    matched = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if matched is None:
        message = f"is no size; write a whole number with {', '.join([*_BYTES][:-1])} or {[*_BYTES][-1]}, like 10 MiB"
        raise Discreet(message)
    return int(matched[1]) * _BYTES[matched[2]]


def written_size(size: int) -> str:
    """A size as it is written in routes.yaml, in the largest unit in which it is a whole number."""
    name, unit = max(((name, unit) for name, unit in _BYTES.items() if size % unit == 0), key=lambda pair: pair[1])
    return f"{size // unit} {name}"


def _path(value: Any) -> Any:
    """Where the content of a file was written instead of its path, it may be a secret."""
    if isinstance(value, str) and ("-----BEGIN" in value or len(value.splitlines()) > 1):
        message = "is the content of a file; write its path, without `${file:…}`"
        raise Discreet(message)
    return value


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` in each `per` (one unit of time, from a millisecond to a day), evenly spaced."""

    count: int
    per: timedelta

    def __post_init__(self) -> None:
        if self.count < 1 or self.per not in _UNITS.values():
            message = "a rate is at least one in one unit of time"
            raise Discreet(message)

    def __str__(self) -> str:
        return f"{self.count}/{written(self.per).lstrip('0123456789')}"

    @property
    def interval(self) -> timedelta:
        """The time between two."""
        return self.per / self.count

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        """Read from text, written as text."""
        as_text = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=as_text)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """A text with a pattern."""
        return {"type": "string", "pattern": f"^{_RATE.pattern}$", "examples": ["1/s", "100/m"]}

    @classmethod
    def parse(cls, value: Any) -> Rate:
        """`1/s`, `100/m`; raises ValueError with what to write."""
        if isinstance(value, Rate):
            return value
        matched = _RATE.fullmatch(value.strip()) if isinstance(value, str) else None
        if matched is None or int(matched[1]) == 0:
            message = "is no rate; write how many in which time, like 1/s or 100/m"
            raise Discreet(message)
        return cls(int(matched[1]), _UNITS[matched[2]])


def as_list(value: Any) -> Any:
    """A single value is a list of one."""
    return value if isinstance(value, list | tuple) else [value]


class OneOrSeveral:
    """Marks a tuple that may be written as its one item, without the list around it."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Read from a list or from one item."""
        return core_schema.no_info_before_validator_function(as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The item, or the list."""
        several = handler(schema)
        return {"anyOf": [several["items"], several]}


class Written:
    """Marks a text that has a form; where it does not, the sentence says which, and the text is not quoted."""

    def __init__(self, pattern: str, otherwise: str) -> None:
        self._pattern = pattern
        self._otherwise = otherwise

    def _checked(self, text: str) -> str:
        if not re.fullmatch(self._pattern, text):
            raise Discreet(self._otherwise)
        return text

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Checked once it is known to be a text."""
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """The text, with its pattern."""
        return {**handler(schema), "pattern": f"^(?:{self._pattern})$"}


def between(least: timedelta, most: timedelta) -> AfterValidator:
    """Marks a duration that has bounds; both are allowed."""

    def check(duration: timedelta) -> timedelta:
        if not least <= duration <= most:
            message = f"is not allowed; write {written(least)} to {written(most)}"
            raise Discreet(message)
        return duration

    return AfterValidator(check)


class _AsText:
    """The JSON Schema of a scalar that is text in YAML and something better in Python."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self.schema = schema

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


FilePath = Annotated[Path, BeforeValidator(_path)]
Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(written, return_type=str, when_used="json"),
    _AsText({"type": "string", "pattern": f"^{DURATION_PATTERN}$", "examples": ["30s", "12h", "90d"]}),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    Field(ge=1),
    PlainSerializer(written_size, return_type=str, when_used="json"),
    _AsText({"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["10 MiB"]}),
]
