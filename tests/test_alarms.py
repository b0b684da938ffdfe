"""Alarms of a whole router: what is wrong is found, told through sinks, and remembered."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from aiohttp import web

from router.alarm import Cause
from router.app import Router, running
from router.behalf import Behalf
from router.config import load
from router.delivery import DeliveryState
from router.errors import ConfigError, QuarantineFull, StoreError, StoreFull
from router.memory import MEMO, FileMemory
from router.show import alarm_rows
from router.stall import Look, Stall
from router.store.sqlite import open_store
from router.testing import Answer, FakeEndpoint, ManualClock, eventually
from support import NOON, body, until, until_awaited

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
FILE = """
sources: {{{sources}}}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
timezone: UTC
language: de
sinks:
  it: {{kind: webhook, url: "{it}", allow_networks: [127.0.0.0/8]}}
  ops: {{kind: webhook, url: "{ops}", allow_networks: [127.0.0.0/8]}}
  crm: {{kind: webhook, url: "{crm}", allow_networks: [127.0.0.0/8]}}
  {sinks}
always: crm
keep: {{quarantine_size: {limit}}}
{head}
alarms: {{to: [it, ops], disk_free: 1 B {more}}}
"""


class Bench:
    """A router with three far sides: two that are told alarms, and one that gets the calls."""

    def __init__(self, folder: Path, endpoints: dict[str, FakeEndpoint]) -> None:
        self.folder = folder
        self.it, self.ops, self.crm = endpoints["it"], endpoints["ops"], endpoints["crm"]
        self.clock = ManualClock(NOON)
        self.more = ""
        self.limit = "1 GiB"
        self.sinks = self.head = ""
        self.sources = "s: {}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Router]:
        file = self.folder / "routes.yaml"
        urls = {"it": self.it.url(), "ops": self.ops.url(), "crm": self.crm.url()}
        text = FILE.format(
            **urls, more=self.more, limit=self.limit, sinks=self.sinks, head=self.head, sources=self.sources
        )
        file.write_text(text, encoding="utf-8")
        async with running(load(file, os.environ), clock=self.clock) as router:
            yield router

    async def look(self, router: Router, after: timedelta = timedelta(0)) -> None:
        """So much later somebody looks; nothing is in flight while the time passes, nor after it."""
        await self.rest(router)
        self.clock.advance(after)
        await router.alarms.look()
        await self.rest(router)

    async def reload(self, router: Router, old: str, new: str) -> None:
        """The file has something else in this place; whether that is taken over or refused."""
        file = self.folder / "routes.yaml"
        file.write_text(re.sub(rf"(?<!\w){re.escape(old)}(?!\w)", lambda _: new, file.read_text()), encoding="utf-8")
        with suppress(ConfigError):
            await router.reload.reload()

    async def set_clock(self, router: Router, by: timedelta) -> None:
        """Somebody sets the wall clock, and that is seen."""
        await self.rest(router)
        self.clock.set(by)
        await router.housekeeping.look()

    async def rest(self, router: Router) -> None:
        alarms = router.alarms
        await eventually(
            lambda: (
                not (
                    alarms._looking.locked()
                    or alarms._telling._going
                    or any(lane._attempts for lane in router.lanes.values())
                )
            )
        )


def causes(router: Router) -> list[str]:
    """Of what is active."""
    return [alarm.cause.value for alarm in router.alarms.active]


def said(endpoint: FakeEndpoint) -> list[tuple[str, str, str]]:
    """What was told there: raised or cleared, cause, subject."""
    told = [json.loads(request.body) for request in endpoint.requests]
    return [
        (one["type"].removeprefix("alarm."), one["data"]["cause"], one["data"]["subject"])
        for one in told
        if "type" in one
    ]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with FakeEndpoint() as it, FakeEndpoint() as ops, FakeEndpoint() as crm:
        yield Bench(tmp_path, {"it": it, "ops": ops, "crm": crm})
        (tmp_path / "deaf").unlink(missing_ok=True)  # also where a test has failed: nobody could end it


async def dead_letter(router: Router) -> str:
    """The id of a delivery that the CRM refuses."""
    await router.inbox.accept("s", body())

    async def died() -> bool:
        return (await router.store.summary()).deliveries["dead"] == 1

    await until_awaited(died)
    (line,) = (await router.store.deliveries(state=DeliveryState.DEAD)).items
    return line.id


async def test_a_dead_letter_is_told_once_everywhere_and_again_when_there_is_none(bench: Bench) -> None:
    bench.crm.answer(Answer(status=400), Answer())
    async with bench.running() as router:
        dead = await dead_letter(router)
        for _ in range(3):
            await bench.look(router)
        await bench.it.received()
        await bench.ops.received()
        await router.store.replay(dead, now=bench.clock.now())
        router.lanes["crm"].wake()
        await bench.crm.received(2)
        await bench.look(router, HOUR)
        await bench.it.received(2)
        await bench.ops.received(2)
        assert causes(router) == []
    assert said(bench.it) == said(bench.ops) == [("raised", "dead", "crm"), ("cleared", "dead", "crm")]
    told = b"".join(request.body for request in bench.it.requests)
    for word in (b"Frage", b"Rechnung", b"4915", b"call-1"):
        assert word not in told


async def test_a_restart_tells_nothing_twice_and_what_is_over_by_then(bench: Bench) -> None:
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router)
        await bench.it.received(2)
        await bench.ops.received(2)
    async with bench.running() as router:
        await bench.look(router, HOUR)
        await bench.it.received(3)
        await bench.ops.received(3)
        assert causes(router) == ["quarantine"]
        assert router.alarms.active[0].since == NOON
    *raised, cleared = said(bench.it)
    assert sorted(raised) == [("raised", "quarantine", ""), ("raised", "reload", "routes.yaml")]
    assert cleared == ("cleared", "reload", "routes.yaml")


async def test_a_router_that_stops_before_it_has_looked_forgets_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)

    async def never(_: object) -> None:
        await asyncio.Event().wait()

    with monkeypatch.context() as slow:
        slow.setattr(FileMemory, "recall", never)
        async with bench.running():
            pass
    async with bench.running() as router:
        await bench.look(router, HOUR)
    assert said(bench.it) == [("raised", "quarantine", "")]


async def test_what_nobody_has_heard_is_told_after_a_restart(bench: Bench) -> None:
    async with bench.running() as router:
        await bench.it.stop()
        await bench.ops.stop()
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        with structlog.testing.capture_logs() as logs:
            await bench.look(router)
            await eventually(lambda: [one["event"] for one in logs].count("alarm.delayed") == 2)
    await bench.it.start()
    async with bench.running() as router:
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router, MINUTE)
        await bench.it.received()
    assert said(bench.it) == [("raised", "reload", "routes.yaml")]


@pytest.mark.case("RTY-07")
async def test_rty_07_an_alarm_sink_that_is_down_is_tried_again_and_raises_no_alarm(bench: Bench) -> None:
    bench.it.answer(Answer(status=500))
    async with bench.running() as router:
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router)
        await bench.ops.received()
        await bench.it.received()
        for tries in range(2, 6):
            await bench.look(router, HOUR)
            await bench.it.received(tries)
        assert causes(router) == ["reload"]
        bench.it.answer(Answer())
        await bench.look(router, HOUR)
        await bench.it.received(6)
        await bench.look(router, HOUR)
        assert len({request.headers["webhook-id"] for request in bench.it.requests}) == 1
        assert (await router.store.summary()).deliveries["created"] == 0
    assert len(bench.it.requests) == 6
    assert said(bench.ops) == [("raised", "reload", "routes.yaml")]


async def test_an_alarm_that_a_sink_does_not_take_is_given_up_after_a_day_and_told_again_every_hour(
    bench: Bench,
) -> None:
    bench.it.answer(Answer(status=500))
    async with bench.running() as router:
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router)
        await bench.it.received()
        with structlog.testing.capture_logs() as logs:
            await bench.look(router, timedelta(days=1))
            assert "alarm.lost" in [one["event"] for one in logs]
        tried = len(bench.it.requests)
        await bench.look(router, HOUR - MINUTE)
        assert len(bench.it.requests) == tried
        bench.it.answer(Answer())
        await bench.look(router, MINUTE)
        await bench.look(router, 2 * HOUR)
    assert len(bench.it.requests) == tried + 1
    assert said(bench.ops) == [("raised", "reload", "routes.yaml")]


async def test_a_sink_that_refused_an_alarm_is_told_once_it_is_mended(bench: Bench) -> None:
    bench.it.answer(Answer(status=400))
    async with FakeEndpoint() as mended, bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)
        await bench.look(router, HOUR - MINUTE)
        assert len(bench.it.requests) == 1
        await bench.reload(router, bench.it.url(), mended.url())
        await bench.look(router)
        await bench.look(router, HOUR)
        assert said(mended) == [("raised", "quarantine", "")]
        assert len(said(bench.ops)) == 1


async def test_a_sink_that_has_another_name_now_is_told_what_stands(bench: Bench) -> None:
    bench.it.answer(Answer(status=503))
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)
        bench.it.answer(Answer())
        await bench.reload(router, "it", "mail")
        await bench.look(router)
        assert [kind for kind, _, _ in said(bench.it)] == ["raised"] * 2
        assert len(said(bench.ops)) == 1


async def test_who_is_named_later_is_told_what_stands_by_then_and_when_it_is_well(bench: Bench) -> None:
    async with bench.running() as router:
        await bench.reload(router, "to: [it, ops]", "to: []")
        await router.inbox.accept("s", b"{")
        router.alarms.note(Cause.DOWN, "mail")
        await bench.look(router)
        router.alarms.well(Cause.DOWN, "mail")
        await bench.look(router, HOUR)
        await bench.reload(router, "to: []", "to: [it]")
        await bench.look(router)
        await bench.reload(router, "to: [it]", "to: [it, ops]")
        await bench.look(router)
        for _ in range(3):
            await bench.look(router, HOUR)
        (line,) = (await router.store.quarantined()).items
        await router.store.end_quarantined(line.id, reason="a scanner")
        await bench.look(router, HOUR)
    assert said(bench.it) == said(bench.ops) == [("raised", "quarantine", ""), ("cleared", "quarantine", "")]


DEAF = """
import asyncio
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import ClassVar, Literal
from router import SinkConfig, hookimpl

