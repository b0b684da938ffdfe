"""Several routers on one PostgreSQL: what was answered 2xx is not lost, whichever of them is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from databases import own_server
from extent import PROVING, dice, extent
from on_postgres import at_rest, named
from process import RouterProcess
from scene import Scene, scene

KILLS = extent(3, 20)
#: Seconds that the web server takes at most: so long that each router is in the middle of some attempt at any moment.
SLOWNESS = 0.6
#: Seconds that all of them run before one is killed, at most.
LONGEST_LIFE = extent(1.0, 3.0)
#: Seconds that one hangs: a sink's `timeout`, 30 s more, and some for looking.
HANGING = 50.0


@pytest.mark.timeout(extent(400, 3600))
@pytest.mark.case("PG-06")
async def test_what_was_acknowledged_arrives_although_one_of_three_routers_is_killed(tmp_path: Path) -> None:
    """Again and again, any of them; at the end one hangs until others have done what it held, and then goes on."""
    moments = dice("routers")
    with own_server() as server:
        async with scene(tmp_path, slowness=SLOWNESS, routers=3, store=named(server.port)) as played:
            for router in played.routers:
                await played.start(router)
            async with played.oracle(clients=6):
                for number in range(KILLS):
                    await asyncio.sleep(moments.uniform(0, LONGEST_LIFE))
                    killed, left = moments.sample(played.routers, 2)
                    await killed.stop(signal.SIGKILL)
                    await played.a_new_call_arrives(f"without-{number}", left)
                    await played.adds_up(left)
                    await played.start(killed)
                    await played.a_new_call_arrives(f"with-{number}", killed)
                if PROVING:
                    await a_router_hangs(played)
            story = await at_rest(played)
    lost = {line["sink"] for line in story.deliveries if line["lost"]}
    assert lost, "nobody was left in the middle of an attempt"
    assert any(entry.duplicate for entry in story.ledger.answered), "nobody sent anything again"
    sys.stdout.write(
        f"\n{KILLS} kills, {len(story.events)} calls, {len(story.deliveries)} deliveries, lost at {lost}\n"
    )


@pytest.mark.timeout(400)
async def test_another_router_keeps_house_when_its_keeper_is_killed(tmp_path: Path) -> None:
    with own_server() as server:
        async with scene(tmp_path, routers=2, store=named(server.port)) as played:
            keeper, other = played.routers
            for router in played.routers:
                await played.start(router)
            assert await standing(keeper) == {"router-0": (True, True), "router-1": (True, False)}
            await keeper.stop(signal.SIGKILL)
            async with asyncio.timeout(60):
                while (await standing(other))["router-1"] != (True, True):
                    await asyncio.sleep(0.1)
            if PROVING:
                await become(other, {"router-0": (False, False), "router-1": (True, True)})
                await a_twin_is_refused(played, other, tmp_path / "twin")
            await played.start(keeper)
            await become(other, {"router-0": (True, False), "router-1": (True, True)})
            assert await keeper.stop() == 0
            await become(other, {"router-1": (True, True)})
            await played.start(keeper)
            await played.a_new_call_arrives("after", keeper)
            await at_rest(played)


async def standing(router: RouterProcess) -> dict[str, tuple[bool, bool]]:
    """By name, as this router sees them: which are alive, and which keep house."""
    return {line["name"]: (line["alive"], line["keeps_house"]) for line in (await router.asked("routers"))["items"]}


async def become(router: RouterProcess, expected: dict[str, tuple[bool, bool]]) -> None:
    async with asyncio.timeout(60):
        while await standing(router) != expected:
            await asyncio.sleep(0.1)


async def a_twin_is_refused(played: Scene, router: RouterProcess, folder: Path) -> None:
    """After as long as the connection of an earlier run may linger."""
    folder.mkdir()
    twin = RouterProcess(folder)
    twin.configure(f"name: router-1\n{played.store}")
    process = await twin.launch()
    assert await process.wait() == 1
    said = (folder / "log").read_text(encoding="utf-8")
    assert "router.waits_for_name" in said
    assert "another router there has the name 'router-1' (at 127.0.0.1, since " in said.splitlines()[-1]
    assert (await standing(router))["router-1"] == (True, True)


async def a_router_hangs(played: Scene) -> None:
    """Under load, for longer than its claims last. What it then says of them comes too late."""
    hanging, other = played.routers[:2]
    assert hanging.process is not None
    hanging.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(HANGING)
        await played.a_new_call_arrives("while one hangs", other)
    finally:
        hanging.process.send_signal(signal.SIGCONT)
    await played.a_new_call_arrives("when it goes on", hanging)
