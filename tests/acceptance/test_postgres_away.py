"""PostgreSQL is away for a while, or the way to it breaks in the middle of a COMMIT: no answer says more than is so."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import aiohttp
import pytest

import oracle
from databases import own_server
from extent import dice, extent
from on_postgres import AT_ONCE, at_rest, named, taken_again
from pgproxy import Cut, PgProxy
from process import RouterProcess
from scene import scene

#: Seconds that it is away.
AWAY = extent(1.0, 30.0)
#: COMMITs to break off, of each kind.
CUTS = extent(5, 100)


@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["stopped", "hanging"])
async def test_while_postgres_is_away_calls_are_answered_503_and_then_all_goes_on(tmp_path: Path, how: str) -> None:
    with own_server() as server:
        async with (
            scene(tmp_path, store=named(server.port)) as played,
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(AT_ONCE)) as client,
        ):
            await played.start()
            async with played.oracle():
                await played.a_new_call_arrives("before")
                await asyncio.to_thread(server.stop if how == "stopped" else server.pause)
                over = asyncio.get_running_loop().time() + AWAY
                asked = 0
                while not asked or asyncio.get_running_loop().time() < over:
                    asked += 1
                    async with client.post(played.router.url, data=oracle.body(f"never-{asked}")) as answer:
                        assert answer.status == 503
                        assert int(answer.headers["Retry-After"]) > 0
                    await asyncio.sleep(0.1)  # a refusal takes no time, and each is sent again in the end
                assert await status(client, played.router, "healthz") == 200
                async with asyncio.timeout(AT_ONCE):
                    while await status(client, played.router, "readyz") != 503:
                        await asyncio.sleep(0.05)
                await asyncio.to_thread(server.start if how == "stopped" else server.resume)
                await taken_again(played, "again", played.router)
            for number in range(1, asked + 1):  # who was refused may come again
                await played.post(f"never-{number}")
            story = await at_rest(played)
    assert any(refused.status == 503 for refused in story.ledger.refused)


async def status(client: aiohttp.ClientSession, router: RouterProcess, what: str) -> int:
    """What the ingest listener says of the router."""
    async with client.get(f"http://127.0.0.1:{router.ingest}/{what}") as answer:
        return answer.status


@pytest.mark.timeout(extent(400, 1800))
async def test_a_connection_cut_in_the_middle_of_a_commit_never_answers_for_what_is_not_there(tmp_path: Path) -> None:
    chance = dice("cuts")

    def cutting() -> Cut | None:
        return chance.choice(list(Cut)) if cut_now and chance.random() < 0.1 else None

    with own_server() as server:
        async with (
            PgProxy(server.port, cutting=cutting).listening() as proxy,
            scene(tmp_path, slowness=0.03, store=named(proxy.port)) as played,
        ):
            cut_now = False
            await played.start()
            async with played.oracle(clients=8):
                cut_now = True
                async with asyncio.timeout(extent(120, 1200)):
                    while min(proxy.cuts[where] for where in Cut) < CUTS:
                        await asyncio.sleep(0.05)
                cut_now = False
                await taken_again(played, "after", played.router)
            story = await at_rest(played)
    assert any(refused.status == 503 for refused in story.ledger.refused)
    sys.stdout.write(f"\n{dict(proxy.cuts)}, {len(story.events)} calls, {len(story.ledger.refused)} answered 503\n")
