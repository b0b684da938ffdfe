"""The lanes, over a real store, with time passed in and sinks that do as they are told."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from lanes_bench import Bench
from router import breaker, symptoms
from router.alarm import Alarm, Cause
from router.attempt import OpenSink
from router.delivery import Delivered, LaneState, Refused, Retry
from router.errors import Rejected, StoreError, Unavailable
from router.formats import body as bodies
from router.retry import RetryPolicy
from router.store.sqlite import open_store
from router.store.values import Accepted, Owed, Purged
from router.testing import ManualClock, make_alarm
from support import NOON, Gate, Puppet, PuppetConfig, arrival, raising, until, until_awaited

DOWN = Unavailable("connection refused", whole_lane=True)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with _bench(tmp_path) as made:
        yield made


@asynccontextmanager
async def _bench(folder: Path) -> AsyncIterator[Bench]:
    clock = ManualClock(NOON)
    async with open_store(folder / "aftercall.db", parse=lambda body: bodies.parse(body).value) as store:
        made = Bench(store, clock)
        try:
            yield made
        finally:
            await made.close()


async def test_a_call_is_attempted_at_once_and_settled(bench: Bench) -> None:
    puppet = Puppet()
    await bench.lane(puppet)
    await bench.call()
    await bench.until_states("delivered")
    (delivery,) = puppet.given
    assert delivery.attempt == 1
    assert delivery.event.call_id == "call-1"
    assert delivery.event.raw["call"]["id"] == "call-1"
    assert [line.outcome for line in await bench.attempts()] == ["delivered"]


async def test_a_lane_with_room_gets_its_delivery_born_claimed(bench: Bench) -> None:
    await bench.lane(Puppet())
    receipt = await bench.call()
    assert len(receipt.claims) == 1
    assert receipt.claims[0].until == NOON + timedelta(seconds=20 + 30)


async def test_a_retry_fires_when_the_schedule_says_and_not_before(bench: Bench) -> None:
    puppet = Puppet([raising(Unavailable("500"))])
    await bench.lane(puppet)
    await bench.call()
    await until(lambda: len(puppet.given) == 1)
    await bench.quiet()
    bench.clock.advance(4.9)
    await bench.quiet()
    assert len(puppet.given) == 1
    bench.clock.advance(0.2)
    await bench.until_states("delivered")
    assert [delivery.attempt for delivery in puppet.given] == [1, 2]
    assert puppet.given[0].id == puppet.given[1].id
    assert [line.outcome for line in await bench.attempts()] == ["retry", "delivered"]


@pytest.mark.case("RTY-06")
async def test_rty_06_after_the_last_entry_of_the_schedule_a_delivery_is_dead_and_kept_with_its_attempts_and_an_alarm(
    bench: Bench,
) -> None:
    puppet = Puppet([raising(Unavailable("502")), raising(Unavailable("500"))], always=raising(Unavailable("504")))
    await bench.lane(puppet, policy=RetryPolicy((timedelta(0), timedelta(seconds=5), timedelta(minutes=5)), 0))
    await bench.call()
    for seconds, tries in ((5, 1), (300, 2)):
        await until(lambda tries=tries: len(puppet.given) == tries)  # type: ignore[misc]
        await bench.quiet()
        bench.clock.advance(seconds)
    await bench.until_states("dead")
    assert len(puppet.given) == 3
    (line,) = await bench.deliveries()
    assert line.reason == "no attempt left after 3; last: 504"
    assert [(one.attempt, one.outcome, one.reason) for one in await bench.attempts()] == [
        (1, "retry", "502"), (2, "retry", "500"), (3, "retry", line.reason),
    ]  # fmt: skip
    assert [one.started_at for one in await bench.attempts()] == [NOON + timedelta(seconds=s) for s in (0, 5, 305)]
    store, now = bench.store, bench.clock.now()
    told = Alarm(cause=Cause.DEAD, subject="s", since=now)
    assert list(symptoms.dead(await store.backlog(), now)) == [told]
    assert not await store.purge(events=NOON, quarantine=None, seen=None), "it is not old enough"
    assert await bench.states() == ["dead"]
    assert await store.purge(events=NOON + timedelta(seconds=1), quarantine=None, seen=None) == Purged(1, deliveries=1)
    summary = await store.summary()
    assert (summary.purged, summary.deliveries["purged"], summary.deliveries["dead"]) == (1, 1, 0), "and is counted"
    assert list(symptoms.dead(await store.backlog(), now)) == []


async def test_retry_after_lengthens_the_wait(bench: Bench) -> None:
    puppet = Puppet([raising(Unavailable("busy", retry_after=timedelta(seconds=90)))])
    await bench.lane(puppet)
    await bench.call()
    await until(lambda: len(puppet.given) == 1)
    await bench.quiet()
    (line,) = await bench.deliveries()
    assert line.due == NOON + timedelta(seconds=90)


async def test_a_refused_delivery_is_dead_after_one_attempt(bench: Bench) -> None:
    await bench.lane(Puppet(always=raising(Rejected("400"))))
    await bench.call()
    await bench.until_states("dead")


async def test_a_sink_that_hangs_holds_up_no_other(bench: Bench) -> None:
    gate, quick = Gate(), Puppet()
    hanging = Puppet(always=gate)
    await bench.lane(hanging, "slow", concurrency=1)
    await bench.lane(quick, "quick")
    for _ in range(5):
        await bench.call("slow", "quick")
    await until(lambda: len(quick.given) == 5)
    assert hanging.busy == 1
    assert len(hanging.given) == 1
    gate.opened.set()
    await until(lambda: len(hanging.given) == 5)


async def test_no_more_attempts_run_at_once_than_allowed(bench: Bench) -> None:
    gate = Gate()
    puppet = Puppet(always=gate)
    await bench.lane(puppet, concurrency=3)
    for _ in range(10):
        await bench.call()
    await until(lambda: puppet.busy == 3)
    assert len(puppet.given) == 3
    gate.opened.set()
    await bench.until_states(*["delivered"] * 10)


async def test_a_rate_spaces_the_attempts(bench: Bench) -> None:
    puppet = Puppet()
    await bench.lane(puppet, rate="1/s")
    for _ in range(3):
        await bench.call()
    await until(lambda: len(puppet.given) == 1)
    for expected in (2, 3):
        bench.clock.advance(0.9)
        await asyncio.sleep(0)
        assert len(puppet.given) == expected - 1
        bench.clock.advance(0.1)
        await until(lambda expected=expected: len(puppet.given) == expected)  # type: ignore[misc]


async def test_a_lane_that_is_down_probes_with_one_delivery_and_ever_more_rarely(bench: Bench) -> None:
    puppet = Puppet(always=raising(DOWN))
    lane = await bench.lane(puppet)
    for _ in range(3):
        await bench.call()
        await bench.quiet()
    assert lane.row.state is LaneState.PROBING
    assert len(puppet.given) == 1, "what arrives at a lane that is down waits"
    waits = []
    for _ in range(8):
        assert lane.row.next_at is not None
        waits.append((lane.row.next_at - bench.clock.now()).total_seconds())
        before = len(puppet.given)
        bench.clock.advance(waits[-1])
        await until(lambda before=before: len(puppet.given) == before + 1)  # type: ignore[misc]
        await bench.quiet()
    assert waits == [2, 4, 8, 16, 32, 60, 60, 60]


async def test_probes_take_no_entry_of_the_schedule(bench: Bench) -> None:
    puppet = Puppet(always=raising(DOWN))
    lane = await bench.lane(puppet, policy=RetryPolicy((timedelta(0), timedelta(seconds=5)), 0))
    await bench.call()
    for _ in range(20):
        await bench.quiet()
        assert lane.row.next_at is not None
        bench.clock.advance((lane.row.next_at - bench.clock.now()).total_seconds())
        await bench.quiet()
    await bench.quiet()
    (line,) = await bench.deliveries()
    assert (line.state, line.retries) == ("pending", 1)
    assert line.attempt > 10


async def test_when_a_probe_succeeds_the_backlog_goes_out_at_once(bench: Bench) -> None:
    puppet = Puppet(always=raising(DOWN))
    lane = await bench.lane(puppet)
    for _ in range(50):
        await bench.call()
        await bench.quiet()
    puppet.always = None
    bench.clock.advance(2)
    await bench.until_states(*["delivered"] * 50)
    assert bench.clock.now() == NOON + timedelta(seconds=2), "nothing waited for its own schedule"
    assert lane.row.state is LaneState.OPEN


async def test_a_poisonous_delivery_does_not_keep_a_lane_shut(bench: Bench) -> None:
    """A probe that is answered with a 500 is a failed attempt of that delivery; the next probe takes another."""
    puppet = Puppet([raising(DOWN), raising(Unavailable("500"))])
    lane = await bench.lane(puppet)
    await bench.call()
    await bench.quiet()
    await bench.call()
    await bench.quiet()
    bench.clock.advance(2)
    await until(lambda: len(puppet.given) == 2)
    await bench.quiet()
    bench.clock.advance(4)
    await until(lambda: lane.row.state is LaneState.OPEN)
    await bench.quiet()
    assert sorted(await bench.states()) == ["delivered", "pending"]


async def test_a_lane_that_is_down_gives_up_on_what_is_too_old(bench: Bench) -> None:
    puppet = Puppet(always=raising(DOWN))
    lane = await bench.lane(puppet, give_up="1m")
    await bench.call()
    await bench.quiet()
    while lane.row.next_at is not None and bench.clock.now() < NOON + timedelta(hours=1):
        bench.clock.advance(max(1.0, (lane.row.next_at - bench.clock.now()).total_seconds()))
        await bench.quiet()
    await bench.until_states("dead")
    (line,) = await bench.deliveries()
    assert line.reason is not None
    assert line.reason.startswith("gave up")


async def test_a_lane_that_is_down_and_owes_nothing_any_more_opens_and_has_proved_nothing(bench: Bench) -> None:
    """It would be down for ever: there is nothing that a probe could be made of."""
    puppet = Puppet(always=raising(DOWN))
    lane = await bench.lane(puppet)
    await bench.call("s")
    await bench.quiet()
    assert lane.row.state is LaneState.PROBING
    (line,) = await bench.deliveries()
    await bench.store.end(line.id, reason="told by phone", now=bench.clock.now())
    bench.clock.advance(120)
    await bench.quiet()
    assert (lane.row.state, (await bench.store.lanes())["s"].state) == (LaneState.OPEN, LaneState.OPEN)
    assert lane.row.unproven
    assert (await bench.store.lanes())["s"].unproven
    await bench.call()
    await bench.quiet()
    assert lane.row.state is LaneState.PROBING, "and the next one finds out"


async def test_what_a_never_rule_refuses_says_nothing_about_the_far_side(bench: Bench) -> None:
    puppet = Puppet([raising(DOWN)])
    lane = await bench.lane(puppet)
    await bench.call()
    await bench.quiet()
    lane._forbidding = lambda _: "works council"
    bench.clock.advance(2)
    await bench.quiet()
    await bench.until_states("dead")
    await bench.quiet()
    assert len(puppet.given) == 1
    assert (lane.row.state, lane.row.reason) == (LaneState.OPEN, breaker.UNTRIED)


async def test_a_lane_that_is_resumed_is_proved_by_the_first_that_it_delivers(bench: Bench) -> None:
    lane = await bench.lane(Puppet([raising(Rejected("no"))]))
    await lane.gate.resume()
    assert not lane.row.unproven, "it was open"
    await lane.gate.pause()
    await lane.gate.resume()
    for proved in (False, True):
        assert lane.row.unproven
        await bench.call()
        await bench.quiet()
        assert lane.row.unproven is not proved
    assert not (await bench.store.lanes())["s"].unproven


async def test_a_lane_that_is_down_stays_so_while_what_it_owes_is_not_due(bench: Bench) -> None:
    puppet = Puppet([raising(Unavailable("busy", retry_after=timedelta(days=1))), raising(DOWN)])
    lane = await bench.lane(puppet)
    await bench.call()
    await bench.quiet()
    await bench.call()
    await bench.quiet()
    (_, second) = await bench.deliveries()
    await bench.store.end(second.id, reason="x", now=bench.clock.now())
    bench.clock.advance(120)
    await bench.quiet()
    assert lane.row.state is LaneState.PROBING


async def test_gone_disables_the_lane_until_it_is_resumed(bench: Bench) -> None:
    puppet = Puppet([raising(Rejected("410 Gone", whole_lane=True))])
    lane = await bench.lane(puppet)
    await bench.call()
    await bench.until_states("dead")
    await until(lambda: lane.row.state is LaneState.DISABLED)
    await bench.call()
    bench.clock.advance(3600)
    await bench.quiet()
    assert await bench.states() == ["dead", "pending"]
    await lane.gate.resume()
    await bench.until_states("dead", "delivered")


async def test_only_a_probe_opens_a_lane_that_is_down(bench: Bench) -> None:
    """A receiver that takes three at a time and tells the rest to come back: what got through proves nothing."""
    gate = Gate()
    busy = Unavailable("429", retry_after=timedelta(seconds=30), whole_lane=True)
    puppet = Puppet([gate, raising(busy)])
    lane = await bench.lane(puppet, concurrency=2)
    await bench.call()
    await bench.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    gate.opened.set()
    await bench.until_states("delivered", "pending")
    await bench.quiet()
    assert lane.row.state is LaneState.PROBING
    bench.clock.advance(29)
    await bench.quiet()
    assert len(puppet.given) == 2, "the far side asked for 30 seconds, and nothing shortens that"
    bench.clock.advance(1)
    await bench.until_states("delivered", "delivered")


@pytest.mark.case("RTY-03")
async def test_rty_03_a_clock_that_is_set_back_keeps_no_lane_from_probing(bench: Bench) -> None:
    lane = await bench.lane(Puppet([raising(DOWN)]))
    await bench.call()
    await bench.quiet()
    bench.clock.advance(timedelta(days=-2))
    lane.wake()
    await bench.until_states("delivered")


async def test_a_paused_lane_begins_nothing(bench: Bench) -> None:
    puppet = Puppet()
    lane = await bench.lane(puppet)
    await lane.gate.pause()
    await bench.call()
    bench.clock.advance(60)
    await bench.quiet()
    assert puppet.given == []
    await lane.gate.resume()
    await bench.until_states("delivered")


async def test_a_pause_is_not_undone_by_what_an_attempt_finds_out(bench: Bench) -> None:
    puppet = Puppet(always=raising(DOWN))
    lane = await bench.lane(puppet)
    for _ in range(20):
        await asyncio.gather(bench.call(), lane.gate.pause())
        assert lane.row.state is LaneState.PAUSED
        begun = len(puppet.given)
        await bench.quiet()
        assert (lane.row.state, len(puppet.given)) == (LaneState.PAUSED, begun), "none begins after a pause"
        await lane.gate.resume()
        await bench.quiet()


@pytest.mark.case("PLG-01")
async def test_plg_01_a_sink_that_ignores_its_cancellation_does_not_keep_the_router(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.lanes.LAST_WORD", 0.01)
    gate = asyncio.Event()

    async def deaf(_: object) -> None:
        while not gate.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await gate.wait()

    lane = await bench.lane(Puppet(always=deaf))
    await bench.call()
    await until(lambda: lane._way.sink.busy == 1)  # type: ignore[attr-defined]
    with structlog.testing.capture_logs() as logs:
        await lane.stop(0)
    assert "sink.ignores_cancellation" in [entry["event"] for entry in logs]
    gate.set()


async def test_attempts_that_do_not_end_when_they_are_called_off_are_counted(bench: Bench) -> None:
    gate = Gate()
    lane = await bench.lane(Puppet(always=gate), timeout=timedelta(seconds=20))
    await bench.call()
    await until(lambda: lane._way.sink.busy == 1)  # type: ignore[attr-defined]
    at = asyncio.get_running_loop().time()
    assert lane.overdue(at + 45) == 0
    assert lane.overdue(at + 51) == 1
    bench.clock.advance(timedelta(days=1))  # a wall clock that jumps is no sink that hangs
    assert lane.overdue(at) == 0
    gate.opened.set()
    await bench.quiet()
    assert lane.overdue(at + 51) == 0


async def test_an_alarm_goes_through_whatever_the_lanes_state_is(bench: Bench) -> None:
    lane = await bench.lane(Puppet())
    assert await lane.alarm(make_alarm()) == Refused("a sink of this kind cannot carry alarms")
    herald = Herald()
    lane = await bench.lane(herald, "t")
    await lane.gate.pause()
    assert await lane.alarm(make_alarm()) == Delivered()
    herald.error = ValueError("no word of it")
    with structlog.testing.capture_logs() as logs:
        assert isinstance(await lane.alarm(make_alarm()), Retry)
    assert [(one["event"], one["cause"], one["subject"]) for one in logs] == [("sink.failed", "down", "crm")]
    assert herald.heard == [make_alarm(), make_alarm()]


class Herald(Puppet):
    """Carries alarms."""

    error: Exception | None = None
    #: It ends when this is set, whoever calls it off.
    deaf_until: asyncio.Event | None = None

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Alarm] = []

    async def alarm(self, alarm: Alarm) -> None:
        self.heard.append(alarm)
        while self.deaf_until is not None and not self.deaf_until.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.deaf_until.wait()
        if self.error:
            raise self.error


@pytest.mark.case("PLG-01")
async def test_plg_01_an_alarm_that_ignores_its_cancellation_is_left_behind_and_counted(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.lanes.LAST_WORD", 0.01)
    deaf, at = Herald(), asyncio.get_running_loop().time()
    deaf.deaf_until = asyncio.Event()
    lane = await bench.lane(deaf, timeout=timedelta(milliseconds=10))
    first = await lane.alarm(make_alarm())
    assert isinstance(first, Retry)
    assert first.reason.startswith("it hangs: it does not end")
    assert await lane.alarm(make_alarm()) == Retry("it hangs in an earlier alarm")
    assert (len(deaf.heard), lane.still) == (1, False)
    assert (lane.overdue(at), lane.overdue(at + 60)) == (0, 1)
    mended = Herald()
    lane.use(OpenSink.of(mended, PuppetConfig(), RetryPolicy(jitter=0)))
    assert await lane.alarm(make_alarm()) == Delivered()
    deaf.deaf_until.set()
    await until(lambda: lane.still)
    assert lane.overdue(at + 60) == 0


async def test_an_alarm_that_is_called_off_is_called_off_in_its_sink(bench: Bench) -> None:
    ended = asyncio.Event()

    class Slow(Herald):
        async def alarm(self, alarm: Alarm) -> None:
            try:
                await super().alarm(alarm)
                await asyncio.Event().wait()
            finally:
                ended.set()

    lane = await bench.lane(slow := Slow())
    task = asyncio.create_task(lane.alarm(make_alarm()))
    await until(lambda: bool(slow.heard))
    task.cancel()
    await asyncio.wait([task])
    assert (task.cancelled(), ended.is_set()) == (True, True)
    await until(lambda: lane.still)


@pytest.mark.case("SSRF-10")
async def test_odd_words_of_a_plugin_are_stored_as_text(bench: Bench) -> None:
    async def act(_: object) -> str:
        return "id-\ud800\n" + "x" * 5000

    error = Unavailable("bad \ud800\x1b text", retry_after=5)  # type: ignore[arg-type] # a plugin's mistake
    await bench.lane(Puppet([raising(error), act]))
    await bench.call()
    await bench.quiet()
    bench.clock.advance(5)
    await bench.until_states("delivered")
    (line,) = await bench.deliveries()
    assert line.remote_id is not None
    assert line.remote_id.startswith("id-")
    assert len(line.remote_id) <= 500


async def test_a_lane_remembers_its_state_and_probes_at_once_after_a_restart(bench: Bench) -> None:
    lane = await bench.lane(Puppet(always=raising(DOWN)))
    await bench.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await bench.quiet()
    await bench.close()
    bench.lanes.clear()
    bench._loops.clear()
    await bench.lane(Puppet())
    await bench.until_states("delivered")


async def test_no_answer_within_the_timeout_is_a_retry(bench: Bench) -> None:
    await bench.lane(Puppet([Gate()]), timeout="20ms")
    await bench.call()

    async def failed() -> bool:
        return [line.outcome for line in await bench.attempts()] == ["retry"]

    await until_awaited(failed)
    (attempt,) = await bench.attempts()
    assert attempt.reason == "no answer within 0.02 s"


class _Unprintable(Exception):
    def __str__(self) -> str:
        raise ValueError


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("secret"),
        ExceptionGroup("secret", [ValueError("secret")]),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError(),
        TimeoutError("its own"),
        _Unprintable(),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.case("PLG-01")
async def test_plg_01_whatever_a_plugin_raises_costs_one_attempt(bench: Bench, error: BaseException) -> None:
    await bench.lane(Puppet([raising(error)]))
    await bench.call()
    await bench.quiet()
    (line,) = await bench.deliveries()
    assert (line.state, line.retries) == ("pending", 1)
    assert line.reason is not None
    assert line.reason.startswith("bug in the sink")
    assert "secret" not in line.reason
    bench.clock.advance(5)
    await bench.until_states("delivered")


class _Silent:
    """Tells nothing about itself."""

    def __repr__(self) -> str:
        raise ZeroDivisionError

    __str__ = __repr__


async def _forgotten() -> str:
    return "remote-1"


@pytest.mark.parametrize(
    "make",
    [
        lambda: dict.fromkeys(range(1_000_000), "huge"),
        lambda: 7,
        lambda: True,
        lambda: b"bytes",
        lambda: ["x"] * 1_000_000,
        _Silent,
        _forgotten,
    ],
    ids=["dict", "int", "bool", "bytes", "list", "_Silent", "coroutine"],
)
@pytest.mark.case("PLG-03")
async def test_plg_03_a_sink_that_returns_something_else_is_a_bug(bench: Bench, make: Any) -> None:
    value = make()

    async def act(_: object) -> Any:
        return value

    await bench.lane(Puppet([act]))
    await bench.call()
    await bench.quiet()
    (line,) = await bench.deliveries()
    assert line.state == "pending"
    assert line.reason is not None
    assert type(value).__name__ in line.reason


class _Text(str):
    """Text, but for what it does."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__

    def encode(self, *_: object) -> bytes:
        raise ZeroDivisionError


