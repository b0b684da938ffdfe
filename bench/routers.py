"""What one and two routers do on PostgreSQL, beside one on SQLite: the same calls from the same sender, in one run.

`make routers`, or `python bench/routers.py [--rounds 3] [--seconds 10] [--write docs/scale.md]`. Sender, routers, server
and sinks all share this machine; docs/scale.md says what each figure means.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import database
import disk
import filling
import programs
import tables
from at_scale import accepts, claims
from flat_out import Pace, as_fast_as_it_goes
from measures import cpu_seconds
from programs import Program
from receiver import receiving
from sender import Load

_SLOW_MS = 5
_CONNECTIONS = (1, 2, 4, 8)


@dataclass
class Contestant:
    """So many routers on one store, with so many sinks."""

    store: str
    routers: int
    sinks: int
    slow: bool
    rounds: list[Pace] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.store}{f', fsync + {_SLOW_MS} ms' if self.slow else ''}"

    def times(self, figure: str, other: Contestant) -> str:
        """This figure as a multiple of another's in the same round."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return tables.several([getattr(mine, figure) / getattr(theirs, figure) for mine, theirs in pairs], 2)

    def cells(self, other: Contestant) -> list[str]:
        def of(figure: str) -> str:
            return tables.several([getattr(one, figure) for one in self.rounds])

        def each(figure: str, digits: int) -> Iterator[str]:
            for at, kind in enumerate(zip(*(getattr(one, figure) for one in self.rounds), strict=True)):
                yield "–" if at == 1 and self.store == "SQLite" else tables.several(kind, digits)

        delivered = (of("delivered"), self.times("delivered", other)) if self.sinks else ("–", "–")
        cpu, busy = list(each("cpu_us", 0)), list(each("busy", 1))
        return [
            str(self), str(self.routers), str(self.sinks), of("accepted"), self.times("accepted", other), *delivered,
            *cpu[:2], *busy,
        ]  # fmt: skip


_HEAD = (
    "store", "routers", "sinks", "accepted/s", "× SQLite", "delivered/s", "× SQLite", "CPU µs a call: routers", "server",
    "processors busy: routers", "server", "sender and sinks",
)  # fmt: skip


@contextmanager
def _started(
    one: Contestant, folder: Path, sinks: Sequence[int], server: database.Database, slow: Mapping[str, str]
) -> Iterator[list[Program]]:
    with ExitStack() as stack:
        more, environ = "", slow if one.slow else {}
        if one.store != "SQLite":
            more, environ = stack.enter_context(server.fresh()).routes(), {}
        found = []
        for number in range(one.routers):
            (own := folder / str(number)).mkdir()
            found.append(stack.enter_context(programs.aftercall(own, sinks, more=more, environ=environ)))
        yield found


def measured(one: Contestant, seconds: float, folder: Path, server: database.Database, slow: Mapping[str, str]) -> Pace:
    def of_routers() -> float:
        return sum(program.cpu_seconds for program in routers)

    def of_server() -> float:
        return server.cpu_seconds if one.store != "SQLite" else 0.0

    def of_others() -> float:
        """Sender and sinks; the server, where it is ours, is a child of this process, too."""
        return cpu_seconds(os.getpid()) - of_routers() - (server.cpu_seconds if server.server else 0.0)

    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        receiving(one.sinks) as sinks,
        _started(one, Path(own), [port for port, _ in sinks], server, slow) as routers,
    ):
        first, *others = routers
        load = Load(first.port, first.path, also=[other.port for other in others])
        return as_fast_as_it_goes(load, [tally for _, tally in sinks], seconds, of_routers, of_server, of_others)


def contestants(*, slow: bool) -> list[Contestant]:
    """Those that are compared, SQLite first."""
    return [
        Contestant(store, routers, sinks, is_slow)
        for is_slow in ((False, True) if slow else (False,))
        for sinks in (0, 1)
        for store, routers in (("SQLite", 1), ("PostgreSQL", 1), ("PostgreSQL", 2))
    ]


async def _by_engine(one: database.Database, connections: int) -> tuple[float, float]:
    """Calls and claimed deliveries a second, of the engine with so many connections that write."""
    async with filling.opened(one, connections=connections) as store:
        await store.make_ready(now=filling.NOW)
        await filling.wait(store, 12_000)
        return (await accepts(store)).rate, (await claims(store)).rate


def by_connections(server: database.Database, rounds: int) -> str:
    """A table of what more connections are worth."""
    found: dict[tuple[int, bool], list[tuple[float, float]]] = {
        (connections, slow): [] for connections in _CONNECTIONS for slow in (False, True)
    }
    for number in range(rounds):
        for (connections, slow), rates in found.items() if number % 2 == 0 else reversed(found.items()):
            if slow:
                server.set(database.SLOW)
            with server.fresh() as one:
                rates.append(asyncio.run(_by_engine(one, connections)))
            if slow:
                server.unset(database.SLOW)
            print(f"{connections} connections, slow: {slow}: {rates[-1]}", file=sys.stderr, flush=True)
    return tables.table(
        ("connections", "calls/s", "deliveries/s", f"fsync + {_SLOW_MS} ms: calls/s", "deliveries/s"),
        (
            (str(connections), *(
                tables.several([rate[at] for rate in found[connections, slow]]) for slow in (False, True) for at in (0, 1)
            ))
            for connections in _CONNECTIONS
        ),
    )  # fmt: skip


def report(found: Sequence[Contestant], engine: str, safe: float, server: str) -> str:
    """All that was measured."""

    def beside(one: Contestant) -> Contestant:
        return next(other for other in found if (other.sinks, other.slow) == (one.sinks, one.slow))

    return (
        f"{tables.machine()} {server}. {len(found[0].rounds)} rounds: the median (least–most). 4 KiB are safe on the disk "
        f"after {safe * 1000:.2f} ms.\n\n{tables.table(_HEAD, (one.cells(beside(one)) for one in found))}\n"
        f"One router's engine alone, without HTTP and sinks, with so many connections that write:\n\n{engine}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--folder", type=Path, help="on the disk that is meant; the user `nobody` has to get there")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name, database.running(given.folder) as server:
        folder = Path(name)
        safe = disk.seconds_until_safe(folder, {})
        slow = disk.slowed_down(folder, _SLOW_MS) if server.server else None
        found = contestants(slow=slow is not None)
        for number in range(given.rounds):
            # There and back, so that no one always comes after the same other one.
            for one in found if number % 2 == 0 else reversed(found):
                change = partial(server.set, database.SLOW) if one.slow else partial(server.unset, database.SLOW)
                change()
                one.rounds.append(measured(one, given.seconds, folder, server, slow or {}))
                print(f"round {number + 1}: {one}: {one.rounds[-1]}", file=sys.stderr, flush=True)
        server.unset(database.SLOW)
        text = report(found, by_connections(server, given.rounds), safe, server.described())
    print(text)
    if given.write:
        tables.put(given.write, "routers", text)


if __name__ == "__main__":
    main()
