"""Opening and closing sinks: what a kind may do there, and what it costs."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from router import Sink, SinkConfig, SinkContext, opening
from router.errors import ConfigError
from router.fakes import sink_context
from router.opening import HeldSink
from support import Puppet, until


class Odd(SinkConfig):
    """Does what it is told when it is opened and closed."""

    _enter: Callable[[], Any] | None = None
    _leave: Callable[[], Any] | None = None
    _tasks: list[asyncio.Task[Any] | None] = []

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        self._tasks.append(asyncio.current_task())
        if self._enter:
            await self._enter()
        yield Puppet()
        self._tasks.append(asyncio.current_task())
        if self._leave:
            await self._leave()


def odd(enter: Callable[[], Any] | None = None, leave: Callable[[], Any] | None = None) -> Odd:
    made = Odd()
    made._enter, made._leave, made._tasks = enter, leave, []
    return made


def raising(error: BaseException) -> Callable[[], Any]:
    async def act() -> None:
        raise error

    return act


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.fixture
def given(tmp_path: Path) -> SinkContext:
    return sink_context(name="odd", folder=tmp_path)


def held(config: Odd, given: SinkContext) -> HeldSink:
    return HeldSink(config, given, structlog.get_logger())


async def test_a_sink_is_closed_by_the_task_that_opened_it(given: SinkContext) -> None:
    config = odd()
    one = held(config, given)
    await asyncio.create_task(one.opened())
    await asyncio.create_task(one.close())
    await one.close()
    opened_by, closed_by = config._tasks
    assert opened_by is closed_by


@pytest.mark.parametrize(
    "error", [ValueError("secret"), SystemExit(3), asyncio.CancelledError(), StopAsyncIteration()], ids=repr
)
async def test_whatever_a_kind_raises_when_it_opens_is_a_mistake_that_names_it(
    given: SinkContext, error: BaseException
) -> None:
    with structlog.testing.capture_logs() as logs, pytest.raises(ConfigError, match="a bug in its kind") as raised:
        await held(odd(raising(error)), given).opened()
    assert "secret" not in str(raised.value)
    assert [entry["event"] for entry in logs] == ["sink.failed"]


async def test_what_a_kind_says_is_wrong_is_said(given: SinkContext) -> None:
    with pytest.raises(ConfigError, match=r"^no such folder$"):
        await held(odd(raising(ConfigError("no such folder"))), given).opened()


async def test_a_sink_that_does_not_open_in_time_is_a_mistake(
    given: SinkContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "OPEN_DEADLINE", 0.01)
    one = held(odd(for_ever), given)
    with pytest.raises(ConfigError, match="did not open within"):
        await one.opened()
    assert one._task.done()


@pytest.mark.parametrize(
    ("leave", "said"), [(raising(ValueError("secret")), ["sink.failed"]), (for_ever, [])], ids=["fails", "hangs"]
)
async def test_a_sink_that_does_not_close_is_cancelled(
    given: SinkContext, monkeypatch: pytest.MonkeyPatch, leave: Callable[[], Any], said: list[str]
) -> None:
    monkeypatch.setattr(opening, "CLOSE_DEADLINE", 0.01)
    one = held(odd(leave=leave), given)
    await one.opened()
    with structlog.testing.capture_logs() as logs:
        await one.close()
    assert one._task.done()
    assert [entry["event"] for entry in logs] == said


async def test_a_sink_that_ignores_its_cancellation_is_left_behind(
    given: SinkContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "CLOSE_DEADLINE", 0.01)
    monkeypatch.setattr(opening, "LAST_WORD", 0.01)
    gate = asyncio.Event()

    async def deaf() -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    one = held(odd(leave=deaf), given)
    await one.opened()
    with structlog.testing.capture_logs() as logs:
        await one.close()
    assert [entry["event"] for entry in logs] == ["sink.ignores_cancellation"]
    gate.set()
    await until(one._task.done)
