"""vCons of every draft and of many hands: what is read from which field, and what is refused in words."""

from __future__ import annotations

import base64
import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from router import formats
from router.errors import Unreadable
from router.event import (
    ActionItem,
    Call,
    Channel,
    Direction,
    Number,
    NumberKind,
    Participant,
    Segment,
    SmallTalk,
    SmartAnswer,
    Speaker,
    Trust,
)
from router.formats import Manner
from router.formats import body as bodies
from support import CASES

needs_cases = pytest.mark.skipif(not (CASES / "vcons").is_dir(), reason="the shared cases are not here")

START = "2026-03-10T08:15:04.000Z"
STARTED = datetime(2026, 3, 10, 8, 15, 4, tzinfo=UTC)
VCON: dict[str, Any] = {
    "vcon": "0.4.0",
    "uuid": "019f15a6-a752-826f-b9a2-279e0d16bc46",
    "created_at": "2026-03-10T09:00:00Z",
    "subject": "Rückfrage zur Rechnung",
    "parties": [
        {"tel": "+4915228817386", "role": "customer"},
        {"tel": "+493023125014", "role": "agent", "name": "Tobias Weiß", "uuid": "w0", "dept": "Support"},
    ],
    "dialog": [{"type": "recording", "start": START, "duration": 312, "parties": [0, 1]}],
    "analysis": [],
    "attachments": [],
}


def find(manner: Manner | None = None, **changes: Any) -> formats.Found:
    """What is found in the vCon with these changes at its top; None takes a key out."""
    return formats.find({key: value for key, value in (VCON | changes).items() if value is not None}, manner)


def read(**changes: Any) -> Call:
    found = find(**changes)
    assert found.format == "vcon"
    return found.call


def dialog(**changes: Any) -> Call:
    """The call of the vCon with these changes to its one dialog; None takes a key out."""
    made = {key: value for key, value in (VCON["dialog"][0] | changes).items() if value is not None}
    return read(dialog=[made])


def analysis(name: str, body: Any, **more: Any) -> Call:
    return read(analysis=[{"type": name, "body": body, **more}])


def said(call: Call) -> list[tuple[str, float | None, float | None, str]]:
    return [(one.speaker.value, one.start, one.end, one.text) for one in call.transcript]


def b64(text: str | bytes) -> str:
    data = text.encode() if isinstance(text, str) else text
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


# -------------------------------------------------------------------------------------------------------- as drafted


def test_a_vcon_of_the_newest_draft_is_read_whole() -> None:
    found = find(
        extensions=["CC"],
        dialog=[VCON["dialog"][0] | {"interaction_id": "call_1", "interaction_type": "inbound"}],
        analysis=[
            {"type": "transcript", "dialog": 0, "encoding": "json", "body": [
                {"parties": 0, "start": "2026-03-10T08:15:04.800Z", "duration": 5.6, "text": "Guten Morgen."},
                {"parties": 1, "start": "2026-03-10T08:15:10.750Z", "duration": 6.4, "text": "Was kann ich tun?"},
            ]},
            {"type": "summary", "encoding": "none", "body": "Frau Brückner fragt."},
            {"type": "action_items", "encoding": "json", "body": [{"id": "1", "text": "Optionen senden"}]},
            {"type": "small_talk", "encoding": "json", "body": [{"topic": "Baustelle", "pinned": True}]},
            {"type": "smart_answers", "encoding": "json", "body": [{"question": "Zufrieden?", "answer": "Ja."}]},
        ],
        attachments=[
            {"purpose": "note", "encoding": "none", "body": "Tarif L anbieten."},
            {"purpose": "tags", "encoding": "json", "body": ["channel:Sales", "channel_id:c1", "direction:inbound"]},
        ],
    )  # fmt: skip
    assert found.call == Call(
        call_id="call_1",
        direction=Direction.INBOUND,
        caller=Number("+4915228817386", "+4915228817386", NumberKind.E164),
        callee=Number("+493023125014", "+493023125014", NumberKind.E164),
        started_at=STARTED,
        ended_at=datetime(2026, 3, 10, 8, 20, 16, tzinfo=UTC),
        duration=312.0,
        channel=Channel("c1", "Sales"),
        headline="Rückfrage zur Rechnung",
        summary="Frau Brückner fragt.",
        note="Tarif L anbieten.",
        transcript=(
            Segment(Speaker.CALLER, 0.8, 6.4, "Guten Morgen."),
            Segment(Speaker.CALLEE, 6.75, 13.15, "Was kann ich tun?"),
        ),
        action_items=(ActionItem("1", "Optionen senden"),),
        smart_answers=(SmartAnswer(None, "Zufrieden?", "Ja."),),
        small_talk=(SmallTalk(None, "Baustelle", None, pinned=True),),
        participants=(Participant("w0", "Tobias Weiß"),),
        trust=Trust.UNSIGNED,
    )
    assert found.remarks == ()


