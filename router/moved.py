"""What `aftercall copy-store` says: how far it is, and what it came to."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final, Self

from router.show import columns

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from router.store.lines import Summary
    from router.store.moving.copying import Moved
    from router.store.moving.state import Named

#: Seconds between two lines where nobody looks, and where somebody does.
_SELDOM: Final = 10.0
_OFTEN: Final = 0.2


class Advance:
    """Says on standard error how far it is: in one line that changes on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self._changes = sys.stderr.isatty()
        self._next = time.monotonic() + (0 if self._changes else _SELDOM)
        self._shown = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown and self._changes:
            sys.stderr.write("\r\x1b[K")
        if kind is KeyboardInterrupt:
            sys.stderr.write("stopped; the same copy-store goes on from here\n")
        sys.stderr.flush()

    def __call__(self, what: str, table: str, *, done: int, of: int) -> None:
        """So many rows of a table are copied, or compared."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (_OFTEN if self._changes else _SELDOM)
        self._shown = True
        share = f" ({100 * done // of} %)" if of else ""
        line = f"{what} {done} of {of} {table}{share}"
        sys.stderr.write(f"\r\x1b[K{line}" if self._changes else f"{line}\n")
        sys.stderr.flush()


def moved_text(moved: Moved, source: str, target: str) -> str:
    """What was copied, what is to be known of it, and what comes next."""
    rows = [(name, tally.rows, tally) for name, tally in moved.tables.items()]
    resumed = ", going on where it was stopped" if moved.was_resumed else ""
    lines = [
        f"copied {source} to {target}{resumed}, and compared the two row by row:",
        *columns(("TABLE", "ROWS", "DIGEST"), rows).splitlines(),
        "",
        _sums(moved.after),
        *_named("copied as they are, but damaged", moved.damaged),
        *_named("NOT copied, because the database there takes no such row (they count as purged)", moved.left),
        *_listed("counters that were wrong, and are right now", moved.miscounted),
    ]
    if moved.before != moved.after:
        lines.append(f"before, that was: {_sums(moved.before)}")
    lines.append(
        "Next: name the new store as `store` in routes.yaml, and start the router. The old one is as it was; never start a "
        "router on it again beside the new one, or what is owed goes out from both."
    )
    return "\n".join(lines)


def _sums(summary: Summary) -> str:
    states = ", ".join(
        f"{count} {state}" for state, count in summary.deliveries.items() if count and state != "created"
    )
    return (
        f"received {summary.received}: {summary.events} events, {summary.duplicates} duplicates, {summary.quarantined} "
        f"quarantined, {summary.purged} purged; deliveries {summary.deliveries['created']}: {states or 'none'}"
    )


def _named(what: str, named: Named) -> Iterable[str]:
    more = [f"… and {named.rows - len(named.names)} more"] if named.rows > len(named.names) else []
    return _listed(what, [*named.names, *more])


def _listed(what: str, names: Iterable[str]) -> list[str]:
    lines = [f"  ! {name}" for name in names]
    return [f"{what}:", *lines] if lines else []
