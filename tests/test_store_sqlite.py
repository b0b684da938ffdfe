"""What is SQLite's own: one connection that writes, commits that are shared, files that are ours, trouble with disks."""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import os
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from router.delivery import Dead, DeliveryState, Done, LaneRow, LaneState
from router.errors import StoreBusy, StoreError, StoreFull, StoreInUse, Unknown
from router.event import Channel
from router.store import pages, rows
from router.store.base import Store
from router.store.lines import Wanted
from router.store.migrations import Migration
from router.store.rows import micros
from router.store.sqlite import (
    SqliteStore,
    batch,
    database,
    folder,
    looking,
    open_store,
    putting_right,
    schema,
    sending_out,
    writer,
)
from router.store.sqlite.queries import SQL
from router.store.sqlite.reserve import PORTION
from router.store.sqlite.sweep import Sweep
from router.store.statements import named
from router.store.values import POISON_AFTER, Accepted, Claims, Duplicate, Owed, Purged, Retaken
from store_engines import (
    DAY,
    NOW,
    OPERATIONS,
    Life,
    accepted,
    arrival,
    at,
    claim_one,
    every,
    purge,
    quarantine,
    settlement,
)
from support import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

PACKAGE = Path(writer.__file__).parent
#: What the engines share.
_SHARED = (PACKAGE.parent, PACKAGE.parent / "moving")
TESTS = Path(__file__).parent

opened = partial(open_store, parse=json.loads)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "aftercall.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(path) as store:
        yield store


@asynccontextmanager
async def busy_with(
    store: SqliteStore, then: Callable[[sqlite3.Connection], object] = lambda _: None
) -> AsyncIterator[None]:
    """Until the end of the block the writer is in the middle of a batch; then it does `then` in that batch."""
    begun, go_on = threading.Event(), threading.Event()

    def hold(connection: sqlite3.Connection) -> None:
        begun.set()
        assert go_on.wait(60)
        then(connection)

    held = asyncio.create_task(store.writer.run(hold))
    while not begun.is_set():
        await asyncio.sleep(0)
    try:
        yield
    finally:
        go_on.set()
        await asyncio.gather(held, return_exceptions=True)


async def started(*coroutines: object) -> list[asyncio.Task[object]]:
    """These calls, begun as far as they get without the writer."""
    tasks = [asyncio.ensure_future(one) for one in coroutines]  # type: ignore[call-overload]
    await asyncio.sleep(0)
    return tasks


def itself(connection: sqlite3.Connection) -> sqlite3.Connection:
    return connection


def fail_at_commit(connection: sqlite3.Connection) -> None:
    """An attempt of no delivery, which SQLite may only notice at the commit."""
    connection.execute("PRAGMA defer_foreign_keys = ON")
    connection.execute(SQL["add_attempt"], dict.fromkeys(("started_at", "reason")) | {
        "id": "nothing", "attempt": 1, "now": 0, "outcome": "retry",
    })  # fmt: skip


def run_child(script: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A Python of its own that has the helpers of the tests."""
    return subprocess.run(
        [*before, sys.executable, "-W", "error", "-c", textwrap.dedent(script), *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )


def files_with(folder: Path, *markers: bytes) -> set[str]:
    """The files that contain any of these; read by another process, because closing a file drops SQLite's locks."""
    script = """
        import sys
        from pathlib import Path

        markers = [bytes.fromhex(marker) for marker in sys.argv[2:]]
        for file in Path(sys.argv[1]).iterdir():
            if any(marker in file.read_bytes() for marker in markers):
                print(file.name)
    """
    return set(run_child(script, folder, *(marker.hex() for marker in markers)).stdout.split())


# --- commits that are shared ---


async def test_what_waits_when_a_commit_starts_goes_into_it(store: SqliteStore) -> None:
    async with busy_with(store):
        tasks = await started(*(store.accept(arrival(f"call-{n}")) for n in range(500)))
        before = store.effort.commits
    assert {type(answer) for answer in await asyncio.gather(*tasks)} == {Accepted}
    assert store.effort.commits - before == 1
    assert store.effort.largest_batch == 501
    assert (await store.summary()).events == 500


async def test_a_commit_takes_only_so_many(store: SqliteStore) -> None:
    async with busy_with(store):
        tasks = await started(*(store.accept(arrival(f"call-{n}")) for n in range(1500)))
        before = store.effort.commits
    await asyncio.gather(*tasks)
    assert store.effort.commits - before == 2
    assert store.effort.largest_batch == batch.LARGEST_BATCH


async def test_large_bodies_do_not_share_a_commit(store: SqliteStore) -> None:
    large = bytes(batch.LARGEST_BATCH_BYTES)
    async with busy_with(store):
        tasks = await started(*(store.accept(replace(arrival(f"call-{n}"), body=large)) for n in range(3)))
        before = store.effort.commits
    await asyncio.gather(*tasks)
    assert store.effort.commits - before == 3


async def test_one_failing_write_does_not_fail_its_neighbours_in_the_same_commit(store: SqliteStore) -> None:
    def half(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE totals SET n = 99")
        connection.execute("INSERT INTO checks VALUES (NULL)")

    def bug(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE totals SET n = 99")
        raise ZeroDivisionError

    async with busy_with(store):
        tasks = await started(
            store.accept(arrival("before")),
            store.writer.run(half),
            store.writer.run(bug),
            store.replay("nothing", now=NOW),
            store.accept(arrival("after")),
        )
        before = store.effort.commits
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [Accepted, StoreError, ZeroDivisionError, Unknown, Accepted]
    assert store.effort.commits - before == 1
    summary = await store.summary()
    assert (summary.events, summary.duplicates, summary.purged) == (2, 0, 0)


async def test_a_failed_commit_fails_all_that_shared_it_and_the_next_one_succeeds(store: SqliteStore) -> None:
    old = await store.writer.run(itself)
    async with busy_with(store, fail_at_commit):
        tasks = await started(*(store.accept(arrival(f"call-{n}")) for n in range(5)))
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(answer) for answer in answers} == {StoreError}
    assert len({id(answer) for answer in answers}) == 5
    assert (await store.summary()).received == 0
    assert await store.writer.run(itself) is not old
    assert {type(await store.accept(arrival(f"call-{n}"))) for n in range(5)} == {Accepted}
    assert (await store.summary()).received == 5


async def test_a_commit_that_sqlite_refuses_to_do_gives_the_connection_up(store: SqliteStore) -> None:
    def refuse_commit(connection: sqlite3.Connection) -> None:
        def authorize(action: int, what: str | None, *_: object) -> int:
            is_commit = action == sqlite3.SQLITE_TRANSACTION and what == "COMMIT"
            return sqlite3.SQLITE_DENY if is_commit else sqlite3.SQLITE_OK

        connection.set_authorizer(authorize)

    with pytest.raises(StoreError, match="SQLITE_AUTH"):
        await store.writer.run(refuse_commit)
    await store.check()


async def test_an_operation_that_leaves_the_transaction_fails_all_that_shared_it(store: SqliteStore) -> None:
    """As SQLite does by itself when a disk is full or fails."""

    def leave(connection: sqlite3.Connection) -> None:
        connection.execute("ROLLBACK")

    async with busy_with(store):
        tasks = await started(store.accept(arrival("one")), store.writer.run(leave), store.accept(arrival("two")))
    assert {type(one) for one in await asyncio.gather(*tasks, return_exceptions=True)} == {StoreError}
    assert (await store.summary()).received == 0
    await accepted(store, arrival("one"))


async def test_a_failing_disk_fails_all_that_share_a_commit_even_where_sqlite_would_go_on(store: SqliteStore) -> None:
    """A second fsync on the same descriptor may succeed although the first one's bytes are lost."""

    def fail(_: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC"
        raise error

    old = await store.writer.run(itself)
    async with busy_with(store):
        tasks = await started(store.accept(arrival("one")), store.writer.run(fail), store.accept(arrival("two")))
    for answer in await asyncio.gather(*tasks, return_exceptions=True):
        assert re.search("the disk failed.*SQLITE_IOERR_FSYNC", str(answer))
    assert (await store.summary()).received == 0
    assert await store.writer.run(itself) is not old


async def test_a_new_connection_has_every_safeguard_again(store: SqliteStore) -> None:
    async with busy_with(store, fail_at_commit):
        pass
    assert await store.writer.run(safeguards) == SAFE


async def test_a_full_database_is_an_error_that_says_so_and_passes(store: SqliteStore) -> None:
    def fill(connection: sqlite3.Connection) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")

    await store.writer.run(fill)
    large = replace(arrival("large", "Meier"), body=bytes(100_000))
    answers = await asyncio.gather(
        store.accept(arrival("small")), store.accept(large), store.check(), return_exceptions=True
    )
    assert isinstance(answers[1], StoreError)
    assert re.search(r"aftercall\.db: the disk is full: free some space.*SQLITE_FULL", str(answers[1]))
    assert "Meier" not in repr(answers[1])
    await store.writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 1000000"))
    await accepted(store, replace(large, body=b"{}"))
    assert (await store.writer.run(lambda connection: connection.execute("PRAGMA quick_check").fetchone()[0])) == "ok"


async def test_a_cancelled_caller_breaks_nobody_elses_answer(store: SqliteStore) -> None:
    async with busy_with(store):
        tasks = await started(*(store.accept(arrival(f"call-{n}")) for n in range(6)))
        for task in tasks[::2]:
            task.cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError, Accepted] * 3
    assert (await store.summary()).events == 6


async def test_a_cancelled_caller_of_a_failing_commit_breaks_nobody_elses_answer(store: SqliteStore) -> None:
    async with busy_with(store, fail_at_commit):
        tasks = await started(*(store.accept(arrival(f"call-{n}")) for n in range(4)))
        tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(answer) for answer in answers] == [asyncio.CancelledError] + [StoreError] * 3


async def test_too_many_writes_that_wait_are_refused_at_once(path: Path) -> None:
    async with opened(path, waiting=3) as store:
        async with busy_with(store):
            tasks = await started(*(store.accept(arrival(f"call-{n}")) for n in range(3)))
            with pytest.raises(StoreBusy, match="3 writes are waiting"):
                await store.accept(arrival("one too many"))
            with pytest.raises(StoreBusy):
                await quarantine(store)
            # What has happened must be written down: it may wait twice as long a queue.
            tasks += await started(*(store.retake(now=NOW) for _ in range(3)))
            with pytest.raises(StoreBusy, match="6 writes are waiting"):
                await store.retake(now=NOW)
        assert [type(answer) for answer in await asyncio.gather(*tasks)] == [Accepted] * 3 + [Retaken] * 3
        assert (await store.summary()).received == 3
        await accepted(store, arrival("in time"))


async def test_too_many_bytes_that_wait_are_refused_at_once(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "LARGEST_QUEUE_BYTES", 100_000)
    large = replace(arrival("large"), body=bytes(200_000))
    async with busy_with(store):
        tasks = await started(store.accept(large))
        with pytest.raises(StoreBusy):
            await store.accept(arrival("next"))
    async with busy_with(store):
        tasks += await started(*(store.accept(arrival(f"call-{n}")) for n in range(3)))
    assert {type(answer) for answer in await asyncio.gather(*tasks)} == {Accepted}


async def test_reads_do_not_wait_for_writes(store: SqliteStore) -> None:
    event = await accepted(store, arrival("before", owed=("screen",)))
    async with busy_with(store):
        tasks = await started(store.accept(arrival("during")))
        assert (await store.summary()).events == 1
        assert (await store.event(event.event_id)) is not None
        assert len((await store.events()).items) == len((await store.deliveries()).items) == 1
    await asyncio.gather(*tasks)


async def test_what_is_asked_together_is_answered_from_one_snapshot(store: SqliteStore) -> None:
    looked, go_on = threading.Event(), threading.Event()

    def look(connection: sqlite3.Connection) -> list[int]:
        first = looking.summary(connection).events
        looked.set()
        assert go_on.wait(60)
        return [first, looking.summary(connection).events]

    task = asyncio.create_task(store.readers.read(look))
    while not looked.is_set():
        await asyncio.sleep(0)
    await accepted(store, arrival())
    go_on.set()
    assert await task == [0, 0]
    assert (await store.summary()).events == 1


async def test_nothing_runs_in_the_default_executor(store: SqliteStore) -> None:
    await accepted(store, arrival(owed=("screen",)))
    await claim_one(store)
    await store.summary()
    assert getattr(asyncio.get_running_loop(), "_default_executor") is None  # noqa: B009 - no part of the loop's type


async def test_closing_ends_the_threads_and_closes_the_connections(path: Path) -> None:
    before = set(threading.enumerate())
    async with opened(path) as store:
        await store.check()
        await store.summary()
        threads = set(threading.enumerate()) - before
        assert {thread.name.rstrip("_01") for thread in threads} == {"aftercall-store-writer", "aftercall-store-reader"}
        assert not any(thread.daemon for thread in threads)
    assert set(threading.enumerate()) == before
    assert sorted(file.name for file in path.parent.iterdir()) == ["aftercall.db", "lock", "seen.key"]
    gc.collect()  # an open connection would warn from Python 3.13 on


# --- connections ---

SAFE = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "secure_delete": 1,
    "mmap_size": 0,
    "trusted_schema": 0,
    "temp_store": 2,
    "wal_autocheckpoint": 0,
    "query_only": 0,
}


