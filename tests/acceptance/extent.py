"""How long the tests of this folder go on, and which dice they throw: short in `make test`, long in `make prove`."""

from __future__ import annotations

import os
import random
from typing import Final, TypeVar

T = TypeVar("T")

#: `make prove` says so.
PROVING: Final = os.environ.get("AFTERCALL_PROVE") == "1"
#: Every run prints it; AFTERCALL_SEED=N throws the same dice again. What is repeated by that is what everybody sets out to
#: do: which calls, which faults, when somebody is killed. Not repeated is how processes, threads and disks interleave, so
#: what depends on a single moment may take several runs to be met again.
SEED: Final = int(os.environ.get("AFTERCALL_SEED") or random.SystemRandom().randrange(2**32))


def extent(short: T, long: T) -> T:
    """The one that this run goes to."""
    return long if PROVING else short


def dice(name: str) -> random.Random:
    """Dice of one test's own, so that they fall the same whichever tests run beside it."""
    return random.Random(f"{SEED} {name}")
