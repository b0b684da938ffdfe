"""One sink's lanes on two routers: what one of them is told or finds out holds for both, through the one row in the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lanes_bench import Bench
from router.delivery import Delivery, LaneRow, LaneState
from router.errors import Rejected, Unavailable
from router.lanes import Lane
from router.store.values import PROBED_AGAIN
from router.testing import ManualClock
from store_engines import KINDS, Engine, engines
from support import NOON, Gate, Puppet, raising, until

DOWN = Unavailable("connection refused", whole_lane=True)
GONE = Rejected("410 Gone", whole_lane=True)


@pytest.fixture(scope="module", params=KINDS)
def new_engine(request: pytest.FixtureRequest) -> Callable[[Path], AbstractContextManager[Engine]]:
    return engines(request.param, request)


@pytest.fixture
async def pair(
    new_engine: Callable[[Path], AbstractContextManager[Engine]], tmp_path: Path
) -> AsyncIterator[tuple[Bench, Bench]]:
    """Two routers on one store; SQLite, which has one router only, is one store that both use."""
    clock = ManualClock(NOON)
    with new_engine(tmp_path) as engine:
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(engine.open())
            two = one if one.is_alone else await stack.enter_async_context(engine.open("other"))
            made = Bench(one, clock, "mine"), Bench(two, clock, "other")
            try:
                yield made
            finally:
                await asyncio.gather(*(bench.close() for bench in made))


async def told(bench: Bench) -> None:
    """As housekeeping does every second."""
    for sink, row in (await bench.store.lanes()).items():
        bench.lanes[sink].gate.follow(row)
    for sink in await bench.store.due(bench.lanes, now=bench.clock.now()):
        bench.lanes[sink].wake()


async def quiet(*benches: Bench) -> None:
    for _ in range(2):  # what one does may give another something to do
        for bench in benches:
            await bench.quiet()


def stands(lane: Lane) -> tuple[LaneState, str | None]:
    return lane.row.state, lane.row.reason


async def test_a_pause_holds_on_the_other_router_before_that_has_heard_of_it(pair: tuple[Bench, Bench]) -> None:
    mine, other = pair
    lane = await mine.lane(Puppet())
    puppet = Puppet()
    paused = await other.lane(puppet)
    await lane.gate.pause()
    await other.call()  # it would be born claimed there
    await quiet(*pair)
    assert puppet.given == []
    assert await other.states() == ["pending"]
    paused.wake()
    await until(lambda: paused.row.state is LaneState.PAUSED)
    assert paused.row == lane.row
    await paused.gate.resume()
    await told(mine)
    assert (lane.row.state, paused.row.state) == (LaneState.OPEN, LaneState.OPEN)
    await other.until_states("delivered")


async def test_what_was_resumed_on_one_router_goes_on_on_the_other(pair: tuple[Bench, Bench]) -> None:
    mine, other = pair
    await (await mine.lane(Puppet())).gate.pause()
    puppet = Puppet()
    lane = await other.lane(puppet)
    assert lane.row.state is LaneState.PAUSED
    await other.call()
    await mine.close()  # it would take the call itself
    await mine.lanes["s"].gate.resume()
    await told(other)
    await until(lambda: len(puppet.given) == 1)


async def test_what_one_router_does_not_get_to_any_more_the_other_finds(pair: tuple[Bench, Bench]) -> None:
    mine, other = pair
    hanging = Gate()
    await mine.lane(Puppet(always=hanging), concurrency=1)
    puppet = Puppet()
    await other.lane(puppet)
    for _ in range(3):
        await mine.call()
    await until(lambda: mine.lanes["s"]._busy == 1)
    assert puppet.given == []
    await told(other)
    await until(lambda: len(puppet.given) == 2)
    hanging.opened.set()
    await mine.until_states(*["delivered"] * 3)


async def test_that_the_far_side_is_down_one_router_finds_out_for_both(pair: tuple[Bench, Bench]) -> None:
    """And one of them probes at a time, each time one delivery."""
    mine, other = pair
    down, probing = Puppet(always=raising(DOWN)), Puppet(always=raising(DOWN))
    lane = await mine.lane(down)
    lanes = lane, await other.lane(probing)
    await mine.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await other.call()
    await quiet(*pair)
    assert probing.given == []
    lanes[1].wake()
    await quiet(*pair)
    assert lanes[1].row == lane.row
    tried = len(down.given)
    for failures in range(2, 5):
        assert lane.row.next_at is not None
        mine.clock.advance(lane.row.next_at - mine.clock.now())
        await quiet(*pair)
        await told(mine)
        await told(other)
        await quiet(*pair)
        assert lanes[0].row == lanes[1].row
        assert lane.row.failures == failures
        assert len(down.given) + len(probing.given) == tried + failures - 1


async def test_while_one_router_probes_the_other_waits(pair: tuple[Bench, Bench]) -> None:
    mine, other = pair
    gate = Gate()
    puppets = Puppet([raising(DOWN)], always=gate), Puppet(always=gate)
    lanes = [await bench.lane(puppet) for bench, puppet in zip(pair, puppets, strict=True)]
    await mine.call()
    await until(lambda: lanes[0].row.state is LaneState.PROBING)
    await told(other)
    await other.call()
    await quiet(*pair)
    next_at = lanes[0].row.next_at
    assert next_at is not None
    mine.clock.advance(next_at - mine.clock.now())
    await until(lambda: sum(puppet.busy for puppet in puppets) == 1)
    for _ in range(5):
        mine.clock.advance(PROBED_AGAIN)
        await mine.clock.settle()
        await told(mine)
        await told(other)
        assert sum(puppet.busy for puppet in puppets) == 1
    assert [lane.row.state for lane in lanes] == [LaneState.PROBING] * 2
    gate.opened.set()
    await mine.until_states("delivered")
    await told(mine)
    await told(other)
    await other.until_states("delivered")
    assert [lane.row.state for lane in lanes] == [LaneState.OPEN] * 2


async def test_a_probe_that_failed_is_settled_with_its_lane(
    pair: tuple[Bench, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two another router would probe."""
    mine, other = pair
    lane = await mine.lane(Puppet(always=raising(DOWN)))
    settle, looked = mine.store.settle_probe, []

    async def settle_and_look(*given: Any) -> tuple[bool, LaneRow | None]:
        """The moment that the probe is over the other one looks."""
        known, settled = lane.row, await settle(*given)
        until_ = other.clock.now() + timedelta(minutes=1)
        looked.append(
            await other.store.claim("s", limit=1, now=other.clock.now(), until=until_, probe=True, lane=known)
        )
        return settled

    monkeypatch.setattr(mine.store, "settle_probe", settle_and_look)
    await mine.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await mine.quiet()
    assert lane.row.next_at is not None
    mine.clock.advance(lane.row.next_at - mine.clock.now())
    await until(lambda: len(looked) == 1)
    (found,) = looked
    assert (found.claims, found.lane is not None and found.lane.failures) == ((), 2)
    await until(lambda: lane.row.failures == 2)


