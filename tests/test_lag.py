"""Who keeps the event loop from going on is said while it does; really blocked, and no time is looked at."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from router import lag
from router.behalf import on_behalf_of
from router.stall import Stall
from support import until


class Log:
    """Writes lines down, on whatever thread they come; a line that is waited for may be waited for by a blocked loop."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.named = threading.Event()

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append({"event": event, **fields})
        if fields["sink"]:
            self.named.set()


@pytest.fixture
def log() -> Log:
    return Log()


async def test_who_sleeps_is_named_while_it_does(log: Log) -> None:
    stalls: list[Stall] = []
    with lag.watching(stalls.append, log, every=0.001, blocked=0.02):  # type: ignore[arg-type] # all of a log that it needs
        await until(lambda: bool(stalls))
        with on_behalf_of("crm", "bell"):
            named = log.named.wait(20)  # the loop stands, so only another thread can have said it
        assert named
        line = log.lines[-1]
        await until(lambda: any(stall.sink for stall in stalls))
    assert (line["event"], line["sink"], line["kind"]) == ("loop.blocked", "crm", "bell")
    assert line["where"].startswith(f"{__file__}:")
    assert line["where"].endswith(":test_who_sleeps_is_named_while_it_does")
    assert "threading.py" in line["inside"]
    assert log.lines[-1]["event"] == "loop.went_on"
    assert log.lines[-1]["sink"] == "crm"
    assert log.lines[-1]["seconds"] >= line["seconds"]


@pytest.mark.skipif(not hasattr(time, "pthread_getcpuclockid"), reason="here nobody says which thread computes")
async def test_who_computes_and_lets_no_other_thread_run_is_named(log: Log) -> None:
    """In steps of which each is one call of a C function, so that none is seen twice."""
    stalls: list[Stall] = []
    with lag.watching(stalls.append, log, every=0.001, blocked=0.2):  # type: ignore[arg-type] # see above
        for _ in range(5):
            with on_behalf_of("crm", "bell"):
                sum(range(40_000_000))
            await asyncio.sleep(0)
        await until(lambda: any(stall.sink == "crm" for stall in stalls))


async def test_many_small_steps_of_many_are_nobodys(log: Log) -> None:
    """The loop comes to nothing else, and each step of it is innocent."""
    stalls: list[Stall] = []
    loop = asyncio.get_running_loop()

    def step() -> None:
        time.sleep(0.001)

    with lag.watching(stalls.append, log, every=0.001, blocked=0.05):  # type: ignore[arg-type] # see above
        await until(lambda: bool(stalls))
        stalls.clear()
        with on_behalf_of("crm", "bell"):
            for _ in range(300):
                loop.call_soon(step)
        await until(lambda: any(stall.seconds >= 0.05 for stall in stalls))
    assert not log.named.is_set()
    assert {line["event"] for line in log.lines} <= {"loop.blocked", "loop.went_on"}


async def test_a_loop_that_answers_is_not_blocked(log: Log) -> None:
    stalls: list[Stall] = []
    with lag.watching(stalls.append, log, every=0.001):  # type: ignore[arg-type] # see above
        await until(lambda: len(stalls) > 20)
    assert log.lines == []
    assert all(stall.by is None for stall in stalls)


def test_a_loop_that_is_closed_is_left_alone(log: Log) -> None:
    async def begin() -> None:
        watching = lag.watching(lambda _: None, log, every=0.001)  # type: ignore[arg-type] # see above
        watching.__enter__()

    asyncio.run(begin())
    while "loop watch" in [thread.name for thread in threading.enumerate()]:
        time.sleep(0.01)
