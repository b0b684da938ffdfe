"""A lane that gets far more than its sink takes, beside one that is fast."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles

import aiohttp
import pytest
from aiohttp import web

from extent import PROVING, extent
from process import Receiver, RouterProcess, bundle

#: Calls, of 100 kB each, whose deliveries wait.
BACKLOG = extent(500, 5000)
KILOBYTES = 100
#: Seconds for which calls come, a hundred in each.
SECONDS = 20
EACH_SECOND = 100


def memory(router: RouterProcess) -> int:
    """Bytes that the process has."""
    assert router.process is not None
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{router.process.pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def large(call_id: str) -> bytes:
    return json.dumps({**json.loads(bundle(call_id)), "note": "x" * KILOBYTES * 1000}).encode()


@pytest.mark.timeout(300)
async def test_the_backlog_of_a_slow_lane_is_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    async with Receiver(hanging=asyncio.Event()).listening() as slow, Receiver().listening() as fast:
        router.configure(f"sinks:\n  slow: {slow.sink}\n  fast: {fast.sink}\nalways: [slow, fast]\n")
        async with router.running(), aiohttp.ClientSession() as client:

            async def post(first: int, last: int) -> None:
                for number in range(first, last):
                    async with client.post(router.url, data=large(f"call-{number}")) as answer:
                        assert answer.status == 202

            await post(0, 50)
            before = memory(router)
            await post(50, BACKLOG)
            grown = memory(router) - before
            async with asyncio.timeout(60):
                while len(fast.calls) < BACKLOG:
                    await asyncio.sleep(0.05)
            lane = (await router.lanes())["slow"]
            assert lane["pending"] + lane["claimed"] == BACKLOG
    assert grown < BACKLOG * KILOBYTES * 1000 / 2


@dataclass
class Stopwatch:
    """Receives calls, and how long after they were posted; each answer takes so long."""

    takes: float = 0
    posted: dict[str, float] = field(default_factory=dict)
    took: list[float] = field(default_factory=list)
    port: int = 0

    async def _handle(self, request: web.Request) -> web.Response:
        call_id = json.loads(await request.read())["call"]["id"]
        if call_id in self.posted:
            self.took.append(time.monotonic() - self.posted[call_id])
        await asyncio.sleep(self.takes)
        return web.Response()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """The sink that leads here."""
        app = web.Application()
        app.router.add_post("/", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        try:
            yield f'{{kind: webhook, url: "http://127.0.0.1:{port}/", allow_networks: [127.0.0.0/8], timeout: 30s}}'
        finally:
            await runner.cleanup()


async def p99(folder: Path, *, beside_a_slow_one: bool) -> float:
    """Seconds from the post to the arrival at the fast sink."""
    folder.mkdir()
    router, fast = RouterProcess(folder), Stopwatch()
    async with fast.listening() as sink, Stopwatch(takes=2).listening() as slow, aiohttp.ClientSession() as client:
        always = "[fast, slow]" if beside_a_slow_one else "[fast]"
        router.configure(f"sinks:\n  fast: {sink}\n  slow: {slow}\nalways: {always}\n")
        async with router.running(), asyncio.TaskGroup() as group:
            began = time.monotonic()

            async def post(number: int) -> None:
                fast.posted[f"call-{number}"] = time.monotonic()
                async with client.post(router.url, data=bundle(f"call-{number}")) as answer:
                    assert answer.status == 202

            for number in range(SECONDS * EACH_SECOND):
                await asyncio.sleep(began + number / EACH_SECOND - time.monotonic())
                group.create_task(post(number))
            async with asyncio.timeout(60):
                while len(fast.took) < SECONDS * EACH_SECOND:
                    await asyncio.sleep(0.05)
            if beside_a_slow_one:
                lane = (await router.lanes())["slow"]
                assert lane["pending"] > SECONDS * EACH_SECOND / 2, "it was not saturated"
    return quantiles(fast.took, n=100)[98]


@pytest.mark.skipif(not PROVING, reason="times are looked at in `make prove` only")
@pytest.mark.timeout(600)
async def test_a_fast_lane_is_as_fast_beside_one_that_is_saturated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A hundred calls a second, of which the slow sink takes five. The better of two rounds: others use the machine, too."""
    rounds = [
        [await p99(tmp_path / f"{number}-{slow}", beside_a_slow_one=slow) for slow in (False, True)]
        for number in range(2)
    ]
    alone, beside = map(min, zip(*rounds, strict=True))
    with capsys.disabled():
        print(f"\nfast lane, p99: {alone * 1000:.1f} ms alone, {beside * 1000:.1f} ms beside a saturated one")  # noqa: T201
    assert beside <= 2 * alone