@pytest.mark.case("PLG-03")
async def test_plg_03_text_that_defends_itself_is_taken_for_its_characters(bench: Bench) -> None:
    async def act(_: object) -> str:
        return _Text("remote-1")

    await bench.lane(Puppet([act, raising(Unavailable(_Text("busy")))]))
    await bench.call()
    await bench.until_states("delivered")
    (line,) = await bench.deliveries()
    assert line.remote_id == "remote-1"
    await bench.call()
    await bench.quiet()
    assert await bench.states() == ["delivered", "pending"]


@pytest.mark.case("RPL-04")
async def test_rpl_04_a_replay_that_fails_too_is_a_dead_letter_of_its_own(bench: Bench) -> None:
    """And nothing replays it, however long one waits."""
    puppet = Puppet(always=raising(Rejected("no such mailbox")))
    lane = await bench.lane(puppet)
    await bench.call()
    await bench.until_states("dead")
    (old,) = await bench.deliveries()
    new = await bench.store.replay(old.id, now=bench.clock.now())
    lane.wake()
    await until(lambda: len(puppet.given) == 2)
    await bench.quiet()
    lines = {line.id: line for line in await bench.deliveries()}
    assert (lines[old.id].state, lines[new].state) == ("replayed", "dead")
    assert (lines[new].replay_of, lines[new].reason) == (old.id, "no such mailbox")
    assert [delivery.id for delivery in puppet.given] == [old.id, new]
    for _ in range(10):
        bench.clock.advance(timedelta(days=1))
        lane.wake()
        await bench.quiet()
    assert len(puppet.given) == 2


