"""`router.vcon`: an event as a vCon that other people's tools accept, and that comes back as the same event."""

from __future__ import annotations

import json
import uuid
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator, FormatChecker

from calls import CALLS, EVENTS, event_of
from router import Numbers, Part, as_vcon, bare_event, exact_json, outgoing, sample_event
from router.errors import Unreadable
from router.event import (
    Call,
    Channel,
    Direction,
    Event,
    Number,
    NumberKind,
    Participant,
    Segment,
    Speaker,
    Trust,
)
from router.formats import body, parts, read
from router.formats.remainder import PURPOSE
from router.testing import hostile_deliveries
from support import CASES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCHEMA = CASES / "vcon-core-04.schema.json"
CHECKER = FormatChecker(["uuid"])
PAYLOADS = sorted((CASES / "payloads").glob("**/[0-9]*.json"))

here = pytest.mark.skipif(not SCHEMA.exists(), reason="the shared cases are not here")


@CHECKER.checks("date-time", raises=ValueError)
def _rfc3339(value: object) -> bool:
    assert isinstance(value, str)
    assert value.endswith("Z")
    return datetime.fromisoformat(value).tzinfo is UTC


@pytest.fixture(scope="module")
def schema() -> Draft7Validator:
    given = json.loads(SCHEMA.read_text())
    Draft7Validator.check_schema(given)
    return Draft7Validator(given, format_checker=CHECKER)


def sent(document: dict[str, Any]) -> Any:
    """The vCon after a way through bytes."""
    return body.parse(exact_json(document)).value


def content(event: Call) -> dict[str, Any]:
    """What a body can say of a call: all but the trust in its sender."""
    return {field.name: getattr(event, field.name) for field in fields(Call) if field.name != "trust"}


def back(document: dict[str, Any]) -> dict[str, Any]:
    form, call = read(sent(document))
    assert form == "vcon"
    return content(call)


def purposes(document: dict[str, Any]) -> dict[str, Any]:
    return {attachment["purpose"]: attachment["body"] for attachment in document.get("attachments", ())}


def analyses(document: dict[str, Any]) -> dict[str, Any]:
    return {analysis["type"]: analysis for analysis in document.get("analysis", ())}


def payload_events() -> Iterator[Event]:
    for file in PAYLOADS:
        event = payload_event(file)
        if event is not None:
            yield event


def payload_event(file: Path) -> Event | None:
    try:
        parsed = body.parse(file.read_bytes())
        form, call = read(parsed.value)
    except Unreadable:
        return None
    return event_of(call, format=form, raw=parsed.value)


# --- it is a vCon ---


@here
def test_a_call_with_everything_and_one_with_nothing_fit_the_schema(schema: Draft7Validator) -> None:
    for event in (sample_event(), bare_event(), sample_event(revision=2), sample_event(duration=0.0, transcript=())):
        schema.validate(sent(as_vcon(event)))
        schema.validate(sent(as_vcon(event, [], Numbers.MASKED)))
        schema.validate(sent(as_vcon(event, bundle=True)))


@here
@pytest.mark.parametrize("file", PAYLOADS, ids=lambda file: file.stem)
def test_every_shared_payload_fits_the_schema(file: Path, schema: Draft7Validator) -> None:
    event = payload_event(file)
    if event is None:
        pytest.skip("no call can be read from it")
    schema.validate(sent(as_vcon(event)))
    schema.validate(sent(as_vcon(event, bundle=True)))


@here
def test_whatever_a_call_says_fits_the_schema(schema: Draft7Validator) -> None:
    for delivery in hostile_deliveries():
        schema.validate(sent(as_vcon(delivery.event, bundle=True)))


@here
@given(EVENTS, st.none() | st.lists(st.sampled_from(Part)), st.sampled_from(Numbers), st.booleans())
def test_any_event_fits_the_schema(
    schema: Draft7Validator, event: Event, parts: list[Part] | None, numbers: Numbers, bundle: bool
) -> None:
    schema.validate(sent(as_vcon(event, parts, numbers, bundle=bundle)))


@here
def test_the_mapping_is_the_one_that_was_agreed() -> None:
    """The example of the research, but for the uuid: that one needs the source, and has no time in it."""
    expected = json.loads((CASES / "vcon_mapping_example.json").read_text())
    bundle = expected["attachments"][-1]["body"]
    form, call = read(bundle)
    document = as_vcon(event_of(call, format=form, raw=bundle), bundle=True)
    assert {**document, "uuid": None} == {**expected, "uuid": None}