@pytest.mark.parametrize("version", ["0.0.1", "0.0.2", "0.0.3", "0.3.0", "1.0", "", "https://example.com", None, 4, {}])
def test_the_version_decides_nothing(version: Any) -> None:
    assert read(vcon=version) == read()


# ------------------------------------------------------------------------------------------------------------ bodies

TRANSCRIPT = [{"parties": 0, "start": 1.5, "duration": 2, "text": "Guten Tag."}]
WRITTEN = json.dumps(TRANSCRIPT)


@pytest.mark.parametrize(
    "written",
    [
        {"encoding": "json", "body": TRANSCRIPT},
        {"encoding": "none", "body": TRANSCRIPT},
        {"body": TRANSCRIPT},
        {"encoding": "json", "body": WRITTEN},
        {"encoding": "none", "body": WRITTEN},
        {"mediatype": "application/json; charset=utf-8", "body": WRITTEN},
        {"mimetype": "application/json", "body": WRITTEN},
        {"encoding": "json", "body": json.dumps(WRITTEN)},  # JSON in a string in JSON
        {"encoding": "json", "body": json.dumps({"body": WRITTEN, "segments": TRANSCRIPT})},
        {"encoding": "base64url", "body": b64(WRITTEN)},
        {"encoding": "base64", "body": base64.b64encode(WRITTEN.encode()).decode()},
        {"encoding": "base64url", "body": b64(gzip.compress(WRITTEN.encode()))},
        {"encoding": "base64url", "body": "\n".join(b64(WRITTEN)[at : at + 20] for at in range(0, 200, 20))},
        {"encoding": "text", "body": WRITTEN},
        {"body": f"data:application/json;base64,{base64.b64encode(WRITTEN.encode()).decode()}"},
        {"transcript": TRANSCRIPT},  # before 0.0.1
        {"transcript": {"segments": TRANSCRIPT, "text": "Guten Tag."}},
    ],
)
def test_a_body_is_read_however_it_is_encoded(written: dict[str, Any]) -> None:
    assert said(read(analysis=[{"type": "transcript", "dialog": 0, **written}])) == [("caller", 1.5, 3.5, "Guten Tag.")]


@pytest.mark.parametrize(
    ("body", "more", "summary"),
    [
        ("positive", {"encoding": "base64"}, "positive"),  # looks like base64, and is none
        ("Hallo Welt", {"encoding": "base64url"}, "Hallo Welt"),
        ('{"summary": "kurz"', {"encoding": "json"}, '{"summary": "kurz"'),
        ("[leise] ja", {}, "[leise] ja"),
        ('"kurz"', {"encoding": "json"}, "kurz"),
        ('"kurz"', {"encoding": "none"}, '"kurz"'),
        ({"summary": "kurz"}, {}, "kurz"),
        ({"text": "", "content": "kurz"}, {}, "kurz"),
        (["kurz", {"text": "gut"}], {}, "kurz\ngut"),
        ('{"text": "a\\ud800b"}', {"encoding": "json"}, "a\ufffdb"),
        (b64(b"\xff" * 100), {"encoding": "base64url"}, None),
        (None, {"url": "https://example.com/x"}, None),
        ({}, {}, None),
        ("[" * 500, {"encoding": "json"}, "[" * 500),
    ],
)
def test_a_text_is_found_in_whatever_it_is_wrapped(body: Any, more: dict[str, Any], summary: str | None) -> None:
    assert analysis("summary", body, **more).summary == summary