async def test_a_stop_lets_what_is_in_flight_finish(bench: Bench) -> None:
    gate = Gate()
    lane = await bench.lane(Puppet(always=gate))
    await bench.call()
    stopping = asyncio.create_task(lane.stop(20))
    await asyncio.sleep(0)
    gate.opened.set()
    await stopping
    assert await bench.states() == ["delivered"]


async def test_a_stop_releases_what_does_not_finish(bench: Bench) -> None:
    lane = await bench.lane(Puppet(always=Gate()))
    await bench.call()
    await until(lambda: lane._way.sink.busy == 1)  # type: ignore[attr-defined]
    await lane.stop(0)
    (line,) = await bench.deliveries()
    assert (line.state, line.retries, line.lost) == ("pending", 0, 0)
    assert [attempt.outcome for attempt in await bench.attempts()] == ["released"]


async def test_a_claim_that_comes_in_the_very_moment_of_the_end_is_given_back(bench: Bench) -> None:
    """It was born just before, on a lane that had nothing else to finish."""
    lane = await bench.lane(Puppet())
    now = bench.clock.now()
    receipt = await bench.store.accept(arrival("call", Owed("s", claim_until=lane.reserve(now)), received_at=now))
    assert isinstance(receipt, Accepted)
    (claim,) = receipt.claims
    stopping = asyncio.create_task(lane.stop(5))
    asyncio.get_running_loop().call_soon(lambda: lane.start(claim))
    await stopping

    async def given_back() -> bool:
        return (await bench.store.summary()).deliveries["pending"] == 1

    await until_awaited(given_back)


