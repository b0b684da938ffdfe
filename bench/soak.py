"""Whether it stays as it is: a million calls to two sinks, while as many are purged as come in.

`make soak`, or `python bench/soak.py [--calls 1000000] [--rate 300] [--write docs/performance.md]`. A line every few
seconds, and at the end a table by tenths of the run. It exits with 3 where a call that was acknowledged did not reach
both sinks, where the store does not add up, and where memory, the database or its log grew. Times are only shown.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import programs
import tables
from measures import Spread, Tally
from receiver import receiving
from sender import Load, sending

#: Kept for no longer, so that from the first minute on there is always something to purge.
_KEEP = "keep: {events: 20s, quarantine: 20s, seen: 60s}\n"
_SINKS = 2
#: Seconds that the last deliveries may take.
_PATIENCE = 300
_LARGEST_LOG = 64 * 2**20
#: The last tenth may have so many times what the second had, once everything is purged that is old by then (`seen`).
_GROWTH = 1.25
_SETTLED = 60.0
#: MiB of the WAL: four times the size at which the router moves it, whoever waits.
_LARGEST_WAL = 64
_MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """How it stands at one time."""

    at: float
    taken: int
    delivered: int
    purged: int
    memory: float
    database: float
    log: float
    #: All times until now: to the answer, and to the sinks.
    answers: Spread
    arrivals: Spread

    @property
    def backlog(self) -> int:
        return self.taken * _SINKS - self.delivered


@dataclass(frozen=True, slots=True)
class Stretch:
    """From one sample to another."""

    samples: list[Sample]

    @property
    def rate(self) -> float:
        first, last = self.samples[0], self.samples[-1]
        return (last.taken - first.taken) / (last.at - first.at)

    @property
    def purged(self) -> int:
        return self.samples[-1].purged - self.samples[0].purged

    @property
    def memory(self) -> float:
        return median(sample.memory for sample in self.samples[1:])

    def most(self, figure: str) -> float:
        return max(float(getattr(sample, figure)) for sample in self.samples[1:])

    def milliseconds(self, what: str, share: float) -> float:
        spread: Spread = getattr(self.samples[-1], what) - getattr(self.samples[0], what)
        return spread.quantile(share) * 1000

    def cells(self) -> list[str]:
        times = (self.milliseconds(what, share) for what in ("answers", "arrivals") for share in (0.5, 0.99))
        return [
            f"{self.rate:,.0f}", *(f"{found:.1f}" for found in times), f"{self.memory:.0f}",
            f"{self.most('database'):.0f}", f"{self.most('log'):.1f}", f"{self.most('backlog'):,.0f}",
            f"{self.purged:,}",
        ]  # fmt: skip


HEAD = (
    "calls/s", "answer p50 ms", "p99", "arrival p50 ms", "p99", "RSS MiB", "database MiB", "WAL MiB", "backlog", "purged",
)  # fmt: skip


def soaked(folder: Path, calls: int, rate: float, every: float) -> tuple[list[Sample], list[str], Counter[str]]:
    """What was seen, what is wrong, and what the router warned of."""
    with (
        receiving(_SINKS, calls) as sinks,
        programs.aftercall(folder, [port for port, _ in sinks], more=_KEEP) as router,
    ):
        load = Load(router.port, router.path, rate=rate, calls=calls)
        tallies = [tally for _, tally in sinks]
        samples, warnings = [], Counter[str]()
        with sending(load):
            for sample in _watched(folder, router, load, tallies, every):
                samples.append(sample)
                _empty(folder / "log", warnings)
                if len(samples) > 1:
                    print(f"{sample.taken:>9,}  {'  '.join(Stretch(samples[-2:]).cells())}", flush=True)
        _wait(load, tallies, router)
        missing = [tally.missing(load.taken) for tally in tallies]
        wrong = [f"sink {at}: {lost} acknowledged calls did not come" for at, lost in enumerate(missing) if lost]
        wrong += _sums(router.summary(), load.taken.calls)
        repeats = sum(tally.repeats for tally in tallies)
        print(f"refused or broken off, and sent again: {load.refusals}; delivered more than once: {repeats}")
    _empty(folder / "log", warnings, over=0)
    return samples, wrong, warnings


def _watched(folder: Path, router: programs.Program, load: Load, sinks: list[Tally], every: float) -> Iterator[Sample]:
    """A sample every few seconds, until all calls are taken."""
    began = time.monotonic()
    data = folder / "data"
    while True:
        purged = router.summary()["purged"]
        yield Sample(
            at=time.monotonic() - began,
            taken=load.taken.calls,
            delivered=sum(tally.calls for tally in sinks),
            purged=purged,
            memory=router.memory.now,
            database=(data / "aftercall.db").stat().st_size / _MIB,
            log=(data / "aftercall.db-wal").stat().st_size / _MIB,
            answers=load.taken.spread,
            arrivals=sum((tally.spread for tally in sinks), Spread()),
        )
        if load.taken.calls >= load.calls:
            return
        time.sleep(every)


def _wait(load: Load, sinks: list[Tally], router: programs.Program) -> None:
    """Until everything is delivered and settled; not for ever."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        owed = router.summary()["deliveries"]
        if not owed["pending"] + owed["claimed"] and not any(tally.missing(load.taken) for tally in sinks):
            return
        time.sleep(0.2)