# ------------------------------------------------------------------------------------------------------- transcripts

DEEPGRAM = {
    "metadata": {"duration": 33.1},
    "results": {"channels": [{"alternatives": [
        {"transcript": "hello there", "words": [{"word": "hello"}], "paragraphs": {"transcript": "x", "paragraphs": [
            {"speaker": 0, "start": 1.2, "end": 3.4, "sentences": [{"text": "Hello."}, {"text": "There."}]},
        ]}},
        {"transcript": "yellow hair"},
    ]}]},
}  # fmt: skip


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ([{"speaker": "customer", "start": 3, "end": 5, "text": "Ja."}], [("caller", 3, 5, "Ja.")]),
        ([{"speaker": "Tobias", "start_time": 3, "text": "Ja."}], [("callee", 3, None, "Ja.")]),
        ([{"speaker": "CALLER", "startTime": 1200, "endTime": 2400, "text": "Ja."}], [("caller", 1.2, 2.4, "Ja.")]),
        ([{"speaker": "A", "start": 1200, "end": 240_000, "text": "Ja."}], [("other", 1.2, 240, "Ja.")]),
        ({"segments": [{"id": 0, "start": 0.5, "end": 1.5, "text": " Ja."}], "text": "Ja."}, [("other", 0.5, 1.5, "Ja.")]),
        ({"transcript": {"text": "Ja."}, "segments": [{"start": 1, "end": 2, "text": "Ja.", "speaker": "0"}]},
         [("other", 1, 2, "Ja.")]),
        (DEEPGRAM, [("other", 1.2, 3.4, "Hello. There.")]),
        ({"utterances": [{"speaker": "B", "start": 1.5, "end": 2, "transcript": "Ja."}]}, [("other", 1.5, 2, "Ja.")]),
        ({"results": {"transcripts": [{"transcript": "x"}], "channels": [{"alternatives": [{"transcript": "Ja."}]}]}},
         [("other", None, None, "Ja.")]),
        (["Ja.", "Nein."], [("other", None, None, "Ja."), ("other", None, None, "Nein.")]),
        ("Ja.", [("other", None, None, "Ja.")]),
        ({"text": "Ja."}, [("other", None, None, "Ja.")]),
        ("Customer: Ja?\nTobias Weiß: Nein.\nNie.",
         [("caller", None, None, "Ja?"), ("callee", None, None, "Nein.\nNie.")]),
        ([{"words": [{"word": "ja", "punctuated_word": "Ja,"}, {"text": "gut"}]}], [("other", None, None, "Ja, gut")]),
        ([{"parties": 7, "start": "2026-03-10T08:15:03Z", "text": "Ja."}], [("other", None, None, "Ja.")]),
    ],
)  # fmt: skip
def test_a_transcript_is_read_in_the_shape_of_any_vendor(body: Any, expected: Any) -> None:
    assert said(analysis("transcript", body, dialog=0)) == expected


@pytest.mark.parametrize(
    "name", ["transcript", "transcription", "Diarized", "wtf_transcription", "transcript-redacted"]
)
@pytest.mark.parametrize("place", ["analysis", "attachments"])
@pytest.mark.parametrize("key", ["type", "purpose"])
def test_a_transcript_is_found_under_all_its_names_and_in_both_places(name: str, place: str, key: str) -> None:
    if (place, key) == ("analysis", "purpose"):
        key = "type"
    assert said(read(**{place: [{key: name, "body": "Ja."}]})) == [("other", None, None, "Ja.")]


