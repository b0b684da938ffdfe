"""`aftercall backup`: one file that becomes a data folder again, whole and verified, or no file at all."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import tarfile
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from router.app import running
from router.backup import Backup, back_up
from router.cli import cli
from router.config import Config, load
from router.errors import AftercallError
from router.store.sqlite import copying
from router.store.values import Accepted, Duplicate
from support import body, unpack
from usage import use

FILE = """
sources: {s: {}, written: {token: 0123456789abcdefghijklmn}}
server: {listen: "127.0.0.1:0"}
admin: {listen: "127.0.0.1:0"}
sinks: {one: {kind: file, root: one}}
always: [one]
"""


def configured(folder: Path, text: str = FILE) -> Config:
    folder.mkdir(exist_ok=True)
    (folder / "routes.yaml").write_text(text, encoding="utf-8")
    return load(folder / "routes.yaml", {})


@pytest.fixture
async def used(tmp_path: Path) -> Config:
    """A router that has stopped: two calls, one of them owed, and a body that nobody could read."""
    config = configured(tmp_path)
    await use(config)
    return config


def unpacked(backup: Backup, data: Path) -> None:
    data.mkdir(mode=0o700)
    unpack(backup.file, data)


async def test_what_is_unpacked_is_the_same_router_again(used: Config, tmp_path: Path) -> None:
    backup = back_up(used, tmp_path / "backup.tar")
    assert backup.members == ("aftercall.db", "seen.key", "token-s")
    new = configured(tmp_path / "new")
    unpacked(backup, new.data)
    assert (new.data / "token-s").read_text() == (used.data / "token-s").read_text()
    async with running(new, hold=True) as router:
        assert await router.store.summary() == backup.summary
        assert (backup.summary.events, backup.summary.quarantined) == (2, 1)
        assert (backup.summary.deliveries["delivered"], backup.summary.deliveries["pending"]) == (1, 1)
        assert router.lanes["one"].row.state == "paused"
        assert isinstance(await router.inbox.accept("s", body("first")), Duplicate)
        assert isinstance(await router.inbox.accept("s", body("third")), Accepted)


async def test_it_is_one_snapshot_beside_a_router_that_goes_on(tmp_path: Path) -> None:
    config = configured(tmp_path)
    async with running(config) as router:
        await router.inbox.accept("s", body("before"))
        backup = back_up(config, tmp_path / "backup.tar")
        assert isinstance(await router.inbox.accept("s", body("after")), Accepted)
        assert backup.summary.events == 1
        assert (await router.store.summary()).events == 2
        assert not await router.housekeeping.purge()  # nothing of it is in the way of a checkpoint


async def test_nobody_else_may_read_it_and_nothing_is_left_beside_it(used: Config, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    old = os.umask(0)
    try:
        backup = back_up(used, folder / "backup.tar")
    finally:
        os.umask(old)
    assert stat.S_IMODE(backup.file.stat().st_mode) == 0o600
    assert list(folder.iterdir()) == [backup.file]
    with tarfile.open(backup.file) as tar:
        assert {member.mode for member in tar.getmembers()} == {0o600}


async def test_what_was_purged_is_not_in_it(used: Config, tmp_path: Path) -> None:
    with closing(sqlite3.connect(used.database)) as other:
        other.execute("PRAGMA secure_delete = OFF")
        other.execute("CREATE TABLE gone (x)")
        other.execute("INSERT INTO gone VALUES ('purged-words')")
        other.commit()
        other.execute("DROP TABLE gone")
        other.commit()
    assert b"purged-words" in used.database.read_bytes()
    assert b"purged-words" not in back_up(used, tmp_path / "backup.tar").file.read_bytes()


# --- what it refuses, leaving nothing behind ---


def refused(config: Config, folder: Path, match: str) -> None:
    folder.mkdir(exist_ok=True)
    before = list(folder.iterdir())
    with pytest.raises(AftercallError, match=match):
        back_up(config, folder / "backup.tar")
    assert list(folder.iterdir()) == before


async def test_a_file_that_is_there_stays_as_it_is(used: Config, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    (tmp_path / "to" / "backup.tar").write_text("another")
    refused(used, tmp_path / "to", "backup.tar is there already, and stays as it is")
    assert (tmp_path / "to" / "backup.tar").read_text() == "another"


async def test_a_key_that_is_not_the_databases_is_no_backup(used: Config, tmp_path: Path) -> None:
    (used.data / "seen.key").write_bytes(b"x" * 32)
    refused(used, tmp_path / "to", r"seen\.key is not the key")
    (used.data / "seen.key").unlink()
    refused(used, tmp_path / "to", r"seen\.key: No such file")


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE delivery_totals SET n = n + 1 WHERE state = 'pending'",
        "DELETE FROM delivery_totals",
        "UPDATE event_totals SET n = n - 1 WHERE routed = 'routed'",
        "UPDATE totals SET n = 7 WHERE name = 'quarantined'",
    ],
)
async def test_sums_that_do_not_hold_are_no_backup(used: Config, tmp_path: Path, damage: str) -> None:
    with closing(sqlite3.connect(used.database)) as other:
        other.execute(damage)
        other.commit()
    refused(used, tmp_path / "to", "the sums of the copy do not hold")


async def test_rows_that_belong_to_none_are_no_backup(used: Config, tmp_path: Path) -> None:
    with closing(sqlite3.connect(used.database)) as other:
        other.execute("INSERT INTO attempts (delivery_id, attempt, ended_at, outcome) VALUES ('none', 1, 0, 'lost')")
        other.commit()
    refused(used, tmp_path / "to", "the references of the copy do not hold")


async def test_a_damaged_database_is_no_backup(used: Config, tmp_path: Path) -> None:
    content = bytearray(used.database.read_bytes())
    content[4096 * 4 : 4096 * 8] = b"\xff" * 4096 * 4
    used.database.write_bytes(content)
    refused(used, tmp_path / "to", "was not written: .*damaged")


async def test_a_database_of_another_version_is_left_to_its_own_program(used: Config, tmp_path: Path) -> None:
    with closing(sqlite3.connect(used.database)) as other:
        other.execute("PRAGMA user_version = 0")
        other.commit()
        refused(used, tmp_path / "to", "has version 0, and this aftercall writes version .*the aftercall that wrote it")


def test_without_a_database_there_is_nothing_to_back_up(tmp_path: Path) -> None:
    refused(
        configured(tmp_path / "never"), tmp_path / "to", r"there is no database .*aftercall\.db: no router ever ran"
    )


async def test_too_little_room_is_said_before_anything_is_written(
    used: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "size", lambda _: 2**60)
    refused(used, tmp_path / "to", "2199023255553 MiB are needed there for the time being, and .* MiB are free")


_ON_A_SMALL_DISK = """
import os, sys
from pathlib import Path
from router.backup import back_up
from router.config import load
from router.errors import AftercallError
from router.store.sqlite import copying
copying.size = lambda _: -(2**30)  # as if the disk had filled up meanwhile
disk = Path(sys.argv[2])
try:
    back_up(load(Path(sys.argv[1]), {}), disk / "backup.tar")
