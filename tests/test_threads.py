"""Whose threads are whose: a sink that fills its own holds nobody up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from router.behalf import on_behalf_of
from router.threads import Threads
from support import until


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


async def test_a_sink_whose_threads_never_end_holds_up_neither_the_router_nor_another(gate: threading.Event) -> None:
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    with on_behalf_of("crm", "bell"):
        stuck = [asyncio.create_task(asyncio.to_thread(gate.wait)) for _ in range(100)]
        await asyncio.sleep(0)
    with on_behalf_of("archive", "file"):
        assert "aftercall-archive" in await asyncio.to_thread(lambda: threading.current_thread().name)
    assert "aftercall_" in await asyncio.to_thread(lambda: threading.current_thread().name)
    assert threads.left_behind(0) == ["crm"]
    gate.set()
    await asyncio.gather(*stuck)
    assert threads.left_behind(5) == []


async def test_the_threads_of_a_sink_that_is_gone_end(gate: threading.Event) -> None:
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)

    def named() -> set[str]:
        return {thread.name for thread in threading.enumerate() if thread.name.startswith("aftercall-gone")}

    with on_behalf_of("gone", "bell"):
        stuck = asyncio.create_task(asyncio.to_thread(gate.wait))
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)
    assert len(named()) == 2
    threads.release("gone")
    await until(lambda: len(named()) == 1)
    assert threads.left_behind(0) == ["gone"], "what runs on is still known"
    gate.set()
    await stuck
    await until(lambda: not named())
    with on_behalf_of("gone", "bell"):
        assert await asyncio.to_thread(lambda: True), "it may come back"
    threads.release("gone")
    threads.release("nobody")


async def test_what_a_task_of_a_sink_asks_for_is_the_sinks(gate: threading.Event) -> None:
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    with on_behalf_of("crm", None):
        task = asyncio.create_task(asyncio.to_thread(gate.wait))
    await asyncio.sleep(0)
    assert threads.left_behind(0) == ["crm"]
    gate.set()
    await task
