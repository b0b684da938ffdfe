"""Routers that share a store: the time that they go by, what of them does not fit together, and how all of that is shown."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from databases import rows
from router import watching
from router.about import version
from router.app import Router, running
from router.clock import SharedClock, SystemClock
from router.config import load
from router.errors import StoreError
from router.presence import remarks
from router.store.lines import RouterLine
from router.store.postgres.engine import PostgresStore, open_store
from router.store.values import Arrival, Card, Owed
from router.testing import HANG, Answer, FakeEndpoint, ManualClock
from store_engines import Databases, arrival, place_of
from support import NOON, body, until, until_awaited

FILE = """\
name: {name}
server: {{listen: "127.0.0.1:0"}}
admin: {{listen: "127.0.0.1:0"}}
store: {url}
store_password: "${{PASSWORD:-none}}"
sources: {{s: {{token: 5d0c1f8e7b6a49d2a3f4c5b6d7e8f901}}}}
sinks: {{crm: {{kind: webhook, url: "{crm}", allow_networks: [127.0.0.0/8]}}}}
always: [crm]
{more}
"""


@pytest.fixture
def url(databases_of_stores: Databases) -> Iterator[str]:
    with databases_of_stores.one() as made:
        yield made


@pytest.fixture
async def crm() -> AsyncIterator[FakeEndpoint]:
    async with FakeEndpoint() as endpoint:
        yield endpoint


class Set(SystemClock):
    """The clock of a machine that somebody has set wrong."""

    def __init__(self, wrong: timedelta) -> None:
        self.wrong = wrong
        super().__init__()

    def now(self) -> datetime:
        return super().now() + self.wrong

    def moved(self) -> timedelta:
        return super().moved() + self.wrong


class Place:
    """Where routers of one store run, each in a folder of its own."""

    def __init__(self, folder: Path, url: str, crm: FakeEndpoint) -> None:
        self.folder = folder
        self.url = url
        self.crm = crm
        #: By router.
        self.clocks: dict[str, Set] = {}

    @property
    def password(self) -> str:
        return unquote(urlsplit(self.url).password or "")

    def configured(self, name: str, more: str = "") -> Path:
        folder = self.folder / f"{name}-{len(list(self.folder.iterdir()))}"
        folder.mkdir()
        file = folder / "routes.yaml"
        text = FILE.format(name=name, url=place_of(self.url).url, crm=self.crm.url(), more=more)
        file.write_text(text, encoding="utf-8")
        return file

    @asynccontextmanager
    async def router(
        self, name: str, *, wrong: timedelta = timedelta(0), more: str = "", hold: bool = False
    ) -> AsyncIterator[Router]:
        config = load(self.configured(name, more), {"PASSWORD": self.password})
        self.clocks[name] = Set(wrong)
        async with running(config, clock=self.clocks[name], hold=hold) as router:
            yield router


@pytest.fixture
def place(tmp_path: Path, url: str, crm: FakeEndpoint) -> Place:
    return Place(tmp_path, url, crm)


async def asked(router: Router, path: str) -> Any:
    async with aiohttp.ClientSession() as client, client.get(f"http://{router.admin}{path}") as answer:
        assert answer.status == 200
        return await answer.json()


async def status(router: Router, *more: str) -> str:
    """What `aftercall status` says."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", "status", "--url", f"http://{router.admin}", *more, stdout=asyncio.subprocess.PIPE
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == 0
    return said.decode()


def named(logs: list[EventDict], event: str) -> list[EventDict]:
    return [line for line in logs if line["event"] == event]


# --- the time that all go by ---


def heard(clock: SharedClock, time: datetime, *, took: float = 0, own: ManualClock) -> None:
    asked_at = clock.steady()
    own.advance(took)
    clock.hear(time, asked=asked_at)