class DeafConfig(SinkConfig):
    "Hears nothing while there is a file `deaf`."
    kind: Literal["deaf"]
    folder: str
    carries_alarms: ClassVar[bool] = True

    @asynccontextmanager
    async def open(self, context):
        yield Deaf(Path(self.folder))

class Deaf:
    def __init__(self, folder):
        self.folder = folder

    async def deliver(self, delivery):
        pass

    async def alarm(self, alarm):
        with (self.folder / "asked").open("a") as asked:
            asked.write(alarm.cause + " ")
        while (self.folder / "deaf").exists():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

@hookimpl
def register_sinks():
    return [DeafConfig]
"""


@pytest.mark.case("PLG-01")
async def test_plg_01_an_alarm_that_never_ends_is_an_alarm_also_when_its_sink_is_gone_and_silences_no_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.lanes.LAST_WORD", 0.01)
    monkeypatch.setattr("router.lanes.CLAIM_MARGIN", timedelta(0))
    (bench.folder / "deaf.py").write_text(DEAF, encoding="utf-8")
    (deaf := bench.folder / "deaf").touch()
    bench.sinks = f"bell: {{kind: deaf, folder: {bench.folder}, timeout: 10ms}}"
    bench.head = "plugins: [deaf.py]"
    async with bench.running() as router:
        await bench.reload(router, "to: [it, ops]", "to: [ops, bell]")
        router.alarms.note(Cause.RELOAD, "x")
        await bench.look(router)
        await until(lambda: router.ways.overdue(asyncio.get_running_loop().time()) == {"bell": 1})
        await bench.look(router)
        assert ("hangs", "bell") in [(one.cause, one.subject) for one in router.alarms.active]
        webhook = f"kind: webhook, url: '{bench.it.url()}', allow_networks: [127.0.0.0/8]"
        await bench.reload(router, f"kind: deaf, folder: {bench.folder}, timeout: 10ms", webhook)
        await bench.look(router)
        assert ("raised", "hangs", "bell") in said(bench.it), "what has its name now is told"
        await bench.reload(router, "bell", "mail")
        await bench.look(router)
        assert ("hangs", "bell") in [(one.cause, one.subject) for one in router.alarms.active], "it is gone, and hangs"
        deaf.unlink()
        await until(lambda: not router.ways.overdue(asyncio.get_running_loop().time()))
        await bench.look(router, HOUR)
        assert "hangs" not in causes(router)
    assert (bench.folder / "asked").read_text().split() == ["reload"]


async def test_a_sink_that_never_heard_that_it_is_wrong_is_not_told_that_it_is_well(bench: Bench) -> None:
    bench.it.answer(Answer(status=500), Answer())
    async with bench.running() as router:
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router)
        await bench.it.received()
        router.alarms.well(Cause.RELOAD, "routes.yaml")
        await bench.look(router, HOUR)
        await bench.ops.received(2)
        await bench.look(router, HOUR)
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router, HOUR)
        await bench.it.received(2)
        await bench.ops.received(3)
    assert [kind for kind, _, _ in said(bench.it)] == ["raised", "raised"]
    assert [kind for kind, _, _ in said(bench.ops)] == ["raised", "cleared", "raised"]


async def test_a_second_refusal_is_not_kept_back_for_long(bench: Bench) -> None:
    async with bench.running() as router:
        for _ in range(2):
            router.alarms.note(Cause.RELOAD, "routes.yaml")
            await bench.look(router, 2 * MINUTE)
            router.alarms.well(Cause.RELOAD, "routes.yaml")
            await bench.look(router, 2 * MINUTE)
        await bench.it.received(4)
    assert [kind for kind, _, _ in said(bench.it)] == ["raised", "cleared", "raised", "cleared"]


async def test_a_lane_that_is_down_and_what_waits_for_it(bench: Bench) -> None:
    async with bench.running() as router:
        await bench.crm.stop()  # not before: the router could get its port
        await router.inbox.accept("s", body())
        await eventually(lambda: router.lanes["crm"].row.state == "probing")
        await bench.look(router, 14 * MINUTE)
        assert causes(router) == []
        await bench.look(router, 2 * MINUTE)
        assert causes(router) == ["down"]
        assert router.alarms.active[0].subject == "crm"
        await bench.look(router, 15 * MINUTE)
        assert causes(router) == ["down", "oldest"]
        await bench.crm.start()
        await bench.clock.elapse(2 * MINUTE)
        await bench.crm.received()
        await eventually(lambda: router.lanes["crm"].row.state == "open")
        await bench.look(router, HOUR)
        await bench.it.received(4)
    assert {kind for kind, _, _ in said(bench.it)} == {"raised", "cleared"}


async def test_a_source_and_a_channel_that_fall_silent(bench: Bench) -> None:
    bench.more = ", silent_after: {s: 2h, Support: 4h}"
    async with bench.running() as router:
        await router.inbox.accept("s", body("a"))
        await bench.look(router, HOUR)
        await router.inbox.accept("s", body("b", channel={"id": "c2", "name": "Sales"}))
        await bench.look(router, timedelta(hours=2) - MINUTE)
        assert causes(router) == []
        await bench.look(router, MINUTE)
        assert [alarm.subject for alarm in router.alarms.active] == ["s"]
        await bench.look(router, HOUR)
        assert [(alarm.subject, alarm.since) for alarm in router.alarms.active] == [
            ("Support", NOON),
            ("s", NOON + HOUR),
        ]
        await bench.look(router, timedelta(hours=14))
        await router.inbox.accept("s", b"{ not readable")
        await router.inbox.accept("s", body("c", channel={"id": "c1", "name": "support "}))
        await bench.look(router)
        assert causes(router) == ["quarantine"]


def ends(endpoint: FakeEndpoint) -> list[tuple[str, str, bool, int]]:
    """What was told there to be over: cause, subject, whether nobody looks any more, and how many there were."""
    told = [json.loads(request.body).get("data", {}) for request in endpoint.requests]
    return [(one["cause"], one["subject"], one["unwatched"], one["count"]) for one in told if one.get("cleared")]


async def test_a_source_that_never_called_is_silent_over_restarts_and_until_it_calls(bench: Bench) -> None:
    bench.sources, bench.more = "s: {}, other: {}", ", silent_after: {other: 30m}"
    for _ in range(4):  # more often than silent_after
        async with bench.running() as router:
            await bench.look(router)
            await bench.look(router, 8 * MINUTE)
    assert said(bench.it) == [("raised", "silent", "other")]
    async with bench.running() as router:
        await bench.look(router, 11 * MINUTE)
        await bench.look(router, 11 * MINUTE)
        assert [(one.cause, one.subject, one.since) for one in router.alarms.active] == [("silent", "other", NOON)]
        assert said(bench.it) == [("raised", "silent", "other")], "nothing came"
        await router.inbox.accept("other", body())
        await bench.look(router, MINUTE)
        assert causes(router) == []
    assert ends(bench.it) == [("silent", "other", False, 1)]


async def test_silence_that_is_looked_at_no_more_or_later_has_not_ended(bench: Bench) -> None:
    bench.sources, bench.more = "s: {}, other: {}", ", silent_after: {s: 30m, other: 30m}"
    async with bench.running() as router:
        await router.inbox.accept("s", body())
        await bench.look(router)
        await bench.look(router, 31 * MINUTE)
        assert causes(router) == ["silent", "silent"]
        await bench.reload(router, "s: 30m, other: 30m", "s: 60m")
        await bench.look(router, 11 * MINUTE)
        assert [(one.cause, one.subject) for one in router.alarms.active] == [("silent", "s")]
    assert ends(bench.it) == [("silent", "other", True, 1)]
    bench.more = ", silent_after: {s: 60m}"
    async with bench.running() as router:
        await bench.look(router, MINUTE)
        assert causes(router) == ["silent"]


async def test_a_channel_is_watched_once_a_call_has_come_and_a_misspelled_one_never(bench: Bench) -> None:
    bench.more = ", silent_after: {Support: 1m, Nix: 1m}"
    async with bench.running() as router:
        await bench.look(router)
        await bench.look(router, HOUR)
        assert causes(router) == []
        await router.inbox.accept("s", body(channel={"id": "c1", "name": "support "}))
        await bench.look(router, MINUTE)
        assert [alarm.subject for alarm in router.alarms.active] == ["Support"]


async def test_a_lane_that_was_resumed_is_down_until_something_was_delivered(bench: Bench) -> None:
    bench.crm.answer(Answer(status=410), Answer())
    async with bench.running() as router:
        await router.inbox.accept("s", body("a"))
        await until(lambda: router.lanes["crm"].row.state == "disabled")
        await bench.look(router)
        await router.lanes["crm"].gate.resume()
        await bench.look(router, 11 * MINUTE)
        assert ("down", "crm") in [(one.cause, one.subject) for one in router.alarms.active]
    async with bench.running() as router:
        await bench.look(router, 11 * MINUTE)
        assert "down" in causes(router), "also after a restart"
        assert "down" not in [cause for cause, *_ in ends(bench.it)]
        await router.inbox.accept("s", body("b"))
        await bench.crm.received(2)
        await bench.look(router)
        assert "down" not in causes(router)
    assert ("down", "crm", False, 1) in ends(bench.it)


async def test_a_sink_that_was_renamed_while_it_was_down_does_not_take_calls_again(bench: Bench) -> None:
    async with bench.running() as router:
        await bench.crm.stop()
        for call in ("a", "b", "c"):
            await router.inbox.accept("s", body(call))
        await until(lambda: router.lanes["crm"].row.state == "probing")
        await bench.look(router, 16 * MINUTE)
        await bench.reload(router, "crm", "crm2")
        await bench.look(router, MINUTE * 11)
        assert causes(router) == []
    assert ends(bench.it) == [("down", "crm", True, 3)]


@contextmanager
def store_fails(router: Router, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing can be stored until the end of the block."""

    async def fail() -> None:
        raise StoreError

    with monkeypatch.context() as failing:
        failing.setattr(router.store, "check", fail)
        yield


