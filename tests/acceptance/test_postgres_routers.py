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
