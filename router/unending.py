"""The process's event loop, which no sink ends.

asyncio keeps what a task or a callback raises to itself, but for SystemExit: that goes right through the loop, whoever
raised it, and would be the end of everybody's attempts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from router.stall import raised_for

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger


def run(main: Coroutine[Any, Any, None], log: FilteringBoundLogger) -> None:
    """As `asyncio.run`; but what a sink does beside its attempts ends nothing, and is a line `sink.failed`."""
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        task = loop.create_task(main, name="router")
        while not task.done():
            try:
                loop.run_until_complete(task)
            except SystemExit as error:
                behalf = raised_for(error)
                if behalf is None or task.done():
                    raise
                log.error("sink.failed", sink=behalf.sink, kind=behalf.kind, exc_info=error)
