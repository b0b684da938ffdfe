"""Bodies that other people wrote, whole and broken: never an exception, never a 5xx, the bytes kept, read alike twice."""

from __future__ import annotations

import asyncio
import copy
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router import formats
from router.app import running
from router.config import load
from router.event import CALL
from router.formats import body as bodies
from router.inbox import NotUnderstood, Understood, understand
from router.routing import RoutingTable
from support import CASES

FILES = sorted([*CASES.glob("vcons/*.json"), *CASES.glob("payloads/[0-9]*.json"), *CASES.glob("payloads/ci-v1/*.json")])
BODIES = [file.read_bytes() for file in FILES]
#: What nobody can read, with a word of the reason.
UNREADABLE = {
    "ietf-core03__ab_call_ext_rec_encrypted.json": "encrypted",
    "42-deep-nesting.json": "nested deeper",
    "50-reject-truncated.json": "not JSON",
    "58-reject-two-documents.json": "not JSON",
}
TOKEN = "0123456789abcdefghijklmn"

pytestmark = pytest.mark.skipif(not FILES, reason="the shared cases are not here")


def of(file: Path) -> str:
    return {"vcons": "vcon", "ci-v1": "sipgate-ci", "payloads": "sipgate"}[file.parent.name]


async def chunked(data: bytes) -> AsyncIterator[bytes]:
    for at in range(0, len(data), 1000):
        yield data[at : at + 1000]


@pytest.mark.parametrize("send", [bytes, chunked], ids=["plain", "chunked"])
async def test_everything_is_taken_in_and_kept_byte_for_byte(tmp_path: Path, send: Callable[[bytes], Any]) -> None:
    """One row for each, whatever it is; the same again is a duplicate."""
    file = tmp_path / "routes.yaml"
    file.write_text(
        f'sources: {{s: {{token: {TOKEN}}}}}\nserver: {{listen: "127.0.0.1:0"}}\nadmin: {{listen: "127.0.0.1:0"}}\n'
        "sinks: {archive: {kind: file, root: a}, page: {kind: file, root: b, format: markdown}}\n"
        "always: [archive, page]\n",
        encoding="utf-8",
    )
    async with running(load(file, {})) as router, aiohttp.ClientSession(f"http://{router.ingest}") as client:
        for path, body in zip(FILES, BODIES, strict=True):
            async with client.post(f"/in/s/{TOKEN}", data=send(body)) as answer:
                told = await answer.json()
                assert answer.status in (200, 202), path.name
            if path.name in UNREADABLE:
                assert UNREADABLE[path.name] in told["reason"]
                continue
            stored = await router.store.event(told["event"])
            assert stored is not None
            if path.name != "19-duplicate-reordered.json":
                assert stored.body == body
                assert stored.event.format == of(path)
            assert stored.event.raw == formats.find(bodies.value(stored.body)).raw
        before = await router.store.summary()
        for body in BODIES:
            async with client.post(f"/in/s/{TOKEN}", data=send(body)) as answer:
                assert answer.status in (200, 202)
        after = await router.store.summary()
        assert (after.events, after.quarantined) == (before.events, before.quarantined)
        assert after.duplicates == before.duplicates + len(BODIES)
        assert before.quarantined == len(UNREADABLE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_body_is_read_the_same_way_twice_and_survives_its_json(file: Path) -> None:
    first, again = (understand(file.read_bytes(), "s", None, RoutingTable()) for _ in range(2))
    assert first == again
    assert first.failure is None
    if isinstance(first, Understood):
        assert CALL.validate_json(CALL.dump_json(first.found.call)) == first.found.call
        json.dumps(first.found.raw, ensure_ascii=False).encode()
    else:
        assert UNREADABLE[file.name] in first.reason


# ---------------------------------------------------------------------------------------------------------- mutations

SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12)
    | st.sampled_from([2**63, -1, 1e300, "\ud800", "2026-02-30T25:00:00", "9999-12-31T23:59:59Z", "base64url", "json",
                       "audio/wav", "data:;base64,AAAA", "multipart/mixed; boundary=x", "text/plain; charset=nonsense",
                       "transcript", "H4sIAAAAAAAA", '{"text": "\\ud800"}', "[[[[", "Content-Type: text/plain\n\nx"])
)  # fmt: skip
KEYS = [
    "id", "text", "content", "body", "type", "purpose", "encoding", "mediatype", "mimetype", "start", "duration",
    "parties", "dialog", "analysis", "attachments", "transcript", "segments", "results", "alternatives", "speaker",
    "payload", "signatures", "protected", "header", "ciphertext", "critical", "amended", "uuid", "call", "assist", "vcon",
    "originator", "session_id", "meta", "words",
]  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
#: Those that are JSON, without the ones that would only be slow.
TREES = [json.loads(body) for file, body in zip(FILES, BODIES, strict=True) if file.name not in UNREADABLE]
TREES = [tree for tree in TREES if len(json.dumps(tree)) < 20_000]


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, below in inner for found in [(*path, key), *paths(below, (*path, key))]]