async def test_a_store_that_fails_leaves_it_open_what_waits_for_a_sink_that_is_gone(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:
        await bench.crm.stop()
        await router.inbox.accept("s", body())
        await until(lambda: router.lanes["crm"].row.state == "probing")
        await bench.look(router, 16 * MINUTE)
        await bench.reload(router, "crm", "crm2")
        with store_fails(router, monkeypatch):
            await bench.look(router, 11 * MINUTE)
            assert "down" in causes(router)
        await bench.look(router)
    assert ("down", "crm", True, 1) in ends(bench.it)


async def test_a_store_that_fails_is_an_alarm_after_a_minute_and_all_else_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)
        with store_fails(router, monkeypatch):
            await bench.look(router)
            assert causes(router) == ["quarantine"]
            await bench.look(router, MINUTE)
            assert causes(router) == ["store", "quarantine"]
        await bench.look(router)
        assert causes(router) == ["quarantine"]


@pytest.mark.case("RTY-03")
async def test_rty_03_a_clock_that_is_set_back_silences_neither_what_fails_nor_what_is_down_or_waits(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:
        await bench.crm.stop()
        await router.inbox.accept("s", body())
        await until(lambda: router.lanes["crm"].row.state == "probing")
        await bench.set_clock(router, -12 * HOUR)
        await bench.look(router)
        assert causes(router) == []
        await bench.look(router, 16 * MINUTE)
        assert causes(router) == ["down"]
        for _ in range(14):
            await bench.look(router, HOUR)
            assert causes(router) == ["down", "oldest"], "also when the time comes that it was before"
        with store_fails(router, monkeypatch):
            await bench.look(router)
            bench.clock.advance(-timedelta(days=1))
            await bench.look(router)
            await bench.look(router, MINUTE)
            assert causes(router)[0] == "store"


@pytest.mark.case("RTY-03")
async def test_rty_03_a_clock_that_is_set_forward_makes_nothing_late(bench: Bench) -> None:
    bench.more = ", silent_after: {s: 5h}"
    async with bench.running() as router:
        await bench.crm.stop()
        await router.inbox.accept("s", body())
        await until(lambda: router.lanes["crm"].row.state == "probing")
        await bench.set_clock(router, timedelta(days=1))
        await bench.look(router, 14 * MINUTE)
        assert causes(router) == []
        await bench.look(router, 2 * MINUTE)
        assert causes(router) == ["down"]
        await bench.look(router, 15 * MINUTE)
        assert causes(router) == ["down", "oldest"]
        await bench.look(router, 5 * HOUR)
        assert causes(router) == ["down", "oldest", "silent"]


async def test_a_disk_that_is_too_full_for_calls_is_seen_although_nothing_can_be_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:
        await bench.look(router)
        assert causes(router) == []
        with monkeypatch.context() as full:
            full.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=2000, f_frsize=4096, f_blocks=9999))
            with pytest.raises(StoreFull, match=r"no call is taken into the last 32 MiB \(keep.reserve\)"):
                await router.inbox.accept("s", body())
            await bench.look(router)
            assert causes(router) == ["disk"]
            await bench.look(router, MINUTE)
            assert causes(router) == ["store", "disk"]

        async def taken() -> bool:
            with suppress(StoreFull):  # it may share a commit that was begun before
                await router.inbox.accept("s", body())
                return True
            return False

        await until_awaited(taken)
        await bench.look(router)
        assert causes(router) == []


