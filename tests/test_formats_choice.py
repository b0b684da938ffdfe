"""The choice between formats: by content, with reasons, and never by luck."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from router import formats
from router.config import load
from router.errors import ConfigError, Unreadable
from router.formats import FORMATS, Manner
from router.formats import body as bodies
from router.formats.names import PARTS, part

PLAIN: dict[str, Any] = {"call": {"id": "1", "caller": "+49", "callee": "+49"}, "channel": {}, "summary": "x"}
CI: dict[str, Any] = {"version": "1", "call": {"id": "1", "from": "49", "to": "49"}, "assist": {}}


def chosen(body: Any, **manner: Any) -> dict[str, Any]:
    """As `explain` shows it."""
    return formats.find(body, Manner(**manner)).explained()


def test_the_reason_names_what_the_body_has() -> None:
    assert chosen(PLAIN) == {
        "name": "sipgate",
        "why": "it has call.caller, call.callee, channel",
        "also": [],
        "remarks": [],
        "unread": [],
    }
    assert chosen(CI)["why"] == "it has version, call.from, call.to, assist"


def test_a_body_that_two_formats_claim_goes_to_the_one_it_has_more_of() -> None:
    body = PLAIN | {"version": "7"}
    assert chosen(body)["name"] == "sipgate"
    assert chosen(body)["also"] == [{"name": "sipgate-ci", "why": "it has version"}]
    body = {"call": PLAIN["call"] | CI["call"], "version": "1", "assist": {}}
    assert chosen(body)["name"] == "sipgate-ci"
    assert chosen(body)["also"] == [{"name": "sipgate", "why": "it has call.caller, call.callee"}]


def test_a_pin_that_does_not_fit_is_remarked() -> None:
    told = chosen(CI, pinned="sipgate")
    assert told["also"] == [{"name": "sipgate-ci", "why": "it has version, call.from, call.to, assist"}]
    assert told["remarks"] == ["it looks more like sipgate-ci, but this source reads every body as sipgate"]


def test_what_has_a_name_that_no_part_has_is_shown_and_not_remarked() -> None:
    """The name is the body's own word: for who asks, and for no log."""
    named = [{"type": "gist", "body": "x"}, {"type": "summary", "body": "y"}, {"body": "z"}]
    tags = [{"purpose": "tags", "body": ["a:b"]}, {"purpose": "Notiz", "body": "n"}, {"purpose": "form", "body": "n"}]
    body = {"vcon": "0.0.2", "analysis": named, "attachments": tags}
    assert (chosen(body)["unread"], chosen(body)["remarks"]) == (["gist", "form"], [])
    assert chosen(body, aliases={"note": ["gist", "form"]})["unread"] == []
    assist = {"provider": "p", "summary": "s", "followUp": ["x"], "empty": ""}
    assert chosen(CI | {"assist": assist})["unread"] == ["followUp"]


@pytest.mark.parametrize(
    ("call", "remarks"),
    [
        ({"startTime": "kaputt"}, ["`call.startTime` is no time of a call; left out"]),
        ({"startTime": "2026-03-10T08:00:00"}, ["`call.startTime` has no zone; taken as UTC"]),
        ({"startTime": "2026-03-10T08:00:00Z", "endTime": 1773129641}, []),
        ({"direction": "INTERNAL"}, ["`call.direction` is no direction that is known here"]),
        ({"startTime": 1773129641, "endTime": 1773129600}, ["`call.endTime` is before `call.startTime`; left out"]),
        ({"duration": "lang"}, ["`call.duration` is no number; left out"]),
        (
            {"startTime": 1773129600, "endTime": 1773129641, "duration": 99999},
            ["`call.duration` does not add up; end − start counts, where both are known"],
        ),
    ],
)
def test_what_is_odd_and_left_out_or_guessed_is_remarked(call: dict[str, Any], remarks: list[str]) -> None:
    assert chosen(PLAIN | {"call": PLAIN["call"] | call})["remarks"] == remarks
    assert chosen(CI | {"call": CI["call"] | call})["remarks"] == remarks


@pytest.mark.parametrize(
    ("body", "given", "remarks"),
    [
        (PLAIN, 41, []),
        (PLAIN, 41_000, ["`call.duration` is read as milliseconds"]),
        (CI, 41_000, []),
        (CI, 41, ["`call.duration` is read as seconds"]),
    ],
)
def test_a_unit_that_is_not_the_documented_one_is_remarked(body: Any, given: int, remarks: list[str]) -> None:
    found = formats.find(body | {"call": body["call"] | {"duration": given}})
    assert (found.call.duration, list(found.remarks)) == (41, remarks)


def test_of_many_names_that_are_not_read_a_hundred_are_kept() -> None:
    """All of them would help nobody, and looking each up among the others takes for ever."""
    assist = {f"name {number}": 1 for number in range(50_000)}
    assert len(chosen(CI | {"assist": assist})["unread"]) == 100