def test_the_extension_is_named_where_it_is_used() -> None:
    assert as_vcon(sample_event())["extensions"] == ["CC"]
    assert "extensions" not in as_vcon(bare_event())
    assert as_vcon(bare_event(call_id="c"))["extensions"] == ["CC"]
    assert as_vcon(bare_event(participants=(Participant("1", None),)))["extensions"] == ["CC"]


def test_empty_lists_are_left_out() -> None:
    """The attachment says that the call has no start: ours would take `created_at` for one."""
    document = as_vcon(bare_event(call_id="c"))
    assert document.keys() == {"vcon", "uuid", "extensions", "created_at", "parties", "dialog", "attachments"}
    assert purposes(document) == {"aftercall_event": {"started_at": None}}


# --- the same again, and another one ---


def test_the_same_event_is_the_same_vcon() -> None:
    """Whatever the store knows besides: the same call in another store has the same uuid."""
    elsewhere = sample_event(id="019cd6de-e2a0-7000-8000-00000000ffff", sequence=99)
    assert exact_json(as_vcon(sample_event())) == exact_json(as_vcon(elsewhere))
    assert (
        as_vcon(bare_event(raw={"a": 1, "b": 2}))["uuid"] == as_vcon(bare_event(id="x", raw={"b": 2, "a": 1}))["uuid"]
    )


@given(st.text(max_size=20))
def test_the_uuid_is_of_version_8(call_id: str) -> None:
    made = uuid.UUID(as_vcon(sample_event(call_id=call_id))["uuid"])
    assert (made.version, made.variant) == (8, uuid.RFC_4122)


def test_another_call_source_revision_or_selection_is_another_vcon() -> None:
    event = sample_event()
    others = [
        as_vcon(event),
        as_vcon(replace(event, call_id="other")),
        as_vcon(replace(event, source="other")),
        as_vcon(replace(event, revision=2)),
        as_vcon(replace(event, call_id=None)),
        as_vcon(replace(event, call_id=None, raw={"other": 1})),
        as_vcon(event, [Part.SUMMARY]),
        as_vcon(event, list(Part)),
        as_vcon(event, None, Numbers.MASKED),
        as_vcon(event, bundle=True),
    ]
    assert len({document["uuid"] for document in others}) == len(others)
    assert as_vcon(event, [Part.NOTE, Part.SUMMARY])["uuid"] == as_vcon(event, [Part.SUMMARY, Part.NOTE])["uuid"]


@pytest.mark.parametrize(
    "corrected", [{}, {"started_at": None}, {"started_at": datetime(2026, 3, 10, 8, 15, 4, 120_000, UTC)}]
)
def test_a_revision_names_the_one_before(corrected: dict[str, Any]) -> None:
    """Also where it corrects when the call was."""
    first, second, third = (
        as_vcon(sample_event(revision=revision, **(corrected if revision > 1 else {}))) for revision in (1, 2, 3)
    )
    assert "amended" not in first
    assert "updated_at" not in first
    assert second["amended"] == {"uuid": first["uuid"]}
    assert third["amended"] == {"uuid": second["uuid"]}
    assert second["updated_at"] == "2026-03-10T08:20:21.000Z"


@pytest.mark.parametrize(
    ("changes", "created_at"),
    [
        ({}, "2026-03-10T08:20:16.000Z"),
        ({"ended_at": None}, "2026-03-10T08:20:16.000Z"),
        ({"ended_at": None, "duration": 1.25}, "2026-03-10T08:15:05.250Z"),
        ({"ended_at": None, "duration": None}, "2026-03-10T08:15:04.000Z"),
        ({"ended_at": None, "duration": None, "started_at": None}, "2026-03-10T08:20:21.000Z"),
    ],
)
def test_a_vcon_is_created_when_the_call_is_over(changes: dict[str, Any], created_at: str) -> None:
    assert as_vcon(sample_event(**changes))["created_at"] == created_at


# --- who ---


