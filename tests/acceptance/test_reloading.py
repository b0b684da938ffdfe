"""Reloads of a real process under load: every call goes where one of the two configurations says."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import pytest

from process import Receiver, RouterProcess, Sender

RELOADS = 20


async def _reload(router: RouterProcess) -> None:
    url = f"http://127.0.0.1:{router.admin}/api/v1/reload"
    async with aiohttp.ClientSession() as client, client.post(url) as answer:
        assert answer.status == 200, await answer.text()


@pytest.mark.timeout(300)
async def test_calls_during_reloads_all_arrive_as_one_of_the_two_configurations_says(tmp_path: Path) -> None:
    """`left` and `right` come and go, `both` is opened anew each time."""
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    async with Receiver().listening() as left, Receiver().listening() as right, Receiver().listening() as both:
        slow = both.sink.replace("}", ", timeout: 30s}")
        configurations = (
            f"sinks: {{left: {left.sink}, both: {both.sink}}}\nalways: [left, both]\n",
            f"sinks: {{right: {right.sink}, both: {slow}}}\nalways: [right, both]\n",
        )
        router.configure(configurations[0])
        async with router.running():
            async with sender.under_load(clients=3):
                for number in range(RELOADS):
                    router.configure(configurations[(number + 1) % 2])
                    await _reload(router)
            router.configure(f"sinks: {{left: {left.sink}, right: {right.sink}, both: {both.sink}}}\n")
            await _reload(router)
            summary = await router.settled(within=120)  # longer than a claim lasts
            assert await router.lost() == 0, "what a lane did not send was not given back"
            assert await router.stop() == 0
    assert summary["events"] == len(sender.promised) == sender.posted
    assert both.calls.keys() == sender.promised
    assert left.calls.keys() | right.calls.keys() == sender.promised
    assert not left.calls.keys() & right.calls.keys(), "no call went by two configurations"
    assert left.calls
    assert right.calls
    for receiver in (left, right, both):
        assert max(receiver.calls.values()) == 1, "nothing was sent twice"


async def test_sighup_the_command_and_a_mistake(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    router.configure("sinks: {one: {kind: console}}\n")

    async def command(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", *arguments, cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        return process.returncode, said.decode()

    async with router.running():
        assert router.process is not None
        router.configure("sinks: {two: {kind: console}}\n")
        router.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            while set(await router.lanes()) != {"two"}:
                await asyncio.sleep(0.02)
        router.configure("sinks: {two: {kind: console}, three: {kind: console}}\n")
        assert await command("reload") in ((0, "reloaded; sinks added: three\n"), (0, "reloaded\n"))
        assert set(await router.lanes()) == {"two", "three"}
        good = tmp_path / "good.yaml"
        good.write_text((tmp_path / "routes.yaml").read_text())
        router.configure("always: nobody\n")
        code, said = await command("reload", "--url", f"http://127.0.0.1:{router.admin}")
        assert (code, "routes.yaml:4:9: always: unknown sink 'nobody'" in said) == (1, True), said
        code, said = await command("status", "-c", str(good))
        assert code == 0
        assert "was refused, and changed nothing:\n    routes.yaml:4:9: always: unknown sink" in said
        assert set(await router.lanes()) == {"two", "three"}
        assert await router.stop() == 0
