"""The arithmetic of docs/scale.md: from a company's calls to every call of a national carrier. Measures nothing.

`python bench/carrier.py --rate 369 --server 730 --stored 2.8 --wal 18.3 [--write docs/scale.md]`: what two routers deliver a
second, the microseconds of a processor that the server needs for a call, and the KiB that a call takes in the database and
in its log, as `make routers` and `make scale` have printed them. What is assumed besides stands below.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import tables

#: The busiest hour has this share of a day's calls.
_BUSIEST_HOUR: Final = 0.1
#: In its busiest seconds there come so many times what there is on its average.
_PEAK: Final = 2.0
#: No machine is planned for more than this share of what it can do.
_FULL: Final = 0.5
_DAYS: Final = 90
_SEEN_DAYS: Final = 400
#: Bytes of a row of `seen` with its four indexes.
_SEEN: Final = 280
#: Connections of one router: four that write, three that read, one by which the others know that it is there.
_CONNECTIONS: Final = 8
#: Who sends: calls a day that have an assistant.
_WHO: Final = {
    "a company with 100 telephones": 1_000,
    "a company with 10,000 telephones": 100_000,
    "a carrier: 100 million calls a day, 1% with an assistant": 1_000_000,
    "the same, 10%": 10_000_000,
    "the same, every call": 100_000_000,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """As it was printed."""

    #: Calls a second that two routers and their server deliver on one machine of two processors.
    rate: float
    #: Microseconds of the server's processors for a call.
    server: float
    #: KiB in the database, and in its log.
    stored: float
    wal: float

    def of(self, calls: int) -> list[str]:
        """What so many calls a day come to."""
        average = calls / 86_400
        peak = calls * _BUSIEST_HOUR / 3_600 * _PEAK
        pairs = max(1, -(-peak // (self.rate * _FULL)))
        return [
            f"{average:,.2f}" if average < 10 else f"{average:,.0f}", f"{peak:,.1f}" if peak < 10 else f"{peak:,.0f}",
            f"{pairs:,.0f}", f"{peak * self.server / 1e6 / _FULL:,.1f}", f"{2 * pairs * _CONNECTIONS:,.0f}",
            _bytes(calls * _DAYS * self.stored * 1024), _bytes(calls * self.wal * 1024), f"{peak * self.wal / 1024:,.1f}",
            f"{calls * 30:,}", _bytes(calls * _SEEN_DAYS * _SEEN),
        ]  # fmt: skip


_HEAD: Final = (
    "who", "calls a day", "a second, on average", "at the peak", "machines like this one", "cores of the server at the peak",
    "connections", f"on disk, {_DAYS} days", "log (WAL) a day", "log at the peak, MiB/s", "rows of a month",
    f"of `seen`, {_SEEN_DAYS} days",
)  # fmt: skip


def _bytes(count: float) -> str:
    units = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")
    power = next(at for at in range(len(units)) if count < 0.9 * 1024 ** (at + 1) or at == len(units) - 1)
    return f"{count / 1024**power:,.1f} {units[power]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--server", type=float, required=True)
    parser.add_argument("--stored", type=float, required=True)
    parser.add_argument("--wal", type=float, required=True)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    given = parser.parse_args()
    measured = Measured(given.rate, given.server, given.stored, given.wal)
    text = (
        f"Assumed: the busiest hour has {_BUSIEST_HOUR:.0%} of a day's calls, its busiest seconds {_PEAK:g} times as many as "
        f"that hour on average; nothing is planned for more than {_FULL:.0%} of what it can do; a call goes to one sink; a row of `seen` takes "
        f"{_SEEN} bytes, its indexes included. "
        f"Measured, as printed above: {measured.rate:g} calls a second of two routers with their server on one machine, "
        f"{measured.server:g} µs of the server's processors, {measured.stored:g} KiB in the database and {measured.wal:g} KiB "
        f"in its log for a call.\n\n"
        f"{tables.table(_HEAD, ((who, f'{calls:,}', *measured.of(calls)) for who, calls in _WHO.items()))}"
    )
    print(text)
    if given.write:
        tables.put(given.write, "carrier", text)


if __name__ == "__main__":
    main()
