"""The same call, again and again, as its sender sees it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from router.app import running
from router.config import load
from router.testing import ManualClock
from support import NOON, body, until_awaited

TOKEN = "0123456789abcdefghijklmn"
FILE = f"""
sources: {{s: {{token: {TOKEN}}}}}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
sinks: {{archive: {{kind: file, root: archive}}, screen: {{kind: file, root: screen}}}}
always: [archive, screen]
"""


@pytest.mark.case("DED-01")
async def test_ded_01_one_call_is_one_event_once_a_hundred_times_at_once_after_a_restart_and_after_seven_days(
    tmp_path: Path,
) -> None:
    file, clock = tmp_path / "routes.yaml", ManualClock(NOON)
    file.write_text(FILE, encoding="utf-8")
    answers: list[tuple[int, str]] = []

    async def resend(times: int) -> None:
        async with running(load(file, {}), clock=clock) as router, aiohttp.ClientSession() as client:

            async def post() -> None:
                async with client.post(f"http://{router.ingest}/in/s/{TOKEN}", data=body()) as answer:
                    answers.append((answer.status, (await answer.json())["event"]))

            await asyncio.gather(*(post() for _ in range(times)))

            async def delivered() -> bool:
                return (await router.store.summary()).deliveries["delivered"] == 2

            await until_awaited(delivered)
            summary = await router.store.summary()
            assert (summary.events, summary.duplicates) == (1, len(answers) - 1)
            assert summary.deliveries["created"] == 2
            assert {line.sink for line in (await router.store.deliveries()).items} == {"archive", "screen"}

    await resend(1)
    await resend(100)
    clock.advance(timedelta(days=7))
    await resend(100)
    assert len(set(answers[1:])) == 1
    assert answers[0] == (202, answers[1][1])
    assert answers[1][0] == 200
