"""The way of a move: portion by portion, each noted where it went, then compared, and only then a store.

What ends it in between leaves a copy that no router opens, and that the same move goes on with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from router.errors import StoreError
from router.store.moving import comparing
from router.store.moving.state import Part, State
from router.store.moving.tables import MOVED

if TYPE_CHECKING:
    from router.store.lines import Summary
    from router.store.moving.side import Side
    from router.store.moving.state import Named
    from router.store.moving.tables import Table
    from router.store.moving.tally import Tally


class Told(Protocol):
    """Told of each portion."""

    def __call__(self, what: str, table: str, *, done: int, of: int) -> None:
        """`what` is "copied" or "compared": so many rows of so many."""


#: What a store has in which a table is not empty, in words of whoever runs it.
_HAS: Final = {
    "seen": "calls that it knows",
    "events": "calls",
    "quarantine": "bodies in quarantine",
    "lanes": "states of sinks",
    "memos": "what a router has noted",
    "channels": "lines and users that calls were for",
}


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move came to."""

    #: Of each table, as it is on both sides.
    tables: Mapping[str, Tally]
    #: The sums of what was copied, and of the copy.
    before: Summary
    after: Summary
    damaged: Named
    left: Named
    #: Counters that were wrong before.
    miscounted: tuple[str, ...]
    #: It went on with what another run had begun.
    was_resumed: bool


async def move(source: Side, target: Side, told: Told) -> Moved:
    """Copy all that is in `source` to `target`, where nothing is, or half a copy of the same.

    Raises `StoreError` with what to do, and `Differs` where the two are not the same at the end; `source` is not changed,
    and `target` is no store then.
    """
    async with AsyncExitStack() as stack:
        stack.push_async_callback(source.close)
        await source.open_from()
        stack.push_async_callback(target.close)
        await target.open_to()
        counts = {table.name: await source.count(table) for table in MOVED}
        state, was_resumed = await _begun(source, target, counts)
        try:
            for table in MOVED:
                await _copy(source, target, table, state, partial(told, "copied", table.name), counts[table.name])
            compared = await comparing.compare(source, target, state, counts, partial(told, "compared"))
            for side in (source, target):
                await side.at_rest()
            await target.finish(compared.counters)
        except StoreError as error:
            message = f"{error}\nWhat is copied stays, and the same copy-store goes on with it"
            raise StoreError(message) from error
        return Moved(
            {name: part.copied for name, part in state.parts.items()},
            compared.before.summary,
            compared.counters.summary,
            state.damaged,
            state.left,
            compared.miscounted,
            was_resumed,
        )


async def _begun(source: Side, target: Side, counts: Mapping[str, int]) -> tuple[State, bool]:
    """How far the copy is, and whether it had been begun; it is begun where it was not."""
    key, mark = await source.key(), await _mark(source, counts)
    origin = key.proof().hex()
    noted, again = await target.half(), f"{target.removal}, and copy again from the start"
    if noted is not None:
        try:
            state = State.loaded(noted)
        except StoreError as error:
            message = f"{target}: {error}: {again}"
            raise StoreError(message) from None
        if state.origin != origin:
            message = f"{target} is half a copy of another store: name that one, or {again}"
            raise StoreError(message)
        if state.mark != mark:
            message = (
                f"{source} has changed since its copy was begun (did a router run?): so {target} is of no use, {again}"
            )
            raise StoreError(message)
        return state, True
    await _refuse_full(source, target, origin, mark)
    state = State(origin, mark, {table.name: Part() for table in MOVED})
    await target.begin(state.dumped(), key)
    return state, False


async def _refuse_full(source: Side, target: Side, origin: str, mark: str) -> None:
    """Raise `StoreError` where anything is in `target`, with what that is."""
    there = {table.name: await target.count(table) for table in MOVED}
    if any(there.values()) and (await target.key()).proof().hex() == origin:
        if await _mark(target, there) == mark:
            message = (
                f"{target} is a copy of {source} already, and this copy is complete: name it as `store` in routes.yaml, "
                "and start the router"
            )
        else:
            message = (
                f"{source} and {target} are one and the same store, copied before, and one has changed since: both stay as "
                "they are; name a place where nothing is for another copy"
            )
        raise StoreError(message)
    has = next((_HAS.get(name, name) for name, rows in there.items() if rows), None)
    if has is None and any((await target.counters()).totals.values()):
        has = "counted calls"
    if has is not None:
        message = f"{target} is not empty, it has {has}, and stays as it is: name a place where nothing is"
        raise StoreError(message)


async def _mark(source: Side, counts: Mapping[str, int]) -> str:
    """What shows soon, if not always, that something was changed; the comparison at the end shows all."""
    counted = await source.counters()
    facts = (counts, counted.totals, counted.deliveries, counted.quarantine, {"sequence": counted.sequence})
    return hashlib.sha256(repr([sorted(one.items()) for one in facts]).encode()).hexdigest()


async def _copy(source: Side, target: Side, table: Table, state: State, told: Callable[..., None], rows: int) -> None:
    part = state.parts[table.name]
    told(done=part.copied.rows + part.left.rows, of=rows)
    async with aclosing(source.lines(table, part.after)) as portions:
        async for lines in portions:
            await target.write(table, lines, partial(state.wrote, table, lines))
            told(done=part.copied.rows + part.left.rows, of=rows)
