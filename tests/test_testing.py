from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import textwrap
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import aiohttp
import pytest
from aiohttp import web
from pydantic import ConfigDict, SecretStr

import router.testing
from router import Delivery, Sink, SinkConfig, SinkContext, Unavailable
from router.clock import Clock, SystemClock
from router.testing import (
    HANG,
    RESET,
    Answer,
    FakeEndpoint,
    ManualClock,
    SinkContract,
    eventually,
    hostile_deliveries,
    make_delivery,
    make_event,
    settle,
    sink_context,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


def test_values_can_be_changed() -> None:
    assert make_event(call_id="x").call_id == "x"
    assert make_delivery(attempt=3) == make_delivery(attempt=3) != make_delivery()
    with pytest.raises(TypeError):
        make_event(colour="red")


def test_hostile_deliveries_differ_in_their_ids() -> None:
    ids = [delivery.id for delivery in hostile_deliveries()]
    assert len(ids) == len(set(ids)) > 15
    assert not any("." in id_ for id_ in ids)


# --- ManualClock ---


def waiter(clock: Clock, seconds: float | None, signal: asyncio.Event | None = None) -> asyncio.Task[None]:
    until = None if seconds is None else clock.now() + timedelta(seconds=seconds)
    return asyncio.create_task(clock.wait(signal or asyncio.Event(), until))


async def test_time_passes_when_the_test_says_so() -> None:
    clock = ManualClock()
    start = clock.now()
    task = waiter(clock, 60)
    await settle()
    assert clock.next_at == start + timedelta(seconds=60)
    clock.advance(59)
    await settle()
    assert not task.done()
    clock.advance(timedelta(seconds=1))
    await task
    assert clock.now() == start + timedelta(minutes=1)
    assert clock.next_at is None


async def test_a_signal_ends_the_wait_and_stays_set() -> None:
    clock, signal = ManualClock(), asyncio.Event()
    tasks = [waiter(clock, seconds, signal) for seconds in (None, 60)]
    await settle()
    signal.set()
    await asyncio.gather(*tasks)
    await clock.wait(signal, None)
    assert signal.is_set()
    assert clock.next_at is None


async def test_waiting_for_the_past_lets_others_run() -> None:
    clock = ManualClock()
    ran: list[int] = []
    asyncio.get_running_loop().call_soon(ran.append, 1)
    await clock.wait(asyncio.Event(), clock.now())
    assert ran == [1]


async def test_a_wait_can_be_cancelled() -> None:
    clock = ManualClock()
    task = waiter(clock, 60)
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert clock.next_at is None
    clock.advance(60)


async def test_a_cancellation_beats_a_time_that_comes_at_once() -> None:
    clock = ManualClock()
    task = waiter(clock, 60)
    await settle()
    clock.advance(60)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_elapse_stops_wherever_somebody_waits() -> None:
    """As a loop that looks every ten seconds sees it; `advance` would show it one late look."""
    clock = ManualClock()
    start = clock.now()
    looks: list[float] = []

    async def look() -> None:
        while True:
            await clock.wait(asyncio.Event(), clock.now() + timedelta(seconds=10))
            looks.append((clock.now() - start).total_seconds())

    task = asyncio.create_task(look())
    await clock.elapse(35)
    assert looks == [10, 20, 30]
    clock.advance(35)
    await clock.settle()
    assert looks == [10, 20, 30, 70]
    task.cancel()


async def test_settle_waits_for_chains_of_tasks_and_notices_a_loop_that_never_rests() -> None:
    done: list[int] = []

    async def chain(depth: int) -> None:
        await asyncio.sleep(0)
        if depth:
            await asyncio.create_task(chain(depth - 1))
        else:
            done.append(1)

    tasks = [asyncio.create_task(chain(200))]
    await settle()
    assert done == [1]

    async def busy() -> None:
        while True:
            await asyncio.sleep(0)

    tasks.append(asyncio.create_task(busy()))
    with pytest.raises(AssertionError, match="do not come to rest"):
        await settle()
    tasks[1].cancel()


async def test_eventually_gives_up() -> None:
    with pytest.raises(TimeoutError):
        await eventually(lambda: False, within=0.01)


async def test_both_clocks_keep_the_same_promises() -> None:
    for clock in (ManualClock(), SystemClock()):
        assert clock.now().utcoffset() == timedelta(0)
        signal = asyncio.Event()
        await clock.wait(signal, clock.now() - timedelta(1))
        assert not signal.is_set()
        signal.set()
        await clock.wait(signal, clock.now() + timedelta(1))


# --- FakeEndpoint ---


async def test_an_endpoint_answers_as_it_is_told_and_remembers() -> None:
    async with FakeEndpoint() as endpoint, aiohttp.ClientSession() as session:
        endpoint.answer(Answer(status=503, headers={"Retry-After": "7"}, body=b"no"), RESET, Answer(raw=b""), Answer())
        async with session.post(endpoint.url("/a?b"), data=b"1", headers={"X-A": "b"}) as response:
            assert (response.status, response.headers["Retry-After"], await response.read()) == (503, "7", b"no")
        for _ in range(2):
            with pytest.raises(aiohttp.ClientError):
                await session.post(endpoint.url("/reset"), data=b"2")
        for _ in range(2):
            async with session.get(endpoint.url("/last")) as response:
                assert response.status == 200
    first, *_, last = endpoint.requests
    assert (first.method, first.path, first.headers["x-a"], first.body) == ("POST", "/a?b", "b", b"1")
    assert (last.method, last.path, len(endpoint.requests)) == ("GET", "/last", 5)


async def test_an_endpoint_can_hang_and_go_down_and_come_back() -> None:
    async with FakeEndpoint() as endpoint, aiohttp.ClientSession() as session:
        endpoint.answer(HANG)
        task = asyncio.create_task(session.post(endpoint.url(), data=b"x"))
        await endpoint.received()
        assert not task.done()
        await endpoint.stop()
        await asyncio.wait({task})
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.post(endpoint.url())
        endpoint.answer(Answer())
        await endpoint.start()
        async with session.post(endpoint.url()) as response:
            assert response.status == 200
        if not task.cancelled() and task.exception() is None:
            task.result().close()


async def test_a_behaviour_may_do_anything() -> None:
    async def teapot(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=418, text=request.path)

    async with FakeEndpoint() as endpoint, aiohttp.ClientSession() as session:
        endpoint.answer(teapot)
        async with session.post(endpoint.url("/tea")) as response:
            assert (response.status, await response.text()) == (418, "/tea")


# --- SinkContract finds what is wrong ---


class Good(SinkConfig):
    """Does what a sink has to."""

    kind: Literal["test-good"]
    url: SecretStr
    """Where it goes."""
    behaviour: ClassVar[str] = ""

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A sink that behaves."""
        if self.behaviour == "needs the far side":
            async with aiohttp.ClientSession() as session:
                await session.get(self.url.get_secret_value())
        leaked = asyncio.create_task(asyncio.Event().wait()) if self.behaviour == "leaks a task" else None
        descriptor = os.dup(0) if self.behaviour == "leaks a descriptor" else None
        yield Bell(self, context)
        LEAKED.extend([leaked, descriptor])


LEAKED: list[Any] = []


class Bell:
    def __init__(self, config: Good, context: SinkContext) -> None:
        self.config = config
        self.context = context

    def __repr__(self) -> str:
        return f"<Bell {self.config.url.get_secret_value() if self.config.behaviour == 'shows its secret' else ''}>"

    async def deliver(self, delivery: Delivery) -> Any:
        behaviour, url = self.config.behaviour, self.config.url.get_secret_value()
        if behaviour == "logs its secret":
            self.context.log.info("bell.rang", url=url)
        if behaviour == "chokes on text" and "<" in (delivery.event.headline or ""):
            raise ValueError
        try:
            async with aiohttp.ClientSession() as session, session.post(url):
                pass
        except aiohttp.ClientError as error:
            if behaviour == "lets the library's error out":
                raise
            raise Unavailable(str(url) if behaviour == "raises its secret" else "is away") from error
        except asyncio.CancelledError:
            if behaviour == "turns cancellation into something else":
                raise Unavailable from None
            raise
        return {"id": 1} if behaviour == "returns a dict" else None


class Open(Good):
    """Takes what it is given."""

    kind: Literal["test-open"]  # type: ignore[assignment] # of its own, like any
    model_config = ConfigDict(extra="ignore", frozen=False)


class Undescribed(Good):
    """Has a key without a description."""

    kind: Literal["test-undescribed"]  # type: ignore[assignment] # of its own, like any
    volume: int = 11


class Taken(Good):
    """Has somebody else's name."""

    kind: Literal["file"]  # type: ignore[assignment] # somebody else's


class TestGood(SinkContract):
    @pytest.fixture
    def config(self, endpoint: FakeEndpoint) -> SinkConfig:
        return Good(kind="test-good", url=SecretStr(endpoint.url("/s3cr3t")))


FAULTS = {
    "needs the far side": "test_it_opens_while_the_far_side_is_away",
    "leaks a task": "test_nothing_is_left_behind",
    "leaks a descriptor": "test_nothing_is_left_behind",
    "shows its secret": "test_no_secret_shows",
    "logs its secret": "test_no_secret_shows",
    "raises its secret": "test_no_secret_shows",
    "chokes on text": "test_whatever_a_call_says_is_delivered",
    "lets the library's error out": "test_a_far_side_that_is_away_is_unavailable",
    "turns cancellation into something else": "test_cancellation_passes_through",
    "returns a dict": "test_deliver_gives_none_or_the_remote_id",
}


@pytest.mark.parametrize("behaviour", FAULTS)
async def test_the_contract_finds_a_sink_that(behaviour: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Good, "behaviour", behaviour)
    monkeypatch.setattr(router.testing, "eventually", lambda condition: eventually(condition, within=0.1))
    try:
        with pytest.raises(Exception):  # noqa: B017, PT011 - which one is the contract's own affair
            await run(FAULTS[behaviour], Good, tmp_path)
    finally:
        for leaked in LEAKED:
            if isinstance(leaked, int):
                os.close(leaked)
            elif leaked is not None:
                leaked.cancel()
        LEAKED.clear()


@pytest.mark.parametrize(
    ("config", "test"),
    [
        (Open, "test_the_configuration_is_frozen_and_closed"),
        (Undescribed, "test_the_schema_describes_every_key"),
        (Taken, "test_the_kind_is_its_own"),
    ],
)
async def test_the_contract_finds_a_configuration_that_is_wrong(config: type[Good], test: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        await run(test, config, tmp_path)


async def run(test: str, config: type[Good], folder: Path) -> None:
    """One test of the contract, as pytest would run it."""
    method = getattr(SinkContract(), test)
    async with FakeEndpoint() as endpoint:
        kind = config.model_json_schema()["properties"]["kind"]["const"]
        made = config(kind=kind, url=SecretStr(endpoint.url("/s3cr3t")))
        given = {"config": made, "context": sink_context(folder), "endpoint": endpoint}
        wanted = method.__func__.__code__.co_varnames[1 : method.__func__.__code__.co_argcount]
        await method(**{name: given[name] for name in wanted})


def test_the_example_of_the_module_runs(tmp_path: Path) -> None:
    """With a plugin as a third party would write it, and pytest as it comes out of the box."""
    text = router.testing.__doc__ or ""
    example = textwrap.dedent(text[text.index("    from ipaddress") : text.index("`SinkContract` runs")])
    (tmp_path / "test_bell.py").write_text(example)
    (tmp_path / "aftercall_bell.py").write_text(PLUGIN)
    options = ["-q", "-p", "no:cacheprovider", "-o", "asyncio_default_fixture_loop_scope=function"]
    command = [sys.executable, "-W", "error", "-m", "pytest", *options, "test_bell.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert " passed" in ran.stdout
    assert "skipped" not in ran.stdout


PLUGIN = '''
"""Sink `bell`."""
from contextlib import asynccontextmanager
from typing import Literal

from router import HttpUrl, Networks, SinkConfig, hookimpl


class BellConfig(SinkConfig):
    """Rings a bell."""

    kind: Literal["bell"]
    url: HttpUrl
    """Where the bell is."""
    allow_networks: Networks = ()
    """Networks that may be reached besides public addresses."""

    @asynccontextmanager
    async def open(self, context):
        async with context.http(allow_networks=self.allow_networks) as client:
            yield Bell(self.url, client)


class Bell:
    def __init__(self, url, client):
        self.url, self.client = url, client

    async def deliver(self, delivery):
        await self.client.post(self.url.get_secret_value(), b"ding", {"Idempotency-Key": delivery.id})


@hookimpl
def register_sinks():
    return [BellConfig]
'''
