"""What `make scale` measures on is no other than what the store writes: see bench/filling.py."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from database import Database
from databases import rows
from filling import MONTHS, NOW, SAMPLES, fill, opened, wait
from router.store.values import Purged
from store_engines import every

if TYPE_CHECKING:
    from store_engines import Databases

CALLS = 2 * SAMPLES
TABLES = ("events", "deliveries", "attempts")


@pytest.fixture
async def filled(databases_of_stores: Databases) -> Database:
    database = Database(databases_of_stores.unmade(), None)
    await fill(database, CALLS)
    return database


async def test_what_is_filled_in_is_counted_and_read_as_what_came(filled: Database) -> None:
    async with opened(filled) as store:
        await store.make_ready(now=NOW)
        waiting = await wait(store, 50)
        summary = await store.summary()
        assert (summary.received, summary.events, summary.purged) == (CALLS + waiting, CALLS + waiting, 0)
        assert summary.deliveries["created"] == CALLS + 50
        backlog = Counter[str]()
        for states in (await store.backlog()).values():
            backlog.update(states)
        assert backlog == Counter(line.state for line in await every(lambda after: store.deliveries(after=after)))
        assert backlog["pending"] == 50
        assert min(backlog["delivered"], backlog["dead"]) > 0
        assert sum(channel.calls for channel in await store.channels()) == CALLS + waiting
        lines = await every(lambda after: store.events(after=after))
        assert len(lines) == CALLS + waiting
        for line in lines[::50]:
            assert (stored := await store.event(line.id)) is not None, "whole, or it would be refused as damaged"
            assert stored.event.received_at == line.received_at
    assert await rows(filled.url, "SELECT count(*) FROM aftercall.seen") == [(CALLS + waiting,)]


async def test_months_that_are_filled_in_are_those_that_a_router_makes(filled: Database) -> None:
    async with opened(filled) as store:
        await store.make_ready(now=NOW)
        theirs, ours = MONTHS[0].label, MONTHS[-1].next.label
        for table in TABLES:
            indexes, columns, checks = zip(
                *[await _made(filled.url, f"{table}_{label}") for label in (theirs, ours)], strict=True
            )
            assert indexes[0] == indexes[1]
            assert columns[0] == columns[1]
            assert checks[0] == checks[1]
        assert (await store.purge(events=MONTHS[1].first, quarantine=None, seen=None)) == Purged(
            events=CALLS // len(MONTHS), deliveries=CALLS // len(MONTHS)
        )
    assert await rows(filled.url, "SELECT to_regclass($1)", f"aftercall.events_{theirs}") == [(None,)]
    seen = await rows(filled.url, "SELECT count(*) FROM pg_indexes WHERE tablename = 'seen'")
    assert seen == await rows(
        filled.url, "SELECT count(*) FROM pg_index WHERE indrelid = 'aftercall.seen'::regclass AND indisvalid"
    )
    assert seen == [(4,)]


async def _made(url: str, table: str) -> tuple[list[str], list[tuple[object, ...]], list[str]]:
    """The indexes, the columns and the checks of a table, without names."""
    indexes = await rows(url, "SELECT indexdef FROM pg_indexes WHERE tablename = $1", table)
    columns = await rows(
        url,
        "SELECT attname::text, format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) FROM pg_attribute "
        "LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum "
        "WHERE attrelid = $1::text::regclass AND attnum > 0 ORDER BY attnum",
        f"aftercall.{table}",
    )
    checks = await rows(
        url, "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = $1::text::regclass ORDER BY 1",
        f"aftercall.{table}",
    )  # fmt: skip
    return (
        sorted(re.sub(r"INDEX \S+ ON \S+", "INDEX", index) for (index,) in indexes),
        columns,
        [check for (check,) in checks],
    )
