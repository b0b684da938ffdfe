"""What `accept` and `quarantine` do to the database, each within one transaction; calls many at a time."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from router.errors import QuarantineFull
from router.store.postgres.batch import Kind
from router.store.postgres.queries import fetch, fetch_all, only
from router.store.postgres.trouble import Repeat
from router.store.values import Accepted, Claim, Duplicate, Owed, Quarantined

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from asyncpg import Connection

    from router.store.arrivals import Acceptance, Unread

#: What stands for a call, and for one content of it.
_Call = tuple[str, bytes]
_Content = tuple[str, bytes, bytes]


async def accept(
    connection: Connection, acceptances: Sequence[Acceptance], **changes: Any
) -> list[Accepted | Duplicate]:
    """Write arrivals; one that is alone with these parameters changed.

    New contents of one call are written one after the other, so that each finds what the one before was owed to.
    """
    answers: dict[int, Accepted | Duplicate] = {}
    for round_ in _rounds(acceptances):
        rows = {number: {**acceptance.row, **changes} for number, acceptance in round_}
        new, again = await _see(connection, rows)
        written = [_New(number, acceptances[number], new[number]) for number in new]
        await _write(connection, written)
        answers |= {number: Duplicate(event_id) for number, event_id in again.items()}
        answers |= {one.number: one.answer() for one in written}
    return [answers[number] for number in range(len(acceptances))]


def _rounds(acceptances: Sequence[Acceptance]) -> Iterator[list[tuple[int, Acceptance]]]:
    """The arrivals with their numbers, so that no two of a round are different contents of the same call."""
    waiting = list(enumerate(acceptances))
    while waiting:
        contents: dict[_Call, bytes] = {}
        round_: list[tuple[int, Acceptance]] = []
        later: list[tuple[int, Acceptance]] = []
        for number, acceptance in waiting:
            row = acceptance.row
            same = contents.setdefault((row["source"], row["call"]), row["digest"]) == row["digest"]
            (round_ if same else later).append((number, acceptance))
        yield round_
        waiting = later


async def _see(connection: Connection, rows: Mapping[int, Mapping[str, Any]]) -> tuple[dict[int, int], dict[int, str]]:
    """Which of these are new, with their revisions, and which were seen before, with the event that they were then."""
    newest: dict[_Call, int] = defaultdict(int)
    events: dict[_Content, str] = {}
    for found in await fetch_all(connection, "known", list(rows.values())):
        call = found["source"], found["call"]
        newest[call] = max(newest[call], found["revision"])
        events[*call, found["digest"]] = found["event_id"]
    revisions: dict[int, int] = {}
    for number, row in rows.items():
        if (content := _content(row)) not in events:
            events[content] = row["event_id"]
            revisions[number] = newest[content[:2]] + 1
    first = [{**rows[number], "revision": revision} for number, revision in revisions.items()]
    seen = await fetch_all(connection, "see", _in_order(first))
    if len(seen) < len(first):
        raise Repeat  # another router has the same call at this moment: what it came to is known by now
    again = {number: events[_content(row)] for number, row in rows.items() if number not in revisions}
    await _see_again(connection, [rows[number] for number in again])
    return revisions, again


async def _see_again(connection: Connection, rows: Iterable[Mapping[str, Any]]) -> None:
    repeats: dict[_Content, dict[str, Any]] = {}
    count = 0
    for row in rows:
        count += 1
        one = repeats.setdefault(_content(row), {**row, "times": 0})
        one["times"] += row["times"]
        one["last_at"] = max(one["last_at"], row["last_at"])
    found = await fetch_all(connection, "see_again", _in_order(repeats.values()))
    if len(found) < len(repeats):
        raise Repeat  # it was forgotten meanwhile
    if count:
        await fetch(connection, "add_to_total", {"name": "duplicates", "n": count})


def _content(row: Mapping[str, Any]) -> _Content:
    return row["source"], row["call"], row["digest"]


def _in_order(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """In the order in which whoever sees several of these at the same moment waits for another, and never in a circle."""
    return sorted(rows, key=_content)


@dataclass(slots=True)
class _New:
    """An arrival that is an event now."""

    number: int
    acceptance: Acceptance
    revision: int
    sequence: int = 0
    owed: list[Owed] = field(default_factory=list)
    claims: tuple[Claim, ...] = ()

    @property
    def row(self) -> dict[str, Any]:
        return {**self.acceptance.row, **self.acceptance.of_revision(self.revision)}

    def answer(self) -> Accepted:
        return Accepted(self.acceptance.event_id, self.sequence, self.revision, len(self.owed), self.claims)


async def _write(connection: Connection, written: Sequence[_New]) -> None:
    """Write the events, their channels, and what is owed."""
    sequences = {
        row["id"]: row["sequence"] for row in await fetch_all(connection, "add_events", [o.row for o in written])
    }
    asking = [one for one in written if one.acceptance.asks_before(one.revision)]
    before: dict[str, set[str]] = defaultdict(set)
    for found in await fetch_all(connection, "owed_before", [one.row for one in asking]):
        before[found["event_id"]].add(found["sink"])
    for one in written:
        one.sequence = sequences[one.acceptance.event_id]
        one.owed = one.acceptance.owed(before[one.acceptance.event_id])
    await fetch_all(connection, "saw_channels", _channels(written))
    follows: dict[str, dict[str, str]] = defaultdict(dict)
    following = [one.row for one in written if one.revision > 1 and one.owed]
    for found in await fetch_all(connection, "followed", following):
        follows[found["event_id"]][found["sink"]] = found["remote_id"]
    deliveries = [one.acceptance.deliveries(one.owed) for one in written]
    added = await fetch_all(connection, "add_deliveries", [row for rows in deliveries for row in rows])
    states = {row["id"]: row["state"] for row in added}
    for one, rows in zip(written, deliveries, strict=True):
        born = [{**row, "state": states[row["id"]]} for row in rows]
        one.claims = one.acceptance.claims(
            born, one.owed, sequence=one.sequence, revision=one.revision, follows=follows[one.acceptance.event_id]
        )


def _channels(written: Iterable[_New]) -> list[dict[str, Any]]:
    """What these calls add to their channels, a row for each."""
    found: dict[tuple[str, bool, str], dict[str, Any]] = {}
    for one in written:
        new_call = one.revision == 1
        if (call := one.acceptance.channel(new_call=new_call)) is None:
            continue
        key = call["source"], bool(call["id"]), call["id"] or call["name"]
        row = found.setdefault(
            key,
            {
                "source": key[0],
                "by_id": key[1],
                "key": key[2],
                "name": "",
                "named_at": None,
                "named_by": None,
                "calls": 0,
                "first_is_new": new_call,
                "last_at": call["now"],
            },
        )
        row["calls"] += new_call
        if call["name"] and call["now"] >= row["last_at"]:
            row |= {"name": call["name"], "named_at": call["now"], "named_by": one.sequence}
        row["last_at"] = max(row["last_at"], call["now"])
    return list(found.values())


async def quarantine(connection: Connection, unread: Unread) -> Quarantined:
    """Write a body that no format could read."""
    row = unread.row()
    kept: str = (await only(connection, "quarantine", row))["id"]
    duplicate = kept != row["id"]
    if unread.room is not None and not duplicate:
        size = (await only(connection, "quarantine_bytes", row))["bytes"]
        if size > unread.room:
            raise QuarantineFull
    return Quarantined(kept, duplicate)


#: Calls share a commit.
ACCEPT: Final = Kind(accept, at_once=2)
