"""What claims, settlements and lanes do to the database, each within one transaction; settlements many at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from router.delivery import LaneState
from router.failpoints import Failpoint, reached
from router.store.postgres.batch import Kind
from router.store.postgres.memos import keep_memo
from router.store.postgres.queries import fetch, fetch_all, first, only
from router.store.rows import fence_of, lane_columns, lane_rows, micros, readable_moment
from router.store.settlements import buried, moving, retaken
from router.store.turn import Claiming, turn
from router.store.values import LOOK_AGAIN, SUSPECT_AFTER, Claims

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from asyncpg import Connection, Record

    from router.delivery import LaneRow
    from router.store.values import Retaken

#: The lock that whoever claims a suspect holds until its commit.
_SUSPECTS_LOCK: Final = 0x_6166_7473_7573_7065


async def claim(connection: Connection, *, claiming: Claiming) -> tuple[list[Record], Claims]:
    """Claim what is due; rows of `claim`, earliest due first, and the rest of the answer."""
    probe, now = claiming.probe, claiming.now
    asked = {"sink": claiming.sink}
    if (probe or claiming.interval is not None) and not await _locked(connection, asked):
        return [], Claims((), now + LOOK_AGAIN)
    probed = probe and (await only(connection, "is_claimed", asked))["any"]
    found = await only(connection, "lane", asked)
    mine = turn(found, claiming, probed=probed)
    if isinstance(mine, Claims):
        return [], mine
    row = {**asked, "limit": mine.limit, "now": micros(now), "until": micros(claiming.until)}
    suspects = found["suspects"]
    alone = suspects and await _alone(connection)
    due = await fetch(connection, "due_for_probe" if probe else "due", {**row, "suspects": alone})
    chosen = [one for one in due if one["lost"] < SUSPECT_AFTER]
    suspected = [one for one in due if one["lost"] >= SUSPECT_AFTER]
    chosen += suspected[:1]
    ids = {"event_id": [one["event_id"] for one in chosen], "id": [one["id"] for one in chosen]}
    claimed = await fetch(connection, "claim", {**row, **ids}) if chosen else []
    beside = suspects and (not alone or bool(suspected))
    later = {**row, "later": micros(now + LOOK_AGAIN)}
    next_due = (await only(connection, "next_due_beside" if beside else "next_due", later))["due"]
    if (spent := mine.spend(len(chosen))) is not None:
        await fetch(connection, "pace_lane", spent)
    claiming.made[:] = map(fence_of, claimed)
    return claimed, mine.claims(readable_moment(next_due))


async def _locked(connection: Connection, sink: dict[str, str]) -> bool:
    """Whether nobody else claims for this sink until this is committed. It is not waited for: who does may hang."""
    if await first(connection, "lock_lane", sink) is not None:
        return True
    await fetch(connection, "add_lane", sink)
    return await first(connection, "lock_lane", sink) is not None


async def _alone(connection: Connection) -> bool:
    """Whether a suspect may be claimed: none is, and nobody else can claim one until this is committed."""
    if not (await only(connection, "one_suspect", {"lock": _SUSPECTS_LOCK}))["taken"]:
        return False
    return bool((await only(connection, "claimed_suspects"))["n"] == 0)


async def settle(connection: Connection, rows: Sequence[dict[str, Any]]) -> list[bool]:
    """Write what attempts came to (see `settlements`); False for each that was too late."""
    fences = [(row["id"], row["attempt"]) for row in rows]
    first_ones = [n for n, one in enumerate(fences) if one not in fences[:n]]
    told = sorted((rows[n] for n in first_ones), key=lambda row: str(row["id"]))
    done = {row["id"] for row in await fetch_all(connection, "settle", told)}
    reached(Failpoint.IN_SETTLE)
    await fetch_all(connection, "add_attempts", [row for row in told if row["id"] in done])
    return [n in first_ones and row["id"] in done for n, row in enumerate(rows)]


async def settle_probe(
    connection: Connection, *, row: dict[str, Any], lane: LaneRow, now: datetime
) -> tuple[bool, LaneRow | None]:
    """Both, where the claim still holds."""
    (in_time,) = await settle(connection, [row])
    return (True, await set_lane(connection, lane, now=now)) if in_time else (False, None)


async def bury(connection: Connection, *, damaged: Sequence[dict[str, Any]], now: datetime) -> None:
    """Settle as dead what cannot be delivered, because what is stored of its event is damaged."""
    await settle(connection, [buried(one, now) for one in damaged])


async def give_back(connection: Connection, *, claims: Sequence[dict[str, Any]], now: datetime) -> list[bool]:
    """Release several; False for each that was not there."""
    return [await release(connection, held=held, now=now) for held in claims]


async def release(connection: Connection, *, held: dict[str, Any], now: datetime) -> bool:
    """Give a claim back unused, unless it is too late."""
    return await first(connection, "release", {**held, "now": micros(now)}) is not None


async def retake(connection: Connection, *, lost: dict[str, Any]) -> Retaken:
    """Take back the claims that ran out, or all of this router's name, too."""
    return retaken(await fetch(connection, "retake", lost))


async def clock_was_set(
    connection: Connection, *, before: datetime, now: datetime, was: bytes | None, kept: dict[str, Any]
) -> bool:
    """Move what waits with the clock, unless what is kept of that is not what it was."""
    there = await first(connection, "lock_memo", {"name": kept["name"]})
    if (None if there is None else bytes(there["content"])) != was:
        return False
    await keep_memo(connection, **kept)
    row = moving(before, now)
    await fetch(connection, "move_waits", row)
    await fetch(connection, "move_claims", row)
    return True


async def lanes(connection: Connection) -> dict[str, LaneRow]:
    """Every lane that was set, without those whose row is damaged."""
    return lane_rows(await fetch(connection, "lanes"))


async def set_lane(connection: Connection, lane: LaneRow, *, now: datetime) -> LaneRow | None:
    """Remember a lane's state, unless another router has set it since; an open one lets go what it held."""
    if await first(connection, "set_lane", lane_columns(lane)) is None:
        return None
    if lane.state is LaneState.OPEN:
        await fetch(connection, "let_go", {"sink": lane.sink, "now": micros(now)})
    return replace(lane, version=lane.version + 1)


async def due(connection: Connection, *, sinks: Collection[str], now: datetime) -> frozenset[str]:
    """Those of these sinks that a pending delivery is due for."""
    return frozenset(
        row["sink"] for row in await fetch(connection, "due_sinks", {"sinks": [*sinks], "now": micros(now)})
    )


#: Settlements share a commit.
SETTLE: Final = Kind(settle, at_once=2)