async def test_a_stopped_lane_takes_nothing_more(bench: Bench) -> None:
    lane = await bench.lane(Puppet())
    await lane.stop(0)
    assert lane.reserve(bench.clock.now()) is None


async def test_a_settle_after_the_claim_was_lost_is_refused(bench: Bench) -> None:
    """The attempt goes on after its claim ran out; the delivery is somebody else's by then."""
    gate = Gate()
    puppet = Puppet([gate])
    lane = await bench.lane(puppet)
    await bench.call()
    await until(lambda: puppet.busy == 1)
    bench.clock.advance(51)
    retaken = await bench.store.retake(now=bench.clock.now())
    assert (retaken.lost, set(retaken.sinks)) == (1, {"s"})
    lane.wake()
    await bench.until_states("delivered")
    with structlog.testing.capture_logs() as logs:
        gate.opened.set()
        await bench.quiet()
    assert [entry["settled"] for entry in logs if entry.get("attempt") == 1] == [False]
    assert [line.outcome for line in await bench.attempts()] == ["lost", "delivered"]


async def test_an_attempt_is_one_wide_line_without_a_word_of_the_call(bench: Bench) -> None:
    with structlog.testing.capture_logs() as logs:
        await bench.lane(Puppet())
        await bench.call()
        await bench.until_states("delivered")
        await bench.quiet()
    (line,) = [entry for entry in logs if entry["event"] == "delivery.attempted"]
    assert {"sink", "kind", "delivery_id", "event_id", "attempt", "outcome", "duration_ms"} <= line.keys()
    assert "call-1" not in str(logs)