async def test_what_a_probe_found_out_too_late_says_nothing_of_the_far_side(pair: tuple[Bench, Bench]) -> None:
    """Its claim was lost, and the far side is back by what another router found out."""
    mine, other = pair
    stalled = Gate()

    async def late(delivery: Delivery) -> None:
        await stalled(delivery)
        raise DOWN

    lane = await mine.lane(Puppet([raising(DOWN), late]), timeout=timedelta(minutes=5))
    await mine.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await mine.quiet()
    assert lane.row.next_at is not None
    mine.clock.advance(lane.row.next_at - mine.clock.now())
    await until(lambda: lane._busy == 1 and bool(lane._attempts))
    mine.clock.advance(timedelta(minutes=6))
    await other.store.retake(now=other.clock.now())
    second = await other.lane(Puppet())
    await mine.until_states("delivered")
    await until(lambda: second.row.state is LaneState.OPEN)
    before = (await other.store.lanes())["s"]
    stalled.opened.set()
    await until(lambda: not lane._attempts)
    assert (await other.store.lanes())["s"] == before


async def test_a_probe_that_was_taken_is_settled_however_long_the_lane_takes(
    pair: tuple[Bench, Bench], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not given back by a stop that comes meanwhile."""
    mine, _ = pair
    lane = await mine.lane(Puppet([raising(DOWN)]))
    await mine.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await mine.quiet()
    hanging = asyncio.Event()

    async def hang(*_: Any, **__: Any) -> None:
        hanging.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(mine.store, "set_lane", hang)
    assert lane.row.next_at is not None
    mine.clock.advance(lane.row.next_at - mine.clock.now())
    await hanging.wait()
    await lane.stop(0)
    assert await mine.states() == ["delivered"]


async def test_a_far_side_that_is_gone_is_gone_for_both(pair: tuple[Bench, Bench]) -> None:
    mine, other = pair
    lane = await mine.lane(Puppet(always=raising(GONE)))
    puppet = Puppet()
    unaware = await other.lane(puppet)
    await mine.call()
    await until(lambda: lane.row.state is LaneState.DISABLED)
    await other.call()
    unaware.wake()
    await until(lambda: stands(unaware) == (LaneState.DISABLED, "410 Gone"))
    assert puppet.given == []


async def test_what_an_attempt_finds_out_does_not_undo_what_was_said_on_another_router(
    pair: tuple[Bench, Bench],
) -> None:
    mine, other = pair
    gate = Gate()

    async def fail(delivery: Delivery) -> None:
        await gate(delivery)
        raise DOWN

    lane = await mine.lane(Puppet(always=fail))
    boss = await other.lane(Puppet())
    await mine.call()
    await until(lambda: lane._busy == 1)
    await boss.gate.pause()
    gate.opened.set()
    await until(lambda: lane._busy == 0)
    assert stands(lane) == stands(boss) == (LaneState.PAUSED, "paused by an operator")
    assert (await mine.store.lanes())["s"] == boss.row == lane.row


async def test_what_is_said_on_both_at_once_is_said_one_after_the_other(pair: tuple[Bench, Bench]) -> None:
    lanes = [await bench.lane(Puppet()) for bench in pair]
    await asyncio.gather(*(lane.gate.pause() for lane in lanes * 3))
    for bench in pair:
        await told(bench)
    assert lanes[0].row == lanes[1].row
    assert lanes[0].row.version == 6
    await lanes[1].gate.resume()
    await told(pair[0])
    assert lanes[0].row == lanes[1].row
    assert lanes[0].row.state is LaneState.OPEN


async def test_a_store_that_has_lost_how_the_lane_was_set_last_is_believed(pair: tuple[Bench, Bench]) -> None:
    """A standby has taken over that had not heard of it; else nothing would be claimed ever again."""
    mine, _ = pair
    puppet = Puppet()
    lane = await mine.lane(puppet)
    lane.gate.row = LaneRow("s", LaneState.OPEN, reason="resumed", version=7)
    await mine.call()
    lane.wake()
    await until(lambda: len(puppet.given) == 1)
    lane.gate.row = LaneRow("s", LaneState.OPEN, version=7)
    await lane.gate.pause()
    assert (await mine.store.lanes())["s"].state is LaneState.PAUSED


async def test_an_older_row_is_no_news(pair: tuple[Bench, Bench]) -> None:
    lane = await pair[0].lane(Puppet())
    await lane.gate.pause()
    old = lane.row
    await lane.gate.resume()
    lane.gate.follow(old)
    assert lane.row.state is LaneState.OPEN


async def test_a_rate_holds_for_both_together(pair: tuple[Bench, Bench]) -> None:
    mine, other = pair
    puppets = Puppet(), Puppet()
    for bench, puppet in zip(pair, puppets, strict=True):
        await bench.lane(puppet, rate="1/s")
    for _ in range(4):
        await mine.call()
        await other.call()

    def given() -> int:
        return sum(len(puppet.given) for puppet in puppets)

    await until(lambda: given() == 1)
    for expected in range(2, 9):
        mine.clock.advance(0.99)
        await quiet(*pair)
        assert given() == expected - 1
        mine.clock.advance(0.01)
        await told(mine)
        await told(other)
        await until(lambda expected=expected: given() == expected)  # type: ignore[misc]
        await quiet(*pair)
        assert given() == expected


async def test_a_probe_of_a_router_that_is_gone_keeps_the_other_waiting_no_longer_than_its_claim(
    pair: tuple[Bench, Bench],
) -> None:
    mine, other = pair
    lane = await mine.lane(Puppet([raising(DOWN)]))
    await mine.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await lane.stop(0)
    now = mine.clock.now() + timedelta(seconds=10)
    held = await mine.store.claim("s", limit=1, now=now, until=now + timedelta(seconds=45), probe=True)
    assert len(held.claims) == 1
    puppet = Puppet()
    await other.lane(puppet)
    other.clock.advance(54)
    await other.store.retake(now=other.clock.now())
    await told(other)
    assert puppet.given == []
    other.clock.advance(2)
    await other.store.retake(now=other.clock.now())
    await told(other)
    await until(lambda: len(puppet.given) == 1)