def test_the_shared_clock_is_followed_like_one_that_is_set() -> None:
    own = ManualClock(NOON)
    clock = SharedClock(own)
    heard(clock, NOON - timedelta(seconds=120), own=own)
    assert (clock.now(), clock.moved(), clock.ahead) == (NOON, timedelta(seconds=-120), timedelta(seconds=120))
    clock.follow()
    assert (clock.now(), clock.moved()) == (NOON - timedelta(seconds=120), timedelta(0))
    own.advance(10)
    assert clock.now() == NOON - timedelta(seconds=110)
    assert clock.uptime() == own.uptime()


def test_half_the_way_there_and_back_is_taken_into_account() -> None:
    own = ManualClock(NOON)
    clock = SharedClock(own)
    heard(clock, NOON + timedelta(seconds=62), took=4, own=own)
    clock.follow()
    assert clock.now() == NOON + timedelta(seconds=64), "it was heard two seconds ago"
    assert clock.ahead == timedelta(seconds=-60)


@pytest.mark.parametrize(("apart", "took", "followed"), [(0.4, 0, False), (0.6, 0, True), (0.6, 1, False)])
def test_jitter_is_not_followed_and_the_less_exactly_it_is_known_the_more_is_jitter(
    apart: float, took: float, *, followed: bool
) -> None:
    own = ManualClock(NOON)
    clock = SharedClock(own)
    heard(clock, NOON + timedelta(seconds=took / 2 + apart), took=took, own=own)
    assert bool(clock.moved()) is followed


def test_what_somebody_sets_this_machines_clock_to_changes_nothing_but_how_wrong_it_is() -> None:
    own = ManualClock(NOON)
    clock = SharedClock(own)
    own.set(93)
    heard(clock, NOON, own=own)
    clock.follow()
    assert (clock.now(), clock.ahead) == (NOON, timedelta(seconds=93))


async def test_who_waits_by_the_shared_clock_waits_as_long_as_by_any() -> None:
    own = ManualClock(NOON)
    clock = SharedClock(own)
    heard(clock, NOON + timedelta(hours=1), own=own)
    clock.follow()
    waiting = asyncio.create_task(clock.wait(asyncio.Event(), clock.now() + timedelta(seconds=10)))
    await asyncio.sleep(0)
    assert own.next_at == NOON + timedelta(seconds=10)
    own.advance(10)
    await waiting


BEHIND, AHEAD = timedelta(minutes=-2), timedelta(minutes=2)


async def test_routers_whose_clocks_differ_by_minutes_take_nothing_from_each_other(
    place: Place, crm: FakeEndpoint
) -> None:
    """The one that is ahead keeps house, and would see each claim of the other run out as soon as it is made."""
    crm.answer(HANG)
    async with place.router("ahead", wrong=AHEAD) as ahead, place.router("behind", wrong=BEHIND) as behind:
        assert ahead.store.keeps_house
        for number in range(4):
            await behind.inbox.accept("s", body(f"born-{number}"))
            await ahead.inbox.accept("s", body(f"other-{number}"))
        await crm.received(8)
        for _ in range(10):
            await ahead.housekeeping.look()
            await behind.housekeeping.look()
        lines = (await ahead.store.deliveries()).items
        assert {(line.state, line.attempt, line.lost) for line in lines} == {("claimed", 1, 0)}
        ((now,),) = await rows(place.url, "SELECT clock_timestamp()")
        assert all(abs(line.accepted_at - now) < timedelta(minutes=1) for line in lines), "by the server's clock"
        crm.answer(Answer())
        await crm.stop()
        await crm.start()

        async def delivered() -> bool:
            return (await behind.store.summary()).deliveries["delivered"] == 8

        await until_awaited(delivered)
        assert all(line.lost == 0 for line in (await ahead.store.deliveries()).items)


class ServerClock:
    """What the server's clock is set to, as its routers hear."""

    by = timedelta(0)


@pytest.fixture
def server_clock(monkeypatch: pytest.MonkeyPatch) -> ServerClock:
    clock, told = ServerClock(), PostgresStore.beat

    async def beat(store: PostgresStore, card: Card, *, now: datetime) -> datetime:
        return await told(store, card, now=now) + clock.by

    monkeypatch.setattr(PostgresStore, "beat", beat)
    return clock


