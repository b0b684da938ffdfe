"""`router.audio`: what is said aloud goes, everything else stays as it came."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.audio import strip_audio, without_audio
from support import CASES

AUDIO = {"type": "recording", "mediatype": "audio/x-wav", "encoding": "base64url", "body": "UklGRg" * 10}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def vcon(*dialog: Any, **more: Any) -> dict[str, Any]:
    return {"uuid": "u", "dialog": list(dialog), **more}


def written(document: Any, **how: Any) -> bytes:
    return json.dumps(document, **how).encode()


# --- what goes ---


def test_the_audio_goes_and_what_is_known_of_it_stays() -> None:
    call = {**AUDIO, "start": "2026-03-10T08:15:04Z", "duration": 312.5, "filename": "call.wav", "x": [1]}
    left = {key: value for key, value in call.items() if key not in ("body", "encoding")}
    assert json.loads(strip_audio(written(vcon(call, {"type": "text", "body": "Hallo"})))) == vcon(
        left, {"type": "text", "body": "Hallo"}
    )


@pytest.mark.parametrize(
    "item",
    [
        AUDIO,
        {**AUDIO, "mediatype": "AUDIO/ogg; codecs=opus"},
        {"type": "video", "mediatype": "video/mp4", "encoding": "base64url", "body": "AAAA"},
        {"type": "recording", "mimetype": "audio/mpeg", "encoding": "base64", "body": "AAAA"},
        {"type": "recording", "encoding": "base64", "body": "AAAA"},
        {"type": "recording", "mediatype": "application/octet-stream", "encoding": "base64url", "body": "AAAA"},
        {"mediatype": "audio/x-wav", "body": "AAAA"},
        {"body": "data:audio/x-wav;base64,UklGRg"},
        {"type": "recording", "body": "UklGRg_-" * 40},
    ],
)
def test_audio_is_known_by_its_media_type_or_as_the_base64_of_a_recording(item: dict[str, Any]) -> None:
    for place in ("dialog", "attachments", "analysis"):
        assert b"body" not in strip_audio(written({place: [item]}))
        assert b"body" not in strip_audio(written({place: item}))


def test_audio_goes_also_from_zipped_and_from_utf_16_bodies() -> None:
    body = written(vcon(AUDIO))
    assert gzip.decompress(strip_audio(gzip.compress(body))) == strip_audio(body)
    assert strip_audio(gzip.compress(body)) == strip_audio(gzip.compress(body, 1))
    assert strip_audio(body.decode().encode("utf-16")).decode("utf-16").encode() == strip_audio(body)


def test_the_same_values_are_written_anew() -> None:
    more = '"big":123456789012345678901234567890123,"rate":1.10,"huge":1e999,"text":"\\ud800 ü \\"","e":-0.0'
    body = f'{{"dialog":[{json.dumps(AUDIO)}],{more}}}'.encode()
    left = strip_audio(body).decode()
    for exact in ('"big":123456789012345678901234567890123', '"rate":1.10', '"huge":1e999', '"e":-0.0'):
        assert exact in left
    assert json.loads(left)["text"] == '\ud800 ü "'


def test_what_was_stripped_has_nothing_left_to_strip() -> None:
    once = strip_audio(written(vcon(AUDIO, AUDIO)))
    assert strip_audio(once) is once


# --- what stays ---


@pytest.mark.parametrize(
    "document",
    [
        vcon(
            {"type": "recording", "mediatype": "audio/x-wav", "url": "https://x.example/a", "content_hash": "sha512-x"}
        ),
        vcon({"type": "text", "mediatype": "text/plain", "encoding": "none", "body": "Hallo"}),
        vcon({"type": "recording", "mediatype": "text/plain", "encoding": "base64", "body": "SGFsbG8"}),
        vcon({"type": "recording", "mediatype": "application/json", "encoding": "base64url", "body": "e30"}),
        vcon({"type": "recording", "mediatype": "audio/x-wav", "body": ""}),
        vcon({"type": "recording", "body": "UklGRg"}, {"type": "recording", "body": "Hallo zusammen. " * 40}),
        vcon(attachments=[{"mediatype": "application/pdf", "encoding": "base64url", "body": "JVBERi0"}]),
        vcon(attachments=[{"purpose": "x", "encoding": "base64url", "body": "JVBERi0"}]),
        vcon(analysis=[{"type": "transcript", "encoding": "json", "body": {"mediatype": "audio/x-wav", "body": "x"}}]),
        {"payload": "e30", "signatures": [{"protected": "e30", "signature": "x"}]},
        vcon(AUDIO, payload="e30", signatures=[{"protected": "e30", "signature": "x"}]),
        {"ciphertext": "x", "recipients": []},
        {"call": {"id": "c"}, "summary": 'he said "dialog"'},
        {"dialog": None, "attachments": "audio", "analysis": [None, 1, ["x"], "y"]},
        ["dialog"],
    ],
)
def test_a_body_without_inline_audio_keeps_its_very_bytes(document: Any) -> None:
    for body in (written(document), written(document, indent=3), gzip.compress(written(document))):
        assert strip_audio(body) is body


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\x00", b"\xff\xfe", b'{"dialog": [', b'{"dialog": "\xff"}', b"\x1f\x8b", b"\x1f\x8bnot",
        gzip.compress(b'{"dialog": []}')[:-4], b'{"dialog":' + b"[" * 50_000,
    ],
)  # fmt: skip
def test_a_body_that_cannot_be_read_is_left_alone(body: bytes) -> None:
    assert strip_audio(body) is body


@given(JSON)
def test_any_json_is_taken(document: Any) -> None:
    assert without_audio(document) is document
    for place in ("dialog", "attachments", "analysis"):
        around = {"x": document, place: [document, AUDIO]}
        assert json.loads(strip_audio(written(around)))["x"] == document


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
def test_the_vcons_of_others_lose_their_audio_only() -> None:
    for file in sorted((CASES / "vcons").glob("*.json")):
        body = file.read_bytes()
        left = strip_audio(body)
        if left is not body:
            assert json.loads(left).keys() == json.loads(body).keys()
            assert len(left) < len(body)
