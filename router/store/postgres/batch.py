"""The writes that share a commit, and those that wait for one."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, Final

from router.errors import StoreBusy

if TYPE_CHECKING:
    from asyncpg import Connection

#: A commit takes no more than this, so that the first of it does not wait for ever.
LARGEST_BATCH: Final = 500
LARGEST_BATCH_BYTES: Final = 16 * 2**20
#: Together with the number of writes, what may wait: bodies are held in memory until their commit.
LARGEST_QUEUE_BYTES: Final = 256 * 2**20


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Writes that are done together: `work` takes what each of them is about, and has a result for each.

    `at_once`: how many batches of them may be under way.
    """

    work: Callable[[Connection, Sequence[Any]], Awaitable[Sequence[object]]]
    at_once: int = 1
    largest: int = LARGEST_BATCH


@dataclass(slots=True, eq=False, repr=False)  # the event loop's own log may show it: no call may be in that
class Write:
    """One write, and who waits for it. `weight`: its bytes."""

    kind: Kind
    what: Any
    future: asyncio.Future[Any]
    weight: int = 0
    #: Seconds that its commit may take.
    patience: float = 0.0
    number: int = field(default_factory=count().__next__)

    def answer(self, result: object) -> None:
        """Tell who waits; an exception is raised there."""
        if self.future.done():  # cancelled: the write is done all the same
            return
        if isinstance(result, Exception):
            self.future.set_exception(result)
        else:
            self.future.set_result(result)


class Queue:
    """What waits, by kind; what came first goes first, and takes along what is of its kind."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._waiting: dict[Kind, deque[Write]] = {}
        self._under_way: dict[Kind, int] = {}
        self._length = 0
        self._bytes = 0

    def __len__(self) -> int:
        return self._length

    def put(self, write: Write, *, intake: bool) -> None:
        """Let it wait. Raises `StoreBusy`: what takes calls in (`intake`) at the limit, the rest at twice as much."""
        factor = 1 if intake else 2
        full = self._length >= factor * self._limit
        if full or (self._length and self._bytes + write.weight > factor * LARGEST_QUEUE_BYTES):
            message = f"{self._length} writes are waiting for the database; try again in a moment"
            raise StoreBusy(message)
        self._waiting.setdefault(write.kind, deque()).append(write)
        self._length += 1
        self._bytes += write.weight

    def take(self) -> list[Write]:
        """The next batch, under way until `done` is told; none where nothing can be begun."""
        free = [
            (waiting[0].number, kind)
            for kind, waiting in self._waiting.items()
            if waiting and self._under_way.get(kind, 0) < kind.at_once
        ]
        if not free:
            return []
        _, kind = min(free)
        waiting, batch, weight = self._waiting[kind], list[Write](), 0
        while waiting and len(batch) < kind.largest and (not batch or weight < LARGEST_BATCH_BYTES):
            batch.append(waiting.popleft())
            weight += batch[-1].weight
        self._length -= len(batch)
        self._bytes -= weight
        self._under_way[kind] = self._under_way.get(kind, 0) + 1
        return batch

    def leave(self, write: Write) -> bool:
        """Let it wait no more; False where it does not wait, as it is under way or done."""
        waiting = self._waiting.get(write.kind)
        if waiting is None or write not in waiting:
            return False
        del waiting[waiting.index(write)]
        self._length -= 1
        self._bytes -= write.weight
        return True

    def done(self, batch: Sequence[Write]) -> None:
        """This batch is not under way any more."""
        self._under_way[batch[0].kind] -= 1

    def drain(self) -> list[Write]:
        """Everything that waits, which waits no more."""
        left = [write for waiting in self._waiting.values() for write in waiting]
        self._waiting.clear()
        self._length = self._bytes = 0
        return left
