"""The primary dies under load, and its synchronous standby takes over: no call that was answered 2xx is lost."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from databases import own_server
from extent import dice, extent
from on_postgres import AT_ONCE, at_rest, named, taken_again
from oracle import Answered, Refused
from scene import scene

TAKEOVERS = extent(1, 5)
#: Seconds that the standby is away before the primary dies, where it is.
ALONE = 1.0


@pytest.mark.timeout(400)
@pytest.mark.parametrize("number", range(TAKEOVERS))
@pytest.mark.parametrize("standby_is", ["there", "away"])
@pytest.mark.case("PG-01")
async def test_nothing_acknowledged_is_lost_when_a_standby_takes_over(
    tmp_path: Path, standby_is: str, number: int
) -> None:
    """Also where the standby was away just before: what it has not got was not acknowledged."""
    moments = dice(f"takeover {standby_is} {number}")
    with own_server() as primary, primary.standby() as standby:
        async with scene(tmp_path, slowness=0.03, routers=2, store=named(primary.port, standby.port)) as played:
            for router in played.routers:
                await played.start(router)
            async with played.oracle(clients=6):
                await played.a_new_call_arrives("before")
                await asyncio.sleep(moments.uniform(0.2, 2.0))
                if standby_is == "away":
                    await asyncio.to_thread(standby.kill)
                    await asyncio.sleep(ALONE)
                await asyncio.to_thread(primary.kill)
                if standby_is == "away":
                    await asyncio.to_thread(standby.start)
                said = await played.post("meanwhile")
                assert isinstance(said, Refused)
                await asyncio.sleep(moments.uniform(0, 2.0))
                await asyncio.to_thread(standby.promote)
                for index, router in enumerate(played.routers):
                    await taken_again(played, f"again-{index}", router)
                await asyncio.sleep(1.0)
            story = await at_rest(played)
    assert any(refused.status == 503 for refused in story.ledger.refused)
    sys.stdout.write(f"\n{len(story.events)} calls, {len(story.ledger.refused)} answered 503\n")


@pytest.mark.timeout(400)
@pytest.mark.case("PG-03")
async def test_a_commit_that_waits_for_its_standby_is_answered_503_in_time(tmp_path: Path) -> None:
    """The server's own time limits do not hold for that wait."""
    with own_server(statement_timeout="1s", transaction_timeout="1s") as primary, primary.standby() as standby:
        async with scene(tmp_path, store=named(primary.port)) as played:
            await played.start()
            await played.a_new_call_arrives("before")
            await asyncio.to_thread(standby.pause)
            calls = [f"meanwhile-{number}" for number in range(20)]  # more than there are connections
            async with asyncio.timeout(AT_ONCE):
                said = await asyncio.gather(*map(played.post, calls))
            assert said == [Refused(call, 503) for call in calls]
            await asyncio.to_thread(standby.resume)
            await taken_again(played, "again", played.router)
            for call in calls:
                assert isinstance(await played.post(call), Answered)
            await played.a_new_call_arrives("after", played.router)
            await at_rest(played)
