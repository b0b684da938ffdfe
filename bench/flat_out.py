"""As many calls as are taken, and what becomes of them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from measures import Tally
from sender import Load, sending

#: Seconds in which a program gets warm.
WARM = 1.0
#: Seconds that deliveries may take that are still owed.
_PATIENCE = 300


@dataclass(frozen=True, slots=True)
class Pace:
    """Accepted a second; delivered a second, until the last one is."""

    accepted: float
    delivered: float
    #: Of each that was watched: microseconds of a processor for a call and all that comes of it.
    cpu_us: tuple[float, ...]
    #: And how many processors it had while calls came in.
    busy: tuple[float, ...]


def as_fast_as_it_goes(load: Load, sinks: list[Tally], seconds: float, *watched: Callable[[], float]) -> Pace:
    """Send for so long, and wait until every sink has what was accepted. `watched`: seconds of processors."""
    cpu = _read(watched)
    with sending(load):
        time.sleep(WARM)
        began, taken, came, cpu_then = time.monotonic(), load.taken.calls, _calls(sinks), _read(watched)
        time.sleep(seconds)
        lasted = time.monotonic() - began
        accepted, busy = (load.taken.calls - taken) / lasted, _since(cpu_then, watched, lasted)
    while any(tally.missing(load.taken) for tally in sinks):
        if time.monotonic() > began + seconds + _PATIENCE:
            sys.exit(f"{load.path}: some of what was accepted did not come within {_PATIENCE} s")
        time.sleep(0.05)
    delivered = (_calls(sinks) - came) / (time.monotonic() - began)
    if load.refusals:
        print(f"(refused or broken off: {load.refusals})", file=sys.stderr)
    return Pace(accepted, delivered, _since(cpu, watched, max(load.taken.calls, 1) / 1e6), busy)


def _read(watched: Sequence[Callable[[], float]]) -> list[float]:
    return [read() for read in watched]


def _since(then: Sequence[float], watched: Sequence[Callable[[], float]], by: float) -> tuple[float, ...]:
    return tuple((now - before) / by for now, before in zip(_read(watched), then, strict=True))


def _calls(tallies: list[Tally]) -> int:
    return sum(tally.calls for tally in tallies)