async def hear(*routers: Router) -> None:
    for router in routers:
        await router.presence.beat()
        await router.housekeeping.look()


async def waiting(router: Router) -> dict[str, datetime]:
    """Of each call, when what is owed for it is due, or its claim ends."""
    events = {line.id: line.call_id or "" for line in (await router.store.events()).items}
    return {events[line.event_id]: line.claimed_until or line.due for line in (await router.store.deliveries()).items}


def owing(name: str, now: datetime, *, claimed: bool = False) -> Arrival:
    """A call for a sink that nobody has: due in ten minutes, or claimed for five."""
    owed = Owed("nobody", now + timedelta(minutes=5)) if claimed else Owed("nobody", due=now + timedelta(minutes=10))
    return replace(arrival(name, owed=(owed,)), received_at=now)


@pytest.mark.parametrize("by", [timedelta(days=1), timedelta(days=-1)], ids=["forward", "back"])
@pytest.mark.parametrize("first", ["keeper", "other"])
async def test_when_the_servers_clock_is_set_what_waits_and_what_runs_moves_with_it_once(
    place: Place, monkeypatch: pytest.MonkeyPatch, server_clock: ServerClock, by: timedelta, first: str
) -> None:
    """Whoever hears of it first, and whatever comes in meanwhile: that is due early at worst."""
    async with place.router("keeper") as keeper, place.router("other") as other:
        assert keeper.store.keeps_house
        early, late = (keeper, other) if first == "keeper" else (other, keeper)
        began = datetime.now(UTC)
        await other.store.accept(owing("waits", began))
        await other.store.accept(owing("runs", began, claimed=True))
        before = await waiting(keeper)
        server_clock.by = by
        await hear(early)
        for name, router in (("early", early), ("late", late)):  # as each dates it before all have heard
            await router.store.accept(owing(name, router.clock.now()))
        await hear(late, early)
        with monkeypatch.context() as passed:
            passed.setattr(watching, "HEARD", timedelta(0))
            await hear(keeper, other, keeper)
        assert keeper.clock.now() - began > by - timedelta(minutes=1)
        assert abs(other.clock.now() - keeper.clock.now()) < timedelta(seconds=5)
        after = await waiting(keeper)
        assert {name: abs(after[name] - time - by) < timedelta(minutes=1) for name, time in before.items()} == {
            "waits": True,
            "runs": True,
        }
        for name, due in after.items():
            assert due < keeper.clock.now() + timedelta(minutes=11), name
        assert {line.lost for line in (await keeper.store.deliveries()).items} == {0}


async def test_a_jump_is_moved_by_who_keeps_house_next_where_the_first_one_did_not(
    place: Place, monkeypatch: pytest.MonkeyPatch, server_clock: ServerClock
) -> None:
    monkeypatch.setattr(watching, "HEARD", timedelta(0))
    async with place.router("keeper") as keeper, place.router("other") as other:
        await other.store.accept(owing("waits", datetime.now(UTC)))
        (before,) = (await waiting(other)).values()
        server_clock.by = timedelta(days=-1)
        await hear(other)
        await lose_house(place, keeper)
        await hear(other)
        assert other.store.keeps_house
        (after,) = (await waiting(other)).values()
        assert abs(before - after - timedelta(days=1)) < timedelta(minutes=1)


async def test_a_router_that_starts_again_before_all_have_heard_moves_what_waits(
    place: Place, server_clock: ServerClock
) -> None:
    async with place.router("keeper") as keeper:
        await keeper.store.accept(owing("waits", datetime.now(UTC)))
        (before,) = (await waiting(keeper)).values()
        server_clock.by = timedelta(days=-1)
        await hear(keeper)
    async with place.router("keeper") as keeper:
        (after,) = (await waiting(keeper)).values()
        assert abs(before - after - timedelta(days=1)) < timedelta(minutes=1)


