"""Whether what is stored slows down what comes: the same work beside nothing, and beside ten million calls.

`make scale`, or `python bench/scale.py [--calls 10000000] [--pending 100000] [--write docs/scale.md]`. For each number
of stored calls a new database is filled (see `filling.py`), deliveries are made to wait in it, and the engine itself is
asked to take calls in, to claim and settle, to show the first pages of its lists, and to drop old months. It exits with 3
where a claim or a call took twice as long beside the most calls as beside none. It takes 25 minutes and 40 GB of disk.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import database
import filling
import tables
from at_scale import Size, measured

_SIZES = (0, 100_000, 1_000_000, 10_000_000)
#: Beside the most calls nothing may take so many times what it takes beside none.
_FLAT = 2.0


def sizes(most: int) -> list[int]:
    """How many calls are stored: nothing, then more and more."""
    return [*(size for size in _SIZES if size < most), most]


def of(server: database.Database, calls: int, pending: int) -> Size:
    """What it is like with so many calls."""
    with server.fresh() as one:
        began = time.monotonic()
        print(f"{calls:,} stored calls: filling", file=sys.stderr, flush=True)
        with one.loading():
            asyncio.run(filling.fill(one, calls))
            if calls:  # as the server would have done some time
                asyncio.run(one.on(lambda connection: connection.execute("VACUUM (ANALYZE)")))
        print(f"{calls:,} stored calls: filled in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        began = time.monotonic()
        size = asyncio.run(measured(one, calls, pending))
        print(f"measured in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return size


def report(found: Sequence[Size], pending: int, server: str) -> str:
    """All that was measured; a line for each number of stored calls."""
    work = tables.table(
        ("stored calls", "on disk GiB", "calls/s", "p50 ms", "p99", "WAL a call KiB", "again/s", "deliveries/s", "claim p50 ms", "p99",
         "beside a long look: p50", "p99"),
        ((f"{one.calls:,}", f"{one.gib:.1f}", *one.accepts.cells(), f"{one.wal:.1f}", one.again.cells()[0], *one.claims.cells(),
          *one.beside_a_look.cells()[1:]) for one in found),
    )  # fmt: skip
    looks = tables.table(
        ("ms", *(f"{one.calls:,}" for one in found)),
        ((name, *(f"{one.looks[name] * 1000:.1f}" for one in found)) for name in found[0].looks),
    )
    going = tables.table(
        ("stored calls", "of a month", "dropped in ms", "longest call meanwhile ms", "kept by a long look: longest call ms",
         "500 calls one by one ms", "next month made ms"),
        ((f"{one.calls:,}", *one.going.cells()) for one in found),
    )  # fmt: skip
    return (
        f"{tables.machine()} {server}. {pending:,} deliveries of the last day wait for {len(filling.SINKS)} sinks.\n\n"
        f"{work}\n{looks}\n{going}"
    )


def slower(found: Sequence[Size]) -> list[str]:
    """What is not flat."""
    first, last = found[0], found[-1]
    times = {
        "taking a call in": (first.accepts.p50, last.accepts.p50),
        "a call that came before": (first.again.p50, last.again.p50),
        "a claim": (first.claims.p50, last.claims.p50),
    }
    return [
        f"{what} took {1000 * after:.1f} ms beside {last.calls:,} stored calls, and {1000 * before:.1f} ms beside {first.calls:,}"
        for what, (before, after) in times.items()
        if after > _FLAT * before
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=_SIZES[-1], help="the most that are stored")
    parser.add_argument("--pending", type=int, default=100_000, help="deliveries that wait")
    parser.add_argument("--folder", type=Path, help="on the disk that is meant; the user `nobody` has to get there")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    given = parser.parse_args()
    with database.running(given.folder) as server:
        found = [of(server, calls, given.pending) for calls in sizes(given.calls)]
        text = report(found, given.pending, server.described())
    print(text)
    if given.write:
        tables.put(given.write, "scale", text)
    wrong = slower(found)
    print("\n".join(wrong) or "Claims and calls stayed flat.")
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
