"""Who sends the calls: a process that keeps its connections, and does as little as it can for each call."""

from __future__ import annotations

import asyncio
import ctypes
import re
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle

from bodies import body, head
from measures import SPAWN, Tally

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
#: Seconds until a call that was not taken goes again, or a connection that was refused.
_PAUSE = 0.1
#: More connections than this are not opened, however late the calls are.
_MOST = 256
#: Seconds that the last answers may take.
_PATIENCE = 30


@dataclass
class Load:
    """What is sent: `rate` calls a second whatever becomes of them, or (None) one more for each that is answered."""

    port: int
    path: str
    rate: float | None = None
    #: At the beginning.
    connections: int = 64
    #: More ports, each with as many of the connections.
    also: Sequence[int] = ()
    #: It ends by itself after so many.
    calls: int = 1_000_000
    #: What was answered 2xx, and how long that took.
    taken: Tally = field(init=False)

    def __post_init__(self) -> None:
        self.taken = Tally(self.calls)
        self._refusals = SPAWN.RawValue(ctypes.c_uint64, 0)
        self._ended = SPAWN.RawValue(ctypes.c_bool, False)  # noqa: FBT003 - its first value

    @property
    def refusals(self) -> int:
        """How often there was another answer, or none. Such a call is sent again."""
        return int(self._refusals.value)

    def refused(self) -> None:
        self._refusals.value += 1

    @property
    def ended(self) -> bool:
        return bool(self._ended.value)

    def end(self) -> None:
        self._ended.value = True


@contextmanager
def sending(load: Load) -> Iterator[None]:
    """Send, until the end of the block or of the calls; then every answer is there."""
    process = SPAWN.Process(target=_send, args=(load,), daemon=True)
    process.start()
    try:
        yield
    finally:
        load.end()
        process.join(_PATIENCE + 5)
        process.kill()


def _send(load: Load) -> None:
    with suppress(KeyboardInterrupt):
        asyncio.run(_Sender(load).run())


@dataclass(frozen=True, slots=True)
class _Call:
    number: int
    due: int
    request: bytes


class _Connection(asyncio.Protocol):
    """One call after the other."""

    transport: asyncio.Transport

    def __init__(self, sender: _Sender) -> None:
        self.sender = sender
        self.call: _Call | None = None
        self.answer = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.sender.free(self)

    def send(self, call: _Call) -> None:
        self.call = call
        self.transport.write(call.request)

    def data_received(self, data: bytes) -> None:
        self.answer += data
        end = self.answer.find(b"\r\n\r\n")
        if end < 0:
            return
        length = _LENGTH.search(self.answer, 0, end)
        if len(self.answer) < end + 4 + (int(length[1]) if length else 0):
            return
        taken, call = self.answer[9:10] == b"2", self.call
        self.answer, self.call = b"", None
        if call is not None:
            self.sender.answered(call, taken=taken)
        self.sender.free(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.sender.lost(self)


class _Sender:
    def __init__(self, load: Load) -> None:
        self.load = load
        self.head = head(load.path)
        self.idle: list[_Connection] = []
        self.waiting: deque[_Call] = deque()
        self.made = self.unanswered = self.connections = 0
        self.opening: set[asyncio.Task[None]] = set()
        self.ports = cycle((load.port, *load.also))

    async def run(self) -> None:
        for _ in range(self.load.connections):
            self.open()
        began = time.monotonic()
        while self.going:
            if self.load.rate is None:
                await asyncio.sleep(_PAUSE)
                continue
            due = began + self.made / self.load.rate
            await asyncio.sleep(max(due - time.monotonic(), 0))
            self.offer(self.make(due))
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                while self.unanswered:  # noqa: ASYNC110 - nothing here is to cost time for each call
                    await asyncio.sleep(0.01)

    @property
    def going(self) -> bool:
        return self.made < self.load.calls and not self.load.ended

    def make(self, at: float | None = None) -> _Call:
        """The next one, due at that time: also where the sender comes to it late, what waited has waited."""
        number, due = self.made, time.monotonic_ns() if at is None else round(at * 1e9)
        self.made += 1
        self.unanswered += 1
        return _Call(number, due, self.head + body(number, due))

    def offer(self, call: _Call) -> None:
        if self.idle:
            self.idle.pop().send(call)
            return
        self.waiting.append(call)
        if self.connections < _MOST:
            self.open()

    def free(self, connection: _Connection) -> None:
        if self.waiting:
            connection.send(self.waiting.popleft())
        elif self.load.rate is None and self.going:
            connection.send(self.make())
        else:
            self.idle.append(connection)

    def answered(self, call: _Call, *, taken: bool) -> None:
        if taken:
            self.load.taken.count(call.number, (time.monotonic_ns() - call.due) / 1e9)
            self.unanswered -= 1
        else:
            self.load.refused()
            asyncio.get_running_loop().call_later(_PAUSE, self.offer, call)

    def lost(self, connection: _Connection) -> None:
        self.connections -= 1
        if connection in self.idle:
            self.idle.remove(connection)
        if connection.call is not None:
            self.load.refused()
            self.waiting.append(connection.call)
        if self.waiting or self.load.rate is None:
            self.open()

    def open(self) -> None:
        self.connections += 1
        task = asyncio.create_task(self._open())
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def _open(self) -> None:
        port = next(self.ports)
        while True:
            try:
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
                return
            except OSError:
                await asyncio.sleep(_PAUSE)
