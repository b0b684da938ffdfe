"""A call that ends the process whenever it is attempted: it is given up, and nothing else is."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from process import Receiver, RouterProcess, Sender
from router.store.values import POISON_AFTER

INNOCENT = 6
POISON = "call-4"

PLUGIN = f'''
"""A sink that ends the process for one call, and writes down the others after a while."""
import asyncio, os
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from router import SinkConfig, hookimpl

class Fatal(SinkConfig):
    """Ends the process."""
    kind: Literal["fatal"]

    @asynccontextmanager
    async def open(self, context):
        yield Ending(context.folder)

class Ending:
    def __init__(self, folder):
        self.folder = folder

    async def deliver(self, delivery):
        if delivery.event.call_id == "{POISON}":
            os._exit(1)
        await asyncio.sleep(0.1)
        (self.folder / "written" / delivery.event.call_id).touch()

@hookimpl
def register_sinks():
    return [Fatal]
'''


@pytest.mark.timeout(300)
@pytest.mark.case("PLG-01", "PLG-06")
async def test_a_call_that_ends_the_process_is_poison_after_five_times_and_takes_nobody_with_it(tmp_path: Path) -> None:
    """All are claimed at once, in the lane of the bad sink and in another; each attempt is written down before it."""
    (tmp_path / "fatal.py").write_text(PLUGIN, encoding="utf-8")
    (tmp_path / "written").mkdir()
    router = RouterProcess(tmp_path)
    async with Receiver().listening() as other, aiohttp.ClientSession() as client:
        router.configure(
            f"plugins: [fatal.py]\nsinks: {{bad: {{kind: fatal}}, good: {other.sink}}}\nalways: [bad, good]\n"
        )
        await router.start()
        admin = f"http://127.0.0.1:{router.admin}/api/v1/lanes"
        for sink in ("bad", "good"):
            await client.post(f"{admin}/{sink}/pause")
        sender = Sender(router.url)
        for _ in range(INNOCENT + 1):
            await sender.post(client)
        await asyncio.gather(*(_resumed(client, f"{admin}/{sink}") for sink in ("good", "bad")))
        assert router.process is not None
        ends = 1
        assert await router.process.wait() == 1
        while not await _lives(router):
            ends += 1
        deliveries = (await router.asked("deliveries?limit=100"))["items"]
        events = {event["id"]: event["call_id"] for event in (await router.asked("events"))["items"]}
        assert await router.stop() == 0
    assert ends == POISON_AFTER
    dead = [
        (line["sink"], events[line["event_id"]], line["lost"]) for line in deliveries if line["state"] != "delivered"
    ]
    assert dead == [("bad", POISON, POISON_AFTER)]
    everybody = sender.promised
    assert len(everybody) == INNOCENT + 1
    assert other.calls.keys() == everybody
    assert {path.name for path in (tmp_path / "written").iterdir()} == everybody - {POISON}


async def _resumed(client: aiohttp.ClientSession, lane: str) -> None:
    with suppress(aiohttp.ClientError):  # it may be the end of the router
        await client.post(f"{lane}/resume")


async def _lives(router: RouterProcess) -> bool:
    """Started once more: until nothing is owed, or the process ended."""
    process = await router.launch()
    ended = asyncio.create_task(process.wait())
    while not ended.done():
        try:
            async with asyncio.timeout(60):
                await router.settled()
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.05)
        else:
            return True
    assert await ended == 1
    return False
