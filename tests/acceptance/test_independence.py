"""Nobody waits for a sink that hangs, fails or is down; and what waited goes out when it is back."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import aiohttp
import pytest

from process import Receiver, RouterProcess, Sender

CALLS = 20


@pytest.mark.timeout(120)
async def test_the_same_call_reaches_everybody_while_others_hang_fail_and_are_down(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    async with (
        Receiver().listening() as one,
        Receiver().listening() as two,
        Receiver(hanging=asyncio.Event()).listening() as hangs,
        Receiver(status=500).listening() as fails,
        Receiver(status=503).listening() as down,
    ):
        router.configure(
            f"""
sinks:
  one: {one.sink}
  two: {two.sink}
  hangs: {hangs.sink}
  fails: {fails.sink}
  down: {down.sink}
  archive: {{kind: file, root: archive, format: markdown, path: "{{{{ event.call_id }}}}.md"}}
  screen: {{kind: console}}
always: [one, two, hangs, fails, down, archive, screen]
"""
        )
        async with router.running():
            async with aiohttp.ClientSession() as client:
                for _ in range(CALLS):
                    await sender.post(client)
            assert len(sender.promised) == CALLS
            async with asyncio.timeout(5):
                while not (
                    one.calls.keys() == two.calls.keys() == sender.promised
                    and len(list((tmp_path / "archive").glob("*.md"))) == CALLS
                ):
                    await asyncio.sleep(0.02)
            expected = {"one": 0, "two": 0, "archive": 0, "screen": 0, "hangs": CALLS, "fails": CALLS, "down": CALLS}
            async with asyncio.timeout(10):  # what a receiver has, the router is still writing down
                while True:
                    lanes = await router.lanes()
                    if {name: line["pending"] + line["claimed"] for name, line in lanes.items()} == expected:
                        break
            assert lanes["down"]["state"] == "probing"
            assert lanes["fails"]["state"] == lanes["hangs"]["state"] == "open"

            down.status = 200
            async with asyncio.timeout(65):
                while not down.calls:
                    await asyncio.sleep(0.01)
            back = time.monotonic()
            async with asyncio.timeout(5):
                while down.calls.keys() != sender.promised:
                    await asyncio.sleep(0.01)
            assert time.monotonic() - back < 5
        log = (tmp_path / "log").read_text()
        assert "Rechnung" not in log
        assert "+4915228817386" not in log
