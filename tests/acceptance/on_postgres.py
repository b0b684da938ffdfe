"""What the proofs on PostgreSQL share: how routes.yaml names a server, and how they wait and end."""

from __future__ import annotations

import asyncio
import json

from extent import PROVING
from invariants import POISON, Story
from oracle import Answered
from postgres_server import PASSWORD
from process import RouterProcess
from scene import Scene

#: Seconds until a claim of which nobody knows is tried again: a sink's `timeout` and 30 s more, by its contract; and
#: until somebody has looked, on a busy machine.
CLAIM = 120.0
#: Seconds within which whoever posts gets an answer, whatever becomes of the server: far more than a router's patience.
AT_ONCE = 20.0


def named(*ports: int) -> str:
    """The lines of routes.yaml for a server at this port, or at one of these."""
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"store: postgresql://postgres@{hosts}/postgres\nstore_password: {json.dumps(PASSWORD)}\n"


async def taken_again(played: Scene, name: str, router: RouterProcess) -> None:
    """Post one call after the other until the router takes one."""
    number = 0
    async with asyncio.timeout(60):
        while not isinstance(await played.post(f"{name}-{number}", router.url), Answered):
            number += 1
            await asyncio.sleep(0.1)


async def at_rest(played: Scene) -> Story:
    """The story, once nothing is owed any more: nothing is lost in it, and nothing is settled twice.

    A router that was killed has back what it held since it was started again. What a router does not know to have
    claimed, because the answer to the COMMIT was lost, would wait until the claim has run out (and does, in a long
    proof): here each is started again for that.
    """
    if not PROVING:
        for router in played.routers:
            assert await router.stop() == 0
            await played.start(router)
    story = await played.story(POISON, within=CLAIM)
    await played.settled_once(story)
    return await played.all_is_well(POISON)
