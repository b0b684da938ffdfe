"""What is said of a stack: on whose behalf, and where."""

from __future__ import annotations

import asyncio
import sys
import time
from types import CodeType
from typing import Any

import pytest

from router.behalf import Behalf, on_behalf_of
from router.stall import Look, Stall, look

CRM = Behalf("crm", "bell")


def here() -> Look:
    """What is said of who calls this."""
    return look(sys._getframe(1))


def module(name: str, file: str, text: str) -> Any:
    """A function `go` of another module."""
    code: CodeType = compile(text, file, "exec")
    names: dict[str, Any] = {"__name__": name}
    exec(code, names)  # noqa: S102 - as an import does
    return names["go"]


async def test_an_attempt_is_its_sinks() -> None:
    async def deliver() -> Look:
        await asyncio.sleep(0)
        return here()

    with on_behalf_of("crm", "bell"):
        seen = await deliver()
    line = deliver.__code__.co_firstlineno + 2
    assert (seen.behalf, seen.where, seen.inside) == (CRM, f"{__file__}:{line}:deliver", None)
    assert here().behalf is None


async def test_what_a_sink_starts_beside_itself_is_its_own() -> None:
    async def beside() -> Look:
        return here()

    called: asyncio.Future[Look] = asyncio.get_running_loop().create_future()
    with on_behalf_of("crm", "bell"):
        task = asyncio.create_task(beside())
        asyncio.get_running_loop().call_later(0, lambda: called.set_result(here()))
    assert ((await task).behalf, (await called).behalf) == (CRM, CRM)


async def test_a_step_is_the_same_until_it_waits() -> None:
    first, second = here(), here()
    assert first.step is second.step is not None
    await asyncio.sleep(0)
    assert here().step is not first.step


async def test_a_library_is_named_beside_the_place_that_called_it() -> None:
    fetch = module("requests", "requests.py", "def go(look, getframe):\n    return look(getframe())")

    def deliver() -> Look:
        found: Look = fetch(look, sys._getframe)
        return found

    seen = deliver()
    assert seen.where == f"{__file__}:{deliver.__code__.co_firstlineno + 1}:deliver"
    assert seen.inside == "requests.py:2:go"


async def test_what_the_router_does_for_a_sink_is_told_from_the_sink() -> None:
    """A message that takes long to write: the place in the sink is `where`."""
    write = module("router.message", "message.py", "def go(look, getframe):\n    return look(getframe())")
    send = module(
        "router.plugins.slack", "slack.py", "def go(write, look, getframe):\n    return write(look, getframe)"
    )
    seen = send(write, look, sys._getframe)
    # This test is a foreign module as well, and the outermost.
    assert seen.where.startswith(f"{__file__}:")
    assert seen.inside == "message.py:2:go"


async def test_of_the_router_itself_there_is_the_place() -> None:
    go = module("router.inbox", "inbox.py", "def go(done, look, getframe):\n    done.set_result(look(getframe()))")
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Look] = loop.create_future()
    loop.call_soon(go, done, look, sys._getframe)
    seen = await done
    assert (seen.step is None, seen.behalf, seen.where, seen.inside) == (False, None, "inbox.py:2:go", None)


def test_a_loop_that_waits_does_nothing() -> None:
    assert here().step is None
    assert Stall(7.0, here()).sink == Stall(7.0).sink == ""


@pytest.mark.parametrize("value", ["Bückling", "+4915228817386"])
async def test_nothing_that_is_held_there_is_said(value: str) -> None:
    said = {value: time.time()}
    assert value not in f"{here().where} {here().inside} {len(said)}"