def test_an_unknown_version_with_channel_and_transcript_beside_the_call_is_still_the_newer_dialect() -> None:
    call = {"from": "4915228817386", "to": "493023125014"}
    body = {"version": "2", "call": call, "channel": {"name": "Support"}, "callHeadline": "h", "transcriptions": []}
    assert chosen(body)["name"] == "sipgate-ci"


def test_odd_values_of_a_dialog_are_remarked() -> None:
    assert chosen({"vcon": "0.0.2", "dialog": [{"start": "gestern", "duration": "lang"}]})["remarks"] == [
        "`dialog.start` is no time of a call; left out",
        "`dialog.duration` is no number; left out",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"eyJhbGciOiJSUzI1NiJ9.eyJ2Y29uIjoiIn0.c2ln", "in the compact form; only JSON is read"),
        (b'{"a": "b', "not JSON: Unterminated string starting at line 1 column 7"),
    ],
)
def test_what_is_no_json_says_what_it_is(text: bytes, said: str) -> None:
    with pytest.raises(Unreadable, match=said):
        bodies.value(text)


def test_names_that_both_dialects_of_sipgate_have_are_signs_of_neither() -> None:
    """An unknown version of the newer one, whose parts stand where the older one has them."""
    flat = {"summary": "s", "note": "n", "callHeadline": "h", "actionItems": [], "smartAnswers": []}
    found = formats.find({"version": "2", "call": {"from": "4915228817386", "to": "493023125014"}, **flat})
    assert found.format == "sipgate-ci"
    assert (found.call.caller.e164, found.call.summary, found.call.headline) == ("+4915228817386", "s", "h")
    assert found.remarks == ("version 2 is not known; read as version 1",)


@pytest.mark.parametrize("pinned", ["sipgate", "sipgate-ci"])
def test_either_dialect_of_sipgate_takes_the_parties_names_of_the_other(pinned: str) -> None:
    for mine, theirs in (("from", "caller"), ("to", "callee")):
        for call in (
            {mine: "4915228817386", theirs: None},
            {mine: None, theirs: "4915228817386"},
            {theirs: "4915228817386"},
        ):
            found = formats.find({"version": "1", "call": call}, Manner(pinned)).call
            assert (found.caller.e164 or found.callee.e164) == "+4915228817386"


def test_what_says_nothing_does_not_hide_what_does() -> None:
    body = CI | {
        "assist": {"summary": {"content": None}, "callSummary": {"content": " "}},
        "summary": {"content": "text"},
    }
    assert formats.find(body).call.summary == "text"


def test_a_body_that_two_formats_claim_alike_goes_to_the_first_of_them() -> None:
    body = {"call": {"from": "1", "to": "2", "caller": "1", "callee": "2"}}
    assert chosen(body)["name"] == "sipgate"
    assert list(FORMATS)[:2] == ["sipgate", "sipgate-ci"]


def test_a_source_that_pins_a_format_gets_no_other() -> None:
    body = PLAIN | {"version": "1", "assist": {}}
    assert chosen(body, pinned="sipgate") == {
        "name": "sipgate",
        "why": "the only format of this source; it has call.caller, call.callee, channel",
        "also": [],
        "remarks": [],
        "unread": [],
    }
    with pytest.raises(Unreadable, match="not sipgate-ci, the only format of this source: there is neither"):
        chosen(PLAIN, pinned="sipgate-ci")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "no known format: nothing in it is of sipgate, sipgate-ci"),
        ({"secret": "Frau Brückner"}, "no known format: nothing in it is of sipgate"),
        (
            {"summary": "x", "channel": {}, "call": []},
            "no known format: nearly sipgate, for it has channel; but there is no object `call`",
        ),
        ({"assist": {}}, "no known format: nearly sipgate-ci, for it has assist; but there is no object `call`"),
    ],
)
def test_what_only_nearly_fits_is_unreadable_and_says_what_is_missing(body: Any, said: str) -> None:
    with pytest.raises(Unreadable) as caught:
        formats.find(body)
    assert str(caught.value).startswith(said)
    assert "Brückner" not in str(caught.value)


@pytest.mark.parametrize("name", PARTS)
def test_the_name_of_a_part_is_one_of_its_names(name: str) -> None:
    assert part(name, {}) == name
    assert part(name.upper().replace("_", "-"), {}) == name


@pytest.mark.parametrize("name", [None, 7, "", " ", "-_.", ["summary"], "nothing"])
def test_what_is_no_name_of_a_part_is_none(name: object) -> None:
    assert part(name, {"summary": ["", "-"]}) is None


def test_a_source_says_how_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("sources: {a: {format: vcon, aliases: {summary: gist, note: [x, y]}}, b: {}}\n", encoding="utf-8")
    manners = load(file, {}).manners
    assert manners == {"a": Manner("vcon", {"summary": ("gist",), "note": ("x", "y")}), "b": Manner()}


def test_an_alias_of_no_part_is_a_mistake_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("sources: {a: {aliases: {sumary: gist}}}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"routes.yaml:1:25: sources.a.aliases"):
        load(file, {})