def safeguards(connection: sqlite3.Connection) -> dict[str, object]:
    return {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in SAFE}


def test_a_connection_never_makes_its_database(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        database.Database(tmp_path / "a.db").connect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.case("DUR-03")
async def test_every_connection_has_every_safeguard(store: SqliteStore) -> None:
    assert await store.writer.run(safeguards) == SAFE
    first, second = await asyncio.gather(store.readers.read(safeguards), store.readers.read(safeguards))
    assert first == second == SAFE | {"query_only": 1}


async def test_the_readers_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="SQLITE_READONLY"):
        await store.readers.read(lambda connection: connection.execute(SQL["check"]))
    assert (await store.summary()).received == 0


@pytest.mark.parametrize(("table", "index"), [*(("_SAFEGUARDS", n) for n in range(8)), ("_ONLY_READS", 0)])
async def test_a_connection_without_a_safeguard_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch, table: str, index: int
) -> None:
    """Each safeguard is set to something else, as an SQLite that ignores it would answer."""
    rows = list(getattr(database, table))
    others = ["journal_mode = DELETE", "synchronous = NORMAL", "foreign_keys = OFF", "secure_delete = OFF",
              "mmap_size = 4096", "trusted_schema = ON", "temp_store = FILE", "wal_autocheckpoint = 1000"]  # fmt: skip
    other = "query_only = OFF" if table == "_ONLY_READS" else others[index]
    rows[index] = (f"PRAGMA {other}", *rows[index][1:])
    monkeypatch.setattr(database, table, tuple(rows))
    with pytest.raises(StoreError, match=re.escape(rows[index][1])):
        async with opened(path):
            pass
    monkeypatch.undo()
    async with opened(path):
        pass


@pytest.mark.case("DUR-03")
def test_macs_flush_their_disks_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    mac = database.Database(tmp_path / "a.db")
    mac.create()
    with closing(mac.connect()) as connection:
        assert [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("fullfsync", "checkpoint_fullfsync")] \
            == [1, 1]  # fmt: skip


def test_an_old_sqlite_is_refused() -> None:
    database.refuse_old_sqlite((3, 40, 1))
    with pytest.raises(StoreError, match=r"SQLite 3\.37\.0 or newer is needed, and this Python has 3\.34\.1"):
        database.refuse_old_sqlite((3, 34, 1))


async def test_a_question_never_scans_what_grows(store: SqliteStore) -> None:
    """Small tables may be read whole; events, deliveries, attempts, seen and quarantine only by key or index.

    All deliveries that a sink ever had are whole, too.
    """

    def plans(connection: sqlite3.Connection) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        connection.execute(SQL["add_half_copy"])
        for name, statement in SQL.items():
            if statement.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                blanks = dict.fromkeys(re.findall(r":(\w+)", statement), 1)
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", blanks)
                found[name] = [row["detail"] for row in plan]
        connection.execute(SQL["end_half_copy"])
        return found

    grows = ("events", "deliveries", "attempts", "seen", "quarantine")
    whole = {
        name: [
            step
            for step in plan
            if (step.startswith("SCAN") and step.split()[1] in grows) or step.endswith("deliveries_by_sink (sink=?)")
        ]
        for name, plan in (await store.writer.run(plans)).items()
    }
    # `any_seen` stops at the first row, `check_sums` is for a copy that nobody waits for, and the other two go through an
    # index of what operators have ended.
    assert {name for name, steps in whole.items() if steps} == {"any_seen", "check_sums", "ended", "unread"}
    assert all("INDEX" in step for name in ("ended", "unread") for step in whole[name])


