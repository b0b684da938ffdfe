"""How much of a vCon is read: small bodies that unpack to much, and lists that never end."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

import pytest

from router import formats
from router.formats.vcon_bounds import MOST_ITEMS, MOST_UNPACKED

LEFT_OUT = "a gzip in it is left out: it is damaged, or all of them together hold too much"


def zipped(text: str) -> str:
    return base64.b64encode(gzip.compress(text.encode())).decode()


def written(text: str, **changes: Any) -> dict[str, Any]:
    return {"type": "summary", "encoding": "base64", "body": zipped(text), **changes}


def found(*analyses: dict[str, Any]) -> formats.Found:
    return formats.find({"vcon": "0.4.0", "analysis": list(analyses)})


@pytest.mark.parametrize(
    "item",
    [
        written("Erika ruft an."),
        written("Erika ruft an.", encoding="base64url"),
        {"type": "summary", "body": f"data:text/plain;charset=utf-8;base64,{zipped('Erika ruft an.')}"},
        {"type": "summary", "encoding": "base64", "transcript": zipped("Erika ruft an.")},
        written(json.dumps({"text": "Erika ruft an."})),
    ],
)
def test_zipped_items_are_read(item: dict[str, Any]) -> None:
    read = formats.find({"vcon": "0.4.0", "analysis": [item]})
    assert (read.call.summary, read.remarks) == ("Erika ruft an.", ())
    assert formats.find({"vcon": "0.4.0", "analysis": item, "dialog": []}).call.summary == "Erika ruft an."
    assert formats.find({"vcon": "0.4.0", "analysis": [], "attachments": [item]}).call.summary == "Erika ruft an."


def test_all_gzips_of_a_body_share_one_allowance() -> None:
    half = " " * (MOST_UNPACKED // 2)
    read = found(*[written(half + "a", type="note")] * 2, written("Erika ruft an."))
    assert (read.call.note, read.call.summary) == ("a", "Erika ruft an.")
    assert read.remarks == (LEFT_OUT,)
    assert found(written(half + half)).remarks == ()
    assert found(written(half + half + " ")).remarks == (LEFT_OUT,)


@pytest.mark.parametrize("body", [zipped("Erika ruft an.")[:-8], zipped("Erika ruft an.")[:-7], "H4sI!"])
def test_a_damaged_gzip_is_left_out_with_a_remark(body: str) -> None:
    read = found(written("", body=body))
    assert (read.call.summary, read.remarks) == (None, (LEFT_OUT,))


@pytest.mark.parametrize("item", [{"type": "recording"}, {"type": "video"}])
def test_recordings_are_not_unpacked(item: dict[str, Any]) -> None:
    large = written(" " * (MOST_UNPACKED + 1), **item)
    assert formats.find({"vcon": "0.4.0", "dialog": [large]}).remarks == ()


@pytest.mark.parametrize("name", ["parties", "dialog", "analysis", "attachments"])
def test_no_more_items_are_read_than_anybody_needs(name: str) -> None:
    """The last one of so many is still read."""
    assert formats.find({"vcon": "0.4.0", name: [{}] * MOST_ITEMS}).remarks == ()
    read = formats.find({"vcon": "0.4.0", name: [{}] * (MOST_ITEMS + 1)})
    assert read.remarks == (f"more than {MOST_ITEMS} items in `{name}`; the others are left out",)
    assert len(read.raw[name]) == MOST_ITEMS + 1
