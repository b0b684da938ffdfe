"""Killed at every failpoint: what its docstring says is true after the next start, whatever else is."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import oracle
from farside import file_name
from oracle import Answered
from process import TOKEN
from router.errors import StoreError
from router.failpoints import VARIABLE, Failpoint
from router.store.sqlite import open_store, schema
from scene import SINKS, Scene, scene

#: By the point that it is about.
SHOWN: dict[Failpoint, list[Callable[..., Coroutine[Any, Any, None]]]] = {}

#: Mailed, too.
CALL = next(f"call-{n}" for n in range(100) if oracle.is_mailed(f"call-{n}"))


def shows(point: Failpoint) -> Callable[[Callable[..., Coroutine[Any, Any, None]]], Any]:
    """The test is about this point."""

    def mark(test: Callable[..., Coroutine[Any, Any, None]]) -> Any:
        SHOWN.setdefault(point, []).append(test)
        return test

    return mark


#: How attempts ended where the router was killed before any: mails have a rate, so they are not born claimed.
BORN_AND_LOST = {"web": ["lost", "delivered"], "archive": ["lost", "delivered"], "mail": ["delivered"]}


@pytest.fixture
async def played(tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path) as played:
        yield played


async def start(played: Scene, point: Failpoint, *, times: int = 1) -> None:
    """The router, with this failpoint armed."""
    played.router.environ[VARIABLE] = f"{point}:{times}:kill"
    await played.start()


async def killed(played: Scene) -> None:
    """It was killed there; the next start has nothing armed."""
    process = played.router.process
    assert process is not None
    async with asyncio.timeout(30):
        assert await process.wait() == -signal.SIGKILL
    assert played.router.environ.pop(VARIABLE)


async def lost_one(played: Scene, call: str = CALL) -> dict[str, list[str]]:
    """How the attempts of the call's deliveries ended, by sink, once they are over."""
    await played.router.settled()
    (event,) = [event for event in await played.router.all("events") if event["call_id"] == call]
    found = {}
    for line in (await played.router.asked(f"events/{event['id']}"))["deliveries"]:
        shown = await played.router.asked(f"deliveries/{line['id']}")
        found[line["sink"]] = [attempt["outcome"] for attempt in shown["attempts"]]
    return found


def came(played: Scene, call: str = CALL) -> dict[str, int]:
    """How often the call came to each that can be told something twice."""
    sides = {"web": played.web.arrived, "mail": played.mail.arrived}
    return {name: sum(arrival.call == call for arrival in arrived) for name, arrived in sides.items()}


@shows(Failpoint.BEFORE_COMMIT)
async def test_before_commit_nothing_is_there_and_nobody_was_answered(played: Scene) -> None:
    await start(played, Failpoint.BEFORE_COMMIT)
    assert await played.post(CALL) is None
    await killed(played)
    assert (came(played), played.archive.files()) == ({"web": 0, "mail": 0}, {})
    await played.start()
    summary = await played.router.summary()
    assert (summary["received"], summary["deliveries"]["created"]) == (0, 0)
    again = await played.post(CALL)
    assert isinstance(again, Answered)
    assert not again.duplicate
    await played.a_new_call_arrives("new")
    await played.all_is_well()
    assert came(played) == {"web": 1, "mail": 1}


@shows(Failpoint.AFTER_COMMIT)
@pytest.mark.case("DUR-16")
async def test_after_commit_the_call_is_there_and_sent_again_it_is_a_duplicate_of_itself(played: Scene) -> None:
    await start(played, Failpoint.AFTER_COMMIT)
    assert await played.post(CALL) is None
    await killed(played)
    assert came(played) == {"web": 0, "mail": 0}
    await played.start()
    (event,) = await played.router.all("events")
    assert await played.post(CALL) == Answered(CALL, event["id"], duplicate=True)
    await played.a_new_call_arrives("new")
    assert await lost_one(played) == BORN_AND_LOST
    story = await played.all_is_well()
    assert (story.summary["events"], story.summary["duplicates"]) == (2, 1)
    assert came(played) == {"web": 1, "mail": 1}