def test_text_dialogs_are_a_conversation_in_the_order_of_their_times() -> None:
    dialogs = [
        {"type": "text", "start": "2026-03-10T08:15:10Z", "parties": [1, 0], "body": "Gern."},
        {"type": "text", "start": START, "parties": [0, 1], "duration": 2, "body": b64("Guten Tag."), "encoding": "base64"},
        {"type": "text", "start": "2026-03-10T08:15:20Z", "originator": 0, "parties": [1, 0], "mimetype": "text/plain",
         "body": "Danke."},
    ]  # fmt: skip
    found = read(dialog=dialogs)
    assert said(found) == [
        ("callee", 0.0, 2.0, "Guten Tag."),
        ("caller", 6.0, None, "Gern."),
        ("callee", 16.0, None, "Danke."),
    ]
    assert found.direction is Direction.UNKNOWN, "who writes first has not always called"
    assert (found.started_at, found.duration) == (STARTED, 16.0)


def test_of_two_transcripts_the_one_with_times_is_taken() -> None:
    plain = {"type": "transcript", "body": "Customer: Ja?\nAgent: Nein."}
    timed = {"type": "wtf_transcription", "body": {"segments": [{"start": 1, "end": 2, "text": "Ja?"}]}}
    assert said(read(analysis=[plain, timed])) == said(read(analysis=[timed, plain])) == [("other", 1, 2, "Ja?")]


def test_transcripts_of_several_recordings_are_joined_in_the_order_of_the_call() -> None:
    dialogs = [
        {"type": "recording", "start": "2026-03-10T08:16:04Z", "duration": 10, "parties": [0, 1]},
        {"type": "recording", "start": START, "duration": 50, "parties": [0, 1]},
    ]
    analyses = [
        {"type": "transcript", "dialog": 0, "body": [{"start": 1, "end": 2, "text": "zweitens"}]},
        {"type": "transcript", "dialog": [1], "body": [{"start": 3, "end": 4, "text": "erstens"}]},
        {"type": "transcript", "dialog": 1, "body": [{"start": 3, "end": 4, "text": "von einem anderen Dienst"}]},
    ]
    found = read(dialog=dialogs, analysis=analyses)
    assert said(found) == [("other", 3, 4, "erstens"), ("other", 61, 62, "zweitens")]
    assert found.duration == 70


@needs_cases
def test_mail_is_read_as_its_plain_text() -> None:
    value = bodies.value((CASES / "vcons" / "ietf-core03__ab_email_acct_prob_thread.json").read_bytes())
    first, second = formats.read(value)[1].transcript
    assert (first.speaker, first.text) == (Speaker.CALLER, "Alice:Please find the image attached.\n\nRegards,Bob")
    assert second.text.startswith("Hi Bob:Got it. Thanks.")


# ------------------------------------------------------------------------------------------------------------- people


@pytest.mark.parametrize(
    ("parties", "caller", "callee"),
    [
        ([{"tel": "tel:+49 30 2312-5014"}, {"tel": "12"}], "+493023125014", "12"),
        ([{"sip": "sip:+4915228817386@example.com"}, {"mailto": "a@example.com"}], "+4915228817386", "a@example.com"),
        ([{"tel": "", "email": "b@example.com"}, {"name": "Ada"}], "b@example.com", "Ada"),
        ([{"name": "anonymous"}, {}], "anonymous", ""),
        ({"tel": "+4915228817386"}, "+4915228817386", ""),
        (["+49", 7, None], "", ""),
        ([], "", ""),
        ({}, "", ""),
        ("nobody", "", ""),
    ],
)
def test_a_party_is_known_by_its_number_or_what_else_it_has(parties: Any, caller: str, callee: str) -> None:
    found = read(parties=parties)
    assert (found.caller.e164 or found.caller.raw, found.callee.e164 or found.callee.raw) == (caller, callee)


@pytest.mark.parametrize(
    ("given", "first"),
    [
        ({"parties": [1, 0]}, 1),
        ({"parties": [0, 1], "originator": 1}, 1),
        ({"parties": [[1], [0]]}, 1),
        ({"parties": 1}, 1),
        ({"parties": [99, 1]}, 1),
        ({"parties": [None, "1"]}, 1),
        ({"parties": [-1, 1.5, True, {}, [[]]]}, 0),
        ({"parties": None}, 0),
        ({"parties": [0], "originator": 99}, 0),
    ],
)
def test_the_caller_is_who_the_dialog_names_first(given: dict[str, Any], first: int) -> None:
    numbers = [party["tel"] for party in VCON["parties"]]
    found = dialog(**given)
    assert [found.caller.raw, found.callee.raw] == [numbers[first], numbers[1 - first]]


