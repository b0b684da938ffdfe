"""What takes calls in never waits for a connection that is busy with something long."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

from router.errors import StoreError
from router.store.postgres.engine import open_store
from router.store.postgres.writer import CONNECTIONS
from router.store.values import Accepted
from store_engines import Databases, accepted, arrival, place_of

if TYPE_CHECKING:
    from asyncpg import Connection


async def test_a_call_is_refused_while_all_connections_are_busy_for_long_and_taken_afterwards(
    databases_of_stores: Databases,
) -> None:
    over = asyncio.Event()
    busy: list[Connection] = []

    async def long(connection: Connection) -> None:
        busy.append(connection)
        await over.wait()

    with databases_of_stores.one() as url:
        async with open_store(place_of(url), parse=json.loads) as store:
            await accepted(store, arrival("before"))
            async with asyncio.timeout(50), asyncio.TaskGroup() as group:
                for _ in range(CONNECTIONS):
                    group.create_task(store.writer.run(long, patience=60.0))
                while len(busy) < CONNECTIONS:
                    await asyncio.sleep(0.01)
                waiting = [store.accept(arrival("meanwhile")), store.accept(arrival("again")), store.check()]
                for refused in await asyncio.gather(*waiting, return_exceptions=True):
                    assert isinstance(refused, StoreError)
                    assert "no connection was free in time" in str(refused)
                with pytest.raises(StoreError, match="no connection was free in time"):
                    store.accept(arrival("another")).send(None)  # without waiting
                over.set()
            assert isinstance(await store.accept(arrival("meanwhile")), Accepted), "what was refused was not kept"
            assert (await store.summary()).received == 2
