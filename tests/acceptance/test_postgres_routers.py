"""Several routers on one PostgreSQL: what was answered 2xx is not lost, whichever of them is killed."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from databases import own_server
from extent import dice, extent
from invariants import POISON
from on_postgres import CLAIM, named
from scene import scene

KILLS = extent(3, 20)
#: Seconds that all of them run before one is killed, at most.
LONGEST_LIFE = extent(1.0, 3.0)


@pytest.mark.timeout(extent(400, 3600))
@pytest.mark.case("PG-06")
async def test_what_was_acknowledged_arrives_although_one_of_three_routers_is_killed(tmp_path: Path) -> None:
    """Again and again, any of them; the last one stays away until the others have done what it held."""
    moments = dice("routers")
    with own_server() as server:
        async with scene(tmp_path, slowness=0.03, routers=3, store=named(server.port)) as played:
            for router in played.routers:
                await played.start(router)
            async with played.oracle(clients=6):
                for number in range(KILLS):
                    await asyncio.sleep(moments.uniform(0, LONGEST_LIFE))
                    killed, left = moments.sample(played.routers, 2)
                    await killed.stop(signal.SIGKILL)
                    await played.a_new_call_arrives(f"without-{number}", left)
                    await played.adds_up(left)
                    if number < KILLS - 1:
                        await played.start(killed)
                        await played.a_new_call_arrives(f"with-{number}", killed)
            await left.settled(within=CLAIM)
            await played.start(killed)
            story = await played.story(POISON, within=CLAIM)
            await played.settled_once(story)
            await played.all_is_well(POISON)
    lost = {line["sink"] for line in story.deliveries if line["lost"]}
    assert lost, "nobody was left in the middle of an attempt"
    assert any(entry.duplicate for entry in story.ledger.answered), "nobody sent anything again"
    sys.stdout.write(
        f"\n{KILLS} kills, {len(story.events)} calls, {len(story.deliveries)} deliveries, lost at {lost}\n"
    )