@pytest.mark.parametrize(
    ("changes", "direction"),
    [
        ({}, "inbound"),  # the customer called
        ({"dialog": [{"type": "recording", "parties": [1, 0]}]}, "outbound"),
        ({"dialog": [{"type": "recording", "interaction_type": "OUT"}]}, "outbound"),
        ({"attachments": [{"type": "tags", "body": {"direction": "outbound"}}]}, "outbound"),
        ({"meta": {"direction": "out"}}, "outbound"),
        ({"parties": [{"tel": "1", "meta": {"role": "customer"}}, {}]}, "inbound"),
        ({"parties": [{"tel": "1"}, {"tel": "2", "role": "bot"}]}, "inbound"),
        ({"parties": [{"tel": "1"}, {"tel": "2"}]}, "unknown"),
        ({"parties": [{"tel": "1", "role": "agent"}, {"tel": "2", "role": "agent"}]}, "unknown"),
    ],
)
def test_the_direction_is_said_or_follows_from_the_roles(changes: dict[str, Any], direction: str) -> None:
    assert read(**changes).direction == direction


@pytest.mark.parametrize(
    ("changes", "channel"),
    [
        ({}, Channel(None, "Support")),
        ({"attachments": [{"purpose": "tags", "body": '["channel:Sales:EU", "channel_id:7", "x", 1]'}]},
         Channel("7", "Sales:EU")),
        ({"parties": [{"dept": "Kunde", "role": "customer"}, {"role": "agent", "dept": "Wir"}]}, Channel(None, "Wir")),
        ({"parties": [], "dialog": [{"skill": "billing"}]}, Channel(None, "billing")),
        ({"parties": []}, Channel()),
    ],
)  # fmt: skip
def test_the_channel_is_in_the_tags_or_a_department_or_a_skill(changes: dict[str, Any], channel: Channel) -> None:
    assert read(**changes).channel == channel


# ----------------------------------------------------------------------------------------------------------- identity


@pytest.mark.parametrize(
    ("changes", "call_id"),
    [
        ({}, VCON["uuid"]),
        ({"amended": {"uuid": "earlier"}}, "earlier"),
        ({"appended": False, "amended": {}}, VCON["uuid"]),
        ({"dialog": [{"interaction_id": "call_1", "session_id": "s", "message_id": "m"}]}, "call_1"),
        ({"dialog": [{"type": "text"}, {"interaction_id": 7}]}, "7"),
        ({"dialog": [{"session_id": {"local": "l", "remote": "r"}}]}, "l"),
        ({"dialog": [{"session_id": [{"local": "l"}]}]}, "l"),
        ({"dialog": [{"session_id": "s", "message_id": "m"}]}, "s"),
        ({"dialog": [{"message_id": "m"}]}, "m"),
        ({"dialog": [{"session_id": "00000000-0000-0000-0000-000000000000"}]}, VCON["uuid"]),
        ({"attachments": [{"purpose": "tags", "body": ["call_id:call_1"]}]}, "call_1"),
        ({"uuid": None}, None),
        ({"uuid": {}}, None),
        ({"dialog": [{"interaction_id": "c" * 600}]}, "c" * 600),
    ],
)
def test_the_call_id_is_the_calls_own_where_there_is_one(changes: dict[str, Any], call_id: str | None) -> None:
    """So a call that came as plain JSON, and comes as a vCon later, is the same call."""
    assert read(**changes).call_id == call_id


