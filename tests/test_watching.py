"""A wall clock that is set while the router runs, and between two runs of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from router.app import Router, running
from router.config import load
from router.delivery import DeliveryState, LaneState
from router.errors import StoreError
from router.store.base import Store
from router.store.lines import DeliveryLine
from router.store.sqlite import open_store
from router.testing import Answer, FakeEndpoint, ManualClock
from router.watching import MEMO
from support import NOON, body, until, until_awaited

FILE = """
sources: {{s: {{}}}}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
keep: {{events: 30d, quarantine: 30d, seen: 100d}}
sinks:
  crm: {{kind: webhook, url: "{url}", allow_networks: [127.0.0.0/8], give_up: 12h, rate: 1/s,
        retry: {{schedule: [0s, 5m, 5m, 5m], jitter: 0}}}}
always: crm
"""
JUMPS = {
    "+2 d": NOON + timedelta(days=2),
    "-2 d": NOON - timedelta(days=2),
    "-1 h": NOON - timedelta(hours=1),
    "2038": datetime(2038, 1, 20, tzinfo=UTC),
    "1970": datetime(1970, 1, 1, 0, 5, tzinfo=UTC),
}
jumps = pytest.mark.parametrize("to", [pytest.param(to, id=name) for name, to in JUMPS.items()])
restarts = pytest.mark.parametrize("restart", [pytest.param(False, id="running"), pytest.param(True, id="restarting")])


class Bench:
    """A router with one far side, and a clock that can be set."""

    def __init__(self, folder: Path, endpoint: FakeEndpoint) -> None:
        self.folder = folder
        self.endpoint = endpoint
        self.clock = ManualClock(NOON)
        self.stack = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Router]:
        file = self.folder / "routes.yaml"
        file.write_text(FILE.format(url=self.endpoint.url()), encoding="utf-8")
        async with running(load(file, {}), clock=self.clock) as router:
            await until(lambda: all(lane.idle for lane in router.lanes.values()))
            yield router

    async def start(self) -> Router:
        return await self.stack.enter_async_context(self.running())

    async def jump(self, router: Router, to: datetime, *, restart: bool) -> Router:
        """The router after its clock was set; what was in flight is over."""
        await self.quiet(router)
        if restart:
            await self.stack.aclose()
        self.clock.set(to - self.clock.now())
        if restart:
            self.clock.follow()
            return await self.start()
        await router.housekeeping.look()
        return router

    @asynccontextmanager
    async def store(self) -> AsyncIterator[Store]:
        """While no router has it."""
        data = self.folder / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        async with open_store(data / "aftercall.db", parse=json.loads) as store:
            yield store

    async def reboot(self) -> None:
        """The machine was started anew since a router ran."""
        async with self.store() as store:
            known = json.loads(await store.memo(MEMO) or b"{}")
            await store.keep_memo(MEMO, json.dumps(known | {"boot": "another"}).encode())

    async def quiet(self, router: Router) -> None:
        """Until no lane has anything to do at this time, and nothing is in flight."""

        async def still() -> bool:
            await self.clock.settle()
            idle = all(lane.idle for lane in router.lanes.values())
            return idle and not (await router.store.summary()).deliveries["claimed"]

        await until_awaited(still)

    async def later(self, router: Router, seconds: float) -> None:
        while seconds > 0:
            self.clock.advance(min(seconds, 5))
            seconds -= 5
            await self.quiet(router)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with FakeEndpoint() as endpoint:
        bench = Bench(tmp_path, endpoint)
        async with bench.stack:
            yield bench


async def lines(router: Router) -> list[DeliveryLine]:
    return sorted((await router.store.deliveries()).items, key=lambda line: line.accepted_at)


async def only(router: Router) -> DeliveryLine:
    (line,) = await lines(router)
    return line


BUSY, DOWN = Answer(status=500), Answer(status=503)


@jumps
@restarts
@pytest.mark.case("RTY-03")
async def test_rty_03_a_wait_is_as_long_as_it_would_have_been(bench: Bench, to: datetime, *, restart: bool) -> None:
    """And what came before the jump is not given up because of it: it is minutes old, by any clock."""
    router = await bench.start()
    bench.endpoint.answer(BUSY, BUSY, BUSY, Answer())
    await router.inbox.accept("s", body())
    after = await bench.jump(router, to, restart=restart)
    assert (await only(after)).state == "pending"
    for _ in range(3):
        before = len(bench.endpoint.requests)
        await bench.later(after, 290)
        assert len(bench.endpoint.requests) == before, "no attempt before its time"
        await bench.later(after, 10)
        assert len(bench.endpoint.requests) == before + 1, "and one when it has come"
    assert (await only(after)).state == "delivered"


@jumps
@restarts
@pytest.mark.case("RTY-03")
async def test_rty_03_a_lane_that_is_down_goes_on_probing(bench: Bench, to: datetime, *, restart: bool) -> None:
    router = await bench.start()
    bench.endpoint.answer(DOWN, DOWN, DOWN, Answer())
    await router.inbox.accept("s", body())
    after = await bench.jump(router, to, restart=restart)
    await bench.later(after, 200)
    assert (await only(after)).state == "delivered"
    assert after.lanes["crm"].row.state is LaneState.OPEN


@jumps
@restarts
@pytest.mark.case("RTY-03")
async def test_rty_03_a_new_call_arrives_at_once(bench: Bench, to: datetime, *, restart: bool) -> None:
    """Also where the lane has a rate, which knows the time of the last one."""
    router = await bench.start()
    await router.inbox.accept("s", body())
    after = await bench.jump(router, to, restart=restart)
    await after.inbox.accept("s", body("call-2"))
    await bench.later(after, 3)
    assert [line.state for line in await lines(after)] == ["delivered", "delivered"]


@jumps
@restarts
@pytest.mark.case("RTY-03")
async def test_rty_03_nothing_is_purged_because_of_a_jump(bench: Bench, to: datetime, *, restart: bool) -> None:
    """Events, dead letters, quarantine; only what would have been purged anyway, when that time has passed."""
    router = await bench.start()
    bench.endpoint.answer(Answer(status=400))
    await router.inbox.accept("s", body())
    await router.inbox.accept("s", b"{")
    after = await bench.jump(router, to, restart=restart)
    await bench.later(after, 1300)
    await after.housekeeping.purge()
    summary = await after.store.summary()
    assert (summary.events, summary.quarantined, summary.deliveries["dead"]) == (1, 1, 1)
    bench.clock.advance(timedelta(days=31))
    if to > NOON:
        while await after.housekeeping.purge():
            pass
        assert (await after.store.summary()).purged == 2


@pytest.mark.parametrize("days", [2, -2])
@pytest.mark.case("RTY-03")
async def test_rty_03_a_claim_that_runs_is_not_lost_by_a_jump_and_one_that_ran_out_is(bench: Bench, days: int) -> None:
    async with bench.running() as router:
        await router.lanes["crm"].gate.pause()
        await router.inbox.accept("s", body())
        now = bench.clock.now()
        (claim,) = (await router.store.claim("crm", limit=1, now=now, until=now + timedelta(seconds=60))).claims
        bench.clock.set(timedelta(days=days))
        await router.housekeeping.look()
        bench.clock.advance(30)
        await router.housekeeping.retake()
        line = await only(router)
        assert (line.state, line.attempt, line.lost) == ("claimed", claim.delivery.attempt, 0)
        bench.clock.advance(40)
        await router.housekeeping.retake()
        line = await only(router)
        assert (line.state, line.lost) == ("pending", 1)


@jumps
@restarts
@pytest.mark.case("RTY-03")
async def test_rty_03_what_came_in_while_the_clock_was_wrong_is_not_given_up_when_it_is_put_right(
    bench: Bench, to: datetime, *, restart: bool
) -> None:
    bench.endpoint.answer(DOWN)
    router = await bench.jump(await bench.start(), to, restart=restart)
    await router.inbox.accept("s", body())
    await bench.later(router, 10)
    router = await bench.jump(router, NOON + timedelta(minutes=1), restart=restart)
    await bench.later(router, 130)
    assert (await only(router)).attempt > 2
    assert (await only(router)).state == "pending"


@jumps
@restarts
@pytest.mark.case("RTY-03")
async def test_rty_03_nothing_is_given_up_because_the_clock_is_wrong_again_and_again(
    bench: Bench, to: datetime, *, restart: bool
) -> None:
    """What came in while it was wrong for the first time is minutes old, also when it is put right for the last."""
    bench.endpoint.answer(DOWN)
    router = await bench.start()
    for minutes in range(0, 10, 2):
        for at in (to + timedelta(minutes=minutes), NOON + timedelta(minutes=minutes + 1)):
            router = await bench.jump(router, at, restart=restart)
            await router.inbox.accept("s", body(f"call-{at}"))
            await bench.later(router, 5)
    await bench.later(router, 130)
    assert [line.state for line in await lines(router)] == ["pending"] * 10
    while await router.housekeeping.purge():
        pass
    assert (await router.store.summary()).purged == 0


@pytest.mark.parametrize("days", [2, -2])
@pytest.mark.case("RTY-03")
async def test_rty_03_what_comes_in_before_the_jump_can_be_written_down_is_as_old_as_it_is(
    bench: Bench, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:

        async def fail(**_: Any) -> None:
            raise StoreError

        bench.endpoint.answer(DOWN)
        with monkeypatch.context() as patch:
            patch.setattr(router.store, "clock_was_set", fail)
            bench.clock.set(timedelta(days=days))
            with pytest.raises(StoreError):
                await router.housekeeping.look()
            bench.clock.advance(timedelta(hours=13))
            await router.inbox.accept("s", body())
            await bench.quiet(router)
        await router.housekeeping.look()
        assert bench.clock.now() == NOON + timedelta(days=days, hours=13)
        await bench.later(router, 130)
        line = await only(router)
        assert (line.state, line.attempt > 1) == ("pending", True)


@pytest.mark.case("RTY-03")
async def test_rty_03_a_machine_that_was_off_while_its_clock_was_behind_gives_nothing_up_and_removes_nothing(
    bench: Bench,
) -> None:
    """It has no clock of its own, and was not told the time before it went off."""
    bench.endpoint.answer(DOWN)
    router = await bench.start()
    await router.inbox.accept("s", body())
    router = await bench.jump(router, JUMPS["1970"], restart=True)
    await router.inbox.accept("s", body("call-2"))
    await bench.later(router, 60)
    await bench.stack.aclose()
    await bench.reboot()
    bench.clock.advance(NOON + timedelta(hours=3) - bench.clock.now())
    router = await bench.start()
    await bench.later(router, 130)
    assert [line.state for line in await lines(router)] == ["pending", "pending"]
    assert not await router.housekeeping.purge()


@pytest.mark.case("RTY-03")
async def test_rty_03_twelve_hours_are_twelve_hours(bench: Bench) -> None:
    """What a jump adds does not count towards `give_up`, and what passes does."""
    async with bench.running() as router:
        bench.endpoint.answer(DOWN)
        await router.inbox.accept("s", body())
        for _ in range(3):
            bench.clock.set(timedelta(days=365))
            await router.housekeeping.look()
            bench.clock.advance(timedelta(hours=2))
            await bench.later(router, 70)
        assert (await only(router)).state == "pending"
        bench.clock.advance(timedelta(hours=6))
        await bench.later(router, 70)
        line = await only(router)
        assert line.state is DeliveryState.DEAD
        assert line.reason is not None
        assert "gave up 12 h after" in line.reason


@pytest.mark.parametrize("days", [2, -2])
async def test_a_lane_that_looks_while_a_jump_is_written_down_claims_nothing_too_early(
    bench: Bench, days: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    router = await bench.start()
    bench.endpoint.answer(BUSY, Answer())
    await router.inbox.accept("s", body())
    await bench.quiet(router)
    await bench.later(router, 5)  # the lane may go on, by its rate
    write = router.store.clock_was_set

    async def write_slowly(**given: Any) -> bool:
        router.lanes["crm"].wake()
        await bench.quiet(router)
        moved = await write(**given)
        router.lanes["crm"].wake()
        await bench.quiet(router)
        return moved

    monkeypatch.setattr(router.store, "clock_was_set", write_slowly)
    bench.clock.set(timedelta(days=days))
    await router.housekeeping.look()
    await bench.quiet(router)
    assert len(bench.endpoint.requests) == 1


async def test_a_jump_is_told_in_the_log_and_seen_again_where_the_store_failed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bench.running() as router:

        async def fail(**_: Any) -> None:
            raise StoreError

        with structlog.testing.capture_logs() as logs, monkeypatch.context() as patch:
            patch.setattr(router.store, "clock_was_set", fail)
            bench.clock.set(timedelta(days=1))
            with pytest.raises(StoreError):
                await router.housekeeping.look()
            assert bench.clock.now() < NOON + timedelta(minutes=1), "nothing is dated by a clock that is not followed"
            assert not [line for line in logs if line["event"] == "clock.jumped"]
        with structlog.testing.capture_logs() as logs:
            await router.housekeeping.look()
    (line,) = [line for line in logs if line["event"] == "clock.jumped"]
    assert (line["log_level"], line["seconds"]) == ("warning", 86_400)


async def test_a_little_is_no_jump(bench: Bench) -> None:
    async with bench.running() as router:
        bench.clock.set(-4)
        with structlog.testing.capture_logs() as logs:
            await router.housekeeping.look()
        assert not [line for line in logs if line["event"] == "clock.jumped"]
        await router.inbox.accept("s", body())
        await bench.later(router, 5)
        assert (await only(router)).state == "delivered"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"at": 3}',
        b"\xff",
        b'{"at": "2026-03-10T12:00:00Z", "boot": "manual", "uptime": 0}',
        b'{"at": "2026-03-10T12:00:00", "boot": "", "uptime": 0, "shown": [], "begin": "2026-03-10T12:00:00Z", "ahead": "P1D"}',
    ],
)
async def test_what_is_kept_and_damaged_is_forgotten(bench: Bench, content: bytes) -> None:
    async with bench.store() as store:
        await store.keep_memo(MEMO, content)
    async with bench.running() as router:
        await router.inbox.accept("s", body())
        await bench.quiet(router)
        assert (await only(router)).state == "delivered"
        assert json.loads(await router.store.memo(MEMO) or b"{}")["boot"] == "manual"


async def test_after_a_start_of_the_machine_the_clock_is_believed_unless_it_is_before_the_last_run(
    bench: Bench,
) -> None:
    async with bench.running():
        pass
    for days, jumps_seen in ((40, 0), (-400, 1)):
        await bench.reboot()
        bench.clock.advance(timedelta(days=days))
        with structlog.testing.capture_logs() as logs:
            async with bench.running():
                pass
        assert sum(line["event"] == "clock.jumped" for line in logs) == jumps_seen


async def test_a_purge_during_which_the_clock_is_set_back_removes_nothing_too_young(bench: Bench) -> None:
    router = await bench.start()
    await router.inbox.accept("s", body())
    await bench.later(router, 5)
    assert (await only(router)).state == "delivered"
    bench.clock.advance(timedelta(days=25))
    began = bench.clock.now()
    bench.clock.set(timedelta(days=-10))
    assert not await router.housekeeping.purge(began), "it is kept for thirty days"
    assert len(await lines(router)) == 1


async def test_a_jump_that_was_taken_back_before_it_could_be_written_down_is_none(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is seen of the clock is kept as before."""
    router = await bench.start()

    async def fail(**_: Any) -> bool:
        raise StoreError

    with monkeypatch.context() as patch:
        patch.setattr(router.store, "clock_was_set", fail)
        bench.clock.set(timedelta(days=1))
        with pytest.raises(StoreError):
            await router.housekeeping.look()
    bench.clock.set(timedelta(days=-1))
    bench.clock.advance(timedelta(minutes=5))
    await router.housekeeping.look()
    kept = json.loads(await router.store.memo(MEMO) or b"{}")
    assert (kept["jumps"], datetime.fromisoformat(kept["at"])) == (0, NOON + timedelta(minutes=5))
