"""A loop that goes on although a sink would end it."""

from __future__ import annotations

import asyncio
import sys

import pytest
import structlog

from router import log, unending
from router.behalf import on_behalf_of


def test_a_sink_that_exits_beside_its_attempt_ends_nothing() -> None:
    done: list[str] = []

    async def leave() -> None:
        sys.exit(3)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        with on_behalf_of("crm", "bell"):
            loop.call_soon(sys.exit, 3)
            task = asyncio.create_task(leave())
        loop.call_soon(done.append, "what comes after it in the same round")
        await asyncio.wait([task])
        assert isinstance(task.exception(), SystemExit)
        done.append("all")

    with structlog.testing.capture_logs() as logs:
        unending.run(main(), log.logger())
    assert done == ["what comes after it in the same round", "all"]
    assert [(one["event"], one["sink"], one["kind"]) for one in logs] == [("sink.failed", "crm", "bell")] * 2


def test_our_own_exit_is_one() -> None:
    async def main() -> None:
        with on_behalf_of("crm", "bell"):
            sys.exit(4)

    async def beside() -> None:
        asyncio.get_running_loop().call_soon(sys.exit, 5)
        await asyncio.Event().wait()

    for what, code in ((main(), 4), (beside(), 5)):
        with pytest.raises(SystemExit) as caught:
            unending.run(what, log.logger())
        assert caught.value.code == code


def test_what_it_raises_is_raised() -> None:
    async def main() -> None:
        raise KeyError

    with pytest.raises(KeyError):
        unending.run(main(), log.logger())