# -------------------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("changes", "times"),
    [
        ({}, (0, 312, 312)),
        ({"dialog": [{"start": "2026-03-10T09:15:04+01:00", "duration": "312"}]}, (0, 312, 312)),
        ({"dialog": [{"start": "2026-03-10T08:15:04", "duration": 312}]}, (0, 312, 312)),  # without a zone: UTC
        ({"dialog": [{"start": START, "end": "2026-03-10T08:16:04Z", "duration": 60_000}]}, (0, 60, 60)),
        ({"dialog": [{"start": START}]}, (0, None, None)),
        ({"dialog": [{"start": START, "duration": "long"}]}, (0, None, None)),
        ({"dialog": [{"start": START, "duration": -5}]}, (0, None, None)),
        ({"dialog": [{"start": START, "duration": 1e300}]}, (0, None, None)),
        ({"dialog": [{"duration": 60}]}, (2696, 2756, 60)),
        ({"dialog": [{"start": START, "duration": 60}, {"start": "2026-03-10T08:16:04Z", "duration": 60}]},
         (0, 120, 120)),
        ({"dialog": [{"type": "recording-set", "start": START, "duration": 60}, {"start": START}]}, (0, 60, 60)),
        ({"dialog": None, "meta": {"call_started_on": START, "duration": 60}}, (0, 60, 60)),
        ({"dialog": [], "created_at": None, "created": START}, (0, None, None)),
        ({"dialog": [], "created_at": "NOT-A-DATE"}, (None, None, None)),
    ],
)  # fmt: skip
def test_the_times_are_those_of_the_dialogs(changes: dict[str, Any], times: tuple[float | None, ...]) -> None:
    found = read(**changes)
    offsets = [at and (at - STARTED).total_seconds() for at in (found.started_at, found.ended_at)]
    assert (*offsets, found.duration) == times


def test_a_start_that_is_only_the_time_of_writing_is_flagged() -> None:
    assert find(dialog=[]).remarks == ("no part of it has a start; that it was created then stands in for it",)


# ------------------------------------------------------------------------------------------------- names and bundles


def test_an_alias_of_the_source_names_an_analysis() -> None:
    analyses = [{"type": "x-sipgate-gist", "body": "kurz"}]
    assert find(analysis=analyses).call.summary is None
    assert find(Manner(aliases={"summary": ["x_sipgate_gist"]}), analysis=analyses).call.summary == "kurz"


def test_a_sipgate_bundle_that_is_attached_comes_first() -> None:
    bundle = {"call": {"id": "call_1", "caller": "+4915228817386"}, "channel": {"name": "Sales"}, "summary": "innen"}
    attached = [{"purpose": "sipgate_webhook", "encoding": "json", "body": json.dumps(bundle)}]
    found = read(attachments=attached, analysis=[{"type": "summary", "body": "außen"}])
    said = formats.read(bundle)[1]
    assert (found.call_id, found.caller, found.channel, found.summary) == ("call_1", said.caller, said.channel, "innen")
    assert (found.headline, found.started_at) == (read().headline, read().started_at)
    assert read(attachments=[{"type": "sipgate_webhook", "body": "nothing"}]) == read()


# ------------------------------------------------------------------------------------------------------- the raw body

AUDIO = {"type": "recording", "mediatype": "audio/wav", "encoding": "base64url", "body": "UklGR" * 1000, "x": 1}


def test_inline_audio_stays_in_the_body_and_out_of_the_event() -> None:
    found = find(dialog=[AUDIO, {"type": "text", "body": "Ja."}], unknown={"kept": True})
    assert found.raw["dialog"] == [
        {"type": "recording", "mediatype": "audio/wav", "x": 1},
        {"type": "text", "body": "Ja."},
    ]
    assert found.raw["unknown"] == {"kept": True}
    body = json.dumps(VCON | {"dialog": [AUDIO]}).encode()
    assert formats.raw(body) == VCON | {"dialog": [{"type": "recording", "mediatype": "audio/wav", "x": 1}]}


def test_the_raw_of_a_signed_vcon_is_what_is_signed() -> None:
    """A template that reads `event.raw.subject` must not get what stands beside the signature."""
    signed = {"payload": b64(json.dumps(VCON | {"dialog": [AUDIO]})), "signatures": [{}], "subject": "untrue"}
    found = formats.find(signed)
    assert found.raw == formats.raw(json.dumps(signed).encode())
    assert found.raw["subject"] == VCON["subject"]
    assert "body" not in found.raw["dialog"][0]