def drop(parent: Any, key: Any, _: Any) -> None:
    del parent[key]


def retype(parent: Any, key: Any, value: Any) -> None:
    parent[key] = value


def nest(parent: Any, key: Any, _: Any) -> None:
    parent[key] = {"content": {"body": [parent[key]]}}


def in_text(parent: Any, key: Any, _: Any) -> None:
    parent[key] = json.dumps(parent[key])


def double(parent: Any, key: Any, value: Any) -> None:
    if isinstance(parent, list):
        parent.insert(key, copy.deepcopy(parent[key]))
    else:
        parent[key] = [parent[key], copy.deepcopy(parent[key]), value]


def truncate(parent: Any, key: Any, _: Any) -> None:
    if isinstance(parent[key], str | list):
        parent[key] = parent[key][: len(parent[key]) // 2]


def add(parent: Any, _: Any, value: Any) -> None:
    if isinstance(parent, dict):
        parent |= value if isinstance(value, dict) else {}
    else:
        parent.append(value)


MUTATIONS: list[Callable[[Any, Any, Any], None]] = [drop, retype, nest, in_text, double, truncate, add]


@st.composite
def broken(draw: st.DrawFn) -> bytes:
    """A body with up to six parts of it changed."""
    tree = copy.deepcopy(draw(st.sampled_from(TREES)))
    for _ in range(draw(st.integers(1, 6))):
        if not (found := paths(tree)):
            break
        *above, key = draw(st.sampled_from(found))
        parent: Any = tree
        for step in above:
            parent = parent[step]
        draw(st.sampled_from(MUTATIONS))(parent, key, draw(VALUES))
    return json.dumps(tree).encode()


SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example]


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(broken())
def test_a_broken_body_is_read_or_refused_in_words_and_the_same_way_twice(body: bytes) -> None:
    hold(body)


@settings(max_examples=6, deadline=None, suppress_health_check=SLOW)
@given(st.lists(broken(), min_size=15, max_size=30))
def test_broken_bodies_are_kept_byte_for_byte_and_leave_through_every_format(sent: list[bytes]) -> None:
    with TemporaryDirectory() as folder:
        asyncio.run(through_a_router(Path(folder), sent))


async def through_a_router(folder: Path, sent: list[bytes]) -> None:
    """Post them; each is there as it came, and every delivery of it arrives."""
    file = folder / "routes.yaml"
    sinks = {form: {"kind": "file", "root": form, "format": form} for form in ("received", "event", "vcon", "markdown")}
    settings = {
        "sources": {"s": {"token": TOKEN}},
        "server": {"listen": "127.0.0.1:0"},
        "admin": {"listen": "127.0.0.1:0"},
        "sinks": sinks,
        "always": list(sinks),
    }
    file.write_text(json.dumps(settings), encoding="utf-8")
    async with running(load(file, {})) as router, aiohttp.ClientSession(f"http://{router.ingest}") as client:
        for body in sent:
            async with client.post(f"/in/s/{TOKEN}", data=body) as answer:
                assert answer.status in (200, 202), await answer.text()
                told = await answer.json()
            if told.get("duplicate"):
                continue
            if "event" in told:
                stored = await router.store.event(told["event"])
                assert stored is not None
                assert stored.body == body
            else:
                kept = await router.store.quarantined_body(told["quarantined"])
                assert kept is not None
                assert kept.body == body
        async with asyncio.timeout(60):
            while (sums := await router.store.summary()).deliveries["pending"] or sums.deliveries["claimed"]:
                await asyncio.sleep(0)
        assert sums.received == len(sent)
        assert sums.deliveries["delivered"] == len(sinks) * sums.events


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_body_that_is_cut_off_or_damaged_is_refused_in_words(data: st.DataObject) -> None:
    body = data.draw(st.sampled_from(BODIES))
    at = data.draw(st.integers(0, len(body)))
    hold(body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 40)) :])


def hold(body: bytes) -> None:
    """What holds of every body."""
    first = understand(body, "s", None, RoutingTable())
    assert first.failure is None, first.failure
    assert first == understand(body, "s", None, RoutingTable())
    if isinstance(first, NotUnderstood):
        assert first.reason
        return
    call = first.found.call
    assert CALL.validate_json(CALL.dump_json(call)) == call
    json.dumps(first.found.raw, ensure_ascii=False).encode()
    assert formats.raw(body) == first.found.raw
    assert call.duration is None or 0 <= call.duration <= 86_400
    for segment in call.transcript:
        assert segment.text.strip()