async def test_a_quarantine_that_is_full_is_an_alarm_of_its_own_and_names_the_source(bench: Bench) -> None:
    bench.limit = "20 KiB"
    async with bench.running() as router:
        await router.inbox.accept("s", b"{")
        await bench.look(router)
        assert causes(router) == ["quarantine"]
        with pytest.raises(QuarantineFull):  # noqa: PT012 - some fit
            for number in range(20):
                await router.inbox.accept("s", b"{%d" % number)
        await bench.look(router)
        assert causes(router) == ["quarantine_full", "quarantine"]
        assert ("raised", "quarantine_full", "s") in said(bench.it)


async def test_a_loop_that_was_blocked_is_told_until_ten_minutes_later(bench: Bench) -> None:
    by_crm = Look(None, Behalf("crm", "webhook"), "crm.py:7:deliver", None)
    async with bench.running() as router:
        router.alarms.lagged(Stall(4.9, by_crm))
        await bench.look(router)
        assert causes(router) == []
        for stall in (Stall(5.0), Stall(6.0, by_crm), Stall(7.0, by_crm)):
            router.alarms.lagged(stall)
            await bench.clock.elapse(MINUTE)
        await bench.look(router)
        assert [(one.cause, one.subject, one.count) for one in router.alarms.active] == [
            (Cause.BLOCKED, "", 1),
            (Cause.BLOCKED, "crm", 2),
        ]
        await bench.look(router, timedelta(minutes=11))
        assert causes(router) == []