async def test_a_jump_that_was_moved_and_not_answered_is_not_moved_again_by_who_keeps_house_next(
    place: Place, monkeypatch: pytest.MonkeyPatch, server_clock: ServerClock
) -> None:
    async with place.router("keeper") as keeper, place.router("other") as other:
        await other.store.accept(owing("waits", datetime.now(UTC)))
        (before,) = (await waiting(other)).values()
        write = keeper.store.clock_was_set

        async def unanswered(**given: Any) -> bool:
            await write(**given)
            raise StoreError

        server_clock.by = timedelta(days=1)
        with monkeypatch.context() as cut:
            cut.setattr(keeper.store, "clock_was_set", unanswered)
            await keeper.presence.beat()
            with pytest.raises(StoreError):
                await keeper.housekeeping.look()
        await lose_house(place, keeper)
        await hear(other, keeper)
        assert other.store.keeps_house
        (after,) = (await waiting(other)).values()
        assert abs(after - before - timedelta(days=1)) < timedelta(minutes=1)


async def lose_house(place: Place, keeper: Router) -> None:
    await rows(place.url, "SELECT pg_terminate_backend(pid, 10000) FROM aftercall.routers WHERE name = 'keeper'")
    await until(lambda: not keeper.store.keeps_house)


async def test_what_is_known_of_a_set_clock_goes_with_the_house(place: Place, server_clock: ServerClock) -> None:
    """Nothing is given up or removed for time that did not pass, also by a router that was not there when it was set."""
    async with AsyncExitStack() as stack:
        keeper = await stack.enter_async_context(place.router("keeper"))
        await keeper.store.accept(replace(arrival("old"), received_at=datetime.now(UTC)))
        server_clock.by = timedelta(days=1000)
        early = await stack.enter_async_context(place.router("early"))  # it knows no other time
        await hear(keeper, early)
        late = await stack.enter_async_context(place.router("late"))
        await lose_house(place, keeper)
        for router in (early, late):
            await hear(router)
            await router.housekeeping.purge()
            if router is early:
                assert router.store.keeps_house
                await rows(
                    place.url, "SELECT pg_terminate_backend(pid, 10000) FROM aftercall.routers WHERE name = 'early'"
                )
                await until(lambda: not early.store.keeps_house)
        assert late.store.keeps_house
        assert (await late.store.summary()).purged == 0


async def test_what_others_claimed_by_the_clock_before_is_not_over_because_it_was_set_forward(
    place: Place, server_clock: ServerClock
) -> None:
    async with place.router("keeper") as keeper, place.router("other") as other:
        server_clock.by = timedelta(hours=1)
        await hear(keeper)
        await other.store.accept(owing("late", other.clock.now(), claimed=True))
        async with place.router("third"):  # which has known no other time
            await lose_house(place, keeper)
        await hear(keeper)
        assert keeper.store.keeps_house
        (line,) = (await keeper.store.deliveries()).items
        assert (line.state, line.lost) == ("claimed", 0)


@pytest.mark.parametrize("by", [timedelta(hours=1), timedelta(hours=-1)], ids=["forward", "back"])
async def test_a_router_that_starts_while_a_jump_is_moved_begins_after_that(
    place: Place, monkeypatch: pytest.MonkeyPatch, server_clock: ServerClock, by: timedelta
) -> None:
    """Or what it writes down meanwhile would be moved once more."""
    monkeypatch.setattr(watching, "HEARD", timedelta(0))
    monkeypatch.setattr(watching, "BEAT_EVERY", timedelta(seconds=0.2))
    async with place.router("keeper") as keeper, AsyncExitStack() as stack:

        async def started() -> Router:
            late = await stack.enter_async_context(place.router("late"))
            await late.store.accept(owing("new", late.clock.now()))
            return late

        with capture_logs() as logs:
            server_clock.by = by
            starting = asyncio.create_task(started())
            await until(lambda: starting.done() or bool(named(logs, "clock.awaited")))
            await hear(keeper)
            late = await starting
        await hear(late, keeper)
        (due,) = (await waiting(late)).values()
        assert abs(late.clock.now() + timedelta(minutes=10) - due) < timedelta(minutes=1)