def test_other_formats_keep_their_whole_body() -> None:
    plain = {"call": {}, "dialog": [AUDIO], "transcriptions": [], "channel": {}}
    assert formats.find(plain).raw == formats.raw(json.dumps(plain).encode()) == plain


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("key", ["critical", "must_support", "must_understand"])
@pytest.mark.parametrize("names", [["consent"], "consent", ["CC", "consent"], {"consent": 1}])
def test_an_unknown_name_in_critical_is_refused_with_that_reason(key: str, names: Any) -> None:
    with pytest.raises(Unreadable, match=f"demands an extension 'consent' \\(in `{key}`\\) that is not known here"):
        find(**{key: names})


@pytest.mark.parametrize("names", [["CC"], [], None, False, {}, [None], ["CC", "wtf_transcription"], 0])
def test_known_names_in_critical_and_none_at_all_are_no_trouble(names: Any) -> None:
    assert read(critical=names) == read()


@pytest.mark.parametrize("name", ["Frau Brückner, +49 30 123", "Erika.Musterfrau.4915112345678", "mustermann"])
def test_a_critical_name_that_nobody_has_written_down_is_not_quoted(name: str) -> None:
    """The reason is logged."""
    with pytest.raises(Unreadable) as caught:
        find(critical=[name])
    assert str(caught.value) == "a vCon that demands an extension (in `critical`) that is not known here"


@pytest.mark.parametrize(
    "sealed",
    [
        {"ciphertext": "x", "recipients": [], "iv": "x", "tag": "x", "protected": "x"},
        {"ciphertext": "x", "encrypted_key": "x", "parties": [], "vcon": "0.0.1", "subject": "clear"},
        {"payload": b64(json.dumps({"ciphertext": "x", "recipients": []})), "signatures": []},
    ],
)
def test_an_encrypted_vcon_is_refused_with_that_reason(sealed: Any) -> None:
    with pytest.raises(Unreadable, match="an encrypted vCon; aftercall has no key"):
        formats.find(sealed)


def test_what_does_not_fit_anything_says_what_it_lacks() -> None:
    with pytest.raises(Unreadable, match="nearly vcon, for it has vcon, dialog; but there is neither a text `vcon`"):
        formats.find({"vcon": {}, "dialog": "none"})


# ------------------------------------------------------------------------------------------------------------- hostile


def test_mail_in_mail_in_mail_is_no_trouble() -> None:
    nested = "Content-Type: message/rfc822\n\n" * 3000
    found = dialog(type="text", mediatype="message/rfc822", body=nested)
    assert [one.text for one in found.transcript] == [nested.strip()]


def test_many_parties_dialogs_and_lines_take_no_time_to_speak_of() -> None:
    """Quadratic ways through any of them would run into the test's time limit."""
    parties = [{"name": f"p{number}", "role": "agent"} for number in range(50_000)]
    said = "\n".join(f"p{number % 4_000}: ja" for number in range(50_000))
    dialogs = [{"type": "recording", "parties": [number]} for number in range(20_000)]
    found = read(parties=parties, dialog=dialogs, analysis=[{"type": "transcript", "body": said}])
    assert len(found.transcript) == 50_000
    assert [segment.speaker.value for segment in found.transcript[:3]] == ["caller", "callee", "other"]


def test_a_gzip_that_holds_too_much_costs_no_other_part() -> None:
    """See also test_formats_vcon_bounds."""
    bomb = b64(gzip.compress(b" " * 5_000_000 + b"x"))
    good = b64(gzip.compress(json.dumps([{"text": f"{n} Lizenzen"} for n in range(2000)]).encode()))
    bodies_of = {"summary": bomb, "transcript": good}
    analyses = [{"type": name, "encoding": "base64url", "body": body} for name, body in bodies_of.items()]
    call = formats.find({"vcon": "0.0.2", "analysis": analyses}).call
    assert (call.summary, len(call.transcript)) == (None, 2000)


