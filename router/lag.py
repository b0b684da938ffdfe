"""How late the event loop is, and who keeps it from going on.

A loop that stands tells nobody. So a thread of its own asks it for an answer twice a second, and where none comes looks
at what it is doing. Whoever is named there is named for a reason: one and the same step of the loop, begun on behalf of
a sink, was seen at two looks; or it computed for so long without letting even this thread run. Many small steps of many,
or a machine that stands still as a whole, are nobody's.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from router.stall import Look, Stall, look

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

#: Seconds between two questions.
EVERY: Final = 0.5
#: Seconds from which on it is blocked, and not only late.
BLOCKED: Final = 1.0
#: How often it is looked at before it is.
_LOOKS: Final = 4


@contextmanager
def watching(
    tell: Callable[[Stall], None], log: FilteringBoundLogger, *, every: float = EVERY, blocked: float = BLOCKED
) -> Iterator[None]:
    """Tell the running loop again and again how long it took to answer, while the block runs.

    A line `loop.blocked` is written while it is, and another each time when that has lasted twice as long.
    """
    watch = _Watch(asyncio.get_running_loop(), tell, log, every, blocked)
    thread = threading.Thread(target=watch.run, name="loop watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        watch.end.set()
        thread.join(2 * blocked)


class _Watch:
    """What the thread does. Made on the loop's thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tell: Callable[[Stall], None],
        log: FilteringBoundLogger,
        every: float,
        blocked: float,
    ) -> None:
        self.end = threading.Event()
        self._loop = loop
        self._tell = tell
        self._log = log
        self._every = every
        self._blocked = blocked
        self._watched = threading.get_ident()
        self._computed = _computed_by(self._watched)

    def run(self) -> None:
        """Until `end`, or until the loop is closed."""
        while True:
            due = time.monotonic() + self._every
            held = self._wait(self.end, self._every)
            if self.end.is_set():
                return
            by = self._look() if held else None
            now = time.monotonic()
            try:
                # Where this thread could not run, the other could not either, or would not let it.
                self._ask(due if now - due >= self._blocked else now, by)
            except RuntimeError:  # the loop is closed
                return

    def _ask(self, began: float, by: Look | None) -> None:
        """Ask for an answer, wait for it, and tell how long it took since then."""
        answered: list[float] = []
        came = threading.Event()

        def answer() -> None:
            answered.append(time.monotonic())
            came.set()

        self._loop.call_soon_threadsafe(answer)
        before: Look | None = None
        write_at = self._blocked
        while True:
            held = self._wait(came, self._blocked / _LOOKS)
            if answered or self.end.is_set():
                break
            seen = self._look()
            if seen.step and (held or (before and before.step is seen.step)):
                by = seen
            before = seen
            if (seconds := time.monotonic() - began) >= write_at:
                write_at = 2 * seconds
                self._write("loop.blocked", Stall(seconds, by))
        if not answered:
            return
        stall = Stall(answered[0] - began, by)
        if stall.seconds >= self._blocked:
            self._write("loop.went_on", stall)
        self._loop.call_soon_threadsafe(self._tell, stall)

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        """Whether the loop's thread computed and kept this one from coming back in time."""
        began, computed = time.monotonic(), self._computed()
        if event.wait(seconds):
            return False
        late = time.monotonic() - began - seconds
        return min(late, self._computed() - computed) >= self._blocked

    def _look(self) -> Look:
        return look(sys._current_frames()[self._watched])  # noqa: SLF001 - that is its name

    def _write(self, event: str, stall: Stall) -> None:
        by = stall.by
        behalf = by.behalf if by else None
        self._log.error(
            event,
            seconds=round(stall.seconds, 1),
            sink=behalf.sink if behalf else None,
            kind=behalf.kind if behalf else None,
            where=by.where if by else None,
            inside=by.inside if by else None,
        )


def _computed_by(thread: int) -> Callable[[], float]:
    """How many seconds of a processor a thread has used; always 0 where the system does not say."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return lambda: 0.0
    clock = time.pthread_getcpuclockid(thread)
    return lambda: time.clock_gettime(clock)