async def test_a_router_that_starts_in_a_house_that_nobody_keeps_does_what_was_left(
    place: Place, monkeypatch: pytest.MonkeyPatch, server_clock: ServerClock
) -> None:
    """Whoever kept it is gone, and has not moved what waits: all were stopped, but one that sends nothing."""
    monkeypatch.setattr(watching, "HEARD", timedelta(0))
    monkeypatch.setattr(watching, "BEAT_EVERY", timedelta(seconds=0.2))
    async with place.router("keeper") as keeper:
        await keeper.store.accept(owing("waits", datetime.now(UTC)))
        (before,) = (await waiting(keeper)).values()
    async with place.router("held", hold=True):
        server_clock.by = timedelta(days=-1)
        async with place.router("late") as late:
            await hear(late)
            assert late.store.keeps_house
            (after,) = (await waiting(late)).values()
            assert abs(before - after - timedelta(days=1)) < timedelta(minutes=1)


async def test_one_that_sends_nothing_waits_for_nobody_where_nobody_is(place: Place) -> None:
    async with place.router("keeper"):
        pass
    await rows(place.url, "UPDATE aftercall.memos SET content = convert_to(replace(convert_from(content, 'UTF8'), $1, $2), 'UTF8')",
        f'"at":"{datetime.now(UTC):%Y}', '"at":"2020')  # fmt: skip
    with capture_logs() as logs:
        async with place.router("held", hold=True), place.router("held-too", hold=True):
            assert not named(logs, "clock.awaited")


@pytest.mark.parametrize("seconds", [30, 600])
async def test_a_machine_that_stood_still_follows_at_once(place: Place, seconds: int) -> None:
    """Whoever keeps house goes by the same clock as ever; else what is claimed meanwhile would be over at once."""
    async with place.router("keeper") as keeper, place.router("other") as other:
        assert keeper.store.keeps_house
        place.clocks["other"].wrong -= timedelta(seconds=seconds)
        await hear(other)
        assert abs(other.clock.now() - keeper.clock.now()) < timedelta(seconds=5)


async def test_a_clock_that_is_wrong_is_told_of_by_the_log_and_by_who_is_asked(place: Place) -> None:
    with capture_logs() as logs:
        async with place.router("late", wrong=timedelta(seconds=-93)) as late, place.router("right") as right:
            (line,) = named(logs, "clock.wrong")
            said = "is 93 s behind the database server's; aftercall goes by the server's; set it right (NTP)"
            assert line["reason"] == f"the clock of this machine {said}"

            await late.presence.beat()  # the first one did not know it yet
            assert (await asked(right, "/api/v1/routers"))["remarks"] == [f"the clock of late's machine {said}"]
            assert (await asked(late, "/api/v1/routers"))["remarks"] == [f"the clock of this machine {said}"]


# --- what a restart finds ---


async def test_a_router_that_starts_again_under_its_name_goes_on_at_once(place: Place, crm: FakeEndpoint) -> None:
    now = datetime.now(UTC)
    async with open_store(place_of(place.url), parse=json.loads, name="berlin") as left:
        call = arrival("left behind", owed=(Owed("crm", now + timedelta(hours=1)),))
        await left.accept(call)
    async with place.router("berlin") as router:
        await crm.received()

        async def delivered() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 1

        await until_awaited(delivered)


