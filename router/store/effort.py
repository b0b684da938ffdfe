"""What writes cost a store: how many share a commit, and how long that takes."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from math import inf


@dataclass(slots=True)
class Spread:
    """How large something was, and how often, as a histogram has it: `counts[i]` of at most `bounds[i]`, the rest last.

    One thread adds. Who reads meanwhile may miss the newest.
    """

    bounds: tuple[float, ...]
    total: float = 0.0
    counts: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def cumulated(self) -> list[tuple[float, int]]:
        """Every bound, and how many were at most that."""
        return list(zip((*self.bounds, inf), accumulate(self.counts), strict=True))


_COMMIT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_COMMIT_WRITES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0)


@dataclass(slots=True)
class Effort:
    """What the engine did since it was opened, for metrics and tests."""

    commits: int = 0
    writes: int = 0
    largest_batch: int = 0
    #: How long commits took, and how many writes shared each.
    commit_seconds: Spread = field(default_factory=lambda: Spread(_COMMIT_SECONDS))
    commit_writes: Spread = field(default_factory=lambda: Spread(_COMMIT_WRITES))
    #: How often the log was moved into the database (SQLite).
    checkpoints: int = 0