async def test_a_question_that_little_fits_looks_at_a_part_of_the_list_and_goes_on(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "LONGEST_LOOK", 3)
    for n in range(8):
        await accepted(store, arrival(f"call-{n}", when=n, channel=Channel("rare" if n == 1 else "17", None)))
    found = [await store.events(wanted=Wanted(channel="rare"))]
    while found[-1].next is not None:
        found.append(await store.events(wanted=Wanted(channel="rare"), after=found[-1].next))
    assert [[line.call_id for line in page.items] for page in found] == [[], [], ["call-1"]]


async def test_no_list_is_sorted(store: SqliteStore) -> None:
    def plan(connection: sqlite3.Connection, statement: str) -> str:
        blanks = dict.fromkeys(re.findall(r":(\w+)", statement), 1)
        return str([row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", blanks)])

    for name in ("events", "events_unrouted", "deliveries", "deliveries_of_sink", "deliveries_in_state", "quarantined"):
        assert "TEMP B-TREE" not in await store.writer.run(partial(plan, statement=SQL[name])), name


def test_every_statement_has_a_sentence_and_is_used() -> None:
    text = (PACKAGE / "queries.sql").read_text()
    assert named(text) == SQL
    assert len(SQL) == len(re.findall(r"^-- \w+: ", text, re.MULTILINE))
    code = "".join(file.read_text() for folder in (PACKAGE, *_SHARED) for file in folder.glob("*.py"))
    used = set(re.findall(r'"(\w+)"', code))
    assert SQL.keys() <= used
    assert set(re.findall(r'SQL\["(\w+)"\]', code)) <= SQL.keys()


# --- the folder ---


@pytest.fixture(params=[0o000, 0o022, 0o777])
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.case("GDPR-09")
async def test_folders_and_files_are_private_under_any_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "new" / "data" / "aftercall.db"
    async with opened(path) as store:
        await accepted(store, arrival())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(["aftercall.db", "aftercall.db-shm", "aftercall.db-wal", "lock", "seen.key"], 0o600)
    assert stat.S_IMODE(path.parent.stat().st_mode) == stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o700


async def test_a_folder_that_is_there_keeps_its_permissions(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)
    async with opened(tmp_path / "aftercall.db"):
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o750


@pytest.mark.case("DUR-04")
async def test_new_names_are_on_stable_storage_before_the_store_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    really = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        really(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    path = tmp_path / "new" / "data" / "aftercall.db"
    async with opened(path):
        # The names of the folders, of the files in them, and what SQLite made.
        assert {tmp_path, tmp_path / "new", path.parent} <= set(synced)
        assert {file.name for file in synced} >= {"seen.key.new", "aftercall.db.new"}
    synced.clear()
    async with opened(path):  # SQLite makes its log anew
        assert synced == [path.parent]


@pytest.mark.case("DUR-04")
async def test_the_log_is_on_stable_storage_before_the_answer(tmp_path: Path) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: that fdatasync comes before the answer is NOT shown here")
    script = """
        import asyncio, json, os, sys
        from pathlib import Path
        from store_engines import accepted, arrival
        from router.store.sqlite import open_store

        async def main():
            async with open_store(Path(sys.argv[1]), parse=json.loads) as store:
                for n in range(3):
                    await accepted(store, arrival(f"call-{n}"))
                    os.write(1, b"answered\\n")

        asyncio.run(main())
    """
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-y", "-o", str(trace), "-e", "trace=fdatasync,fsync,pwrite64,write")
    child = run_child(script, tmp_path / "data" / "aftercall.db", before=strace)
    if "ptrace" in child.stderr:
        pytest.skip(f"strace may not trace here: {child.stderr}")
    assert child.stdout.count("answered") == 3, child.stderr
    log = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    steps = [
        "write" if line.startswith("pwrite64") and "aftercall.db-wal" in line
        else "sync" if line.startswith("fdatasync") and "aftercall.db-wal" in line and "= 0" in line
        else "answer" if line.startswith("write(1") and "answered" in line
        else ""
        for line in log
    ]  # fmt: skip
    seen = "".join({"write": "w", "sync": "s", "answer": "a", "": ""}[step] for step in steps)
    assert seen.count("a") == 3
    assert re.search(r"(w+s+a){3}", re.sub(r"^.*?(?=w+s+a)", "", seen, count=1)), seen


@pytest.mark.case("DUR-10")
async def test_a_second_process_is_refused_with_the_pid_of_the_first(path: Path) -> None:
    script = """
        import asyncio, json, sys
        from pathlib import Path
        from router.errors import StoreInUse
        from router.store.sqlite import open_store

        async def main():
            try:
                async with open_store(Path(sys.argv[1]), parse=json.loads):
                    print("opened")
            except StoreInUse as error:
                print(error)

        asyncio.run(main())
    """
    async with opened(path) as store:
        child = run_child(script, path)
        assert f"{path.parent} is in use by process {os.getpid()}: stop that router first" in child.stdout, child.stderr
        await accepted(store, arrival())
    assert run_child(script, path).stdout == "opened\n"


async def test_the_same_process_is_refused_a_second_time(path: Path) -> None:
    async with opened(path) as store:
        with pytest.raises(StoreInUse, match=str(os.getpid())):
            async with opened(path):
                pass
        await accepted(store, arrival())
    async with opened(path):
        pass


async def test_a_path_that_cannot_be_opened_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=re.escape(f"{tmp_path}/file")):
        async with opened(tmp_path / "file" / "aftercall.db"):
            pass
    (tmp_path / "text.db").write_text("no database at all " * 100)
    with pytest.raises(StoreError, match=r"text\.db: the file is no database.*SQLITE_NOTADB"):
        async with opened(tmp_path / "text.db"):
            pass


@pytest.mark.parametrize("name", ["a b", "ä#?%41", "x;y&mode=memory"])
async def test_any_name_of_a_folder_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "aftercall.db"
    async with opened(path) as store:
        await accepted(store, arrival())
    assert path.stat().st_size > 4096


async def test_a_relative_path_stays_where_it_was_when_the_process_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with opened(Path("data/aftercall.db")) as store:
        monkeypatch.chdir("/")
        async with busy_with(store, fail_at_commit):
            pass
        await accepted(store, arrival())
    assert (tmp_path / "data" / "aftercall.db").stat().st_size > 4096


# --- files that go away ---


@pytest.mark.case("DUR-18")
async def test_a_removed_folder_is_not_made_anew(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival("before"))
        path.parent.rename(path.parent.with_name("away"))
        for _ in range(2):
            with pytest.raises(StoreError, match="was removed or replaced while the router ran: put it back, or"):
                await store.accept(arrival("during"))
        assert not path.parent.exists()
        path.parent.with_name("away").rename(path.parent)
        await accepted(store, arrival("after"))
        assert (await store.summary()).events >= 2


@pytest.mark.parametrize("name", ["aftercall.db", "aftercall.db-wal", "lock"])
async def test_a_removed_file_is_noticed_and_not_made_anew(path: Path, name: str) -> None:
    async with opened(path) as store:
        await accepted(store, arrival("before"))
        (path.parent / name).unlink()
        for n in range(2):
            with pytest.raises(StoreError, match=rf"{name} was removed or replaced"):
                await store.accept(arrival(f"during-{n}"))
        with pytest.raises(StoreError):
            await store.check()
        assert not (path.parent / name).exists()


async def test_a_replaced_database_is_noticed_and_left_alone(path: Path) -> None:
    async with opened(path.with_name("other.db")) as other:
        await accepted(other, arrival("other"))
    async with opened(path) as store:
        await accepted(store, arrival("mine"))
        path.unlink()
        shutil.copyfile(path.with_name("other.db"), path)
        before = path.read_bytes()
        with pytest.raises(StoreError, match="replaced"):
            await store.accept(arrival("during"))
    assert path.read_bytes() == before
    async with opened(path) as store:
        assert [line.call_id for line in (await store.events()).items] == ["other"]


async def test_what_was_answered_survives_the_removal_of_the_log(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival("before"))
        path.with_name("aftercall.db-wal").unlink()
        with pytest.raises(StoreError):
            await store.check()
        # As after a kill: no orderly close.
        copy = path.parent.with_name("copy")
        copy.mkdir()
        for name in ("aftercall.db", "seen.key"):
            shutil.copyfile(path.with_name(name), copy / name)
    async with opened(copy / "aftercall.db") as store:
        assert [line.call_id for line in (await store.events()).items] == ["before"]


# --- disks in trouble ---


async def test_a_full_disk_is_told_and_passes(tmp_path: Path) -> None:
    script = """
        import asyncio, json, os, sys
        from dataclasses import replace
        from pathlib import Path
        from store_engines import arrival
        from router.errors import StoreError
        from router.store.values import Accepted
        from router.store.sqlite import open_store

        async def main(folder):
            stored, error = [], None
            async with open_store(folder / "data" / "aftercall.db", parse=json.loads) as store:
                for n in range(500):
                    try:
                        await store.accept(replace(arrival(f"call-{n}"), body=os.urandom(20_000)))
                        stored.append(f"call-{n}")
                    except StoreError as failed:
                        error = str(failed)
                        break
                (folder / "ballast").unlink()
                for n in range(500, 510):
                    assert isinstance(await store.accept(arrival(f"call-{n}")), Accepted)
                    stored.append(f"call-{n}")
            async with open_store(folder / "data" / "aftercall.db", parse=json.loads) as store:
                found = {line.call_id for line in (await store.events(limit=500)).items}
                check = await store.writer.run(lambda c: c.execute("PRAGMA integrity_check").fetchone()[0])
            print(json.dumps([error, set(stored) <= found, len(stored), check]))

        folder = Path(sys.argv[1])
        (folder / "ballast").write_bytes(bytes(1_500_000))
        asyncio.run(main(folder))
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f'mount -t tmpfs -o size=5m none {disk} && exec "$@"'
    for namespace in ("-Urm", "-m"):
        on_small_disk = ("unshare", namespace, "sh", "-c", mount, "-")
        if shutil.which("unshare") and run_child("", before=on_small_disk).returncode == 0:
            break
    else:
        pytest.skip("no small tmpfs can be mounted here: a REAL FULL DISK IS NOT TESTED")
    child = run_child(script, disk, before=on_small_disk)
    assert child.returncode == 0, child.stderr
    error, kept, stored, check = json.loads(child.stdout)
    assert "the disk is full: free some space" in error
    assert kept
    assert stored > 30
    assert check == "ok"


async def test_on_a_full_disk_calls_are_refused_and_all_else_is_done_from_the_reserve(path: Path) -> None:
    folder.make(path.parent)
    path.with_name("reserve").write_bytes(bytes(2 * PORTION))
    tries: list[str] = []

    def settle(_: sqlite3.Connection) -> str:
        """Has room when calls are refused, the log is moved, and a portion is given up."""
        tries.append(f"{mine.effort.checkpoints} moved, {mine.reserve.left // PORTION} left")
        if len(tries) < 4:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_FULL, "SQLITE_FULL"
            raise error
        return "settled"

    def count(connection: sqlite3.Connection) -> int:
        return int(connection.execute("UPDATE checks SET n = n + 1 RETURNING n").fetchone()[0])

    async with opened(path, reserve=2 * PORTION) as mine:
        await accepted(mine, arrival("before"))
        before = await mine.writer.run(count)
        async with busy_with(mine):
            tasks = await started(mine.writer.run(count), mine.accept(arrival("call")), mine.writer.run(settle))
        counted, refused, settled = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(refused, StoreFull)
        assert (counted, settled) == (before + 1, "settled"), "what shares the commit is done, and once"
        assert tries == ["0 moved, 2 left", "0 moved, 2 left", "1 moved, 2 left", "1 moved, 1 left"]
        assert await mine.writer.run(count) == before + 2
        assert [line.call_id for line in (await mine.events()).items] == ["before"]


async def test_a_call_spends_nothing_of_the_reserve(path: Path) -> None:
    folder.make(path.parent)
    path.with_name("reserve").write_bytes(bytes(2 * PORTION))
    async with opened(path, reserve=2 * PORTION) as store:
        await store.writer.run(lambda connection: connection.execute("PRAGMA max_page_count = 1"))
        for name in ("one", "two"):
            with pytest.raises(StoreFull):
                await store.accept(arrival(name, "large" * 50_000))
        assert store.reserve.left == 2 * PORTION


async def test_a_failing_disk_is_told_and_passes(path: Path) -> None:
    """A limit on the size of files makes write() fail with EFBIG, which is an I/O error to SQLite."""
    script = """
        import asyncio, json, os, resource, signal, sys
        from dataclasses import replace
        from pathlib import Path
        from store_engines import accepted, arrival
        from router.errors import StoreError
        from router.store.sqlite import open_store

        async def main(path):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            async with open_store(path, parse=json.loads) as store:
                await accepted(store, arrival("before"))
                resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
                large = [replace(arrival(f"large-{n}"), body=bytes(150_000)) for n in range(3)]
                answers = await asyncio.gather(
                    *map(store.accept, large), store.accept(arrival("neighbour")), return_exceptions=True
                )
                resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                assert (await store.summary()).events == 1
                for arriving in (*large, arrival("neighbour")):
                    await accepted(store, arriving)
                check = await store.writer.run(lambda c: c.execute("PRAGMA integrity_check").fetchone()[0])
                print(json.dumps([[f"{type(one).__name__}: {one}" for one in answers], check]))

        asyncio.run(main(Path(sys.argv[1])))
    """
    child = run_child(script, path)
    assert child.returncode == 0, child.stderr
    answers, check = json.loads(child.stdout)
    assert len(answers) == 4
    for answer in answers:
        assert re.search(r"^StoreError: .*aftercall\.db: the disk failed: look into the system's log.*IOERR", answer)
    assert check == "ok"


@pytest.mark.parametrize("when", [15, 17])  # opening takes about twelve
@pytest.mark.case("DUR-07")
async def test_a_failed_fsync_is_told_and_nothing_that_was_answered_is_lost(path: Path, when: int) -> None:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed: A FAILING FSYNC IS NOT TESTED")
    script = """
        import asyncio, json, sys
        from pathlib import Path
        from store_engines import accepted, arrival
        from router.errors import StoreError
        from router.store.sqlite import open_store

        async def main(path):
            errors, stored = [], []
            async with open_store(path, parse=json.loads) as store:
                for n in range(12):
                    try:
                        await accepted(store, arrival(f"call-{n}"))
                        stored.append(f"call-{n}")
                    except StoreError as error:
                        errors.append(str(error))
                found = {line.call_id for line in (await store.events()).items}
                check = await store.writer.run(lambda c: c.execute("PRAGMA integrity_check").fetchone()[0])
            print(json.dumps([errors, len(stored), sorted(set(stored) ^ found), check]))

        asyncio.run(main(Path(sys.argv[1])))
    """
    inject = ("strace", "-f", "-o", str(path.with_name("trace")), "-e", "trace=fdatasync", "-e")
    folder.make(path.parent)
    child = run_child(script, path, before=(*inject, f"inject=fdatasync:error=EIO:when={when}"))
    if "ptrace" in child.stderr:
        pytest.skip(f"strace may not trace here: {child.stderr}")
    assert child.returncode == 0, child.stderr
    errors, stored, differences, check = json.loads(child.stdout)
    assert (len(errors), stored, differences, check) == (1, 11, [], "ok")
    assert "the disk failed: look into the system's log and check the disk (SQLITE_IOERR_FSYNC)" in errors[0]


async def test_while_the_database_cannot_be_opened_anew_every_write_says_so(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with busy_with(store, fail_at_commit):
        pass
    tries = []

    def connect(*_: object, **__: object) -> sqlite3.Connection:
        tries.append(1)
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_CANTOPEN, "SQLITE_CANTOPEN"
        raise error

    monkeypatch.setattr(sqlite3, "connect", connect)
    for _ in range(3):
        with pytest.raises(StoreError, match=r"cannot be opened: check that its folder is there.*SQLITE_CANTOPEN"):
            await store.accept(arrival())
    assert len(tries) == 3
    assert (await store.summary()).received == 0  # reading goes on
    monkeypatch.undo()
    await accepted(store, arrival())


async def test_another_program_that_locks_the_database_is_named_as_the_reason(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    async with opened(path) as store:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="another program has locked the database: end it"):
                await store.accept(arrival())
            other.execute("ROLLBACK")
        await accepted(store, arrival())


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Another program has begun to write."""
    script = """
        import sqlite3, sys
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        print(flush=True)
        sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        yield
        other.communicate(timeout=10)


async def test_a_start_beside_another_program_that_writes_says_so_and_leaves_the_log_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.05)
    copy = path.parent.with_name("copy")
    async with opened(path) as store:
        await accepted(store, arrival())
        shutil.copytree(path.parent, copy)  # as a kill leaves it
    with writing(copy / "aftercall.db"):
        left = (copy / "aftercall.db-wal").read_bytes()
        with pytest.raises(StoreError, match=r"aftercall\.db-shm: another program has locked the database: end it"):
            async with opened(copy / "aftercall.db"):
                pass
        assert (copy / "aftercall.db-wal").read_bytes() == left
    async with opened(copy / "aftercall.db") as store:
        assert (await store.summary()).events == 1


async def test_a_read_that_fails_does_not_fail_the_next(store: SqliteStore) -> None:
    await accepted(store, arrival())
    with pytest.raises(StoreError, match="this is a bug in aftercall"):
        await store.readers.read(lambda connection: connection.execute("SELECT nothing"))

    def damaged(_: sqlite3.Connection) -> None:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode, error.sqlite_errorname = sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT"
        raise error

    for _ in range(3):
        with pytest.raises(StoreError, match="the database is damaged: stop the router, keep a copy"):
            await store.readers.read(damaged)
    assert [(await store.summary()).events for _ in range(3)] == [1, 1, 1]


async def test_what_is_claimed_beside_a_damaged_event_goes_out_although_that_cannot_be_settled(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(path) as store:
        for name in ("sound", "damaged"):
            await accepted(store, arrival(name, owed=("screen",)))
    damage(path, "UPDATE events SET sha256 = zeroblob(32) WHERE call_id = 'damaged'")

    def fails(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with opened(path) as store:
        with monkeypatch.context() as failing:
            failing.setattr(sending_out, "buried", fails)
            found = await store.claim("screen", limit=5, now=at(1), until=at(60))
        assert [claim.delivery.event.call_id for claim in found.claims] == ["sound"]
        assert found.damaged == ()
        await store.retake(now=at(60))
        found = await store.claim("screen", limit=5, now=at(60), until=at(99))
        assert len(found.damaged) == 1


@pytest.mark.parametrize(
    ("stored", "bit_flipped"),
    [(b'{"summary": "damaged body"}', b'{"summary": "damaged bodx"}'), (b'"summary":"damaged', b'2summary":"damaged')],
)
@pytest.mark.case("DUR-15")
async def test_a_damaged_event_dies_alone(path: Path, stored: bytes, bit_flipped: bytes) -> None:
    async with opened(path) as store:
        for name in ("one", "damaged body", "two"):
            await accepted(store, arrival(name, name, owed=("screen",)))
        event_id = next(line.id for line in (await store.events()).items if line.call_id == "damaged body")
    content = path.read_bytes()
    assert content.count(stored) == 1
    path.write_bytes(content.replace(stored, bit_flipped))
    async with opened(path) as store:
        found = await store.claim("screen", limit=9, now=at(1), until=at(60))
        assert {claim.delivery.event.call_id for claim in found.claims} == {"one", "two"}
        (dead,) = (await store.deliveries(state=DeliveryState.DEAD)).items
        assert (dead.event_id, dead.settled_at) == (event_id, at(1))
        assert dead.reason == "the stored event is damaged: its bytes are not those that were stored"
        assert found.damaged == ((dead.id, event_id),)
        assert await store.claim("screen", limit=9, now=at(1), until=at(60)) == Claims((), None)
        with pytest.raises(StoreError, match=f"event {event_id} is damaged"):
            await store.route_again(event_id, routes=(), rules="r", owed=[Owed("new")], now=at(9))
        with pytest.raises(StoreError, match=f"event {event_id} is damaged"):
            await store.event(event_id)
        assert len((await store.events()).items) == 3


def damage(path: Path, *statements: str) -> None:
    """Change the database as a failing disk would: past every constraint."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        for statement in statements:
            assert connection.execute(statement).rowcount == 1, statement


@pytest.mark.parametrize(
    "change",
    [
        "id = CAST(x'ff' || substr(id, 2) AS TEXT)",
        "id = 'other'",
        "source = CAST(x'ff' AS TEXT)",
        "source = 'sipgatf'",
        "format = 'sipgatf'",
        "received_at = received_at + 1",
        "received_at = 9223372036854775807",
        "received_at = -9223372036854775808",
        "revision = 2",
        "content_type = CAST(x'ff' AS TEXT)",
        "content_type = NULL",
        "content_type = content_type || 'p'",
        "routes = '['",
        "routes = '1'",
        """routes = '["to nobody"]'""",
        "routes = CAST(x'ff' AS TEXT)",
        "call = replace(call, 'Preis', 'Greis')",
        "call = replace(call, 'Preis', CAST(x'ff' AS TEXT))",
        "call = ''",
        "body = CAST(replace(body, 'Preis', 'Greis') AS BLOB)",
        "body = x''",
        "content_type = NULL, call = content_type || call",
        "sha256 = x''",
    ],
)
async def test_whatever_is_damaged_of_an_event_it_dies_alone(path: Path, change: str) -> None:
    async with opened(path) as store:
        ids = [(await accepted(store, arrival(f"call-{n}", when=n, owed=("screen",)))).event_id for n in range(5)]
    damage(path, f"UPDATE events SET {change} WHERE sequence = 2")  # noqa: S608 - ours
    async with opened(path) as store:
        found = await store.claim("screen", limit=9, now=at(9), until=at(60))
        assert [claim.delivery.event.id for claim in found.claims] == [*ids[:1], *ids[2:]]
        (dead,) = (await store.deliveries(state=DeliveryState.DEAD)).items
        assert found.damaged == ((dead.id, ids[1]),)
        assert (dead.event_id, dead.settled_at) == (ids[1], at(9))
        assert dead.reason == "the stored event is damaged: its bytes are not those that were stored"
        assert await store.claim("screen", limit=9, now=at(9), until=at(60)) == Claims((), None)
        if not change.startswith("id"):
            with pytest.raises(StoreError, match=f"event {ids[1]} is damaged"):
                await store.event(ids[1])
        assert {line.sequence for line in (await store.events()).items} == {1, 2, 3, 4, 5}
        assert await store.backlog() == {"screen": {"claimed": 4, "dead": 1}}
        sums = await store.summary()
        assert (sums.events, sums.deliveries["claimed"], sums.deliveries["dead"]) == (5, 4, 1)


@pytest.mark.parametrize(
    ("change", "parted"),
    [
        ("event_id = 'other'", True),
        ("event_id = CAST(x'ff' AS TEXT)", True),
        ("accepted_at = 9223372036854775807", False),
        ("replay_of = CAST(x'ff' AS TEXT)", None),
    ],
)
async def test_a_damaged_delivery_costs_the_others_nothing(path: Path, change: str, parted: bool | None) -> None:
    async with opened(path) as store:
        for n in range(3):
            await accepted(store, arrival(f"call-{n}", owed=("screen",)))
        line = (await store.deliveries()).items[1]
    damage(path, f"UPDATE deliveries SET {change} WHERE id = '{line.id}'")  # noqa: S608 - ours
    async with opened(path) as store:
        found = await store.claim("screen", limit=9, now=at(1), until=at(60))
        assert len(found.claims) == (3 if parted is None else 2)
        assert [id_ for id_, _ in found.damaged] == ([] if parted is None else [line.id])
        assert [event == line.event_id for _, event in found.damaged] == ([] if parted is None else [not parted])
        assert len((await store.deliveries()).items) == 3
        assert await store.delivery(line.id) is not None


async def test_a_delivery_whose_own_id_is_damaged_is_poison_in_the_end(path: Path) -> None:
    async with opened(path) as store:
        for n in range(2):
            await accepted(store, arrival(f"call-{n}", owed=("screen",)))
    damage(path, "UPDATE deliveries SET id = CAST(x'ff' AS TEXT) WHERE id = (SELECT max(id) FROM deliveries)")
    async with opened(path) as store:
        assert len((await store.claim("screen", limit=9, now=at(1), until=at(2))).claims) == 1
        for n in range(2, 2 * POISON_AFTER, 2):
            await store.retake(now=at(n))
            await store.claim("screen", limit=9, now=at(n), until=at(n + 1))
        assert len((await store.retake(now=at(99))).poison) == 2


async def test_a_delivery_due_beyond_all_time_is_never_due(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival(owed=("screen",)))
    damage(path, "UPDATE deliveries SET due = 9223372036854775807")
    async with opened(path) as store:
        assert await store.claim("screen", limit=9, now=at(1), until=at(60)) == Claims((), None)


async def test_a_list_shows_of_a_damaged_row_what_can_be_read(path: Path) -> None:
    async with opened(path) as store:
        for n in range(3):
            await accepted(store, arrival(f"call-{n}", when=n, owed=("screen",)))
        await quarantine(store)
    damage(
        path,
        "UPDATE events SET received_at = 9223372036854775807, routes = '[', call_id = CAST(x'61ff' AS TEXT) "
        "WHERE sequence = 1",
        "UPDATE events SET routes = '[1]' WHERE sequence = 3",
        "UPDATE events SET routed = 'x' WHERE sequence = 2",
        "UPDATE quarantine SET last_at = 9223372036854775807, reason = CAST(x'ff' AS TEXT)",
        "UPDATE channels SET last_at = 9223372036854775807, name = CAST(x'ff' AS TEXT)",
        "UPDATE deliveries SET due = 9223372036854775807, settled_at = due, parts = '[' "
        "WHERE id = (SELECT max(id) FROM deliveries)",
    )
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    async with opened(path) as store:
        third, first = await every(lambda after: store.events(after=after, limit=1))
        assert (third.sequence, third.routes) == (3, ())
        assert (first.call_id, first.received_at, first.routes) == ("a\ufffd", epoch, ())
        (body,) = (await store.quarantined()).items
        assert (body.reason, body.received_at, body.last_at) == ("\ufffd", NOW, epoch)
        (channel,) = await store.channels()
        assert (channel.name, channel.last_at) == ("\ufffd", epoch)
        line = (await store.deliveries()).items[0]
        assert (line.due, line.settled_at, line.parts) == (epoch, at(2), ())
        assert (await store.delivery(line.id)) == (line, ())


@pytest.mark.parametrize("byte", ["80", "c3", "ff"])
@pytest.mark.parametrize("kept", [0, 4, 35])
async def test_a_list_goes_on_after_a_row_whose_id_is_damaged(path: Path, byte: str, kept: int) -> None:
    async with opened(path) as store:
        for n in range(4):
            await accepted(store, arrival(f"call-{n}", when=n))
    left, right = f"substr(id, 1, {kept})", f"substr(id, {kept + 2})"
    damage(path, f"UPDATE events SET id = CAST({left} || x'{byte}' || {right} AS TEXT) WHERE sequence = 2")  # noqa: S608
    async with opened(path) as store:
        lines = await every(lambda after: store.events(after=after, limit=1))
        assert sorted(line.sequence for line in lines) == [1, 2, 3, 4]


async def test_a_delivery_in_no_state_of_ours_is_damaged(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival(owed=("screen",)))
        (line,) = (await store.deliveries()).items
    damage(path, "UPDATE deliveries SET state = 'x'")
    async with opened(path) as store:
        assert (await store.deliveries()).items == ()
        with pytest.raises(StoreError, match=f"delivery {line.id} is damaged"):
            await store.delivery(line.id)
        assert (await store.summary()).events == 1


async def test_a_damaged_lane_counts_as_never_set(path: Path) -> None:
    async with opened(path) as store:
        for sink in ("screen", "file"):
            await store.set_lane(LaneRow(sink, LaneState.PAUSED if sink == "file" else LaneState.OPEN), now=NOW)
    damage(path, "UPDATE lanes SET state = CAST(x'ff' AS TEXT) WHERE sink = 'file'")
    async with opened(path) as store:
        lanes = {"screen": LaneRow("screen", version=1), "file": LaneRow("file", version=1)}
        assert await store.lanes() == lanes
        assert await store.set_lane(LaneRow("file", LaneState.PAUSED, version=1), now=NOW)


async def test_what_has_lost_its_id_is_purged_too(path: Path) -> None:
    async with opened(path) as store:
        event_id = (await accepted(store, arrival())).event_id
        await quarantine(store)
    damage(path, "UPDATE events SET id = CAST(x'ff' AS TEXT)", "UPDATE quarantine SET id = CAST(x'ff' AS TEXT)")
    async with opened(path) as store:
        assert await store.event(event_id) is None
        assert await purge(store, DAY) == 3
        assert (await store.summary()).received == 2
        assert ((await store.events()).items, (await store.quarantined()).items) == ((), ())


async def test_a_body_in_quarantine_that_is_shorter_than_it_was_is_damaged(path: Path) -> None:
    async with opened(path) as store:
        id_ = await quarantine(store, b"{123")
    damage(path, "UPDATE quarantine SET body = x'7b'")
    async with opened(path) as store:
        assert [line.id for line in (await store.quarantined()).items] == [id_]
        with pytest.raises(StoreError, match=f"quarantined body {id_} is damaged"):
            await store.quarantined_body(id_)


@pytest.mark.parametrize("column", ["id", "source", "reason", "size", "times"])
def test_a_line_of_quarantine_with_a_value_of_another_type_is_damaged(column: str) -> None:
    """One bit in the head of a record is enough; no statement can do that to a strict table."""
    row = {
        "id": "i",
        "source": "s",
        "reason": "r",
        "size": 1,
        "times": 1,
        "received_at": 0,
        "last_at": 0,
        "ended": None,
    }
    assert rows.quarantine_line(row).size == 1
    with pytest.raises(rows.Damaged):
        rows.quarantine_line(row | {column: b"\xff"})


# --- migrations ---

NEWEST = schema.KNOWN[-1].version


@pytest.mark.case("DUR-19")
async def test_a_database_of_a_newer_program_is_refused_and_left_alone(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival())
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(
        StoreError, match=rf"aftercall.db has version 99.*knows versions up to {NEWEST}.*newer aftercall"
    ):
        async with opened(path):
            pass
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWEST}")
    async with opened(path) as store:  # and the folder's lock was let go
        assert (await store.summary()).events == 1


def new_database(folder: Path) -> sqlite3.Connection:
    made = database.Database(folder / "a.db")
    made.create()
    return made.connect()


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path) -> None:
    setting = f"PRAGMA user_version = {NEWEST + 1};"
    broken = "CREATE TABLE more (n); INSERT INTO nowhere VALUES (1);"
    second = Migration(NEWEST + 1, "breaks", broken + setting)
    with closing(new_database(tmp_path)) as connection:
        with pytest.raises(sqlite3.OperationalError):
            schema.migrate(connection, (*schema.KNOWN, second))
        assert connection.execute("PRAGMA user_version").fetchone()[0] == NEWEST
        assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'more'").fetchone()[0] == 0
        fixed = replace(second, text=f"CREATE TABLE more (n); {setting}")
        schema.migrate(connection, (*schema.KNOWN, fixed))
        schema.migrate(connection, (*schema.KNOWN, fixed))
        assert connection.execute("PRAGMA user_version").fetchone()[0] == NEWEST + 1