async def test_a_damaged_file_or_memo_is_forgotten(bench: Bench) -> None:
    (bench.folder / "data").mkdir(mode=0o700)
    kept = bench.folder / "data" / "alarms.json"
    kept.write_text("{")
    async with open_store(bench.folder / "data" / "aftercall.db", parse=json.loads) as store:
        await store.keep_memo(MEMO, b"[]")
    with structlog.testing.capture_logs() as logs:
        async with bench.running() as router:
            await router.inbox.accept("s", b'{"note": "geheim"')
            router.alarms.note(Cause.RELOAD, "routes.yaml")
            await bench.look(router)
            await bench.it.received(2)
            memo = (await router.store.memo(MEMO) or b"").decode()
    assert [one["event"] for one in logs].count("alarms.forgotten") == 2
    assert kept.stat().st_mode & 0o777 == 0o600
    for content, cause in ((kept.read_text(), "reload"), (memo, "quarantine")):
        (standing,) = json.loads(content)["standing"]
        assert standing["told"]["cause"] == cause
        assert "geheim" not in content


async def test_the_admin_listener_and_the_figures_have_what_is_active(bench: Bench) -> None:
    import aiohttp

    async with bench.running() as router, aiohttp.ClientSession() as client:
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await bench.look(router)
        async with client.get(f"http://{router.admin}/api/v1/alarms") as answer:
            listed: dict[str, Any] = await answer.json()
        async with client.get(f"http://{router.admin}/metrics") as answer:
            figures = await answer.text()
    alarm = {"cause": "reload", "subject": "routes.yaml", "since": "2026-03-10T12:00:00Z", "count": 1}
    alarm |= {"cleared": None, "unwatched": False, "router": socket.gethostname()}
    assert listed == {"items": [alarm], "next": None}
    assert 'aftercall_alarms{cause="reload"} 1.0' in figures
    assert 'aftercall_alarms{cause="dead"} 0.0' in figures


