"""Plugins that do everything wrong that can be done, in a real router: who it was is said, and nobody else notices."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from process import Receiver, RouterProcess, Sender

PLUGIN = '''
import asyncio, os, re, sys, time
from contextlib import asynccontextmanager
from typing import Literal
from router import SinkConfig, hookimpl

class Bad(SinkConfig):
    """Does what `how` says."""
    kind: Literal["bad"]
    how: str
    go_on: str = ""

    @asynccontextmanager
    async def open(self, context):
        yield Doing(self)

class Doing:
    def __init__(self, config):
        self.config = config

    async def deliver(self, delivery):
        return await getattr(self, self.config.how)()

    async def raises(self): raise ZeroDivisionError
    async def groups(self): raise BaseExceptionGroup("all", [KeyboardInterrupt(), ValueError()])
    async def exits(self): sys.exit(3)
    async def exits_in_a_thread(self): await asyncio.to_thread(sys.exit, 3)
    async def is_called_off(self): raise asyncio.CancelledError
    async def hangs(self): await asyncio.Event().wait()
    async def hangs_in_threads(self): await asyncio.to_thread(time.sleep, 3600)
    async def returns_much(self): return {"a": "b" * 10_000_000}
    async def returns_a_coroutine(self): return asyncio.sleep(0)

    async def ignores_that_it_is_called_off(self):
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                pass

    async def leaves_a_task_behind(self):
        async def fail(): raise ZeroDivisionError
        asyncio.create_task(fail())
        await asyncio.sleep(0)

    async def exits_beside(self):
        async def leave(): sys.exit(3)
        task = asyncio.create_task(leave())
        asyncio.get_running_loop().call_soon(sys.exit, 3)
        await asyncio.sleep(0)
        await task

    async def sleeps(self):
        while not os.path.exists(self.config.go_on):
            time.sleep(0.01)

    async def computes(self):
        while not os.path.exists(self.config.go_on):
            sum(range(1000))

    async def beside(self):
        async def compute(): await self.computes()
        self.task = asyncio.create_task(compute())

@hookimpl
def register_sinks():
    return [Bad]
'''

#: What becomes of the delivery, by what its sink does; with one entry in the schedule the first failure is the last.
REASONS = {
    "raises": "bug in the sink: ZeroDivisionError; the traceback is in the log",
    "groups": "bug in the sink: BaseExceptionGroup; the traceback is in the log",
    "exits": "bug in the sink: SystemExit; the traceback is in the log",
    "exits_in_a_thread": "bug in the sink: SystemExit; the traceback is in the log",
    "exits_beside": "bug in the sink: SystemExit; the traceback is in the log",
    "is_called_off": "bug in the sink: CancelledError; the traceback is in the log",
    "hangs": "no answer within 1 s",
    "hangs_in_threads": "no answer within 1 s",
    "returns_much": "bug in the sink: it returned dict, not None or text",
    "returns_a_coroutine": "bug in the sink: it returned coroutine, not None or text",
    "leaves_a_task_behind": "",
}
LAST = "no attempt left after 1; last: "
DEAF = "ignores_that_it_is_called_off"


def log_of(router: RouterProcess) -> list[dict[str, Any]]:
    lines = (router.folder / "log").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.startswith("{")]


@pytest.mark.timeout(120)
@pytest.mark.case("PLG-01", "PLG-03")
async def test_whatever_a_plugin_does_the_router_lives_and_says_what_it_was(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(PLUGIN, encoding="utf-8")
    # Coroutines that nobody awaits are warned of, and one of these plugins is about that.
    router = RouterProcess(tmp_path, environ={"PYTHONWARNINGS": "default"})
    sender = Sender(router.url)
    async with Receiver().listening() as good, aiohttp.ClientSession() as client:
        bad = "".join(
            f"  {how}: {{kind: bad, how: {how}, timeout: 1s, retry: {{schedule: [0s]}}}}\n" for how in (*REASONS, DEAF)
        )
        always = ", ".join((*REASONS, DEAF, "good"))
        router.configure(f"plugins: [bad.py]\nsinks:\n{bad}  good: {good.sink}\nalways: [{always}]\n")
        async with router.running():
            for _ in range(3):
                await sender.post(client)
            async with asyncio.timeout(60):
                while good.calls.keys() != sender.promised:
                    await asyncio.sleep(0.02)
                while True:
                    lanes = await router.lanes()
                    if not sum(lanes[how]["pending"] + lanes[how]["claimed"] for how in REASONS):
                        break
                    await asyncio.sleep(0.05)
            async with client.get(f"http://127.0.0.1:{router.admin}/api/v1/deliveries?limit=500") as answer:
                said = {
                    line["sink"]: (line["reason"] or "").removeprefix(LAST) for line in (await answer.json())["items"]
                }
            assert {how: said[how] for how in REASONS} == REASONS
            # It holds on to its own slots, and to nobody else's.
            assert lanes[DEAF]["claimed"] == 3
            assert await router.stop() == 0
    logged = log_of(router)
    bugs = {how for how, reason in REASONS.items() if reason.startswith("bug")}
    assert {line["sink"] for line in logged if line["event"] == "sink.failed"} == bugs
    (left,) = [line for line in logged if line["event"] == "router.left_behind"]
    assert left["threads"] == ["hangs_in_threads"]


@pytest.mark.timeout(120)
@pytest.mark.parametrize("how", ["sleeps", "computes", "beside"])
async def test_who_blocks_the_whole_process_is_named_while_it_does_and_counted(how: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(PLUGIN, encoding="utf-8")
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    go_on = tmp_path / "go on"
    async with Receiver().listening() as good, aiohttp.ClientSession() as client:
        router.configure(
            f'plugins: [bad.py]\nsinks:\n  crm: {{kind: bad, how: {how}, go_on: "{go_on}"}}\n  good: {good.sink}\n'
            "always: [crm, good]\n"
        )
        async with router.running():
            posting = asyncio.create_task(sender.post(client))
            async with asyncio.timeout(60):
                while not (named := [one for one in log_of(router) if one.get("kind") == "bad" and "where" in one]):
                    await asyncio.sleep(0.05)
            go_on.touch()  # only now does it end
            await posting
            await router.settled()
            async with client.get(f"http://127.0.0.1:{router.admin}/metrics") as answer:
                figures = await answer.text()
            assert await router.stop() == 0
    assert (named[0]["event"], named[0]["sink"]) == ("loop.blocked", "crm")
    function = {"sleeps": "sleeps", "computes": "computes", "beside": "computes"}[how]
    assert re.fullmatch(rf".*bad\.py:\d+:{function}", named[0]["where"])
    assert 'aftercall_loop_blocked_total{sink="crm"} 1.0' in figures
    assert [(one["event"], one["sink"]) for one in log_of(router) if one["event"] == "loop.went_on"] == [
        ("loop.went_on", "crm")
    ]