@pytest.mark.parametrize(
    ("number", "party"),
    [
        (parts.party("+4915228817386"), {"tel": "+4915228817386"}),
        (parts.party("004915228817386"), {"tel": "+4915228817386"}),
        (parts.party("0152 28817386"), {"tel": "0152 28817386"}),
        (parts.party("200"), {"tel": "200"}),
        (parts.party("anonymous"), {"name": "anonymous"}),
        (parts.party("Unterdrückt"), {"name": "anonymous"}),
        (parts.party(""), {}),
        (parts.party("sip:anna@pbx.example"), {"sip": "sip:anna@pbx.example"}),
        (parts.party("Anna"), {"name": "Anna", "validation": "none"}),
        (Number("+49 152 …386", None, NumberKind.E164), {"name": "+49 152 …386", "validation": "none"}),
    ],
)
def test_a_party_has_its_number_as_what_it_is(number: Number, party: dict[str, str]) -> None:
    assert as_vcon(bare_event(caller=number))["parties"] == [party, {}]


def test_the_caller_is_first_and_roles_follow_the_direction() -> None:
    outbound = as_vcon(sample_event(direction=Direction.OUTBOUND))
    caller, callee = outbound["parties"]
    assert (caller["tel"], caller["role"], caller["dept"], caller["name"]) == (
        "+4915228817386", "agent", "Support", "Tobias Weiß",
    )  # fmt: skip
    assert callee == {"tel": "+493023125014", "role": "customer"}
    assert outbound["dialog"][0]["interaction_type"] == "outbound"
    assert {attachment["party"] for attachment in outbound["attachments"]} == {0}


def test_of_an_unknown_direction_nothing_is_made_up() -> None:
    document = as_vcon(sample_event(direction=Direction.UNKNOWN))
    assert document["parties"] == [
        {"tel": "+4915228817386"},
        {"tel": "+493023125014"},
        {"name": "Tobias Weiß", "validation": "none", "uuid": "u_1", "role": "agent"},
    ]
    assert "interaction_type" not in document["dialog"][0]
    assert purposes(document)["tags"] == ["channel:Support", "channel_id:5f0c3a52-6a0e-4c55-9a9b-3b1b0a5e7c11"]


def test_several_colleagues_are_several_parties_of_the_call() -> None:
    people = (Participant("u1", "Tobias Weiß"), Participant(None, "Erika"), Participant("u3", None))
    document = as_vcon(sample_event(participants=people))
    assert document["parties"][1:] == [
        {"tel": "+493023125014", "name": "Tobias Weiß", "validation": "none", "uuid": "u1", "dept": "Support", "role": "agent"},
        {"name": "Erika", "validation": "none", "role": "agent"},
        {"uuid": "u3", "role": "agent"},
    ]  # fmt: skip
    assert document["dialog"][0]["parties"] == [0, 1, 2, 3]


# --- what ---


def test_the_call_is_a_recording_without_content_and_a_failed_one_is_incomplete() -> None:
    (dialog,) = as_vcon(sample_event())["dialog"]
    assert (dialog["type"], dialog["duration"], type(dialog["duration"])) == ("recording", 312, int)
    assert not {"body", "encoding", "mediatype", "url"} & dialog.keys()
    (dialog,) = as_vcon(sample_event(duration=0.0, transcript=()))["dialog"]
    assert (dialog["type"], dialog["disposition"]) == ("incomplete", "failed")
    (dialog,) = as_vcon(sample_event(duration=0.0))["dialog"]
    assert dialog["type"] == "recording"


def test_transcript_times_are_absolute_and_exact() -> None:
    said = (
        Segment(Speaker.CALLER, 0.1 + 0.2, 1.1, "a"),
        Segment(Speaker.OTHER, 2.0, None, "b"),
        Segment(Speaker.CALLEE, 5.0, 4.0, "c"),
        Segment(Speaker.CALLEE, None, 4.0, "d"),
    )
    transcript = analyses(as_vcon(sample_event(transcript=said)))["transcript"]["body"]
    assert transcript == [
        {"parties": 0, "start": "2026-03-10T08:15:04.300Z", "duration": 0.8, "text": "a"},
        {"start": "2026-03-10T08:15:06.000Z", "text": "b"},
        {"parties": 1, "start": "2026-03-10T08:15:09.000Z", "text": "c"},
        {"parties": 1, "text": "d"},
    ]
    later = as_vcon(sample_event(transcript=said[:1], started_at=sample_event().started_at + timedelta(microseconds=7)))  # type: ignore[operator] # it has one
    assert analyses(later)["transcript"]["body"][0]["start"] == "2026-03-10T08:15:04.300007Z"