@shows(Failpoint.BEFORE_ATTEMPT)
async def test_before_an_attempt_it_counts_as_lost_and_the_delivery_goes_out(played: Scene) -> None:
    await start(played, Failpoint.BEFORE_ATTEMPT)
    await played.post(CALL)
    await killed(played)
    assert (came(played), played.archive.files()) == ({"web": 0, "mail": 0}, {})
    await played.start()
    await played.a_new_call_arrives("new")
    assert await lost_one(played) == BORN_AND_LOST
    await played.all_is_well()
    assert came(played) == {"web": 1, "mail": 1}


@pytest.mark.parametrize("sink", SINKS)
@pytest.mark.parametrize("point", [Failpoint.AFTER_ATTEMPT, Failpoint.IN_SETTLE])
@shows(Failpoint.AFTER_ATTEMPT)
@shows(Failpoint.IN_SETTLE)
@pytest.mark.case("DED-06")
async def test_after_an_attempt_and_inside_settle_it_goes_out_again_with_the_same_key(
    played: Scene, point: Failpoint, sink: str
) -> None:
    """The far side has it, and the store does not know: at least once. A file is there once all the same."""
    played.configure(sink)
    await start(played, point)
    await played.post(CALL)
    await killed(played)
    before = came(played) | {"archive": len(played.archive.files())}
    assert before == {name: int(name == sink) for name in SINKS}
    await played.start()
    assert await lost_one(played) == {sink: ["lost", "delivered"]}
    await played.all_is_well()
    after = came(played) | {"archive": len(played.archive.files())}
    assert after == {name: (1 if name == "archive" else 2) * (name == sink) for name in SINKS}


@shows(Failpoint.IN_RELOAD)
async def test_in_a_reload_the_next_start_has_the_whole_of_it_and_everything_that_was_owed(played: Scene) -> None:
    """A new sink, a new source with a new token, and calls that wait for a sink that is paused."""
    played.configure("web")
    admin = f"http://127.0.0.1:{played.router.admin}/api/v1"
    await start(played, Failpoint.IN_RELOAD)
    async with aiohttp.ClientSession() as client:
        async with client.post(f"{admin}/lanes/web/pause") as answer:
            assert answer.status == 200
        waiting = [f"waiting-{number}" for number in range(5)]
        for call in waiting:
            assert isinstance(await played.post(call), Answered)
        played.configure("web", "archive")
        file = played.router.folder / "routes.yaml"
        text = file.read_text().replace(
            f"{{sipgate: {{token: {TOKEN}}}}}", f"{{sipgate: {{token: {TOKEN}}}, second: {{}}}}"
        )
        file.write_text(text)
        with pytest.raises(aiohttp.ClientError):
            await client.post(f"{admin}/reload")
        await killed(played)
        token = (played.router.folder / "data" / "token-second").read_text().strip()
        await played.start()
        assert set(await played.router.lanes()) == {"web", "archive"}
        assert (await played.router.lanes())["web"]["pending"] == len(waiting)
        url = f"http://127.0.0.1:{played.router.ingest}/in/second/{token}"
        assert isinstance(await played.post(CALL, url), Answered)
        async with client.post(f"{admin}/lanes/web/resume") as answer:
            assert answer.status == 200
    await played.all_is_well()
    assert {arrival.call for arrival in played.web.arrived} == {*waiting, CALL}


@shows(Failpoint.IN_MIGRATION)
@pytest.mark.case("DUR-19")
async def test_in_a_migration_the_database_is_at_the_version_before_with_everything_in_it(played: Scene) -> None:
    await start(played, Failpoint.IN_MIGRATION, times=99)
    await played.a_new_call_arrives("old")
    before = await played.router.settled()
    assert await played.router.stop() == 0
    database = played.router.folder / "data" / "aftercall.db"
    back_to_the_version_before(database)
    played.router.environ[VARIABLE] = f"{Failpoint.IN_MIGRATION}:kill"
    await played.router.launch()
    await killed(played)
    assert version_in_a_copy(database) == schema.KNOWN[-1].version - 1
    await played.start()
    assert await played.router.summary() == before
    await played.a_new_call_arrives("new")
    await played.all_is_well()