except AftercallError as error:
    print(error)
print(os.listdir(disk))
"""


@pytest.mark.parametrize(("room", "reason"), [(1.5, "the disk is full"), (2.5, "No space left on device")])
async def test_a_disk_that_fills_up_leaves_no_file_and_a_message(tmp_path: Path, room: float, reason: str) -> None:
    """During the copy, and during the tar."""
    config = configured(tmp_path)
    async with running(config) as router:
        for number in range(16):
            await router.inbox.accept("s", body(f"c-{number}", pad=os.urandom(50_000).hex()))
    size = config.database.stat().st_size
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = f"mount -t tmpfs -o size={int((room - 1) * size)} tmpfs {disk}"
    done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
         f'{mount} && exec {sys.executable} -c "$SCRIPT" {tmp_path}/routes.yaml {disk}'],
        env={**os.environ, "SCRIPT": _ON_A_SMALL_DISK}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    message, left = done.stdout.splitlines()
    assert message.startswith(f"{disk}/backup.tar was not written: ")
    assert reason in message
    assert left == "[]"


# --- the command ---


async def test_the_command_says_what_is_in_it(used: Config, tmp_path: Path) -> None:
    done = CliRunner().invoke(cli, ["backup", str(tmp_path / "b.tar"), "-c", str(used.file)])
    assert done.exit_code == 0, done.output
    assert "verified it: 2 events, 1 quarantined, 1 deliveries owed, 0 dead" in done.output
    assert "in it: aftercall.db, seen.key, token-s." in done.output
    again = CliRunner().invoke(cli, ["backup", str(tmp_path / "b.tar"), "-c", str(used.file)])
    assert isinstance(again.exception, AftercallError)