async def test_only_who_keeps_house_takes_back_and_removes(place: Place) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=200)
    old = replace(arrival("old"), received_at=long_ago)
    lost = arrival("lost", owed=(Owed("gone", datetime.now(UTC) - timedelta(seconds=1)),))
    async with open_store(place_of(place.url), parse=json.loads, name="keeper") as keeper:
        await keeper.beat(Card("1.0", "rules"), now=NOON)
        for call in (old, lost):
            await keeper.accept(call)
        async with place.router("berlin") as router:
            await router.housekeeping.look()
            assert not await router.housekeeping.purge()
            summary = await router.store.summary()
            assert (summary.purged, summary.deliveries["claimed"]) == (0, 1)
            await keeper.close()
            await router.presence.beat()
            await router.housekeeping.look()
            while await router.housekeeping.purge():
                pass
            summary = await router.store.summary()
            assert (summary.purged, summary.deliveries["pending"]) == (1, 1)


async def test_a_router_waits_for_its_name_and_says_so_once(place: Place) -> None:
    with capture_logs() as logs:
        async with AsyncExitStack() as stack:
            async with place.router("berlin"):
                starting = asyncio.create_task(stack.enter_async_context(place.router("berlin")))
                await until(lambda: bool(named(logs, "router.waits_for_name")))
                assert not starting.done()
            await starting
        (waited,) = named(logs, "router.waits_for_name")
        assert "has the name 'berlin' (at 127.0.0.1, since 2" in waited["reason"]
        assert f"version {version()})" in waited["reason"]


async def test_a_start_that_waits_is_given_up_when_the_process_is_told_to_end(place: Place) -> None:
    async with place.router("berlin"), asyncio.timeout(20):  # less than a name is waited for
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", "serve", "-c", str(place.configured("berlin")), "--log", "json",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "PASSWORD": place.password},
        )  # fmt: skip
        assert process.stdout is not None
        while b"router.waits_for_name" not in (line := await process.stdout.readline()):
            assert line, "it has ended"
        process.terminate()
        rest = await process.stdout.read()
        assert (await process.wait(), [json.loads(line)["event"] for line in rest.splitlines()]) == (
            0,
            ["router.stopped"],
        )


# --- how it is shown ---


def line(name: str, **changes: Any) -> RouterLine:
    given = {
        "alive": True, "here": False, "keeps_house": False, "version": "1.0", "rules": "a" * 64, "started_at": NOON,
        "seen_at": NOON, "ahead": 0.0, "holds": False,
    }  # fmt: skip
    return RouterLine(name=name, **{**given, **changes})


def test_it_is_remarked_where_routers_that_are_alive_differ() -> None:
    same = [line("berlin", here=True), line("aachen", ahead=-4.9), line("gone", alive=False, rules="b", version="0.9")]
    assert remarks(same) == []
    assert remarks([*same, line("bonn", rules="3f2a" * 16, version="1.1", ahead=93.2)]) == [
        "routes differ: berlin has aaaaaaaa, aachen has aaaaaaaa, bonn has 3f2a3f2a: reload, or give all the same file",
        "versions differ: berlin has 1.0, aachen has 1.0, bonn has 1.1: bring all to the newest",
        "the clock of bonn's machine is 93 s ahead of the database server's; aftercall goes by the server's; set it right (NTP)",
    ]


async def test_routers_with_other_routes_are_seen_by_readiness_the_api_and_status(place: Place) -> None:
    other = "routes: [{name: sales, when: {channel: Sales}, to: [crm]}]"
    async with place.router("berlin") as berlin, place.router("aachen", more=other) as aachen:
        await berlin.presence.beat()
        hashes = {router.config.name: router.config.table.digest for router in (berlin, aachen)}
        differ = (
            f"routes differ: aachen has {hashes['aachen'][:8]}, berlin has {hashes['berlin'][:8]}: reload, or give all the "
            "same file"
        )
        ready = await asked(berlin, "/readyz")
        assert (ready["ready"], ready["trouble"]) == (True, [differ])
        found = await asked(aachen, "/api/v1/routers")
        assert found["remarks"] == [differ]
        assert [
            (one["name"], one["alive"], one["here"], one["keeps_house"], one["version"], one["rules"])
            for one in found["items"]
        ] == [
            ("aachen", True, True, False, version(), hashes["aachen"]),
            ("berlin", True, False, True, version(), hashes["berlin"]),
        ]
        shown = await status(aachen)
        assert differ in shown
        assert "aachen (this one)  alive" in shown
        (berlin_line,) = [row for row in shown.splitlines() if row.startswith("berlin")]
        assert berlin_line.endswith("keeps house")
        assert json.loads(await status(aachen, "--json"))["routers"]["remarks"] == [differ]

        (aachen.config.folder / "routes.yaml").write_text(
            (berlin.config.folder / "routes.yaml").read_text(encoding="utf-8").replace("berlin", "aachen"),
            encoding="utf-8",
        )
        await aachen.reload.reload()
        await aachen.presence.beat()
        await berlin.presence.beat()
        assert (await asked(berlin, "/readyz"))["trouble"] == []