def _sums(summary: dict[str, Any], taken: int) -> Iterator[str]:
    """What does not add up."""
    deliveries: dict[str, int] = dict(summary["deliveries"])
    created = deliveries.pop("created")
    kept = summary["events"] + summary["duplicates"] + summary["quarantined"] + summary["purged"]
    for what, whole, parts in (
        ("received", summary["received"], kept),
        ("events", summary["events"], summary["routed"] + summary["unmatched"] + summary["unrouted"]),
        ("deliveries", created, sum(deliveries.values())),
        ("calls", taken, summary["received"] - summary["duplicates"]),
        ("calls for each sink", taken * _SINKS, created),
        ("delivered or purged", created, deliveries["delivered"] + deliveries["purged"]),
    ):
        if whole != parts:
            yield f"{what}: {whole:,} is not {parts:,}: {summary}"


def _empty(log: Path, warnings: Counter[str], *, over: int = _LARGEST_LOG) -> None:
    """Count what a log has that is no information, and empty it: a million calls fill a disk with lines."""
    if log.stat().st_size > over:
        with log.open("rb") as lines:
            unusual = (line for line in lines if b'"level": "info"' not in line)
            warnings.update((re.findall(rb'"event": "([\w.]+)"', line) or [line[:80]])[-1].decode() for line in unusual)
        os.truncate(log, 0)


def tenths(samples: list[Sample], calls: int) -> list[Stretch]:
    """Each from where the one before ended."""
    ends = [next(at for at, sample in enumerate(samples) if sample.taken >= calls * tenth / 10) for tenth in range(11)]
    return [Stretch(samples[first : last + 1]) for first, last in pairwise(ends) if last > first]


def growth(samples: list[Sample], calls: int) -> Iterator[str]:
    """What did not stay as it is. A run that is over before anything was purged for a while says nothing of that."""
    found = tenths(samples, calls)
    second, last = found[min(1, len(found) - 1)], found[-1]
    if second.samples[0].at > _SETTLED:
        for what, before, after in (
            ("memory", second.memory, last.memory),
            ("the database", second.most("database"), last.most("database")),
        ):
            if after > before * _GROWTH:
                yield f"{what} grew from {before:.0f} MiB in the second tenth to {after:.0f} MiB in the last"
    else:
        print(f"Too short to judge growth: the second tenth began within {_SETTLED:g} s.")
    largest = max(sample.log for sample in samples)
    if largest > _LARGEST_WAL:
        yield f"the WAL grew to {largest:.0f} MiB; {_LARGEST_WAL} are its bound"


def report(samples: list[Sample], calls: int, rate: float) -> str:
    found = tenths(samples, calls)
    rows = ((f"{at}", *one.cells()) for at, one in enumerate(found, 1))
    purging = sum(later.purged > sooner.purged for sooner, later in pairwise(samples)) / (len(samples) - 1)
    second, last = found[min(1, len(found) - 1)], found[-1]
    grown = {
        "memory": last.memory / second.memory,
        "p99 of the answer": last.milliseconds("answers", 0.99) / second.milliseconds("answers", 0.99),
        "p99 of the arrival": last.milliseconds("arrivals", 0.99) / second.milliseconds("arrivals", 0.99),
    }
    return (
        f"{tables.machine()} {calls:,} calls, {rate:g} a second, to {_SINKS} sinks.\n\n"
        f"{tables.table(('tenth', *HEAD), rows)}\n"
        f"The last tenth, as a multiple of the second: {', '.join(f'{name} {by:.2f}' for name, by in grown.items())}. "
        f"Largest WAL: {max(sample.log for sample in samples):.1f} MiB. "
        f"A purge was seen at work at {purging:.0%} of the looks; by the end it had taken "
        f"{samples[-1].purged / calls:.0%} of all calls.\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=300, help="calls a second; less than it can deliver to two sinks")
    parser.add_argument("--every", type=float, default=5, help="seconds from one look to the next")
    parser.add_argument("--folder", type=Path, default=programs.TREE / ".make", help="on the disk that is meant")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="put the table into this page")
    given = parser.parse_args()
    given.folder.mkdir(exist_ok=True)
    print(f"calls taken  {'  '.join(HEAD)}")
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        samples, wrong, warnings = soaked(Path(folder), given.calls, given.rate, given.every)
    text = report(samples, given.calls, given.rate)
    wrong += growth(samples, given.calls)
    text += (
        "\n"
        + (
            "\n".join(wrong)
            or "Every call that was acknowledged came to both sinks, the store adds up, and nothing grew."
        )
        + "\n"
    )
    print(text)
    if warnings:
        print(f"The router warned of: {dict(warnings)}")
    if given.write:
        tables.put(given.write, "soak", text)
    sys.exit(3 if wrong else 0)


if __name__ == "__main__":
    main()
