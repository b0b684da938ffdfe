"""How fast: aftercall beside the least that a server can do, and beside the script that people write by hand.

`make bench`, or `python bench/throughput.py [--rounds 3] [--seconds 10] [--write docs/performance.md]`. All programs are
measured one after the other, again in each round, each as a process of its own in a new folder; docs/performance.md says
what each figure means.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import disk
import programs
import tables
from flat_out import WARM, as_fast_as_it_goes
from measures import Spread, Tally
from programs import Program
from receiver import receiving
from sender import Load, sending

#: Calls a second of the even load.
_RATE = 100
_EXTRA_FSYNC_MS = 5

#: A program in this folder, that posts to these ports.
Start = Callable[[Path, Sequence[int]], AbstractContextManager[Program]]


@dataclass
class Figures:
    """Of one program in one round."""

    accepted: float
    delivered: float
    cpu_us: float
    p50: float
    p99: float
    idle: float
    peak: float
    started_in: float


@dataclass
class Contestant:
    name: str
    sinks: int
    start: Start
    rounds: list[Figures] = field(default_factory=list)

    def of(self, figure: str) -> list[float]:
        return [getattr(one, figure) for one in self.rounds]

    def times(self, figure: str, other: Contestant, its: str) -> str:
        """This figure as a multiple of another's in the same round."""
        return several_times([mine / theirs for mine, theirs in zip(self.of(figure), other.of(its), strict=True)])


several_times = partial(tables.several, digits=2)


def measured(contestant: Contestant, seconds: float, folder: Path) -> Figures:
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        receiving(contestant.sinks) as sinks,
        contestant.start(Path(own), [port for port, _ in sinks]) as program,
    ):
        time.sleep(WARM)
        idle = program.memory.now
        tallies = [tally for _, tally in sinks]
        pace = as_fast_as_it_goes(Load(program.port, program.path), tallies, seconds, lambda: program.cpu_seconds)
        peak = program.memory.peak
    with (
        tempfile.TemporaryDirectory(dir=folder) as own,
        receiving(contestant.sinks) as sinks,
        contestant.start(Path(own), [port for port, _ in sinks]) as program,
    ):
        spread = _evenly(program, [tally for _, tally in sinks], seconds)
        return Figures(
            pace.accepted, pace.delivered, pace.cpu_us[0], spread.quantile(0.5) * 1000, spread.quantile(0.99) * 1000, idle,
            peak, program.started_in,
        )  # fmt: skip


def _evenly(program: Program, sinks: list[Tally], seconds: float) -> Spread:
    """How long calls are on their way to the sinks; where there are none, to the answer."""
    load = Load(program.port, program.path, rate=_RATE, connections=4)
    watched = sinks or [load.taken]
    with sending(load):
        time.sleep(WARM)
        before = _spread(watched)
        time.sleep(seconds)
    time.sleep(WARM)
    return _spread(watched) - before


def _spread(tallies: list[Tally]) -> Spread:
    return sum((tally.spread for tally in tallies), Spread())


def ceiling(seconds: float) -> float:
    """What the sender and the receiver can do with nothing in between."""
    with receiving(1) as [(port, _)]:
        load = Load(port, "/")
        with sending(load):
            time.sleep(WARM)
            began, taken = time.monotonic(), load.taken.calls
            time.sleep(seconds)
            return (load.taken.calls - taken) / (time.monotonic() - began)


def contestants(slow: dict[str, str] | None) -> list[Contestant]:
    """The bare server stands first: the others are compared with it."""
    found = [Contestant("bare aiohttp", 0, lambda folder, _: programs.bare(folder))]
    found += [Contestant("aftercall", sinks, programs.aftercall) for sinks in (0, 1, 5)]
    if slow:
        slowly = partial(programs.aftercall, environ=slow)
        found += [Contestant(f"aftercall, fsync + {_EXTRA_FSYNC_MS} ms", sinks, slowly) for sinks in (0, 1, 5)]
    if programs.GUNICORN.exists():
        found += [Contestant("Flask + requests", sinks, programs.by_hand) for sinks in (1, 5)]
    else:
        print("Flask and gunicorn are not here; `make bench` brings them.", file=sys.stderr)
    return found


def report(found: list[Contestant], ceilings: list[float], safe: float, slow_safe: float | None) -> str:
    least = found[0]
    speed = tables.table(
        ("", "sinks", "accepted/s", "× bare", "delivered/s", "× bare", "CPU µs a call", "p50 ms", "p99 ms"),
        (
            (
                one.name, str(one.sinks), tables.several(one.of("accepted")), one.times("accepted", least, "accepted"),
                tables.several(one.of("delivered")) if one.sinks else "–",
                one.times("delivered", least, "accepted") if one.sinks else "–",
                tables.several(one.of("cpu_us")), tables.several(one.of("p50"), 1), tables.several(one.of("p99"), 1),
            )
            for one in found
        ),
    )  # fmt: skip
    size = tables.table(
        ("", "sinks", "idle MiB", "peak MiB", "start s"),
        (
            (
                one.name, str(one.sinks), tables.several(one.of("idle")), tables.several(one.of("peak")),
                tables.several(one.of("started_in"), 2),
            )
            for one in found
        ),
    )  # fmt: skip
    above = [limit / rate for limit, rate in zip(ceilings, least.of("accepted"), strict=True)]
    enough = "" if min(above) > 1.2 else " **That is too little: the bare server may be faster than it seems.**"
    slowly = "" if slow_safe is None else f", {slow_safe * 1000:.1f} ms where it was made slow"
    return (
        f"{tables.machine()} {len(least.rounds)} rounds: the median (least–most). 4 KiB are safe on the disk after "
        f"{safe * 1000:.2f} ms{slowly}. The sender and the receiver alone make {tables.several(ceilings)} calls a second, "
        f"{several_times(above)} times what the bare server takes.{enough}\n\n{speed}\n{size}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10, help="of each load")
    parser.add_argument("--folder", type=Path, default=programs.TREE / ".make", help="on the disk that is meant")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the tables into this page")
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        safe = disk.seconds_until_safe(folder, {})
        slow = disk.slowed_down(folder, _EXTRA_FSYNC_MS)
        slow_safe = disk.seconds_until_safe(folder, slow) if slow else None
        found, ceilings = contestants(slow), []
        for number in range(given.rounds):
            ceilings.append(ceiling(given.seconds / 2))
            # There and back, so that no one always comes after the same other one.
            for one in found if number % 2 == 0 else reversed(found):
                one.rounds.append(measured(one, given.seconds, folder))
                print(
                    f"round {number + 1}: {one.name}, {one.sinks} sinks: {one.rounds[-1]}", file=sys.stderr, flush=True
                )
        text = report(found, ceilings, safe, slow_safe)
    print(text)
    if given.write:
        tables.put(given.write, "throughput", text)


if __name__ == "__main__":
    main()
