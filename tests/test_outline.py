"""The outline of a body: enough to see what it is, and nothing of what was said."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.outline import outline
from support import EXAMPLE


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "<blank, 0 characters>"),
        ("Frau Brückner", "<text, 13 characters>"),
        ("1234", "<digits, 4 characters>"),
        ("+49 1522 8817386", "<number, 16 characters>"),
        ("2026-03-10T08:15:04.120Z", "<time, 24 characters>"),
        ("019f15a6-a752-826f-b9a2-279e0d16bc46", "<UUID, 36 characters>"),
        ("https://example.com/x", "<URL, 21 characters>"),
        ("a@example.com", "<e-mail address, 13 characters>"),
        ('{"text": "x"}', "<JSON, 13 characters>"),
        ("QUJD" * 20, "<base64, 80 characters>"),
        (300, "<integer, 3 digits>"),
        (1.5, "<number>"),
        (True, True),
        (None, None),
        ([], []),
        ({}, {}),
    ],
)
def test_every_value_is_replaced_by_its_kind(value: Any, shown: Any) -> None:
    assert outline(json.dumps({"key": value}).encode()) == {"json": {"key": shown}}


def test_keys_are_kept_but_those_that_could_be_somebodys() -> None:
    body = json.dumps({"callHeadline": 1, "x-vendor": 1, "$ref": 1, "+49301234567": 1, "Frau Brückner": 1, "a@b.de": 1})
    assert list(outline(body.encode())["json"]) == [
        "callHeadline", "x-vendor", "$ref", "<key 4, 12 characters>", "<key 5, 13 characters>", "<key 6, 6 characters>",
    ]  # fmt: skip


def test_of_a_long_list_the_first_items_are_shown() -> None:
    shown = outline(json.dumps(list(range(30))).encode())["json"]
    assert (len(shown), shown[-1]) == (21, "<10 more>")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"call": {"id": "geheim', "nearly JSON"),
        (b"call=geheim&id=1", "a form"),
        (b"<xml>geheim</xml>", "XML or HTML"),
        (b"geheim!", "text"),
        (b"\xff\x00geheim", "bytes that are no UTF-8"),
        (gzip.compress(b"geheim"), "gzip"),
    ],
)
def test_what_is_no_json_is_named_and_not_shown(body: bytes, kind: str) -> None:
    said = outline(body)
    assert said["kind"] == kind
    assert said["reason"]
    assert "geheim" not in json.dumps(said)


def test_no_word_of_a_call_is_in_its_outline() -> None:
    said = json.dumps(outline(EXAMPLE.read_bytes()), ensure_ascii=False)
    for word in ("Lizenzen", "Özdemir", "+49", "call_example", "inbound"):
        assert word not in said
    assert "callHeadline" in said


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_have_an_outline(body: bytes) -> None:
    json.dumps(outline(body))