async def test_that_it_could_not_be_seen_is_in_the_log_once_and_that_it_can_again(place: Place) -> None:
    async with place.router("berlin") as berlin:
        with capture_logs() as logs:
            await rows(place.url, "ALTER TABLE aftercall.routers RENAME TO away")
            for _ in range(2):
                await berlin.presence.beat()
            await rows(place.url, "ALTER TABLE aftercall.away RENAME TO routers")
            await berlin.presence.beat()
        told = [line["event"] for line in logs if line["event"].startswith("router.")]
        assert told == ["router.not_seen", "router.seen_again"]


async def test_who_was_not_heard_of_while_the_store_was_away_is_not_alive(place: Place) -> None:
    async with place.router("keeper") as keeper, place.router("other"):
        await keeper.presence.beat()
        assert [(line.name, line.alive) for line in keeper.presence.seen] == [("keeper", True), ("other", True)]
        place.clocks["keeper"].wrong += timedelta(seconds=30)
        assert [(line.name, line.alive) for line in keeper.presence.seen] == [("keeper", True), ("other", False)]


async def test_a_name_that_another_took_is_in_the_log_and_in_readiness_until_it_is_free(place: Place) -> None:
    with capture_logs() as logs:
        async with place.router("berlin") as router:
            await rows(place.url, "SELECT pg_terminate_backend(pid, 10000) FROM aftercall.routers")
            async with open_store(place_of(place.url), parse=json.loads, name="berlin"):
                await router.presence.beat()
                (why,) = (await asked(router, "/readyz"))["trouble"]
                assert "has the name 'berlin'" in why
                (taken,) = named(logs, "router.name_taken")
                assert (taken["reason"], taken["log_level"]) == (why, "error")
            await router.presence.beat()
            assert named(logs, "router.name_regained")
            assert (await asked(router, "/readyz"))["trouble"] == []


async def test_who_has_not_its_name_sends_nothing_until_it_has_it_again(place: Place, crm: FakeEndpoint) -> None:
    """What it claims would be the other one's, who takes that back when it starts: calls would go out twice."""
    async with place.router("berlin") as router:
        await rows(place.url, "SELECT pg_terminate_backend(pid, 10000) FROM aftercall.routers")
        await until(lambda: not router.store.has_name)
        await router.inbox.accept("s", body())
        async with open_store(place_of(place.url), parse=json.loads, name="berlin"):
            await router.presence.beat()
            await router.inbox.accept("s", body("call-2"))
            router.lanes["crm"].wake()
            await until(lambda: router.lanes["crm"].idle)
            assert (await router.store.summary()).deliveries["pending"] == 2
        await router.presence.beat()
        await crm.received(2)


async def test_a_router_that_is_alone_says_who_it_is_and_nothing_more(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text('name: alone\nserver: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\nsources: {s: {}}\n')
    with capture_logs() as logs:
        async with running(load(file, {})) as router:
            (found,) = (await asked(router, "/api/v1/routers"))["items"]
            assert (found["name"], found["here"], found["keeps_house"]) == ("alone", True, True)
            assert "alone" not in await status(router)

    assert not [line for line in logs if line["event"].startswith(("house.", "clock.", "router.name"))]