def test_a_migration_has_to_say_its_version(tmp_path: Path) -> None:
    with closing(new_database(tmp_path)) as connection:
        with pytest.raises(StoreError, match="did not set its user_version"):
            schema.migrate(connection, (Migration(1, "silent", "CREATE TABLE more (n);"),))
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0] == 0


def test_the_migrations_are_numbered_without_a_gap() -> None:
    assert [migration.version for migration in schema.KNOWN] == list(range(1, len(schema.KNOWN) + 1))


@pytest.mark.case("DUR-19")
def test_a_migration_that_is_killed_at_any_statement_is_done_by_the_next_start(tmp_path: Path) -> None:
    """One child tries every statement; each try is a fork of its own that kills itself there."""
    script = """
        import os, signal, sqlite3, sys
        from contextlib import closing
        from pathlib import Path
        from router.store.sqlite import database, schema

        def killed_at(path, n):
            if (pid := os.fork()) == 0:
                made = database.Database(path)
                made.create()
                connection = made.connect()
                left = [n]
                def count(_):
                    left[0] -= 1
                    if left[0] < 0:
                        os.kill(os.getpid(), signal.SIGKILL)
                connection.set_trace_callback(count)
                schema.migrate(connection)
                os._exit(0)
            return os.waitpid(pid, 0)[1] == signal.SIGKILL

        statements = 0
        while True:
            path = Path(sys.argv[1]) / f"{statements}.db"
            killed = killed_at(path, statements)
            with closing(database.Database(path).connect()) as connection:
                version = connection.execute("PRAGMA user_version").fetchone()[0]
                tables = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
                assert (version > 0) == (tables > 0), (statements, version, tables)
                schema.migrate(connection)
                assert connection.execute("PRAGMA user_version").fetchone()[0] == schema.KNOWN[-1].version
            if not killed:
                break
            statements += 1
        print(statements)
    """
    child = run_child(script, tmp_path)
    assert child.returncode == 0, child.stderr
    assert int(child.stdout) > 30


