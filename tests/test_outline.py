"""The outline of a body: enough to see what it is, and nothing of what was said."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.outline import media_type, outline
from support import EXAMPLE


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("", "<blank, 0 characters>"),
        ("Frau Brückner", "<text, 13 characters>"),
        ("1234", "<digits, 4 characters>"),
        ("+49 1522 8817386", "<number, 16 characters>"),
        ("030-1234", "<number, 8 characters>"),
        ("-1,5", "<number, 4 characters>"),
        ("2026-03-10T08:15:04.120Z", "<time, 24 characters>"),
        ("2026-03-10", "<time, 10 characters>"),
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


def test_keys_of_programmers_are_kept_and_those_that_could_be_somebodys_are_not() -> None:
    kept = ["callHeadline", "call_id", "$ref", "x5c", "callSummaryText", "SessionId", "callerID"]
    hidden = [
        "+49301234567", "Frau Brückner", "a@b.de", "tel:4915112345678", "kunde_49301234567", "Erika_Musterfrau",
        "sip:anna.meier", "Anna", "anna", "x-anna", "a" * 32, "maxMustermannHatKrebs", "",
    ]  # fmt: skip
    shown = outline(json.dumps(dict.fromkeys([*kept, *hidden])).encode())["json"]
    assert list(shown) == [*kept, *(f"<key {at}, {len(key)} characters>" for at, key in enumerate(hidden, 8))]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (None, None),
        ("application/json", "application/json"),
        ('Application/vcon+json; name="Erika Musterfrau +4915112345678"', "application/vcon+json"),
        ("application/x4915112345678", "<26 characters>"),
        ("Erika Musterfrau", "<16 characters>"),
        ("", "<0 characters>"),
    ],
)
def test_of_a_content_type_only_the_media_type_is_shown(given: str | None, shown: str | None) -> None:
    assert media_type(given) == shown


def test_of_a_long_list_and_a_large_object_the_first_ones_are_shown() -> None:
    shown = outline(json.dumps(list(range(30))).encode())["json"]
    assert (len(shown), shown[-1]) == (21, "<10 more>")
    shown = outline(json.dumps({f"k{at}": at for at in range(130)}).encode())["json"]
    assert (len(shown), list(shown)[-1]) == (101, "<30 more>")


def test_the_outline_of_a_large_body_is_small() -> None:
    wide: Any = {}
    for _ in range(5):
        wide = [wide] * 30
    assert len(json.dumps(outline(json.dumps(wide).encode()))) < 100_000
    wide = {f"k{at}": {f"k{at}": {} for at in range(150)} for at in range(150)}
    assert len(json.dumps(outline(json.dumps(wide).encode()))) < 100_000


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"call": {"id": "geheim', "nearly JSON"),
        (b"call=geheim&id=1", "a form"),
        (b"<xml>geheim</xml>", "XML or HTML"),
        (b"geheim!", "text"),
        (b"\xff\x00geheim", "bytes that are no UTF-8"),
        (gzip.compress(b"geheim"), "gzip"),
        (b"eyJhbGciOiJSUzI1NiJ9.Z2VoZWlt.geheim", "a JSON Web Signature in its compact form, which is not read"),
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