def test_status_lists_them() -> None:
    shown = alarm_rows(
        [{"cause": "dead", "subject": "crm", "since": "2026-03-10T12:00:00Z", "count": 3, "router": "ber-1"}]
    )
    since = f"{datetime(2026, 3, 10, 12, tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S}"
    assert shown.split() == ["ALARM", "ABOUT", "SINCE", "COUNT", "ROUTER", "dead", "crm", *since.split(), "3", "ber-1"]


async def test_a_refused_reload_is_told_and_that_the_next_one_was_not(bench: Bench) -> None:
    async with bench.running() as router:
        file = bench.folder / "routes.yaml"
        good = file.read_text(encoding="utf-8")
        file.write_text("nonsense: x\n", encoding="utf-8")
        with pytest.raises(ConfigError):
            await router.reload.reload()
        await bench.look(router)
        assert [(alarm.cause, alarm.subject) for alarm in router.alarms.active] == [(Cause.RELOAD, "routes.yaml")]
        file.write_text(good.replace("to: [it, ops]", "to: it"), encoding="utf-8")
        await router.reload.reload()
        await bench.look(router, HOUR)
        await bench.it.received(2)
    assert [kind for kind, _, _ in said(bench.it)] == ["raised", "cleared"]
    assert [kind for kind, _, _ in said(bench.ops)] == ["raised"]


async def test_what_is_over_while_it_is_told_is_told_to_be_over(bench: Bench) -> None:
    gate = asyncio.Event()

    async def slowly(_: object) -> web.StreamResponse:
        await gate.wait()
        return web.Response()

    bench.it.answer(slowly, Answer())
    async with bench.running() as router:
        router.alarms.note(Cause.RELOAD, "routes.yaml")
        await router.alarms.look()
        await bench.it.received()
        router.alarms.well(Cause.RELOAD, "routes.yaml")
        bench.clock.advance(HOUR)
        await router.alarms.look()
        gate.set()
        await bench.rest(router)
        await bench.look(router)
        await bench.it.received(2)
    assert [kind for kind, _, _ in said(bench.it)] == ["raised", "cleared"]
