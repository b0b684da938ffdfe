"""Reloading a running router: in one step, or not at all."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from certificates import authority
from router import reload as reloading
from router.app import Router, running
from router.config import Differs, Files, load
from router.delivery import DeliveryState
from router.errors import ConfigError, StoreError
from router.fakes import ManualClock
from router.reload import Reloaded, ReloadState, without_restart
from router.store.values import Accepted
from router.threads import Threads
from support import body, until, until_awaited

TOKEN, OTHER = "0123456789abcdefghijklmn", "zyxwvutsrqponmlkjihgfedc"
LISTEN = 'server: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\n'
HEAD = f"sources: {{s: {{token: {TOKEN}}}}}\n{LISTEN}"

BELL = '''
import asyncio
import sys
import threading
from contextlib import asynccontextmanager
from typing import Literal
from pydantic import model_validator
from router import SinkConfig, hookimpl

happened, gate, checking = [], asyncio.Event(), threading.Event()

class Bell(SinkConfig):
    """Remembers what happens to it."""
    kind: Literal["bell"]
    tone: str = "a"

    @model_validator(mode="after")
    def _validated(self):
        if self.tone == "exit validator":
            sys.exit("validator")
        if self.tone == "hang":
            checking.wait(60)
        return self

    def check(self, folder):
        if self.tone == "exit check":
            sys.exit("check")

    def recipient(self):
        if self.tone == "exit recipient":
            sys.exit("recipient")

    def parts(self):
        if self.tone == "exit parts":
            raise KeyboardInterrupt
        return ()

    def __eq__(self, other):
        if "exit eq" in (self.tone, other.tone):
            sys.exit("eq")
        return super().__eq__(other)

    __hash__ = None

    @asynccontextmanager
    async def open(self, context):
        if self.tone == "broken":
            raise ValueError("broken")
        happened.append(f"open {context.name} {self.tone}")
        yield self
        happened.append(f"close {context.name} {self.tone}")

    async def deliver(self, delivery):
        happened.append(f"deliver {self.tone}")
        if self.tone == "slow":
            await gate.wait()

@hookimpl
def register_sinks():
    return [Bell]
'''


def write(folder: Path, text: str, head: str = HEAD) -> Path:
    file = folder / "routes.yaml"
    file.write_text(head + text, encoding="utf-8")
    return file


@asynccontextmanager
async def routing(folder: Path, text: str, head: str = HEAD, **given: Any) -> AsyncIterator[Router]:
    async with running(load(write(folder, text, head), {}), environ={}, **given) as router:
        yield router


@pytest.fixture
def happened(tmp_path: Path) -> Any:
    """What happened to sinks of kind `bell`, whose plugin is beside routes.yaml."""
    (tmp_path / "bell.py").write_text(BELL, encoding="utf-8")
    return lambda: sys.modules["aftercall_local.0.bell"].happened


async def accepted(router: Router, call_id: str = "c") -> Accepted:
    receipt = await router.inbox.accept("s", body(call_id))
    assert isinstance(receipt, Accepted)
    return receipt


async def sinks_of(router: Router, call_id: str) -> set[str]:
    """Who is owed a new call."""
    event_id = (await accepted(router, call_id)).event_id
    return {line.sink for line in (await router.store.deliveries(event_id=event_id)).items}


async def delivered(router: Router, count: int) -> None:
    async def reached() -> bool:
        return (await router.store.summary()).deliveries["delivered"] == count

    await until_awaited(reached)


FILES = "sinks: {a: {kind: file, root: a}, b: {kind: file, root: b}}\n"


async def test_a_call_is_routed_by_what_is_in_force_when_it_comes(tmp_path: Path) -> None:
    async with routing(tmp_path, FILES + "always: a\n") as router:
        assert await sinks_of(router, "one") == {"a"}
        write(tmp_path, FILES + "always: b\n")
        assert await sinks_of(router, "two") == {"a"}, "nothing counts before the reload"
        done = await router.reload.reload()
        assert (done.added, done.changed, dict(done.gone), done.restart) == ((), (), {}, ())
        assert await sinks_of(router, "three") == {"b"}
        assert router.config.table.always == ("b",)


async def test_an_unchanged_sink_stays_a_changed_one_opens_first_and_the_old_one_closes(
    tmp_path: Path, happened: Any
) -> None:
    head = HEAD + "plugins: bell.py\n"
    async with routing(tmp_path, "sinks: {same: {kind: bell}, other: {kind: bell}}\n", head) as router:
        happened().clear()
        write(tmp_path, "sinks: {same: {kind: bell}, other: {kind: bell, tone: b}, new: {kind: bell}}\n", head)
        done = await router.reload.reload()
        assert (done.added, done.changed) == (("new",), ("other",))
        assert happened()[:2] == ["open other b", "open new a"]
        await until(lambda: len(happened()) == 3)
        assert happened()[2] == "close other a", "of a plugin that was not run again"
        await router.inbox.accept("s", body())
    assert happened()[3:] == ["close same a", "close other b", "close new a"]


async def test_a_language_a_zone_and_a_schedule_change_what_they_are_about(tmp_path: Path, happened: Any) -> None:
    head = HEAD + "plugins: bell.py\n"
    sinks = "sinks: {german: {kind: bell, language: de}, any: {kind: bell}}\n"
    async with routing(tmp_path, sinks, head) as router:
        write(tmp_path, sinks + "language: en\n", head)
        assert (await router.reload.reload()).changed == ("any",)
        write(tmp_path, sinks + "language: en\nretry: {schedule: [1s]}\n", head)
        assert (await router.reload.reload()).changed == ()
        assert router.lanes["any"].policy.schedule[0].total_seconds() == 1
        write(tmp_path, sinks + "language: en\ntimezone: Europe/London\n", head)
        assert (await router.reload.reload()).changed == ("german", "any")


async def test_cfg_12_a_sink_that_is_renamed_leaves_its_thousand_deliveries_orphaned_and_named(
    tmp_path: Path, happened: Any
) -> None:
    head = HEAD + "plugins: bell.py\n"
    async with routing(tmp_path, "sinks: {old: {kind: bell}}\nalways: old\n", head) as router:
        await router.lanes["old"].gate.pause()
        await asyncio.gather(*(accepted(router, f"call-{number}") for number in range(1000)))
        write(tmp_path, "sinks: {new: {kind: bell}}\nalways: new\n", head)
        with structlog.testing.capture_logs() as logs:
            done = await router.reload.reload()
        assert (done.added, dict(done.gone)) == (("new",), {"old": 1000})
        assert [entry for entry in logs if entry["event"] == "sink.gone"] == [
            {"event": "sink.gone", "log_level": "warning", "sink": "old", "deliveries": 1000}
        ]
        assert await sinks_of(router, "later") == {"new"}
        await delivered(router, 1)
        assert (await router.store.backlog())["old"]["pending"] == 1000
        write(tmp_path, "sinks: {old: {kind: bell}}\nalways: old\n", head)
        assert not (await router.reload.reload()).gone.get("new")
        assert router.lanes["old"].row.state == "paused", "as it was left"
        await router.lanes["old"].gate.resume()
        await delivered(router, 1001)


BAD = {
    "yaml": "routes: [\n",
    "rule": "routes: [{name: r, to: nobody}]\n",
    "sink": "sinks: {a: {kind: bell, tone: broken}}\n",
    "folder": "sinks: {a: {kind: file, root: routes.yaml}}\n",
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_reload_that_is_refused_changes_nothing_and_is_seen(tmp_path: Path, happened: Any, bad: str) -> None:
    head = HEAD + "plugins: bell.py\n"
    seen: list[ReloadState] = []
    async with routing(tmp_path, "sinks: {bell: {kind: bell}}\nalways: bell\n", head) as router:
        before, ways = router.ways.now, dict(router.lanes)
        router.reload.observers.append(seen.append)
        write(tmp_path, bad, head)
        with structlog.testing.capture_logs() as logs, pytest.raises(ConfigError) as raised:
            await router.reload.reload()
        assert "config.refused" in [entry["event"] for entry in logs if entry["log_level"] == "error"]
        assert router.ways.now is before
        assert router.lanes == ways
        assert happened() == ["open bell a"]
        assert seen == [router.reload.state]
        assert seen[0].reason == str(raised.value)
        assert await _metric(router, "aftercall_reload_failed") == "1.0"
        assert await sinks_of(router, "still") == {"bell"}
        write(tmp_path, "sinks: {bell: {kind: bell}}\nalways: bell\n", head)
        await router.reload.reload()
        assert seen[1].reason is None
        assert await _metric(router, "aftercall_reload_failed") == "0.0"


async def _metric(router: Router, name: str) -> str:
    async with aiohttp.ClientSession() as client, client.get(f"http://{router.admin}/metrics") as answer:
        return next(line.split()[1] for line in (await answer.text()).splitlines() if line.startswith(f"{name} "))


@pytest.mark.parametrize("where", ["validator", "check", "recipient", "parts"])
async def test_a_plugin_that_would_end_the_process_has_the_reload_refused(
    tmp_path: Path, happened: Any, where: str
) -> None:
    bell = "plugins: [bell.py]\nsinks: {bell: {kind: bell, tone: TONE}}\nalways: bell\n"
    async with routing(tmp_path, bell) as router:
        write(tmp_path, bell.replace("TONE", f"exit {where}"))
        with pytest.raises(ConfigError, match=r"bug in its kind|check failed"):
            await router.reload.reload()
        assert await sinks_of(router, "c") == {"bell"}
        write(tmp_path, bell.replace("TONE", "exit eq"))
        assert (await router.reload.reload()).changed == ("bell",), "who does not say that it is alike is not"


async def test_a_check_that_hangs_is_left_behind_and_the_next_reload_does_not_wait_for_it(
    tmp_path: Path, happened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOAD_DEADLINE", 0.05)
    bell = "plugins: [bell.py]\nsinks: {bell: {kind: bell, tone: TONE}}\nalways: bell\n"
    async with routing(tmp_path, bell) as router:
        write(tmp_path, bell.replace("TONE", "hang"))
        with pytest.raises(ConfigError, match="takes longer than"):
            await router.reload.reload()
        for _ in range(2):
            with pytest.raises(ConfigError, match="is not over"):
                await router.reload.reload()
        assert await sinks_of(router, "c") == {"bell"}
        sys.modules["aftercall_local.0.bell"].checking.set()
        await until(lambda: not router.reload.reading)
        write(tmp_path, bell.replace("TONE", "b"))
        assert (await router.reload.reload()).changed == ("bell",)


async def test_what_was_opened_for_a_reload_that_is_refused_is_closed(tmp_path: Path, happened: Any) -> None:
    head = HEAD + "plugins: bell.py\n"
    async with routing(tmp_path, "", head) as router:
        write(tmp_path, "sinks: {good: {kind: bell}, bad: {kind: bell, tone: broken}}\n", head)
        with pytest.raises(ConfigError, match=r"routes.yaml: sinks.bad: cannot be opened: a bug in its kind"):
            await router.reload.reload()
        assert happened() == ["open good a", "close good a"]
        write(tmp_path, "sinks: {good: {kind: bell}}\n", head)
        (tmp_path / "data" / "token-t").mkdir()
        write(tmp_path, "sinks: {good: {kind: bell}}\n", head.replace("{s:", "{t: {}, s:"))
        with pytest.raises(ConfigError, match="token"):
            await router.reload.reload()
        assert router.config.sources.keys() == {"s"}


async def test_a_store_that_is_away_refuses_a_reload(tmp_path: Path) -> None:
    async with routing(tmp_path, "") as router:
        await router.store.close()
        with pytest.raises(StoreError):
            await router.reload.reload()
        assert router.reload.state.reason is not None


async def test_a_file_that_vanishes_in_mid_reload_changes_nothing(tmp_path: Path) -> None:
    async with routing(tmp_path, FILES + "always: a\n") as router:
        (tmp_path / "routes.yaml").unlink()
        with pytest.raises(ConfigError, match="no such file"):
            await router.reload.reload()
        assert await sinks_of(router, "c") == {"a"}


async def test_two_reloads_at_once_come_one_after_the_other(tmp_path: Path, happened: Any) -> None:
    head = HEAD + "plugins: bell.py\n"
    async with routing(tmp_path, "sinks: {a: {kind: bell}}\n", head) as router:
        write(tmp_path, "sinks: {a: {kind: bell, tone: b}}\n", head)
        first, second = await asyncio.gather(router.reload.reload(), router.reload.reload())
        assert (first.changed, second.changed) == (("a",), ())
        await until(lambda: len(happened()) == 3)
        assert happened() == ["open a a", "open a b", "close a a"]


async def test_nothing_is_left_of_a_sink_that_is_gone_and_idle(tmp_path: Path) -> None:
    threads = Threads()
    asyncio.get_running_loop().set_default_executor(threads)
    async with routing(tmp_path, FILES + "always: [a, b]\n", threads=threads) as router:
        await accepted(router)
        await delivered(router, 2)

        async def figures() -> set[str]:
            async with aiohttp.ClientSession(f"http://{router.admin}") as client, client.get("/metrics") as answer:
                return {line for line in (await answer.text()).splitlines() if 'sink="b"' in line}

        def named() -> list[str]:
            return [thread.name for thread in threading.enumerate() if thread.name.startswith("aftercall-b")]

        assert named()
        assert {line.partition("{")[0] for line in await figures()} >= {
            "aftercall_attempts_total", "aftercall_attempt_seconds_count", "aftercall_delivered_seconds_count",
        }  # fmt: skip
        write(tmp_path, "sinks: {a: {kind: file, root: a}}\nalways: a\n")
        await router.reload.reload()
        await until(lambda: not named())
        left = {line.partition("{")[0] for line in await figures()}
        assert left <= {"aftercall_backlog", "aftercall_dead_letters", "aftercall_oldest_pending_seconds"}, left
        write(tmp_path, FILES + "always: [a, b]\n")
        await router.reload.reload()
        await accepted(router, "again")
        await delivered(router, 4)
        assert any(line.startswith("aftercall_attempts_total") for line in await figures())


async def test_who_asks_whether_it_is_ready_is_told_of_a_refused_reload(tmp_path: Path) -> None:
    """It works on by the last good rules, so it is ready all the same. Nothing of the file is told: no token is asked for."""
    async with routing(tmp_path, FILES) as router, aiohttp.ClientSession() as client:
        write(tmp_path, "always: a-secret-name\n")
        with pytest.raises(ConfigError):
            await router.reload.reload()
        async with client.get(f"http://{router.admin}/readyz") as answer:
            said = await answer.json()
            assert (answer.status, said["ready"]) == (200, True)
            assert [line.partition(":")[0] for line in said["trouble"]] == ["configuration"]
            assert "a-secret-name" not in str(said)
        async with client.get(f"http://{router.ingest}/readyz") as answer:
            assert answer.status == 200
        write(tmp_path, FILES)
        await router.reload.reload()
        async with client.get(f"http://{router.admin}/readyz") as answer:
            assert (await answer.json())["trouble"] == []


async def test_of_many_reloads_at_once_none_is_told_that_another_hangs(tmp_path: Path) -> None:
    """The outcome of a reading is known a moment before its thread has ended."""
    async with routing(tmp_path, FILES) as router, aiohttp.ClientSession(f"http://{router.admin}") as client:
        for _ in range(20):
            async with client.post("/api/v1/reload") as first, client.post("/api/v1/reload") as second:
                assert (first.status, second.status) == (200, 200)
            await asyncio.gather(*(router.reload.reload() for _ in range(4)))
        assert router.reload.state.reason is None


async def test_a_reload_that_another_was_in_the_way_of_is_made_up_for(
    tmp_path: Path, happened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "LOAD_DEADLINE", 0.05)
    bell = "plugins: [bell.py]\nsinks: {bell: {kind: bell, tone: TONE}}\nalways: bell\n"
    clock = ManualClock()
    async with routing(tmp_path, bell, clock=clock) as router:
        write(tmp_path, bell.replace("TONE", "hang"))
        with pytest.raises(ConfigError, match="takes longer than"):
            await router.reload.reload()
        monkeypatch.undo()
        write(tmp_path, bell.replace("TONE", "b"))
        with structlog.testing.capture_logs() as logs:
            await looked(router, clock, 6)
        assert [entry["event"] for entry in logs].count("config.refused") == 1, "it is said once"
        assert router.reload.state.reason is not None
        sys.modules["aftercall_local.0.bell"].checking.set()
        await until(lambda: not router.reload.reading)
        await looked(router, clock)
        assert router.reload.state.reason is None
        assert await sinks_of(router, "c") == {"bell"}
        assert router.config.sinks["bell"].tone == "b"


async def test_a_reload_waits_until_what_the_last_one_left_behind_is_over(tmp_path: Path, happened: Any) -> None:
    head = HEAD + "plugins: bell.py\n"
    async with routing(tmp_path, "sinks: {x: {kind: bell, tone: slow}}\nalways: x\n", head) as router:
        await accepted(router)
        await until(lambda: "deliver slow" in happened())
        write(tmp_path, "sinks: {x: {kind: bell, tone: b}}\nalways: x\n", head)
        await router.reload.reload()
        write(tmp_path, "sinks: {x: {kind: bell, tone: c}}\nalways: x\n", head)
        next_ = asyncio.create_task(router.reload.reload())
        await until(router.reload._turn.locked)
        for _ in range(100):  # time enough to read the file, were nothing in the way
            await asyncio.to_thread(load, tmp_path / "routes.yaml", {}, after=router.config)
        assert "open x c" not in happened()
        sys.modules["aftercall_local.0.bell"].gate.set()
        await next_
        await until(lambda: "close x b" in happened())
        assert happened() == [
            "open x slow", "deliver slow", "open x b", "close x slow", "open x c", "close x b",
        ]  # fmt: skip


async def test_a_call_that_is_being_written_while_its_sink_goes_and_comes_back_is_delivered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with routing(tmp_path, FILES + "always: a\n") as router:
        accept, writing, gate = router.store.accept, asyncio.Event(), asyncio.Event()

        async def slowly(*given: Any) -> Any:
            writing.set()
            await gate.wait()
            return await accept(*given)

        monkeypatch.setattr(router.store, "accept", slowly)
        call = asyncio.create_task(accepted(router))
        await writing.wait()
        write(tmp_path, "sinks: {b: {kind: file, root: b}}\n")
        await router.reload.reload()
        write(tmp_path, FILES)
        await router.reload.reload()
        await until(lambda: all(lane.idle for lane in router.lanes.values()))
        gate.set()
        await call
        await delivered(router, 1)


async def test_what_was_opened_is_closed_where_the_store_fails_before_the_swap(
    tmp_path: Path, happened: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing() -> Any:
        raise StoreError

    head = HEAD + "plugins: bell.py\n"
    async with routing(tmp_path, "sinks: {old: {kind: bell}}\n", head) as router:
        monkeypatch.setattr(router.store, "backlog", failing)
        write(tmp_path, "sinks: {new: {kind: bell}}\n", head)
        with pytest.raises(StoreError):
            await router.reload.reload()
        assert happened() == ["open old a", "open new a", "close new a"]
        assert list(router.lanes) == ["old"]


async def test_auth_03_tokens_rotate_by_a_reload(tmp_path: Path) -> None:
    async with routing(tmp_path, "") as router, aiohttp.ClientSession(f"http://{router.ingest}") as client:

        async def status(token: str) -> int:
            async with client.get(f"/in/s/{token}") as answer:
                return answer.status

        assert [await status(TOKEN), await status(OTHER)] == [200, 404]
        write(tmp_path, "", HEAD.replace(f"token: {TOKEN}", f"tokens: [{OTHER}, {TOKEN}]"))
        await router.reload.reload()
        assert [await status(TOKEN), await status(OTHER)] == [200, 200]
        write(tmp_path, "", HEAD.replace(TOKEN, OTHER))
        await router.reload.reload()
        assert [await status(TOKEN), await status(OTHER)] == [404, 200]


async def test_what_needs_a_restart_is_named_and_the_rest_is_taken_over(tmp_path: Path, happened: Any) -> None:
    async with routing(tmp_path, FILES + "always: a\n") as router:
        listening = router.config.server.listen
        changed = (
            f"sources: {{s: {{token: {TOKEN}}}}}\nplugins: bell.py\ndata: elsewhere\nkeep: {{reserve: 1 MiB}}\n"
            'server: {listen: "127.0.0.1:1", public_url: "https://new.example.com"}\n'
            f"admin: {{listen: '127.0.0.1:2', tokens: {{ops: {OTHER}}}}}\n"
        )
        write(tmp_path, FILES + "always: b\n", changed)
        done = await router.reload.reload()
        assert done.restart == ("data", "keep.reserve", "plugins", "server.listen", "admin.listen")
        assert (await router.reload.reload()).restart == done.restart == router.reload.state.restart
        assert (router.config.server.listen, router.config.data) == (listening, tmp_path / "data")
        assert router.config.server.public_url == "https://new.example.com"
        assert await sinks_of(router, "c") == {"b"}
        async with aiohttp.ClientSession(f"http://{router.admin}") as client, client.get("/api/v1/lanes") as answer:
            assert answer.status == 401, "new secrets count at once"
        write(tmp_path, "sinks: {ding: {kind: bell}}\n", changed)
        with pytest.raises(ConfigError, match=r"unknown kind 'bell' \(installed; new plugins are loaded at a restart"):
            await router.reload.reload()


async def test_the_tokens_of_a_listener_that_strangers_reach_cannot_be_taken_away(tmp_path: Path) -> None:
    open_ = f'sources: {{s: {{}}}}\nadmin: {{listen: "0.0.0.0:0", tokens: {{ops: {TOKEN}}}}}\n'
    old = load(write(tmp_path, "", open_), {})
    new = load(write(tmp_path, "", "sources: {s: {}}\nadmin: {listen: 127.0.0.1:0}\n"), {})
    with pytest.raises(ConfigError, match=r"admin.tokens: the admin listener is at 0.0.0.0:0 until a restart"):
        without_restart(old, new)


async def test_who_looks_after_the_router_reloads_it_and_sees_why_not(tmp_path: Path) -> None:
    async with routing(tmp_path, FILES) as router, aiohttp.ClientSession(f"http://{router.admin}") as client:
        write(tmp_path, "sinks: {b: {kind: file, root: b}, c: {kind: file, root: c}}\n")
        async with client.post("/api/v1/reload") as answer:
            assert answer.status == 200
            said = await answer.json()
            assert (said["added"], said["changed"], said["gone"], said["restart"]) == (["c"], [], {"a": 0}, [])
        write(tmp_path, "routes: [{name: r, to: nobody}]\nalways: nobody\n")
        async with client.post("/api/v1/reload") as answer:
            assert answer.status == 422
            error = (await answer.json())["error"]
            assert error["code"] == "refused"
            assert error["message"].startswith("routes.yaml:4:24: routes.0.to: unknown sink 'nobody'")
            assert len(error["message"].splitlines()) == 2
        async with client.get("/api/v1/reload") as answer:
            state = await answer.json()
            assert state["reason"] == error["message"]
            assert state["loaded_at"] == said["at"] < state["refused_at"]


# --- seen by itself ---


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[tuple[Router, ManualClock]]:
    clock = ManualClock()
    async with routing(tmp_path, FILES + "always: a\n", clock=clock) as router:
        yield router, clock


async def looked(router: Router, clock: ManualClock, times: int = 1) -> None:
    """Let the files be looked at so many times."""
    for _ in range(times):
        looks = router.reload.looks
        clock.advance(reloading.LOOK_EVERY)
        await until(lambda looks=looks: router.reload.looks > looks)  # type: ignore[misc]


async def test_a_changed_file_is_read_when_it_is_at_rest(tmp_path: Path, watched: tuple[Router, ManualClock]) -> None:
    router, clock = watched
    await looked(router, clock, 2)
    for text in ("always: [", "always: [a, b", "always: [a, b]  # done\n"):
        write(tmp_path, FILES + text)
        await looked(router, clock)
        assert router.config.table.always == ("a",)
    assert router.reload.state.reason is None, "what was being written was not read"
    await looked(router, clock)
    assert router.config.table.always == ("a", "b")


async def test_a_mistake_is_read_once_and_its_correction_again(
    tmp_path: Path, watched: tuple[Router, ManualClock]
) -> None:
    router, clock = watched
    write(tmp_path, FILES + "always: nobody\n")
    with structlog.testing.capture_logs() as logs:
        await looked(router, clock, 6)
    assert [entry["event"] for entry in logs].count("config.refused") == 1
    write(tmp_path, FILES + "always: b\n")
    await looked(router, clock, 2)
    assert router.config.table.always == ("b",)


async def test_included_files_are_watched_too(tmp_path: Path, watched: tuple[Router, ManualClock]) -> None:
    router, clock = watched
    (tmp_path / "rules.d").mkdir()
    write(tmp_path, FILES + "always: a\ninclude: rules.d/*.yaml\n")
    await looked(router, clock, 2)
    (tmp_path / "rules.d" / "b.yaml").write_text("always: b\n")
    await looked(router, clock, 2)
    assert await sinks_of(router, "both") == {"a", "b"}
    (tmp_path / "rules.d" / "b.yaml").write_text("always: nobody\n")
    await looked(router, clock, 2)
    assert router.reload.state.reason is not None
    assert router.reload.state.reason.startswith("rules.d/b.yaml:1:9: always: unknown sink 'nobody'")
    (tmp_path / "rules.d" / "b.yaml").write_text("always: b\n")
    (tmp_path / "rules.d" / "c.yaml").write_text("never: [{name: c, when: {caller: anonymous}, to: b}]\n")
    await looked(router, clock, 2)
    assert router.reload.state.reason is None
    (tmp_path / "rules.d" / "b.yaml").unlink()
    await looked(router, clock, 2)
    assert router.reload.state.reason is None, "one of several went"
    assert router.reload.state.changes == {"always": Differs(gone=("b",))}
    assert await sinks_of(router, "one") == {"a"}


async def test_a_folder_of_rules_that_vanishes_takes_none_of_them_away_until_somebody_says_so(
    tmp_path: Path, watched: tuple[Router, ManualClock]
) -> None:
    router, clock = watched
    (tmp_path / "rules.d").mkdir()
    (tmp_path / "rules.d" / "b.yaml").write_text("always: b\n")
    write(tmp_path, FILES + "always: a\ninclude: rules.d/*.yaml\n")
    await looked(router, clock, 2)
    (tmp_path / "rules.d").rename(tmp_path / "rules.e")
    await looked(router, clock, 4)
    assert await sinks_of(router, "moved") == {"a", "b"}
    assert router.reload.state.reason is not None
    assert (
        "no file fits rules.d/*.yaml any more; what stood in rules.d/b.yaml stays in force"
        in router.reload.state.reason
    )
    write(tmp_path, FILES + "always: a\ninclude: rules.d/*.yaml\n# also with another change\n")
    await looked(router, clock, 2)
    assert await sinks_of(router, "changed") == {"a", "b"}
    (tmp_path / "rules.e").rename(tmp_path / "rules.d")
    await looked(router, clock, 2)
    assert router.reload.state.reason is None, "it is back"
    (tmp_path / "rules.d" / "b.yaml").unlink()
    with structlog.testing.capture_logs() as logs:
        done = await router.reload.reload()
    assert await sinks_of(router, "asked") == {"a"}
    assert done.rules == router.reload.state.changes == {"always": Differs(gone=("b",))}
    assert [entry["rules"] for entry in logs if entry["event"] == "config.reloaded"] == [{"always": {"gone": ["b"]}}]
    (warning,) = router.reload.state.warnings
    assert "include: no file fits this" in warning
    write(tmp_path, FILES + "always: a\n")
    await looked(router, clock, 2)
    assert router.reload.state.warnings == ()


async def reloaded(router: Router) -> Reloaded:
    """Once the reading before it is over to the last."""
    await until(lambda: not router.reload.reading)
    return await router.reload.reload()


async def test_a_reload_counts_what_changed_in_the_rules(tmp_path: Path) -> None:
    before = FILES + (
        "words: {w: x, v: y}\nalways: a\nroutes:\n- {name: one, to: a}\n- {name: two, to: a}\n- {name: three, to: b}\n"
    )
    after = FILES + (
        "words: {w: x, v: z}\notherwise: b\nroutes:\n- {name: three, to: b}\n- {name: two, when: {text: $w}, to: a}\n"
        "- {name: four, to: a}\nnever: [{name: n, to: all}]\n"
    )
    async with routing(tmp_path, before) as router:
        assert (await reloaded(router)).rules == {}
        write(tmp_path, after)
        assert (await reloaded(router)).rules == {
            "words": Differs(changed=("v",)),
            "always": Differs(gone=("a",)),
            "otherwise": Differs(added=("b",)),
            "never": Differs(added=("n",)),
            "routes": Differs(added=("four",), changed=("two",), gone=("one",), moved=True),
        }
        other = HEAD.replace("{s: {", f"{{t: {{token: {OTHER}}}, s: {{")
        write(tmp_path, after.replace("a: {kind: file, root: a}", "a: {kind: file, root: c}"), other)
        assert (await reloaded(router)).rules == {"sources": Differs(added=("t",))}
        assert router.reload.state.changes == {"sinks": Differs(changed=("a",)), "sources": Differs(added=("t",))}


async def test_warnings_of_the_start_are_those_of_what_is_in_force(tmp_path: Path) -> None:
    async with routing(tmp_path, FILES + "include: rules.d/*.yaml\n") as router:
        assert [warning.split(": ", 1)[0] for warning in router.reload.state.warnings] == ["routes.yaml:5:10"]


async def test_a_secret_in_a_file_is_watched_too(tmp_path: Path, watched: tuple[Router, ManualClock]) -> None:
    router, clock = watched
    (tmp_path / "tone").write_text("low\n")
    write(tmp_path, FILES + 'words: {secret: "${file:tone}"}\nalways: a\n')
    await looked(router, clock, 2)
    before = router.config
    await looked(router, clock, 2)
    assert router.config is before
    (tmp_path / "tone").write_text("high\n")
    await looked(router, clock, 2)
    assert router.config is not before
    (tmp_path / "tone").unlink()
    await looked(router, clock, 2)
    assert router.reload.state.reason is not None
    assert "cannot read" in router.reload.state.reason


async def test_a_sink_whose_certificates_are_others_is_opened_anew(
    tmp_path: Path, watched: tuple[Router, ManualClock]
) -> None:
    router, clock = watched
    file = authority().write(tmp_path / "authority.pem")
    crm = 'crm: {kind: webhook, url: "https://crm.example/", ca_file: authority.pem}'
    write(tmp_path, FILES.replace("}\n", f", {crm}}}\n") + "always: a\n")
    assert (await router.reload.reload()).added == ("crm",)
    assert (await router.reload.reload()).changed == ()
    file.write_bytes(file.read_bytes() + b"\n")
    with structlog.testing.capture_logs() as logs:
        await looked(router, clock, 3)
    assert [entry["changed"] for entry in logs if entry["event"] == "config.reloaded"] == [["crm"]]


async def test_an_included_file_that_vanishes_in_mid_reload_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rules.d").mkdir()
    included = tmp_path / "rules.d" / "b.yaml"
    included.write_text("always: b\n")
    text = FILES + "always: a\ninclude: rules.d/*.yaml\n"
    async with routing(tmp_path, text) as router:
        read = Files.text

        def vanishing(self: Files, file: Path, *, regular: bool = False) -> str:
            said = read(self, file, regular=regular)
            included.unlink(missing_ok=True)
            return said

        listed = Files.matching

        def still_listed(self: Files, folder: Path, pattern: str) -> tuple[str, ...]:
            return listed(self, folder, pattern) or ("rules.d/b.yaml",)

        monkeypatch.setattr(Files, "text", vanishing)
        monkeypatch.setattr(Files, "matching", still_listed)
        with pytest.raises(ConfigError, match=r"include: rules.d/b.yaml cannot be read: No such file or directory"):
            await router.reload.reload()
        assert await sinks_of(router, "c") == {"a", "b"}


async def test_who_asks_does_not_wait_for_the_file_to_change(
    tmp_path: Path, watched: tuple[Router, ManualClock]
) -> None:
    router, _ = watched
    loaded = router.config
    router.reload.ask()
    await until(lambda: router.config is not loaded)


async def test_an_observer_that_fails_decides_nothing(tmp_path: Path) -> None:
    def fail(_: ReloadState) -> None:
        raise ZeroDivisionError

    async with routing(tmp_path, FILES) as router:
        router.reload.observers.append(fail)
        assert (await router.reload.reload()).at == router.reload.state.loaded_at
        assert router.reload.state.reason is None


async def test_a_never_rule_beats_what_was_owed_before_it(tmp_path: Path, happened: Any) -> None:
    bell = "plugins: [bell.py]\nsinks: {bell: {kind: bell}}\nalways: bell\n"
    async with routing(tmp_path, bell) as router:
        await router.lanes["bell"].gate.pause()
        await sinks_of(router, "c")
        write(tmp_path, bell + "never: [{name: works council, when: {direction: inbound}, to: all}]\n")
        await router.reload.reload()
        await router.lanes["bell"].gate.resume()

        async def dead() -> bool:
            return bool((await router.store.deliveries(sink="bell", state=DeliveryState.DEAD)).items)

        await until_awaited(dead)
        (line,) = (await router.store.deliveries()).items
        assert line.reason == "the never rule 'works council' keeps this call from here"
        assert not [what for what in happened() if what.startswith("deliver")]
