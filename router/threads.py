"""Threads for what must not run on the loop: each sink has some of its own, and the router others.

`asyncio.to_thread`, aiofiles and name lookups all take theirs from the loop's default executor, whoever asks. One sink
that fills it with what never ends would hold up every other, and the taking in of large bodies.
"""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

from typing_extensions import override

from router.behalf import BEHALF

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

#: For the router itself, and for each sink.
_OURS: Final = 8
_EACH: Final = 16


class Threads(ThreadPoolExecutor):
    """A default executor for the loop. Whose thread a function gets is decided by who asks, and not by what it is."""

    def __init__(self) -> None:
        super().__init__(_OURS, "aftercall")
        self._of_sinks: dict[str, ThreadPoolExecutor] = {}
        self._running: defaultdict[str, set[Future[Any]]] = defaultdict(set)

    @override
    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        if (behalf := BEHALF.get()) is None:
            return super().submit(fn, *args, **kwargs)
        sink = behalf.sink
        if sink not in self._of_sinks:
            self._of_sinks[sink] = ThreadPoolExecutor(_EACH, f"aftercall-{sink}")
        future = self._of_sinks[sink].submit(fn, *args, **kwargs)
        self._running[sink].add(future)
        future.add_done_callback(self._running[sink].discard)
        return future

    def release(self, sink: str) -> None:
        """A sink is gone: its threads end, each when it has nothing more to do."""
        if (pool := self._of_sinks.pop(sink, None)) is not None:
            pool.shutdown(wait=False)
        if not self._running[sink]:
            del self._running[sink]

    def left_behind(self, patience: float) -> list[str]:
        """The sinks whose threads do not end within so many seconds; nothing ends a thread from outside."""
        running = [future for futures in self._running.values() for future in list(futures)]
        if running:
            wait(running, patience)
        return sorted(sink for sink, futures in self._running.items() if futures)

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        for pool in self._of_sinks.values():
            pool.shutdown(wait, cancel_futures=cancel_futures)
        super().shutdown(wait, cancel_futures=cancel_futures)
