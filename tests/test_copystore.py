"""The command `aftercall copy-store`: what it is given, what it says, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from click.testing import CliRunner, Result

from router.app import running
from router.backup import back_up
from router.cli import cli
from router.config import Config, load
from router.errors import AftercallError, StoreInUse
from router.moved import Advance
from router.store.values import Accepted, Duplicate
from store_engines import Databases, place_of
from support import body, until_awaited
from usage import use

FILE = """
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
sources: {s: {token: 5d0c1f8e7b6a49d2a3f4c5b6d7e8f901}}
sinks: {one: {kind: file, root: one}}
always: [one]
"""


def configured(folder: Path, more: str = "", name: str = "routes.yaml") -> Config:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(FILE + more, encoding="utf-8")
    return load(folder / name, {})


@pytest.fixture
async def used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A router that has stopped, in the folder that commands run in: two calls, one of them owed, and a body that nobody could read."""
    monkeypatch.chdir(tmp_path)
    config = configured(tmp_path)
    await use(config)
    return config


async def run(*arguments: str | Path) -> Result:
    """The command, on a thread without a loop."""
    return await asyncio.to_thread(CliRunner().invoke, cli, ["copy-store", *map(str, arguments)])


async def test_by_urls_from_where_the_command_is_run(used: Config, tmp_path: Path) -> None:
    done = await run("sqlite:///data/aftercall.db", f"sqlite:///{tmp_path}/elsewhere/deep/calls.db")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == (
        f"copied sqlite:///{used.database} to sqlite:///{tmp_path}/elsewhere/deep/calls.db, and compared the two row by row:"
    )
    assert [line.split()[:2] for line in lines[1:10]] == [
        ["TABLE", "ROWS"], ["seen", "2"], ["events", "2"], ["deliveries", "2"], ["attempts", "1"], ["quarantine", "1"],
        ["lanes", "1"], ["memos", "2"], ["channels", "1"],
    ]  # fmt: skip
    assert (
        "received 3: 2 events, 0 duplicates, 1 quarantined, 0 purged; deliveries 2: 1 pending, 1 delivered"
        in done.stdout
    )
    assert "never start a router on it again" in done.stdout
    files = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "elsewhere" / "deep").iterdir()}
    assert files == {"calls.db": 0o600, "seen.key": 0o600, "lock": 0o600}
    new = configured(tmp_path, "store: sqlite:///elsewhere/deep/calls.db\n")
    async with running(new, hold=True) as router:
        assert isinstance(await router.inbox.accept("s", body("first")), Duplicate)
        assert isinstance(await router.inbox.accept("s", body("third")), Accepted)
        assert router.lanes["one"].row.state == "paused"


async def test_by_files_whose_password_is_nowhere_else(
    used: Config, tmp_path: Path, databases_of_stores: Databases
) -> None:
    """From SQLite to PostgreSQL, as docs/postgresql.md says it, and the router goes on there."""
    url = databases_of_stores.unmade()
    (tmp_path / "password").write_text(unquote(urlsplit(url).password or ""))
    more = f"store: {place_of(url).url}\nstore_password: ${{file:password}}\n"
    new = configured(tmp_path, more, "new.yaml")
    done = await run("routes.yaml", "new.yaml")
    assert done.exit_code == 0, done.output
    assert unquote(urlsplit(url).password or "") not in done.output
    async with running(new) as router:
        assert isinstance(await router.inbox.accept("s", body("first")), Duplicate)
        await router.lanes["one"].gate.resume()

        async def delivered() -> bool:
            return (await router.store.summary()).deliveries["delivered"] == 2

        await until_awaited(delivered)