def test_who_made_the_analyses_is_said_where_it_is_known() -> None:
    raw = {"assist": {"provider": {"llm": "AZURE"}}}
    makers = [
        (made["vendor"], made.get("product"))
        for event in (
            sample_event(),
            sample_event(format="sipgate-ci", raw=raw),
            sample_event(format="sipgate-ci"),
            sample_event(format="vcon", raw=raw),
        )
        for made in [analyses(as_vcon(event, [Part.SUMMARY]))["summary"]]
    ]
    assert makers == [
        ("sipgate", "AI Assistant"),
        ("sipgate", "Conversational Intelligence (AZURE)"),
        ("sipgate", "Conversational Intelligence"),
        ("unknown", None),
    ]


# --- what does not leave ---


@pytest.mark.parametrize("part", Part)
def test_a_part_that_is_not_sent_is_nowhere_in_it(part: Part) -> None:
    event = sample_event(raw={"secret": "Hinterzimmer"})
    document = as_vcon(event, [other for other in Part if other is not part], bundle=True)
    words = {
        Part.HEADLINE: "Rückfrage", Part.SUMMARY: "Frau Brückner fragt", Part.ACTION_ITEMS: "Tarifoptionen",
        Part.NOTE: "Tarif L", Part.SMART_ANSWERS: "Verkaufspotenzial", Part.TRANSCRIPT: "aus Köln",
        Part.SMALL_TALK: "Baustelle", Part.PARTICIPANTS: "Tobias",
    }  # fmt: skip
    text = exact_json(document).decode()
    assert {other: words[other] in text for other in Part} == {other: other is not part for other in Part}
    assert "Hinterzimmer" not in text
    assert "sipgate_webhook" not in text


def test_masked_numbers_leave_no_full_one() -> None:
    event = sample_event(raw={"call": {"caller": "+4915228817386"}})
    text = exact_json(as_vcon(event, None, Numbers.MASKED, bundle=True)).decode()
    assert "28817386" not in text
    assert "3125014" not in text


def test_the_received_bundle_goes_along_only_where_it_is_asked_for() -> None:
    raw = {"call": {"id": 2**100}}
    assert "sipgate_webhook" not in purposes(as_vcon(sample_event(raw=raw)))
    assert purposes(as_vcon(sample_event(raw=raw), bundle=True))["sipgate_webhook"] == raw
    assert "sipgate_webhook" not in purposes(as_vcon(sample_event(raw=raw, format="vcon"), bundle=True))


# --- and back ---


@given(EVENTS, st.booleans())
def test_an_event_comes_back_from_a_vcon_as_it_went(event: Event, bundle: bool) -> None:
    """Whatever else the attached body may say."""
    assert back(as_vcon(event, bundle=bundle)) == content(event)


@given(CALLS, st.lists(st.sampled_from(Part)))
def test_what_was_left_out_does_not_come_back(call: Call, sending: list[Part]) -> None:
    event = event_of(call)
    assert back(as_vcon(event, sending)) == content(outgoing(event, sending))


def test_every_shared_payload_comes_back_as_it_went() -> None:
    for event in payload_events():
        assert back(as_vcon(event)) == content(event), event.call_id
        assert back(as_vcon(event, bundle=True)) == content(event), event.call_id


@here
def test_the_vcons_of_others_leave_as_ones_that_fit_the_schema_and_say_the_same(schema: Draft7Validator) -> None:
    events = [event for file in sorted((CASES / "vcons").glob("*.json")) if (event := payload_event(file))]
    assert len(events) > 10
    for event in events:
        document = as_vcon(event)
        schema.validate(sent(document))
        assert back(document) == content(event), event.call_id


def test_hostile_calls_come_back_without_an_exception() -> None:
    for delivery in hostile_deliveries():
        assert read(sent(as_vcon(delivery.event)))[0] == "vcon"


def test_an_ordinary_call_needs_no_attachment_of_ours() -> None:
    """All of it has a place in a vCon that others know."""
    for event in (
        sample_event(),
        sample_event(direction=Direction.OUTBOUND),
        sample_event(caller=parts.party("anonymous"), callee=parts.party("200")),
        sample_event(headline=None, summary=None, note=None, transcript=(), channel=Channel()),
    ):
        assert purposes(as_vcon(event)).get(PURPOSE) is None


def test_trust_is_not_carried_over() -> None:
    _, call = read(sent(as_vcon(sample_event(trust=Trust.VERIFIED))))
    assert call.trust is Trust.UNSIGNED
