"""Taking in: what becomes of a body before the answer leaves."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
import structlog

from router import formats
from router.app import running
from router.config import load
from router.errors import StoreError
from router.facts import Facts
from router.inbox import NotUnderstood, Understood, understand
from router.routing import Route, RoutingTable
from router.store.values import Accepted, RoutedAs
from support import body, threads_of, until_awaited

HEAD = 'sources: {s: {}}\nserver: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\n'


class Broken:
    """A condition with a bug."""

    def holds(self, facts: Facts) -> bool:
        raise ZeroDivisionError

    def explain(self, facts: Facts) -> None:
        raise NotImplementedError


def configured(folder: Path, text: str) -> Path:
    file = folder / "routes.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    return file


def test_a_rule_that_fails_leaves_the_call_unrouted_and_kept() -> None:
    table = RoutingTable((Route("broken", Broken(), ("x",)),))  # type: ignore[arg-type] # it has no honest explain
    read = understand(body(), "s", None, table)
    assert isinstance(read, Understood)
    assert read.routed is None
    assert isinstance(read.failure, ZeroDivisionError)


def test_a_format_that_fails_sends_the_body_to_quarantine(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> NoReturn:
        raise KeyError("Frau Özdemir")

    broken = formats.Format("broken", "", lambda _: (), lambda _: None, fail)
    monkeypatch.setattr(formats, "FORMATS", {"broken": broken})
    read = understand(body(), "s", None, RoutingTable())
    assert isinstance(read, NotUnderstood)
    assert "KeyError" in read.reason
    assert "Özdemir" not in read.reason


async def test_an_unrouted_event_is_stored_as_such_and_the_bug_is_logged(tmp_path: Path) -> None:
    broken = RoutingTable((Route("broken", Broken(), ("x",)),), digest="d")  # type: ignore[arg-type]
    config = replace(load(configured(tmp_path, ""), {}), table=broken)
    with structlog.testing.capture_logs() as logs:
        async with running(config) as router:
            receipt = await router.inbox.accept("s", body())
            assert isinstance(receipt, Accepted)
            stored = await router.store.event(receipt.event_id)
            assert stored is not None
            assert (stored.routed, stored.rules) == (RoutedAs.UNROUTED, "d")
            assert (await router.store.summary()).unrouted == 1
    assert [entry["event"] for entry in logs if entry["log_level"] == "error"] == ["routing.failed"]


async def test_the_routes_that_fired_and_the_hash_of_the_rules_are_kept(tmp_path: Path) -> None:
    config = load(configured(tmp_path, "sinks: {a: {kind: console}}\nroutes: [{name: r, to: a}]\n"), {})
    async with running(config) as router:
        receipt = await router.inbox.accept("s", body())
        assert isinstance(receipt, Accepted)
        stored = await router.store.event(receipt.event_id)
        assert stored is not None
        assert (stored.routed, stored.routes, stored.rules) == (RoutedAs.ROUTED, ("r",), config.table.digest)


async def test_people_hear_of_a_call_once_and_machines_of_every_revision(tmp_path: Path) -> None:
    file = configured(
        tmp_path, "sinks: {people: {kind: console, revisions: ignore}, machine: {kind: file, root: a}}\n"
        "always: [people, machine]\n"
    )  # fmt: skip
    async with running(load(file, {})) as router:
        counts = []
        for summary in ("one", "two", "three"):
            receipt = await router.inbox.accept("s", body(summary=summary))
            assert isinstance(receipt, Accepted)
            counts.append((receipt.revision, receipt.deliveries))
        assert counts == [(1, 2), (2, 1), (3, 1)]

        async def settled() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 4

        await until_awaited(settled)
        assert router.lanes["people"].idle, "a slot that was reserved for nothing is free again"
        assert router.lanes["people"]._busy == 0


async def test_a_large_body_is_taken_like_any_other(tmp_path: Path) -> None:
    async with running(load(configured(tmp_path, ""), {})) as router:
        receipt = await router.inbox.accept("s", body(summary="x" * 1_000_000))
        assert isinstance(receipt, Accepted)


MANY = b'{"vcon":"0.4.0","dialog":[],"x":[' + b'{"a":{}},' * 100_000 + b"{}]}"


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(MANY),
        json.dumps({"payload": base64.b64encode(gzip.compress(MANY)).decode(), "signatures": []}).encode(),
        json.dumps(
            {
                "vcon": "0.4.0",
                "analysis": [
                    {"type": "summary", "encoding": "base64", "body": base64.b64encode(gzip.compress(MANY)).decode()}
                ],
            }
        ).encode(),
    ],
    ids=["around the body", "in a payload", "in an analysis"],
)
async def test_a_small_body_that_unpacks_to_much_holds_nobody_up(tmp_path: Path, packed: bytes) -> None:
    assert len(packed) < 10_000
    with threads_of(understand) as threads:
        async with running(load(configured(tmp_path, ""), {})) as router:
            assert isinstance(await router.inbox.accept("s", packed), Accepted)
    assert len(threads) == 1
    assert threading.main_thread().name not in threads


async def test_a_store_that_fails_gives_back_what_was_reserved(tmp_path: Path) -> None:
    file = configured(tmp_path, "sinks: {a: {kind: console}}\nalways: a\n")
    async with running(load(file, {})) as router:
        await router.store.close()
        with pytest.raises(StoreError):
            await router.inbox.accept("s", body())
        assert router.lanes["a"]._busy == 0