def version_in_a_copy(database: Path) -> int:
    """What a program finds there; the files stay as the kill left them."""
    copied = shutil.copytree(database.parent, database.parent.with_name("copy"))
    with closing(sqlite3.connect(copied / database.name)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def back_to_the_version_before(database: Path) -> None:
    """What the newest migration did is undone; nobody has the file open."""
    newest = schema.KNOWN[-1]
    words = [line.split() for line in newest.text.splitlines() if line.strip() and not line.startswith("--")]
    with closing(sqlite3.connect(database)) as connection:
        for line in reversed(words):
            match line:
                case ["CREATE", "INDEX", name, *_]:
                    connection.execute(f"DROP INDEX {name}")
                case ["ALTER", "TABLE", table, "ADD", "COLUMN", name, *_]:
                    connection.execute(f"ALTER TABLE {table} DROP COLUMN {name}")
                case ["PRAGMA", "user_version", *_] | ["UPDATE", *_]:
                    pass
                case _:
                    pytest.fail(f"undo here what it does: {' '.join(line)}")
        connection.execute(f"PRAGMA user_version = {newest.version - 1}")


async def test_a_first_start_that_is_killed_in_every_migration_is_gone_on_with_by_the_next(played: Scene) -> None:
    for version in range(len(schema.KNOWN)):
        played.router.environ[VARIABLE] = f"{Failpoint.IN_MIGRATION}:{min(version + 1, 2)}:kill"
        await played.router.launch()
        await killed(played)
    await played.start()
    await played.a_new_call_arrives("new")
    await played.all_is_well()


@shows(Failpoint.IN_ARCHIVE_RENAME)
async def test_in_an_archive_rename_the_file_is_whole_stays_the_only_one_and_the_draft_is_removed(
    played: Scene,
) -> None:
    await start(played, Failpoint.IN_ARCHIVE_RENAME)
    await played.post(CALL)
    await killed(played)
    name = f"{oracle.MAILED}/{file_name(CALL, 1)}"
    left = played.archive.files()
    assert left[name] == oracle.body(CALL)
    assert sorted(path.rpartition(".")[2] for path in left) == ["json", "tmp"]
    await played.start()
    await played.a_new_call_arrives("new")
    assert (await lost_one(played))["archive"] == ["lost", "delivered"]
    async with asyncio.timeout(10):
        while any(path.endswith(".tmp") for path in played.archive.files()):
            await asyncio.sleep(0.02)
    await played.all_is_well()
    assert len(played.archive.files()) == 2


@shows(Failpoint.IN_COPY)
async def test_in_a_copy_no_router_opens_what_is_there_and_the_same_command_goes_on_with_it(played: Scene) -> None:
    """Killed at every commit, one after the other; then the router goes on in the new place, and owes what it owed."""
    await played.start()
    await played.a_new_call_arrives("old")
    async with aiohttp.ClientSession() as client:
        admin = f"http://127.0.0.1:{played.router.admin}/api/v1"
        async with client.post(f"{admin}/lanes/web/pause") as answer:
            assert answer.status == 200
        assert isinstance(await played.post(CALL), Answered)
        assert await played.router.stop() == 0
        folder, kills = played.router.folder, 0
        while (await copied(folder, kills))[0] == -signal.SIGKILL:
            kills += 1
            if kills > 1:  # before the first commit nothing is there
                with pytest.raises(StoreError, match="not finished: run copy-store again, or remove it"):
                    async with open_store(folder / "new" / "aftercall.db", parse=bytes):
                        pass
        assert kills > 5
        again, said = await copied(folder, 99)
        assert (again, "this copy is complete: name it as `store`" in said) == (1, True)
        played.store = "store: sqlite:///new/aftercall.db\n"
        played.configure(*SINKS)
        await played.start()
        assert (await played.router.lanes())["web"]["pending"] == 1
        again_posted = await played.post(CALL)
        assert isinstance(again_posted, Answered)
        assert again_posted.duplicate
        async with client.post(f"{admin}/lanes/web/resume") as answer:
            assert answer.status == 200
        await played.a_new_call_arrives("new")
    await played.all_is_well()


async def copied(folder: Path, kills: int) -> tuple[int, str]:
    """`aftercall copy-store` of the router's store, killed at its second commit (the first time at its first)."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "router", "copy-store", "routes.yaml", "sqlite:///new/aftercall.db", cwd=folder,
        env={**os.environ, VARIABLE: f"{Failpoint.IN_COPY}:{min(kills + 1, 2)}:kill"}, stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    _, trouble = await process.communicate()
    assert process.returncode is not None
    return process.returncode, trouble.decode()


def test_every_failpoint_is_shown() -> None:
    assert SHOWN.keys() == set(Failpoint)