# --- what was seen ---


async def test_seen_holds_no_id_and_no_digest_of_a_call(path: Path) -> None:
    arriving = arrival("the-id-of-the-call")
    async with opened(path) as store:
        await accepted(store, arriving)
        await purge_events(store)
        key = (path.parent / "seen.key").read_bytes()
        rows = await store.readers.read(
            lambda connection: [tuple(row) for row in connection.execute("SELECT * FROM seen")]
        )
    assert len(key) == 32
    assert len(rows) == 1
    assert files_with(path.parent, b"the-id-of-the-call", arriving.digest, arriving.digest.hex().encode()) == set()
    assert files_with(path.parent, key) == {"seen.key"}


async def purge_events(store: Store) -> None:
    while await store.purge(events=at(DAY), quarantine=at(DAY), seen=None):
        pass


async def test_two_stores_have_two_keys(tmp_path: Path) -> None:
    for name in "ab":
        async with opened(tmp_path / name / "aftercall.db"):
            pass
    assert (tmp_path / "a" / "seen.key").read_bytes() != (tmp_path / "b" / "seen.key").read_bytes()


async def test_without_its_key_a_database_that_has_seen_calls_is_refused(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival())
    key = path.with_name("seen.key")
    content = key.read_bytes()
    key.unlink()
    with pytest.raises(StoreError, match=r"seen\.key is missing.*restore it"):
        async with opened(path):
            pass
    assert not key.exists()
    key.write_bytes(bytes(32))
    with pytest.raises(StoreError, match=r"seen\.key is not the key that the database was filled with"):
        async with opened(path):
            pass
    key.write_bytes(content[:31])
    with pytest.raises(StoreError, match=r"seen\.key is damaged \(31 bytes instead of 32\)"):
        async with opened(path):
            pass
    key.write_bytes(content)
    async with opened(path) as store:
        assert isinstance(await store.accept(arrival()), Duplicate)


