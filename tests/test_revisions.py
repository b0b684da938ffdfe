"""One call in several formats: the identity of the contract, whatever a call comes as."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from router.app import Router, running
from router.config import load
from router.store.values import Accepted, Duplicate
from support import CASES, until_awaited

PLAIN: dict[str, Any] = {
    "call": {"id": "call_1", "caller": "+4915228817386", "callee": "+493023125014"},
    "summary": "a",
}
CI: dict[str, Any] = {"version": "1", "call": {"id": "call_1", "from": "4915228817386"}, "assist": {"summary": "a"}}
VCON: dict[str, Any] = {
    "vcon": "0.4.0",
    "uuid": "019f15a6-a752-826f-b9a2-279e0d16bc46",
    "parties": [],
    "dialog": [{"type": "recording", "interaction_id": "call_1"}],
}


@pytest.fixture
async def router(tmp_path: Path) -> AsyncIterator[Router]:
    file = tmp_path / "routes.yaml"
    file.write_text(
        'sources: {s: {}, other: {}}\nserver: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\n'
        "sinks: {archive: {kind: file, root: archive, path: '{{ event.call_id }}.json'}}\nalways: archive\n",
        encoding="utf-8",
    )
    async with running(load(file, {})) as made:
        yield made


async def accept(router: Router, body: Any, source: str = "s") -> tuple[str, int | None]:
    receipt = await router.inbox.accept(source, body if isinstance(body, bytes) else json.dumps(body).encode())
    match receipt:
        case Accepted():
            return "accepted", receipt.revision
        case Duplicate():
            return "duplicate", None
        case _:
            return "quarantined", None


async def test_a_call_that_comes_in_another_format_later_is_a_revision_and_no_twin(router: Router) -> None:
    assert [await accept(router, body) for body in (PLAIN, CI, VCON)] == [
        ("accepted", 1), ("accepted", 2), ("accepted", 3),
    ]  # fmt: skip
    assert [await accept(router, body) for body in (VCON, PLAIN, CI)] == [("duplicate", None)] * 3
    assert await accept(router, VCON, "other") == ("accepted", 1)


async def test_a_signed_copy_of_a_vcon_is_a_revision_of_it(router: Router) -> None:
    payload = base64.urlsafe_b64encode(json.dumps(VCON).encode()).decode()
    assert await accept(router, VCON) == ("accepted", 1)
    assert await accept(router, {"payload": payload, "signatures": []}) == ("accepted", 2)


async def test_a_vcon_that_amends_another_is_its_revision(router: Router) -> None:
    assert await accept(router, {"uuid": "first", "parties": []}) == ("accepted", 1)
    assert await accept(router, {"uuid": "second", "parties": [], "amended": {"uuid": "first"}}) == ("accepted", 2)


@pytest.mark.skipif(not CASES.is_dir(), reason="the shared cases are not here")
async def test_the_shared_duplicates_and_revisions_are_told_apart(router: Router) -> None:
    names = ("18-duplicate-first", "19-duplicate-reordered", "20-same-id-new-content", "18-duplicate-first")
    got = [await accept(router, (CASES / "payloads" / f"{name}.json").read_bytes()) for name in names]
    assert got == [("accepted", 1), ("duplicate", None), ("accepted", 2), ("duplicate", None)]


async def test_a_call_id_of_600_characters_is_kept_whole_and_still_has_a_file(router: Router, tmp_path: Path) -> None:
    long = "call-" + "ü" * 595
    receipt = await router.inbox.accept("s", json.dumps({"call": {"id": long}}).encode())
    assert isinstance(receipt, Accepted)
    stored = await router.store.event(receipt.event_id)
    assert stored is not None
    assert stored.event.call_id == long

    async def delivered() -> bool:
        return (await router.store.summary()).deliveries["delivered"] == 1

    await until_awaited(delivered)
    (file,) = (tmp_path / "archive").iterdir()
    assert len(file.name.encode()) <= 255
    assert await accept(router, {"call": {"id": long[:-1]}}) == ("accepted", 1), "another call"


async def test_what_was_odd_about_a_body_is_in_the_log_and_quotes_nothing(router: Router) -> None:
    with structlog.testing.capture_logs() as logs:
        await accept(router, CI | {"version": "2"})
        await accept(router, PLAIN)
    odd, plain = [entry for entry in logs if entry["event"] == "event.accepted"]
    assert (odd["format"], odd["remarks"]) == ("sipgate-ci", ["version 2 is not known; read as version 1"])
    assert plain["remarks"] is None


async def test_ten_megabytes_of_audio_are_kept_and_not_carried_along(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(
        'sources: {s: {}}\nserver: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\n', encoding="utf-8"
    )
    audio = base64.urlsafe_b64encode(bytes(10_000_000)).decode()
    recording = {"type": "recording", "mediatype": "audio/wav", "encoding": "base64url", "body": audio}
    body = json.dumps(VCON | {"dialog": [recording, *VCON["dialog"]]}).encode()
    async with running(load(file, {})) as router:
        receipt = await router.inbox.accept("s", body)
        assert isinstance(receipt, Accepted)
        stored = await router.store.event(receipt.event_id)
        assert stored is not None
        assert stored.body == body
        assert len(json.dumps(stored.event.raw)) < 1000
        assert stored.event.call_id == "call_1"
