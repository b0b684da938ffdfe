"""Durations, sizes and rates: from their text as written, and back."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from router.scalars import (
    Duration,
    OneOrSeveral,
    Rate,
    Size,
    Written,
    between,
    parse_duration,
    parse_size,
    written,
    written_size,
)

SECOND = timedelta(seconds=1)


class Model(BaseModel):
    duration: Duration = SECOND
    size: Size = 1
    rate: Rate = Rate(1, SECOND)
    names: Annotated[tuple[str, ...], OneOrSeveral()] = ()
    short: Annotated[Duration, between(SECOND, 5 * SECOND)] = SECOND
    tag: Annotated[str, Written("a+|b+", "is no tag; write a or b")] = "a"


# ------------------------------------------------------------------------------------------------------------ durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90d", 7_776_000),
        ("1.5h", 5400),
        ("250ms", 0.25),
        ("0s", 0),
        ("5 m", 300),
        (" 5m ", 300),
        ("0.001s", 0.001),
        ("36525d", 36525 * 86_400),
        ("000000000001h", 3600),
    ],
)
def test_a_duration_is_a_number_with_a_unit(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "5",
        "m",
        "5x",
        "-5m",
        "+5m",
        "5m5s",
        "1e3s",
        "5M",
        ".5h",
        "5.h",
        "1,5h",
        "５m",
        "٥m",
        "inf s",
        5,
        None,
        [],
        True,
    ],
)
def test_what_is_no_duration_says_what_to_write(odd: Any) -> None:
    with pytest.raises(ValueError, match=r"is no duration; write a number with ms, s, m, h or d, like 30s or 1.5h"):
        parse_duration(odd)


@pytest.mark.parametrize("long", ["36526d", "999999999999d", "999999999999.999999999d", "876601h"])
def test_more_than_a_century_is_a_typing_error(long: str) -> None:
    with pytest.raises(ValueError, match="longer than a century"):
        parse_duration(long)


@given(st.timedeltas(timedelta(0), timedelta(days=36525)))
def test_a_duration_is_written_as_it_would_be_read(duration: timedelta) -> None:
    assert parse_duration(written(duration)) == duration


@pytest.mark.parametrize("text", ["90d", "400d", "96h", "12h", "20s", "250ms", "0s", "1h", "5m", "1.000001s"])
def test_a_duration_is_written_in_its_largest_whole_unit(text: str) -> None:
    assert written(parse_duration(text)) == {"96h": "4d"}.get(text, text)


@pytest.mark.parametrize(("text", "good"), [("999ms", False), ("1s", True), ("5s", True), ("5001ms", False)])
def test_the_bounds_of_a_duration_are_allowed_themselves(text: str, good: bool) -> None:
    if good:
        assert written(Model(short=text).short) == text
    else:
        with pytest.raises(ValidationError, match="is not allowed; write 1s to 5s"):
            Model(short=text)


# ---------------------------------------------------------------------------------------------------------------- sizes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10 MiB", 10 * 2**20),
        ("500 kB", 500_000),
        ("1KiB", 1024),
        ("2 GB", 2 * 10**9),
        ("2 GiB", 2 * 2**30),
        ("3 MB", 3_000_000),
        ("7 B", 7),
        ("1000 B", 1000),
        (1000, 1000),
    ],
)
def test_a_size_is_a_number_with_a_unit(text: Any, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "odd", ["", "MiB", "1000", "10 mib", "10 KB", "1.5 MiB", "-1", "1e3", "１", None, True, 1.5, []]
)
def test_what_is_no_size_says_what_to_write(odd: Any) -> None:
    with pytest.raises(
        ValueError, match="is no size; write a whole number with B, kB, MB, GB, TB, KiB, MiB, GiB or TiB, like 10 MiB"
    ):
        parse_size(odd)


@pytest.mark.parametrize("text", ["10 MiB", "500 kB", "1 GiB", "2 GB", "1001 B", "2 TiB", "3 TB"])
def test_a_size_is_written_in_its_largest_whole_unit(text: str) -> None:
    assert written_size(parse_size(text)) == text


@pytest.mark.parametrize("nothing", ["0 B", "0 MiB", 0, -5])
def test_a_size_is_at_least_one_byte(nothing: Any) -> None:
    with pytest.raises(ValidationError):
        Model(size=nothing)


# ---------------------------------------------------------------------------------------------------------------- rates


@pytest.mark.parametrize(
    ("text", "interval", "back"),
    [
        ("1/s", SECOND, "1/s"),
        ("100/m", timedelta(milliseconds=600), "100/m"),
        (" 2 / h ", timedelta(minutes=30), "2/h"),
        ("1/d", timedelta(days=1), "1/d"),
        ("999999/s", timedelta(microseconds=1), "999999/s"),
    ],
)
def test_a_rate_is_how_many_in_which_time(text: str, interval: timedelta, back: str) -> None:
    rate = Rate.parse(text)
    assert (rate.interval, str(rate)) == (interval, back)
    assert Rate.parse(str(rate)) == Rate.parse(rate) == rate


@pytest.mark.parametrize(
    "odd", ["", "1", "0/s", "000/s", "-1/s", "1/ms", "1/y", "1.5/s", "1/2s", "1000000/s", "１/s", 1, None]
)
def test_what_is_no_rate_says_what_to_write(odd: Any) -> None:
    with pytest.raises(ValueError, match="is no rate; write how many in which time, like 1/s or 100/m"):
        Rate.parse(odd)


# --------------------------------------------------------------------------------------------------- as fields of models


@pytest.mark.parametrize(("given_", "names"), [("a", ("a",)), (["a", "b"], ("a", "b")), ([], ())])
def test_one_of_several_needs_no_list(given_: Any, names: tuple[str, ...]) -> None:
    assert Model(names=given_).names == names


@pytest.mark.parametrize("odd", [None, 1, {"a": "b"}, [["a"]], [None]])
def test_what_is_neither_one_nor_several_is_refused(odd: Any) -> None:
    with pytest.raises(ValidationError):
        Model(names=odd)


@pytest.mark.parametrize("odd", ["", "ab", "aa\n", "c"])
def test_a_text_without_its_form_is_told_what_to_write(odd: str) -> None:
    assert Model(tag="bb").tag == "bb"
    with pytest.raises(ValidationError, match="is no tag; write a or b") as caught:
        Model(tag=odd)
    assert "a+" not in str(caught.value)
    assert Model.model_json_schema()["properties"]["tag"]["pattern"] == "^(?:a+|b+)$"


def test_fields_come_back_from_json_as_they_went() -> None:
    made = Model.model_validate({"duration": "90d", "size": "10 MiB", "rate": "5/m", "names": "a", "short": "2s"})
    written_out = made.model_dump(mode="json")
    assert (written_out["duration"], written_out["rate"]) == ("90d", "5/m")
    assert Model.model_validate(written_out) == made


def test_the_patterns_of_the_schema_fit_what_is_read_and_nothing_else() -> None:
    keys = Model.model_json_schema()["properties"]
    for name, good, bad in (("duration", "1.5h", "5x"), ("size", "10 MiB", "ten"), ("rate", "100/m", "1/y")):
        assert re.search(keys[name]["pattern"], good)
        assert not re.search(keys[name]["pattern"], bad)
    assert keys["names"]["anyOf"] == [{"type": "string"}, {"items": {"type": "string"}, "type": "array"}]
