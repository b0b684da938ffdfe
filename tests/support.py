"""What several test modules share: waiting without sleeping, a sink that does as it is told, calls to accept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import tarfile
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any, Literal

from router import Delivery, Sink, SinkConfig, SinkContext
from router.event import Call
from router.store.values import Arrival, Owed, RoutedAs

#: The cases that other tests of the field are written from; not part of this repository.
CASES = Path(__file__).parents[2] / "shared" / "cases"
EXAMPLE = Path(__file__).parents[1] / "examples" / "call.json"

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)


async def until(true: Callable[[], bool]) -> None:
    """Let everything else run until this is true; a test that waits in vain fails by its time limit."""
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0)


async def until_awaited(true: Callable[[], Awaitable[bool]]) -> None:
    """As `until`, for what has to be asked for."""
    async with asyncio.timeout(20):
        while not await true():
            await asyncio.sleep(0)


@contextmanager
def threads_of(function: Callable[..., Any]) -> Iterator[set[str]]:
    """The names of the threads on which a function of ours runs, of those that begin in here."""
    names: set[str] = set()

    def look(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and frame.f_code is function.__code__:
            names.add(threading.current_thread().name)

    threading.setprofile(look)
    sys.setprofile(look)
    try:
        yield names
    finally:
        sys.setprofile(None)
        threading.setprofile(None)


def unpack(backup: Path, folder: Path) -> None:
    """A backup as a data folder again. `filter` came with Python 3.11.4, and is asked for from 3.12 on."""
    with tarfile.open(backup) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))  # type: ignore[arg-type]  # noqa: S202


def body(call_id: str | None = "call-1", **changes: Any) -> bytes:
    """A bundle as sipgate posts it."""
    call = {"id": call_id, "caller": "+4915228817386", "callee": "+493023125014", "direction": "inbound"}
    bundle = {"callHeadline": "Frage", "call": call, "channel": {"id": "c1", "name": "Support"}, "summary": "Rechnung"}
    return json.dumps(bundle | changes).encode()


def arrival(call_id: str = "call-1", *owed: Owed, received_at: datetime = NOON, text: str = "x") -> Arrival:
    """A call as the inbox hands it to the store."""
    content = body(call_id, summary=text)
    return Arrival(
        source="sipgate",
        format="sipgate",
        call=Call(call_id=call_id, summary=text),
        raw=json.loads(content),
        body=content,
        content_type="application/json",
        digest=hashlib.sha256(content).digest(),
        received_at=received_at,
        routed=RoutedAs.ROUTED,
        routes=("r",),
        rules="rules",
        owed=owed,
    )


class PuppetConfig(SinkConfig):
    """A sink that does as it is told."""

    kind: Literal["puppet"] = "puppet"

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        yield Puppet()


@dataclass
class Puppet:
    """Does what stands in `script`, then what `always` says; remembers what it was given."""

    script: list[Callable[[Delivery], Awaitable[str | None]]] = field(default_factory=list)
    always: Callable[[Delivery], Awaitable[Any]] | None = None
    given: list[Delivery] = field(default_factory=list)
    #: Deliveries that are in its hands right now.
    busy: int = 0

    async def deliver(self, delivery: Delivery) -> str | None:
        self.given.append(delivery)
        self.busy += 1
        try:
            act = self.script.pop(0) if self.script else self.always
            return await act(delivery) if act else None
        finally:
            self.busy -= 1


def raising(error: BaseException) -> Callable[[Delivery], Awaitable[str | None]]:
    """An act that fails like this."""

    async def act(_: Delivery) -> str | None:
        raise error

    return act


@dataclass
class Gate:
    """An act that hangs until the gate is opened."""

    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: Delivery) -> str | None:
        await self.opened.wait()
        return None
