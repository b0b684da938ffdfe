"""The wall clock of a real process is set: two days ahead, two days back, to 2038, to 1970; while it runs and between two runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp
import pytest

from extent import extent
from process import Receiver, RouterProcess, Sender

NOW = datetime.now(UTC)
AGAIN = timedelta(0)
JUMPS = {
    "+2 d": timedelta(days=2),
    "-2 d": timedelta(days=-2),
    "2038": datetime(2038, 1, 20, tzinfo=UTC) - NOW,
    "1970": datetime(1970, 1, 2, tzinfo=UTC) - NOW,
}


def libfaketime() -> Path | None:
    """The library for programs of several threads, where this machine has it."""
    places = [
        *Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"),
        *Path("/usr/lib").glob("faketime/libfaketimeMT.so.1"),
    ]
    return places[0] if places else None


class Fake:
    """A wall clock for one process, which can be set from outside; what counts seconds since the boot is left alone."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._file = folder / "faketime"
        self.set(AGAIN)
        self.environ = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1",
        }

    def set(self, by: timedelta) -> None:
        """So far from the real time; in one step, so that nobody reads a half of it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{by.total_seconds():+.0f}\n", encoding="ascii")
        new.replace(self._file)


@pytest.fixture
def fake(tmp_path: Path) -> Fake:
    library = libfaketime()
    if library is None:
        pytest.skip("NOT SHOWN HERE: libfaketime is not installed (Debian: apt-get install libfaketime)")
    made = Fake(tmp_path, library)
    said = [sys.executable, "-c", "import time; print(time.time() - 86400 > time.clock_gettime(time.CLOCK_MONOTONIC))"]
    shown = subprocess.run(said, env=os.environ | made.environ, capture_output=True, text=True, check=False)
    if shown.stdout.strip() != "True" or shutil.which("true") is None:
        pytest.skip(f"NOT SHOWN HERE: libfaketime does not work on this machine: {shown.stderr[:200]}")
    return made


async def jumped(router: RouterProcess, times: int) -> None:
    """Until the router has seen its clock jump so often."""
    log = router.folder / "log"
    async with asyncio.timeout(60):
        while log.read_text(encoding="utf-8").count('"clock.jumped"') < times:
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("restart", [pytest.param(False, id="running"), pytest.param(True, id="restarting")])
@pytest.mark.parametrize(
    "jumps", extent([["-2 d", "2038"]], [list(JUMPS), *([name] * 5 for name in JUMPS)]), ids="-".join
)
@pytest.mark.timeout(extent(300, 1200))
@pytest.mark.case("RTY-03")
async def test_rty_03_no_delivery_is_lost_or_dead_because_the_clock_was_set(
    fake: Fake, tmp_path: Path, jumps: list[str], *, restart: bool
) -> None:
    """One sink is up, one is down all the while: what it is owed waits, and goes out when it is back."""
    router = RouterProcess(tmp_path, environ=fake.environ)
    sender = Sender(router.url)
    down = Receiver()
    async with down.listening():
        pass  # it had a port, and is down now
    async with Receiver().listening() as up, aiohttp.ClientSession() as client:
        router.configure(
            f"keep: {{events: 30d, quarantine: 30d, seen: 400d}}\n"
            f"sinks:\n  up: {up.sink}\n  down: {down.sink[:-1]}, give_up: 12h}}\nalways: [up, down]\n"
        )
        async with router.running():
            seen = 0
            await sender.post(client)
            for name in jumps:
                for by in (JUMPS[name], AGAIN):
                    if restart:
                        assert await router.stop() == 0
                    fake.set(by)
                    if restart:
                        await router.start()
                    seen += 1
                    await jumped(router, seen)
                    before = len(up.calls)
                    await sender.post(client)
                    async with asyncio.timeout(30):
                        while len(up.calls) == before:
                            await asyncio.sleep(0.02)
            summary = await router.summary()
            assert summary["deliveries"]["dead"] == summary["purged"] == 0
            assert summary["events"] == len(sender.promised) == sender.posted
            async with down.listening():
                async with client.post(f"http://127.0.0.1:{router.admin}/api/v1/lanes/down/resume") as answer:
                    assert answer.status == 200
                summary = await router.settled(within=120)
            assert await router.stop() == 0
    assert up.calls.keys() == down.calls.keys() == sender.promised
    assert summary["deliveries"]["delivered"] == 2 * len(sender.promised)