def attached(bundle: Any, **around: Any) -> dict[str, Any]:
    item = {"purpose": "sipgate_webhook", "encoding": "json", "body": bundle}
    return {"vcon": "0.4.0", "uuid": "019f", "subject": "außen", "parties": [], "attachments": [item], **around}


def test_a_bundle_that_says_nothing_hides_nothing() -> None:
    found = formats.find(attached({"call": {}}))
    assert (found.call.call_id, found.call.headline) == ("019f", "außen")
    assert found.remarks == ()


def test_a_bundle_counts_where_the_vcon_around_it_says_something_else() -> None:
    dialog = {"type": "recording", "interaction_type": "inbound", "interaction_id": "a"}
    found = formats.find(attached({"call": {"id": "a", "direction": "OUT"}}, dialog=[dialog]))
    assert (found.call.direction, found.call.call_id) == (Direction.OUTBOUND, "a")
    assert found.remarks == ("the body of sipgate in it and the vCon itself differ in direction; sipgate's counts",)


@pytest.mark.parametrize(
    ("mediatype", "encoded", "said"),
    [
        ("text/plain; charset=iso-8859-1", "Rückruf".encode("latin-1"), "Rückruf"),
        ('text/plain; charset="windows-1252"', "10 €".encode("cp1252"), "10 €"),
        ("text/plain; charset=nonsense", "Rückruf".encode(), "Rückruf"),
        ("text/plain", b"R\xfcckruf", "R\ufffdckruf"),
        *(
            (f"text/plain; charset={odd}", b"a\\u0041-", "a\\u0041-")
            for odd in ("undefined", "punycode", "idna", "utf-7", "unicode_escape", "hex")
        ),
        ("application/octet-stream", b"R\xfcckruf" * 9, None),
    ],
)
def test_text_in_base64_has_the_charset_that_it_names(mediatype: str, encoded: bytes, said: str | None) -> None:
    item = {"type": "summary", "mediatype": mediatype, "encoding": "base64url"}
    item["body"] = base64.urlsafe_b64encode(encoded).decode()
    assert read(analysis=[item]).summary == said


def test_brackets_do_not_make_json_of_what_is_called_text() -> None:
    for text in ("[1, 2]", "[Rückruf] erbeten", '["a"]'):
        item = {"type": "summary", "mediatype": "text/plain", "encoding": "none", "body": text}
        assert read(analysis=[item]).summary == text


@pytest.mark.parametrize("odd", ["undefined", "punycode", "idna", "utf-7", "unicode_escape", "rot13", "\0"])
def test_no_mail_names_a_codec_that_texts_do_not_come_in(odd: str) -> None:
    mail = f"Content-Type: text/plain; charset={odd}\n\na\\u0041-"
    item = {"type": "summary", "mediatype": "message/rfc822", "encoding": "none", "body": mail}
    assert "a\\u0041-" in str(read(analysis=[item]).summary)


def test_times_of_an_attached_bundle_go_together() -> None:
    dialog = {"type": "recording", "start": "2026-03-10T09:15:04Z", "duration": 60}
    found = formats.find(attached({"call": {"id": "a", "startTime": "2026-03-10T08:15:04Z"}}, dialog=[dialog])).call
    assert (found.started_at, found.ended_at, found.duration) == (
        datetime(2026, 3, 10, 8, 15, 4, tzinfo=UTC),
        None,
        None,
    )


@pytest.mark.parametrize("dialog", [{"duration": 82}, {"end": "2026-03-10T08:16:26Z"}, {"duration": 82_666}])
def test_turns_of_a_transcript_are_measured_by_their_dialog(dialog: dict[str, Any]) -> None:
    start = {"type": "recording", "start": "2026-03-10T08:15:04Z", "parties": [0, 1]}
    turns = [
        {"parties": 0, "start": 0, "end": 30, "text": "J"},
        {"parties": 1, "start": 70, "end": 81, "text": "N"},
    ]
    item = {"type": "transcript", "dialog": 0, "body": turns}
    found = read(dialog=[start | dialog], analysis=[item]).transcript
    assert [(one.start, one.end) for one in found] == [(0.0, 30.0), (70.0, 81.0)]
