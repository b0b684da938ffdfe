"""`serve --hold`: calls are taken in, nothing is sent, and every lane stays as it is."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from router.app import Router, running
from router.config import load
from router.delivery import LaneRow, LaneState
from router.testing import FakeEndpoint, ManualClock
from support import NOON, body, until, until_awaited

FILE = """
sources: {s: {}}
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
sinks: {open: {kind: file, root: open}, paused: {kind: file, root: paused}, down: {kind: file, root: down}}
always: [open, paused, down]
"""


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


def routing(
    folder: Path, clock: ManualClock, *, hold: bool = False, file: str = FILE
) -> AbstractAsyncContextManager[Router]:
    (folder / "routes.yaml").write_text(file, encoding="utf-8")
    return running(load(folder / "routes.yaml", {}), clock=clock, hold=hold)


async def asked(router: Router, path: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(f"http://{router.admin}{path}") as answer:
        assert answer.status == 200
        return await answer.json() if answer.content_type == "application/json" else await answer.text()


async def test_calls_are_taken_in_nothing_is_sent_and_lanes_stay_as_they_are(
    tmp_path: Path, clock: ManualClock
) -> None:
    down = LaneRow("down", LaneState.PROBING, NOON + timedelta(hours=1), 3, "connection refused", NOON)
    async with routing(tmp_path, clock, hold=True) as router:
        await router.store.set_lane(LaneRow("paused", LaneState.PAUSED, since=NOON), now=NOON)
        await router.store.set_lane(down, now=NOON)
    async with routing(tmp_path, clock, hold=True) as router:
        await router.inbox.accept("s", body())
        for _ in range(3):
            clock.advance(timedelta(hours=1))
            await until(lambda: all(lane.idle for lane in router.lanes.values()))
        assert (await router.store.summary()).deliveries["pending"] == 3
        lanes = {line["sink"]: line for line in (await asked(router, "/api/v1/lanes"))["items"]}
        assert {sink: line["state"] for sink, line in lanes.items()} == {
            "open": "open", "paused": "paused", "down": "probing",
        }  # fmt: skip
        assert lanes["open"]["reason"] == "the router sends nothing (serve --hold)"
        assert lanes["down"]["reason"] == "the router sends nothing (serve --hold); connection refused"
        answer = await asked(router, "/readyz")
        assert (answer["ready"], answer["trouble"], answer["holding"]) == (True, [], True)
        assert "\naftercall_holding 1.0\n" in await asked(router, "/metrics")
        assert (await router.store.lanes())["down"] == replace(down, version=1)


async def test_what_was_held_goes_out_at_the_next_start_without_it(tmp_path: Path, clock: ManualClock) -> None:
    async with routing(tmp_path, clock, hold=True) as router:
        await router.inbox.accept("s", body())
        await router.lanes["paused"].gate.pause()
        await router.lanes["paused"].gate.resume()
        await until(lambda: router.lanes["paused"].idle)
        assert not list((tmp_path / "paused").iterdir())
    async with routing(tmp_path, clock) as router:

        async def delivered() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 3

        await until_awaited(delivered)
        (line, *_) = (await router.store.deliveries()).items
        assert (line.attempt, line.lost) == (1, 0)


async def test_nobody_is_told_anything_until_the_next_start_without_it(tmp_path: Path, clock: ManualClock) -> None:
    """No alarm, and no heartbeat: what was restored may be looked at beside the router that still runs elsewhere."""
    async with FakeEndpoint() as it, FakeEndpoint() as watcher:
        local = "allow_networks: [127.0.0.0/8]"
        more = f"""
alarms: {{to: it, disk_free: 1 B, heartbeat_url: "{watcher.url()}", {local}}}
"""
        sinks = f'sinks: {{it: {{kind: webhook, url: "{it.url()}", {local}}}, '
        file = FILE.replace("sinks: {", sinks) + more
        async with routing(tmp_path, clock, hold=True, file=file) as router:
            await router.inbox.accept("s", b"{")
            for _ in range(3):
                clock.advance(timedelta(hours=1))
                await clock.settle()
                await router.alarms.look()
            listed = (await asked(router, "/api/v1/alarms"))["items"]
            assert [alarm["cause"] for alarm in listed] == ["quarantine"]
            assert 'aftercall_alarms{cause="quarantine"} 1.0' in await asked(router, "/metrics")
        assert (it.requests, watcher.requests) == ([], [])
        async with routing(tmp_path, clock, file=file) as router:
            await router.alarms.look()
            await it.received(1)
            await watcher.received(1)


async def test_the_log_says_at_the_start_that_nothing_is_sent(tmp_path: Path, clock: ManualClock) -> None:
    with structlog.testing.capture_logs() as logs:
        async with routing(tmp_path, clock, hold=True):
            pass
        async with routing(tmp_path, clock):
            pass
    assert [entry["log_level"] for entry in logs if entry["event"] == "router.holding"] == ["warning"]


def of_a_start(logs: list[structlog.typing.EventDict]) -> list[tuple[str, str, str | None]]:
    """What it says of what it made, and how loudly."""
    told = ("store.created", "token.made", "router.nothing_restored")
    return [(entry["event"], entry["log_level"], entry.get("source")) for entry in logs if entry["event"] in told]


async def test_an_empty_folder_does_not_pass_for_one_that_was_kept(tmp_path: Path, clock: ManualClock) -> None:
    made = [("store.created", "warning", None), ("token.made", "warning", "s")]
    with structlog.testing.capture_logs() as logs:
        async with routing(tmp_path, clock):
            pass
    assert of_a_start(logs) == made
    with structlog.testing.capture_logs() as logs:
        for hold in (False, True):
            async with routing(tmp_path, clock, hold=hold):
                pass
    assert of_a_start(logs) == []
    (tmp_path / "data").rename(tmp_path / "data.old")
    with structlog.testing.capture_logs() as logs:
        async with routing(tmp_path, clock, hold=True):
            pass
    assert of_a_start(logs) == [*made, ("router.nothing_restored", "error", None)]
    (tmp_path / "data" / "token-s").unlink()
    with structlog.testing.capture_logs() as logs:
        async with routing(tmp_path, clock, hold=True):
            pass
    assert of_a_start(logs) == [made[1]]