async def test_a_database_that_has_seen_nothing_gets_a_new_key(path: Path) -> None:
    async with opened(path):
        pass
    path.with_name("seen.key").unlink()
    for _ in range(2):
        async with opened(path) as store:
            await store.accept(arrival())
            assert (await store.summary()).events == 1


# --- kills ---

CHILD_THAT_WRITES = """
    import asyncio, itertools, json, os, sys
    from pathlib import Path
    from store_engines import *
    from router.store.sqlite import open_store

    async def main(path):
        async with open_store(path, parse=json.loads) as store:
            numbers = itertools.count()
            async def caller():
                for n in numbers:
                    await store.accept(arrival(f"call-{n}", owed=(Owed("screen", at(60)), "archive")))
                    os.write(1, f"call-{n}\\n".encode())
                    if n % 3 == 0:
                        claim = await claim_one(store, "archive")
                        await store.settle(claim, settlement(Done()))
                    if n % 5 == 0:
                        await store.purge(events=at(0.5), quarantine=None, seen=None, limit=1)
            await asyncio.gather(*(caller() for _ in range(8)))

    asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.parametrize("answers", [1, 20, 90, 200])
@pytest.mark.case("DUR-16")
async def test_what_was_answered_before_a_kill_is_there_after_it(path: Path, answers: int) -> None:
    child = subprocess.Popen(  # noqa: ASYNC220 - nothing else runs on this loop yet
        [sys.executable, "-c", textwrap.dedent(CHILD_THAT_WRITES), str(path)],
        stdout=subprocess.PIPE,
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    with child:
        assert child.stdout is not None
        told = [child.stdout.readline() for _ in range(answers)]
        child.send_signal(signal.SIGKILL)
        told += child.stdout.readlines()
    answered = {line.decode().strip() for line in told if line.endswith(b"\n")}
    assert len(answered) >= answers
    async with opened(path) as store:
        summary = await store.summary()
        tables = await store.readers.read(counted)
        assert sums_of(summary) == tables
        again = [await store.accept(arrival(call_id)) for call_id in sorted(answered)]
        assert {type(answer) for answer in again} == {Duplicate}
        taken = await store.retake(now=at(1), left_behind=True)
        assert (taken.lost, taken.poison) == (summary.deliveries["claimed"], ())
        assert (await store.summary()).deliveries["claimed"] == 0
        assert await store.writer.run(lambda c: c.execute("PRAGMA integrity_check").fetchone()[0]) == "ok"


def counted(connection: sqlite3.Connection) -> dict[str, int]:
    """What is in the tables, row by row."""
    groups = itertools.chain(
        connection.execute("SELECT routed, count(*) FROM events GROUP BY 1"),
        connection.execute("SELECT state, count(*) FROM deliveries GROUP BY 1"),
        connection.execute("SELECT 'quarantined', count(*) FROM quarantine"),
    )
    return {name: n for name, n in groups if n}


def sums_of(summary: object) -> dict[str, int]:
    """The same, as the counters have it."""
    names = ("routed", "unmatched", "unrouted", "quarantined")
    sums = Counter({name: getattr(summary, name) for name in names})
    sums.update({state.value: getattr(summary, "deliveries")[state.value] for state in DeliveryState})  # noqa: B009
    return dict(+sums)


@given(st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(1, 6)), max_size=80))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_the_counters_are_what_the_tables_hold(happenings: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as data:
        async with opened(Path(data) / "aftercall.db") as store:
            life = Life(store)
            for operation, n in happenings:
                await life.happen(operation, n)
            assert sums_of(await store.summary()) == await store.readers.read(counted)
            orphans = "SELECT count(*) FROM attempts WHERE delivery_id NOT IN (SELECT id FROM deliveries)"
            assert await store.readers.read(lambda connection: connection.execute(orphans).fetchone()[0]) == 0
            assert (
                await store.readers.read(lambda connection: connection.execute("PRAGMA foreign_key_check").fetchall())
                == []
            )


# --- the log, and what was removed ---

MARKERS = (b"Kowalczyk", b"K0W4LC2YK", b"kowalczyk.example", b"reason-of-k", b"remote-of-k", b"body-of-k")


async def fill_with_markers(store: Store) -> None:
    call = arrival("K0W4LC2YK-1", "Frau Kowalczyk ruft an. " * 400, owed=("mail", "screen"))
    await accepted(store, call)
    done = settlement(Done("remote-of-k"), recipient="kowalczyk.example")
    assert await store.settle(await claim_one(store, "mail"), done)
    assert await store.settle(await claim_one(store, "screen"), settlement(Dead("reason-of-k")))
    await quarantine(store, b"body-of-k" * 1000)
    for n in range(30):
        await accepted(store, arrival(f"other-{n}", "Kowalczyk", when=DAY, channel=Channel("1", "Empfang")))
        await accepted(store, arrival(f"K0W4LC2YK-{n + 2}", "Kowalczyk " * n))


async def test_what_was_purged_is_in_no_file(path: Path) -> None:
    async with opened(path) as store:
        await fill_with_markers(store)
        assert all(files_with(path.parent, marker) for marker in MARKERS)
        assert await store.purge(events=at(DAY * 2), quarantine=at(DAY), seen=None, limit=20)
        await purge(store, DAY * 2)
        assert files_with(path.parent, *MARKERS) == set()
        assert path.with_name("aftercall.db-wal").stat().st_size == 0
        assert (await store.summary()).purged == 62


async def test_a_purge_passes_what_owes_once_and_not_for_every_portion(path: Path) -> None:
    async with opened(path) as store:
        for n in range(300):
            await accepted(store, arrival(f"owing-{n}", when=n, owed=("screen",)))
        for n in range(100):
            await accepted(store, arrival(f"owing-nothing-{n}", when=1_000 + n, owed=()))
    sweep, steps = Sweep(), itertools.count()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.set_progress_handler(lambda: next(steps) < 0, 1)

        def effort() -> int:
            before = next(steps)
            found = sweep.next(connection, before=micros(at(DAY)), limit=10, largest=2**20)
            after = next(steps)
            connection.executemany(SQL["remove_event"], found)
            assert len(found) == 10
            return after - before

        first = effort()
        assert max(effort() for _ in range(9)) < first / 5
        assert sweep.next(connection, before=micros(at(DAY)), limit=10, largest=2**20) == []


async def test_an_event_that_is_owed_again_after_it_was_looked_at_stays(path: Path) -> None:
    async with opened(path) as store:
        event_id = (await accepted(store, arrival(owed=()))).event_id
        owe = partial(
            putting_right.route_again, event_id=event_id, routes=["all"], rules="r", owed=[Owed("screen")], now=NOW
        )
        async with busy_with(store, owe):
            (task,) = await started(store.purge(events=at(DAY), quarantine=None, seen=None))
            await until(lambda: store.writer.waiting == 1)
        assert await task == Purged()
        assert (await claim_one(store)).delivery.event.id == event_id


async def test_a_purge_that_has_nothing_to_remove_leaves_the_log_alone(store: SqliteStore, path: Path) -> None:
    await accepted(store, arrival())
    assert not await store.purge(events=at(-DAY), quarantine=None, seen=None)
    assert path.with_name("aftercall.db-wal").stat().st_size > 0


async def test_a_purge_whose_caller_is_cancelled_is_still_finished_by_the_next(path: Path) -> None:
    async with opened(path) as store:
        await fill_with_markers(store)
        async with busy_with(store):
            (task,) = await started(store.purge(events=at(DAY * 2), quarantine=at(DAY), seen=None))
            await until(lambda: store.writer.waiting == 1)
            task.cancel()
        assert not await store.purge(events=at(DAY * 2), quarantine=at(DAY), seen=None)
        assert files_with(path.parent, *MARKERS) == set()


async def test_a_purge_that_cannot_empty_the_log_says_so_and_the_next_one_does(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    async with opened(path) as store:
        await fill_with_markers(store)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM events").fetchall()
            with pytest.raises(StoreError, match="purged calls are still in it, because another program reads: end"):
                await purge(store, DAY * 2)
            assert files_with(path.parent, MARKERS[0])
            other.execute("ROLLBACK")
        assert not await store.purge(events=at(DAY), quarantine=None, seen=None)
        assert files_with(path.parent, *MARKERS) == set()


async def test_what_a_killed_router_had_purged_is_in_no_file_after_the_next_start(path: Path) -> None:
    script = """
        import asyncio, json, os, signal, sys
        from pathlib import Path
        from store_engines import at, DAY
        from test_store_sqlite import fill_with_markers
        from router.store.sqlite import open_store

        async def main(path):
            async with open_store(path, parse=json.loads) as store:
                await fill_with_markers(store)
                assert await store.purge(events=at(DAY * 2), quarantine=at(DAY), seen=None)
                os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main(Path(sys.argv[1])))
    """
    assert run_child(script, path).returncode == -signal.SIGKILL
    assert files_with(path.parent, MARKERS[0])
    async with opened(path):
        assert files_with(path.parent, *MARKERS) == set()


async def test_the_log_is_moved_when_nothing_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "IDLE", 0)
    async with opened(path) as store:
        await store.check()
        empty = path.stat().st_size
        await asyncio.gather(*(store.accept(replace(arrival(f"call-{n}"), body=bytes(50_000))) for n in range(90)))
        while not store.effort.checkpoints:
            await store.check()
        assert path.stat().st_size > empty + 90 * 50_000


async def test_the_log_is_not_moved_while_little_is_in_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "IDLE", 0)
    async with opened(path) as store:
        for n in range(50):
            await accepted(store, arrival(f"call-{n}"))
        assert store.effort.checkpoints == 0


async def test_a_log_that_grows_too_large_is_moved_whoever_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LARGEST_LOG", 2**20)
    monkeypatch.setattr(writer, "PAGES_TO_MOVE", 10)
    monkeypatch.setattr(batch, "LARGEST_BATCH", 10)
    log = path.with_name("aftercall.db-wal")
    async with opened(path) as store:
        async with busy_with(store):
            tasks = await started(
                *(store.accept(replace(arrival(f"call-{n}"), body=bytes(50_000))) for n in range(300))
            )
        await asyncio.gather(*tasks)
        assert store.effort.checkpoints > 5
        assert log.stat().st_size < 3 * 2**20
        assert (await store.summary()).events == 300


async def test_a_reader_in_the_way_of_the_log_stops_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "LARGEST_LOG", 2**20)
    monkeypatch.setattr(writer, "PAGES_TO_MOVE", 10)
    monkeypatch.setattr(database, "_PATIENCE", 0.01)
    async with opened(path) as store:
        await accepted(store, arrival("first"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM events").fetchall()
            for n in range(30):
                await accepted(store, replace(arrival(f"call-{n}"), body=bytes(100_000)))
            assert other.execute("SELECT count(*) FROM events").fetchone()[0] == 1
            other.execute("ROLLBACK")
        await accepted(store, replace(arrival("last"), body=bytes(100_000)))
        await store.check()  # which waits until the log is moved
        assert path.with_name("aftercall.db-wal").stat().st_size < 2 * 2**20


async def test_a_log_that_cannot_be_moved_stops_nobody(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "IDLE", 0)
    monkeypatch.setattr(writer, "PAGES_TO_MOVE", 1)
    monkeypatch.setitem(SQL, "move_log", "SELECT nothing")
    async with opened(path) as store:
        old = await store.writer.run(itself)
        for n in range(20):
            await accepted(store, arrival(f"call-{n}"))
        assert store.effort.checkpoints == 0
        assert await store.writer.run(itself) is not old
        assert (await store.summary()).events == 20


async def test_a_start_leaves_the_log_of_a_crash_empty(path: Path) -> None:
    """What was purged before the crash may be in it."""
    async with opened(path) as store:
        await accepted(store, arrival())
        copy = path.parent.with_name("copy")
        shutil.copytree(path.parent, copy)
    assert (copy / "aftercall.db-wal").stat().st_size > 0
    async with opened(copy / "aftercall.db") as store:
        assert (copy / "aftercall.db-wal").stat().st_size == 0
        assert (await store.summary()).events == 1


async def test_closing_leaves_one_file_with_everything_in_it(path: Path) -> None:
    async with opened(path) as store:
        await accepted(store, arrival())
    assert not path.with_name("aftercall.db-wal").exists()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchone()[0] == 1


# --- opening ---


async def test_an_opening_that_is_cancelled_lets_the_folder_go(path: Path) -> None:
    async def use() -> None:
        async with opened(path):
            await asyncio.get_running_loop().create_future()

    for turns in range(5):
        task = asyncio.create_task(use())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    async with opened(path) as store:
        await accepted(store, arrival())


async def test_leaving_by_an_error_closes_the_store(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with opened(path):
            raise ZeroDivisionError
    async with opened(path):
        pass


async def test_a_draft_that_a_crash_left_is_no_obstacle(path: Path) -> None:
    folder.make(path.parent)
    for name in ("aftercall.db.new", "seen.key.new"):
        path.with_name(name).write_bytes(b"half")
    async with opened(path) as store:
        await accepted(store, arrival(owed=(Owed("screen"),)))
    assert sorted(file.name for file in path.parent.iterdir()) == ["aftercall.db", "lock", "seen.key"]
    assert len(path.with_name("seen.key").read_bytes()) == 32


def test_of_many_that_create_a_file_one_does(tmp_path: Path) -> None:
    path, together = tmp_path / "file", threading.Barrier(8)

    def create(content: bytes) -> bytes | None:
        together.wait()
        try:
            folder.create(path, content)
        except FileExistsError:
            return None
        return content

    for _ in range(50):
        with ThreadPoolExecutor(8) as threads:
            made = [one for one in threads.map(create, (b"%d" % n * 99 for n in range(8))) if one is not None]
        assert made == [path.read_bytes()]
        assert list(tmp_path.iterdir()) == [path]
        path.unlink()


def test_a_file_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileExistsError):
        folder.create(tmp_path / "file", b"new")
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]
