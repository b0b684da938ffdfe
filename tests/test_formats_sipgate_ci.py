"""sipgate's newer webhook: what is documented exactly, the rest by its names, and units by what adds up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from router import formats
from router.event import (
    ActionItem,
    Call,
    Channel,
    Direction,
    Number,
    NumberKind,
    Participant,
    Segment,
    SmartAnswer,
    Speaker,
)
from router.formats import Manner
from router.formats.body import parse
from support import CASES

CI = CASES / "payloads" / "ci-v1"
needs_cases = pytest.mark.skipif(not CI.is_dir(), reason="the shared cases are not here")

BUNDLE: dict[str, Any] = {
    "version": "1",
    "call": {
        "id": "pbx-0b9f4c1e",
        "from": "4915228817386",
        "to": "493023125014",
        "startTime": "2026-04-09T07:10:05.120Z",
        "endTime": "2026-04-09T07:12:31.870Z",
        "duration": 146750,
        "direction": "IN",
        "users": [{"userId": "w3", "fullUserId": "7654321w3", "fullName": "Erika Musterfrau"}],
        "channel": {"id": "5f0c3a52", "name": "Support"},
    },
    "assist": {
        "provider": {"llm": "AZURE"},
        "transcription": {
            "content": "Caller: Guten Tag.\nCallee: Gern.",
            "chunks": [
                {"speaker": "CALLER", "startTime": 1200, "endTime": 6400, "content": "Guten Tag."},
                {"speaker": "CALLEE", "startTime": 7000, "endTime": 9900, "content": "Gern."},
            ],
        },
        "callScenarios": None,
        "callHeadline": {"content": "Frage zur Lieferung 80123"},
    },
}


def find(**assist: Any) -> formats.Found:
    """What is found in the bundle with these changes to its `assist`; None takes a key out."""
    given = {key: value for key, value in (BUNDLE["assist"] | assist).items() if value is not None}
    return formats.find(BUNDLE | {"assist": given})


def call(**changes: Any) -> Call:
    """The call of the bundle with these changes to its `call`; None takes a key out."""
    given = {key: value for key, value in (BUNDLE["call"] | changes).items() if value is not None}
    return formats.read(BUNDLE | {"call": given})[1]


def test_the_documented_part_is_read_exactly() -> None:
    found = formats.find(BUNDLE)
    assert (found.format, found.remarks) == ("sipgate-ci", ())
    assert found.call == Call(
        call_id="pbx-0b9f4c1e",
        direction=Direction.INBOUND,
        caller=Number("4915228817386", "+4915228817386", NumberKind.E164),
        callee=Number("493023125014", "+493023125014", NumberKind.E164),
        started_at=datetime(2026, 4, 9, 7, 10, 5, 120_000, tzinfo=UTC),
        ended_at=datetime(2026, 4, 9, 7, 12, 31, 870_000, tzinfo=UTC),
        duration=146.75,
        channel=Channel("5f0c3a52", "Support"),
        headline="Frage zur Lieferung 80123",
        transcript=(
            Segment(Speaker.CALLER, 1.2, 6.4, "Guten Tag."),
            Segment(Speaker.CALLEE, 7.0, 9.9, "Gern."),
        ),
        participants=(Participant("w3", "Erika Musterfrau"),),
    )


@needs_cases
def test_the_shared_case_is_read_like_the_plain_format() -> None:
    form, found = formats.read(parse((CI / "01-ci-documented-part.json").read_bytes()).value)
    assert form == "sipgate-ci"
    assert (found.duration, found.direction, found.caller.e164) == (146.75, Direction.INBOUND, "+4915228817386")
    assert (found.channel.name, found.headline) == ("Support", "Frage zur Lieferung 80123")
    assert [segment.speaker.value for segment in found.transcript] == ["caller", "callee", "caller"]


@needs_cases
def test_an_unknown_version_is_read_as_well_as_it_can_be_and_flagged() -> None:
    known, unknown = (
        formats.find(parse((CI / name).read_bytes()).value)
        for name in ("01-ci-documented-part.json", "04-ci-unknown-version.json")
    )
    assert unknown.remarks == ("version 2 is not known; read as version 1",)
    assert unknown.call.transcript == known.call.transcript


@pytest.mark.parametrize(
    ("version", "remark"),
    [
        ("1", None),
        (1, None),
        (" 1 ", None),
        ("2", "version 2 is not known; read as version 1"),
        (1.5, "version 1.5 is not known; read as version 1"),
        (None, "it has no version; read as version 1"),
        ({}, "it has no version; read as version 1"),
        ("Frau Brückner <script>", "its version is not known; read as version 1"),
        ("1.12.3", "version 1.12.3 is not known; read as version 1"),
        ("4915112345678", "its version is not known; read as version 1"),
        ("Mustermann", "its version is not known; read as version 1"),
        ("9" * 500, "its version is not known; read as version 1"),
    ],
)
def test_a_remark_on_the_version_quotes_only_what_can_be_one(version: Any, remark: str | None) -> None:
    assert formats.find(BUNDLE | {"version": version}).remarks == ((remark,) if remark else ())


@pytest.mark.parametrize(
    ("duration", "end", "expected"),
    [
        (146750, "2026-04-09T07:12:31.870Z", 146.75),  # as documented
        (147, "2026-04-09T07:12:31.870Z", 147),  # seconds, as in the older format
        (2, "2026-04-09T07:10:07.120Z", 2),
        (2000, "2026-04-09T07:10:07.120Z", 2),
        (5, "2026-04-09T07:12:31.870Z", 146.75),  # neither adds up: the times count
        (146750, None, 146.75),
        (300, None, 300),
        (None, None, None),
        (146750, 1_775_718_751_870, 146.75),  # an end in epoch milliseconds
        (146750, 1_775_718_751.87, 146.75),  # and in seconds
    ],
)
def test_a_duration_is_in_the_unit_that_adds_up(duration: Any, end: Any, expected: float | None) -> None:
    assert call(duration=duration, endTime=end).duration == expected


def test_a_transcript_without_chunks_is_split_at_its_speakers() -> None:
    content = "Caller: Guten Tag,\nich habe eine Frage: wann?\n\nCallee: Gern.\nCaller:\nDie 80123."
    said = find(transcription={"content": content, "chunks": None}).call.transcript
    assert [(one.speaker.value, one.text) for one in said] == [
        ("caller", "Guten Tag,\nich habe eine Frage: wann?"),
        ("callee", "Gern."),
        ("caller", "Die 80123."),
    ]
    assert {one.start for one in said} == {None}


@pytest.mark.parametrize("value", ["Ein Text: ohne Sprecher", {"content": "Ein Text: ohne Sprecher"}])
def test_a_transcript_without_speakers_is_one_segment(value: Any) -> None:
    assert find(transcription=value).call.transcript == (Segment(Speaker.OTHER, None, None, "Ein Text: ohne Sprecher"),)


@pytest.mark.parametrize("name", ["summary", "callSummary", "call_summary", "CALL-SUMMARY", "Zusammenfassung"])
@pytest.mark.parametrize("wrap", [lambda text: text, lambda text: {"content": text}, lambda text: {"text": text}])
def test_the_undocumented_rest_is_read_by_its_names(name: str, wrap: Any) -> None:
    assert find(**{name: wrap("Frau Brückner fragt.")}).call.summary == "Frau Brückner fragt."


@pytest.mark.parametrize(
    "value",
    [
        [{"id": "1", "text": "anrufen"}],
        {"items": [{"id": "1", "content": "anrufen"}]},
        {"content": [{"id": 1, "title": "anrufen"}]},
        {"content": {"items": [{"id": "1", "task": "anrufen"}]}, "items": [{"id": "1", "task": "anrufen"}]},
    ],
)
def test_lists_are_found_however_they_are_wrapped(value: Any) -> None:
    assert find(actionItems=value).call.action_items == (ActionItem("1", "anrufen"),)


def test_a_list_that_is_a_text_has_one_item_for_each_bullet() -> None:
    found = find(nextSteps={"content": "- anrufen\n- Angebot senden\n"}, tasks=None, smartAnswers="Ja.")
    assert found.call.smart_answers == (SmartAnswer(None, None, "Ja."),)
    assert [item.text for item in find(nextSteps="- anrufen\n2) senden").call.action_items] == ["anrufen", "senden"]


def test_parts_beside_assist_count_where_assist_has_none() -> None:
    found = formats.read(BUNDLE | {"summary": "außen", "callHeadline": "außen"})[1]
    assert (found.summary, found.headline) == ("außen", "Frage zur Lieferung 80123")


def test_an_alias_of_the_source_names_a_part() -> None:
    bundle = BUNDLE | {"assist": {"gist": {"content": "Kurz."}, "answers": "Lang."}}
    manner = Manner(aliases={"summary": ["Gist", "answers"]})
    assert formats.find(bundle).call.summary is None
    assert formats.find(bundle, manner).call.summary == "Kurz."
    assert formats.find(bundle, manner).call.smart_answers == ()


def test_a_call_id_of_600_characters_is_kept_whole() -> None:
    assert call(id="pbx-" + "9" * 596).call_id == "pbx-" + "9" * 596


def test_the_same_bytes_are_read_the_same_way_twice() -> None:
    text = json.dumps(BUNDLE).encode()
    assert formats.find(parse(text).value) == formats.find(parse(text).value)
