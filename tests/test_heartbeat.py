"""The heartbeat of a whole router."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import structlog

from router.app import running
from router.config import load
from router.heartbeat import Heartbeat
from router.testing import Answer, FakeEndpoint, ManualClock, eventually
from support import NOON

FILE = """
sources: {{s: {{}}}}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
alarms: {{heartbeat_url: "{url}", allow_networks: [127.0.0.0/8]}}
"""
MINUTE = timedelta(minutes=1)


async def test_it_beats_every_minute_while_calls_can_be_stored(tmp_path: Path) -> None:
    clock, file = ManualClock(NOON), tmp_path / "routes.yaml"
    async with FakeEndpoint() as watcher:
        file.write_text(FILE.format(url=watcher.url("/ping/s3cr3t")), encoding="utf-8")
        async with running(load(file, {}), clock=clock) as router:
            await watcher.received(1)
            for beats in (2, 3):
                await eventually(lambda: clock.next_at is not None)
                await clock.elapse(MINUTE)
                await watcher.received(beats)
            ready = False

            async def is_ready() -> bool:
                return ready

            heart = Heartbeat(router.ways, ready=is_ready, clock=clock, log=structlog.get_logger())
            await heart.beat()
            assert len(watcher.requests) == 3
            ready = True
            await heart.beat()
    assert [(one.method, one.path, one.body) for one in watcher.requests] == [("POST", "/ping/s3cr3t", b"")] * 4


async def test_what_fails_is_logged_where_it_is_news_and_without_the_secret(tmp_path: Path) -> None:
    clock, file = ManualClock(NOON), tmp_path / "routes.yaml"

    async def ready() -> bool:
        return True

    async with FakeEndpoint() as watcher:
        watcher.answer(Answer(status=500))
        file.write_text(FILE.format(url=watcher.url("/ping/s3cr3t")), encoding="utf-8")
        async with running(load(file, {}), clock=clock) as router:
            with structlog.testing.capture_logs() as logs:
                heart = Heartbeat(router.ways, ready=ready, clock=clock, log=structlog.get_logger())
                for _ in range(3):
                    await heart.beat()
                watcher.answer(Answer())
                await heart.beat()
                await heart.beat()
    mine = [one["event"] for one in logs if one["event"].startswith("heartbeat")]
    assert [event for event in mine if event == "heartbeat.resumed"] == ["heartbeat.resumed"]
    assert mine.count("heartbeat.failed") <= 2
    assert "s3cr3t" not in repr(logs)
