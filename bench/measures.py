"""What is measured, in memory that several processes share: one of them counts, another one reads.

It takes the same little memory however long a run is: a bit for each call, and a count for each of a thousand lengths
of time, which is exact to two per cent.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

#: Every process is begun anew: a fork of one that measures would be no stranger to it.
SPAWN = multiprocessing.get_context("spawn")

_SHORTEST = 1e-6
_STEPS = 1 / math.log(1.02)
_LENGTHS = 1_100


@dataclass(frozen=True, slots=True)
class Spread:
    """How many times of each length there were."""

    counts: tuple[int, ...] = (0,) * _LENGTHS

    def __add__(self, other: Self) -> Spread:
        return Spread(tuple(map(int.__add__, self.counts, other.counts)))

    def __sub__(self, earlier: Self) -> Spread:
        return Spread(tuple(map(int.__sub__, self.counts, earlier.counts)))

    def quantile(self, share: float) -> float:
        """Seconds; NaN where there were none."""
        left = share * sum(self.counts)
        for length, count in enumerate(self.counts):
            left -= count
            if count and left <= 0:
                return _SHORTEST * math.exp((length + 0.5) / _STEPS)
        return math.nan


class Tally:
    """Which calls came how often, and how long they took. Only one process may count."""

    def __init__(self, calls: int) -> None:
        self._bits = SPAWN.RawArray("B", calls // 8 + 1)
        self._times = SPAWN.RawArray("Q", _LENGTHS)
        self._counts = SPAWN.RawArray("Q", 2)

    def count(self, call: int, seconds: float) -> None:
        """This call came, after this time."""
        self._times[min(max(int(math.log(max(seconds, _SHORTEST) / _SHORTEST) * _STEPS), 0), _LENGTHS - 1)] += 1
        at, bit = call >> 3, 1 << (call & 7)
        again = self._bits[at] & bit
        self._bits[at] |= bit
        self._counts[1 if again else 0] += 1

    @property
    def calls(self) -> int:
        """How many came, each counted once."""
        return int(self._counts[0])

    @property
    def repeats(self) -> int:
        """How often one came that had come before."""
        return int(self._counts[1])

    @property
    def spread(self) -> Spread:
        """All times until now."""
        return Spread(tuple(self._times))

    def missing(self, from_: Tally) -> int:
        """How many calls of the other one did not come here."""
        return sum((theirs & ~ours).bit_count() for theirs, ours in zip(from_._bits, self._bits, strict=False))


@dataclass(frozen=True, slots=True)
class Memory:
    """MiB of a process and its children; what they share counts for each. NaN where the system does not tell."""

    now: float
    peak: float

    @classmethod
    def of(cls, pid: int) -> Memory:
        """As it is now."""
        try:
            said = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        except OSError:
            return cls(math.nan, math.nan)
        all_of_them = [cls(_mib(said, "VmRSS"), _mib(said, "VmHWM")), *(cls.of(int(child)) for child in children)]
        return cls(sum(one.now for one in all_of_them), sum(one.peak for one in all_of_them))


def cpu_seconds(pid: int) -> float:
    """How long processors have worked for a process and its children, those that have ended included; NaN where the
    system does not tell."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:
        return math.nan
    ticks = sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK") + sum(cpu_seconds(int(child)) for child in children)


def _mib(status: str, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else math.nan
