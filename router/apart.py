"""A thread of its own for what may never end: it takes nobody's place in a pool, and keeps no process from ending."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


class Apart:
    """Runs one function at a time, each on a new thread."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy = False

    @property
    def busy(self) -> bool:
        """Whether the last one has not told its outcome yet, also where nobody waits for it any more.

        Not whether its thread is alive: that is over a moment after who waited for the outcome goes on.
        """
        return self._busy

    async def run(self, function: Callable[[], T]) -> T:
        """What the function gives or raises, SystemExit and all. Cancelling stops the waiting, and not the function."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[_Outcome[T]] = loop.create_future()

        def tell(outcome: _Outcome[T]) -> None:
            self._busy = False
            if not done.done():
                done.set_result(outcome)

        def work() -> None:
            outcome = _Outcome[T]()
            try:
                outcome.result = function()
            except BaseException as error:  # noqa: BLE001 - it is for who waits
                outcome.error = error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(tell, outcome)

        threading.Thread(target=work, name=self._name, daemon=True).start()
        self._busy = True
        return (await done).value()


class _Outcome(Generic[T]):
    """A result or an error, whatever it is: a future does not take every exception."""

    result: T
    error: BaseException | None = None

    def value(self) -> T:
        if self.error is not None:
            raise self.error
        return self.result
