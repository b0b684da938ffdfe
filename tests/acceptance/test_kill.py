"""What was answered 2xx is not lost, whenever the process is killed."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import aiohttp
import pytest

from extent import dice, extent
from process import Receiver, RouterProcess, Sender

KILLS = extent(4, 200)
BACKLOG = extent(500, 5000)


@pytest.mark.timeout(600)
@pytest.mark.case("DUR-01")
async def test_dur_01_what_was_promised_arrives_although_the_router_is_killed_under_load(tmp_path: Path) -> None:
    moments = dice("kill")
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    async with Receiver().listening() as one, Receiver().listening() as two:
        router.configure(f"sinks:\n  one: {one.sink}\n  two: {two.sink}\nalways: [one, two]\n")
        async with router.running():
            async with sender.under_load():
                for _ in range(KILLS):
                    await asyncio.sleep(moments.uniform(0.05, 1.0))
                    await router.stop(signal.SIGKILL)
                    await router.start()
            summary = await router.settled()
            lanes = await router.lanes()
            assert await router.stop() == 0
    deliveries = summary["deliveries"]
    assert sender.promised, "the test has shown nothing"
    for name, receiver in (("one", one), ("two", two)):
        missing = sender.promised - receiver.calls.keys()
        # Only as poison, and only to this sink: lost five times, each time in the middle of an attempt.
        assert len(missing) <= lanes[name]["dead"], f"{len(missing)} promised calls never arrived"
        assert all(len(keys) == 1 for keys in receiver.keys.values()), "one key over all attempts of a delivery"
    assert summary["events"] >= len(sender.promised), "what was promised is stored; what was cut off may be, too"
    assert summary["received"] == summary["events"] + summary["duplicates"] + summary["quarantined"] + summary["purged"]
    assert deliveries["created"] == sum(count for state, count in deliveries.items() if state != "created")
    assert deliveries["created"] == 2 * summary["events"]


@pytest.mark.timeout(600)
async def test_a_backlog_survives_a_kill_and_goes_out_when_the_sink_is_back(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    receiver = Receiver()
    async with receiver.listening():
        pass  # it had a port, and is down now
    router.configure(f"sinks:\n  one: {receiver.sink}\nalways: [one]\n")
    async with router.running():
        async with aiohttp.ClientSession() as client:
            for _ in range(0, BACKLOG, 25):
                await asyncio.gather(*(sender.post(client) for _ in range(25)))
        assert len(sender.promised) == BACKLOG
        assert (await router.summary())["deliveries"]["delivered"] == 0
        await router.stop(signal.SIGKILL)
        await router.start()
        async with receiver.listening():
            summary = await router.settled(within=120)
    assert receiver.calls.keys() == sender.promised
    assert summary["deliveries"]["delivered"] == BACKLOG


async def test_what_a_killed_router_held_goes_on_within_five_seconds(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    async with Receiver(hanging=asyncio.Event()).listening() as receiver:
        assert receiver.hanging is not None
        router.configure(f"sinks:\n  one: {receiver.sink}\nalways: [one]\n")
        async with router.running():
            async with aiohttp.ClientSession() as client:
                await sender.post(client)
            while not (await router.summary())["deliveries"]["claimed"]:
                await asyncio.sleep(0.01)
            await router.stop(signal.SIGKILL)
            receiver.hanging.set()
            await router.start()
            await router.settled(within=5)
    assert receiver.calls.keys() == sender.promised


async def test_a_graceful_stop_exits_with_0_and_leaves_nothing_claimed(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    sender = Sender(router.url)
    async with Receiver().listening() as one:
        router.configure(f"sinks:\n  one: {one.sink}\nalways: [one]\n")
        async with router.running():
            async with sender.under_load():
                await asyncio.sleep(0.5)
                assert await router.stop() == 0
            await router.start()
            summary = await router.settled()
    assert summary["events"] == summary["deliveries"]["delivered"] >= len(sender.promised)
    assert one.calls.keys() >= sender.promised
    assert max(one.calls.values()) == 1, "nothing was sent twice"