async def test_two_lanes_never_get_the_same_delivery(bench: Bench) -> None:
    """The same sink's lane in two routers: each delivery is claimed by one of them."""
    first, second = Puppet(), Puppet()
    lanes = [await bench.lane(first), await bench.lane(second)]
    for number in range(40):
        await bench.store.accept(arrival(f"other-{number}", Owed("s"), received_at=NOON))
    for lane in lanes:
        lane.wake()
    await until(lambda: len(first.given) + len(second.given) >= 40)
    await bench.quiet()
    await lanes[0].stop(0)
    ids = [delivery.id for puppet in (first, second) for delivery in puppet.given]
    assert len(ids) == len(set(ids)) == 40


async def test_a_slot_that_is_given_back_is_used_at_once(bench: Bench) -> None:
    puppet = Puppet()
    lane = await bench.lane(puppet, concurrency=1)
    assert lane.reserve(bench.clock.now())
    await bench.store.accept(arrival("other", Owed("s"), received_at=NOON))
    lane.wake()
    await bench.quiet()
    assert puppet.given == []
    lane.give_back()
    await until(lambda: len(puppet.given) == 1)


async def test_what_has_happened_is_written_down_also_while_the_lane_stops(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, gate, settle = asyncio.Event(), asyncio.Event(), bench.store.settle

    async def slowly(*given: Any) -> bool:
        begun.set()
        await gate.wait()
        return await settle(*given)

    monkeypatch.setattr(bench.store, "settle", slowly)
    lane = await bench.lane(Puppet())
    await bench.call()
    await begun.wait()
    (attempt,) = lane._attempts
    stopping = asyncio.create_task(lane.stop(0))
    await until(lambda: attempt.cancelling() > 0)
    await asyncio.sleep(0)
    assert not attempt.done()
    gate.set()
    await stopping
    assert await bench.states() == ["delivered"]


async def test_a_settle_is_repeated_while_the_store_fails(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    puppet, failures, settle = Puppet(), [StoreError(), StoreError()], bench.store.settle

    async def failing(*given: Any) -> bool:
        if failures:
            raise failures.pop()
        return await settle(*given)

    monkeypatch.setattr(bench.store, "settle", failing)
    with structlog.testing.capture_logs() as logs:
        await bench.lane(puppet)
        await bench.call()
        for left in (1, 0):
            await until(lambda left=left: len(failures) == left)  # type: ignore[misc]
            await bench.clock.settle()
            assert await bench.states() == ["claimed"]
            bench.clock.advance(1)
        await bench.until_states("delivered")
    assert len(puppet.given) == 1
    assert [line["event"] for line in logs].count("lane.store_failed") == 1, "a store may be away for hours"


async def test_a_store_that_fails_is_told_once_until_it_works_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers, claim = [False, False, False, True, False], bench.store.claim

    async def failing(*given: Any, **more: Any) -> Any:
        if answers.pop(0):
            return await claim(*given, **more)
        raise StoreError

    monkeypatch.setattr(bench.store, "claim", failing)
    with structlog.testing.capture_logs() as logs:
        lane = await bench.lane(Puppet())
        for left in range(4, -1, -1):
            await until(lambda left=left: len(answers) == left and lane.idle)  # type: ignore[misc]
            if left:
                lane.wake()
    assert [line["event"] for line in logs].count("lane.store_failed") == 2


async def test_a_settle_is_given_up_when_the_claim_has_run_out(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def failing(*_: object) -> bool:
        raise StoreError

    puppet = Puppet()
    lane = await bench.lane(puppet)
    with monkeypatch.context() as patched:
        patched.setattr(bench.store, "settle", failing)
        await bench.call()
        await until(lambda: len(puppet.given) == 1)
        await bench.clock.settle()
        bench.clock.advance(51)
        await until(lambda: not lane._attempts)
    await bench.store.retake(now=bench.clock.now())
    lane.wake()
    await bench.until_states("delivered")
    assert [delivery.attempt for delivery in puppet.given] == [1, 2]


def through(puppet: Puppet, **config: Any) -> OpenSink:
    return OpenSink.of(puppet, PuppetConfig(**config), RetryPolicy(jitter=0))


async def test_a_lane_goes_on_through_another_sink_and_what_is_in_flight_ends_through_the_old_one(bench: Bench) -> None:
    gate = Gate()
    old, new = Puppet(always=gate), Puppet()
    lane = await bench.lane(old, concurrency=1)
    await bench.call()
    await until(lambda: old.busy == 1)
    lane.use(through(new, concurrency=1))
    await bench.call()
    await bench.clock.settle()
    assert new.given == [], "both together have one slot"
    leaving = asyncio.create_task(lane.leave(old, 20))
    await asyncio.sleep(0)
    gate.opened.set()
    await leaving
    await bench.until_states("delivered", "delivered")
    assert (len(old.given), len(new.given)) == (1, 1)


async def test_what_does_not_end_through_the_old_sink_is_released_and_goes_through_the_new_one(bench: Bench) -> None:
    old, new = Puppet(always=Gate()), Puppet()
    lane = await bench.lane(old)
    await bench.call()
    await until(lambda: old.busy == 1)
    lane.use(through(new))
    await lane.leave(old, 0)
    await bench.until_states("delivered")
    assert [line.outcome for line in await bench.attempts()] == ["released", "delivered"]


async def test_what_the_old_sink_says_of_its_far_side_is_not_held_against_the_new_one(bench: Bench) -> None:
    gate = asyncio.Event()

    async def gone(_: object) -> None:
        await gate.wait()
        message = "410"
        raise Rejected(message, whole_lane=True)

    old = Puppet(always=gone)
    lane = await bench.lane(old)
    await bench.call()
    await until(lambda: old.busy == 1)
    lane.use(through(Puppet()))
    gate.set()
    await bench.until_states("dead")
    await bench.quiet()
    assert lane.row.state is LaneState.OPEN


async def test_a_lane_that_is_down_probes_at_once_through_a_new_sink(bench: Bench) -> None:
    lane = await bench.lane(Puppet(always=raising(DOWN)))
    await bench.call()
    await until(lambda: lane.row.state is LaneState.PROBING)
    await bench.quiet()
    lane.use(through(Puppet()))
    await bench.until_states("delivered")
    assert bench.clock.now() == NOON


async def test_what_comes_too_late_to_a_closed_lane_goes_out_on_the_one_that_has_its_name_now(bench: Bench) -> None:
    first, second = Puppet(), Puppet()
    lane = await bench.lane(first)
    until_ = lane.reserve(bench.clock.now())
    await lane.stop(0)
    lane.successor = await bench.lane(second)
    receipt = await bench.store.accept(arrival("late", Owed("s", claim_until=until_), received_at=NOON))
    assert isinstance(receipt, Accepted)
    lane.start(receipt.claims[0])
    await until(lambda: len(second.given) == 1)
    assert first.given == []


async def test_a_claim_that_an_attempt_could_outlast_is_made_anew(bench: Bench) -> None:
    lane = await bench.lane(Puppet(), timeout="1s")
    soon = lane.reserve(bench.clock.now())
    new = Puppet()
    lane.use(through(new, timeout="5m"))
    receipt = await bench.store.accept(arrival("c", Owed("s", claim_until=soon), received_at=NOON))
    assert isinstance(receipt, Accepted)
    lane.start(receipt.claims[0])
    await until(lambda: len(new.given) == 1)
    assert new.given[0].attempt == 2, "the first claim was given back"