async def test_a_store_that_is_in_use_is_left_alone(used: Config, tmp_path: Path) -> None:
    async with running(used):
        done = await run("routes.yaml", "sqlite:///new/aftercall.db")
        assert isinstance(done.exception, StoreInUse)
        assert "stop that router first" in str(done.exception)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("target", "said"),
    [
        (
            "postgresql://me:hidden@localhost/x",
            r"^TO has a password in it; write it as `store_password`.*name a routes\.yaml.*PGPASSWORD or ~/\.pgpass",
        ),
        ("mysql://hidden/x", r"^TO is no store; write sqlite:///.*; or name a routes\.yaml"),
        ("sqlite:///data/hidden.db", "are in one folder: a store has one of its own"),
        ("sqlite:///data/aftercall.db", "are in one folder: a store has one of its own"),
        (
            "nothing.yaml",
            r"^TO: there is no file nothing\.yaml: name a routes\.yaml that is there, or a store, like sql(?!.*init)",
        ),
        ("data/aftercall.db", r"^TO: data/aftercall\.db is a database, .* write sqlite:///data/aftercall\.db$"),
        ("data", r"^data: cannot be read as UTF-8 text: Is a directory"),
    ],
)
async def test_what_is_no_place_for_a_copy_is_refused_and_not_quoted(used: Config, target: str, said: str) -> None:
    done = await run("routes.yaml", target)
    assert isinstance(done.exception, AftercallError)
    assert re.search(said, str(done.exception)), done.exception
    assert ("hidden" in str(done.exception)) == ("hidden.db" in target)
    assert used.database.exists()


async def test_rows_that_were_left_end_it_with_3_and_are_named(
    used: Config, tmp_path: Path, databases_of_stores: Databases
) -> None:
    url = databases_of_stores.unmade()
    with closing(sqlite3.connect(used.database)) as other:
        other.execute("PRAGMA ignore_check_constraints = ON")
        other.execute("UPDATE quarantine SET id = 'another', body = x''")
        other.execute("UPDATE events SET rules = CAST(x'ff' AS TEXT) WHERE sequence = 1")
        other.commit()
    password = unquote(urlsplit(url).password or "")
    configured(tmp_path, f"store: {place_of(url).url}\nstore_password: {password}\n", "new.yaml")
    done = await run("routes.yaml", "new.yaml")
    assert done.exit_code == 3, done.output
    assert "NOT copied" in done.output
    assert "  ! quarantine another\n" in done.output
    assert "copied as they are, but damaged:\n  ! events 0" in done.output
    assert "before, that was: received 3: 2 events, 0 duplicates, 1 quarantined, 0 purged" in done.output


async def test_what_differs_ends_it_with_3(used: Config, tmp_path: Path) -> None:
    """As a process: killed when the events are there, one of them changed, and run again."""
    command = [sys.executable, "-m", "router", "copy-store", "routes.yaml", "sqlite:///new/aftercall.db"]
    environ = {**os.environ, "AFTERCALL_FAILPOINT": "in_copy:4:kill"}
    killed = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, check=False)  # noqa: ASYNC221 - nothing else runs
    assert killed.returncode == -signal.SIGKILL
    database = tmp_path / "new" / "aftercall.db"
    with closing(sqlite3.connect(database)) as other:
        assert other.execute("UPDATE events SET call_id = 'another' WHERE sequence = 1").rowcount == 1
        other.commit()
    with pytest.raises(AftercallError, match="not finished: run copy-store again, or remove it"):
        back_up(configured(tmp_path, "store: sqlite:///new/aftercall.db\n", "new.yaml"), tmp_path / "backup.tar")
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: ASYNC221 - as above
    assert ended.returncode == 3
    assert "events are not what was copied" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert used.database.exists()


async def test_an_unknown_failpoint_stops_it(used: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFTERCALL_FAILPOINT", "in_copie:kill")
    done = await run("routes.yaml", "sqlite:///new/aftercall.db")
    assert "in_copie:kill" in str(done.exception)
    assert used.database.exists()


# --- how far it is ---


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def test_elsewhere_than_on_a_terminal_it_says_a_line_now_and_then(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with Advance() as told:
        told("copied", "events", done=1, of=200)
        clock[0] += 10
        told("copied", "events", done=100, of=200)
        told("copied", "events", done=101, of=200)
        clock[0] += 10
        told("compared", "lanes", done=0, of=0)
    assert capsys.readouterr().err == "copied 100 of 200 events (50 %)\ncompared 0 of 0 lanes\n"


def test_on_a_terminal_one_line_changes_and_is_gone_in_the_end(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with Advance() as told:
        told("copied", "events", done=1, of=200)
        told("copied", "events", done=2, of=200)
        clock[0] += 0.3
        told("copied", "events", done=3, of=200)
    line = "\r\x1b[Kcopied 1 of 200 events (0 %)\r\x1b[Kcopied 3 of 200 events (1 %)\r\x1b[K"
    assert capsys.readouterr().err == line


def test_who_stops_it_is_told_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), Advance():
        raise KeyboardInterrupt
    assert capsys.readouterr().err == "stopped; the same copy-store goes on from here\n"
