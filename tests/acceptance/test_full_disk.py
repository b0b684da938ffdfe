"""A disk that is full, and one that may not be written: calls are refused in time, and all else goes on."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest

from disks import Disk, failing_disk, small_disk
from extent import extent
from invariants import sums
from process import Receiver, RouterProcess

MIB = 2**20
SIZE = extent(12 * MIB, 64 * MIB)
#: As large as what is owed on such a disk needs it.
RESERVE = extent(2, 12)


async def eventually(true: Callable[[], Awaitable[bool]], *, within: float = 60) -> None:
    """Ask again and again, until it is so."""
    async with asyncio.timeout(within):
        while not await true():
            await asyncio.sleep(0.05)


@dataclass
class Calls:
    """Posts large calls one after the other, and remembers what was answered."""

    url: str
    kept: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    posted: int = 0

    async def post(self, client: aiohttp.ClientSession, size: int = 20_000) -> int:
        """One call; the status. A refusal says when to come again."""
        self.posted += 1
        call_id = f"call-{self.posted}"
        body = {"call": {"id": call_id, "direction": "inbound"}, "channel": {"name": "S"}, "summary": "x" * size}
        async with client.post(self.url, data=json.dumps(body)) as answer:
            assert answer.status in (202, 503), await answer.text()
            if answer.status == 503:
                assert int(answer.headers["Retry-After"]) > 0
            (self.kept if answer.status == 202 else self.refused).add(call_id)
            return answer.status

    async def until_refused(self, client: aiohttp.ClientSession) -> None:
        """Until a call is refused."""
        while await self.post(client) == 202:
            pass

    async def until_taken(self, client: aiohttp.ClientSession) -> None:
        """Until a call is taken in."""

        async def taken() -> bool:
            return await self.post(client) == 202

        await eventually(taken)


@dataclass
class OnADisk:
    """A router whose data folder lies on a small disk."""

    disk: Disk
    router: RouterProcess
    calls: Calls
    client: aiohttp.ClientSession

    def configure(self, sinks: str, always: str = "", keep: str = "", *, reserve: int = RESERVE) -> None:
        """Its sinks, which get every call; its data on the disk, with a reserve that fits it."""
        head = f"data: disk/data\nkeep: {{reserve: {reserve} MiB{keep}}}\n"
        self.router.configure(f"{head}sinks:\n{sinks}always: [{always}]\n")

    async def lanes(self, act: str, *sinks: str) -> None:
        """Pause or resume them."""
        for sink in sinks:
            url = f"http://127.0.0.1:{self.router.admin}/api/v1/lanes/{sink}/{act}"
            async with self.client.post(url) as answer:
                assert answer.status == 200, await answer.text()

    async def ready(self) -> tuple[int, int, list[str]]:
        """The statuses of both listeners, and what the one for admins says is wrong."""
        async with self.client.get(f"http://127.0.0.1:{self.router.ingest}/readyz") as answer:
            ingest, empty = answer.status, await answer.read()
        assert empty == b""
        async with self.client.get(f"http://127.0.0.1:{self.router.admin}/readyz") as answer:
            return ingest, answer.status, (await answer.json())["trouble"]

    async def is_ready(self) -> bool:
        """Whether both listeners say so; it may still be starting."""
        return await self._says(200)

    async def is_in_trouble(self) -> bool:
        """Whether both say so. An answer counts for two seconds."""
        return await self._says(503)

    async def _says(self, status: int) -> bool:
        try:
            return (await self.ready())[:2] == (status, status)
        except aiohttp.ClientError:
            return False

    async def figure(self, name: str) -> float:
        """One of the metrics."""
        async with self.client.get(f"http://127.0.0.1:{self.router.admin}/metrics") as answer:
            found = re.search(rf"^{re.escape(name)} (.+)$", await answer.text(), re.MULTILINE)
        assert found, name
        return float(found[1])

    async def alarms(self) -> set[str]:
        async with self.client.get(f"http://127.0.0.1:{self.router.admin}/api/v1/alarms") as answer:
            return {alarm["cause"] for alarm in (await answer.json())["items"]}

    def said(self) -> str:
        """Its log."""
        return (self.router.log or self.router.folder / "log").read_text()

    async def reserved(self, size: int = RESERVE * MIB) -> None:
        """Until the reserve lies on the disk."""
        file = self.disk.outside / "data" / "reserve"

        async def whole() -> bool:
            return file.exists() and file.stat().st_size == size

        await eventually(whole)


@asynccontextmanager
async def on_a_disk(folder: Path, size: int = SIZE) -> AsyncIterator[OnADisk]:
    """A router on a small disk, not started yet."""
    async with small_disk(folder / "disk", size) as disk, aiohttp.ClientSession() as client:
        router = RouterProcess(folder, before=disk.enter)
        yield OnADisk(disk, router, Calls(router.url), client)


@pytest.mark.timeout(300)
@pytest.mark.case("DUR-06")
async def test_dur_06_a_full_disk_takes_no_calls_and_what_was_taken_goes_out(tmp_path: Path) -> None:
    async with (
        Receiver().listening() as receiver,
        Receiver(status=404).listening() as refusing,
        on_a_disk(tmp_path) as on,
    ):
        on.configure(
            f"  far: {receiver.sink}\n  refusing: {refusing.sink}\nretry: {{schedule: [0s]}}\n", "far, refusing"
        )
        on.disk.fill(on.disk.size - 2 * RESERVE * MIB)
        async with on.router.running():
            await on.reserved()
            await on.lanes("pause", "far", "refusing")
            await on.calls.until_refused(on.client)
            assert on.disk.free > MIB, "refused while there is room, not when there is none"
            assert "SQLITE_FULL" not in on.said()
            await eventually(on.is_in_trouble)
            (why,) = (await on.ready())[2]
            assert re.search(
                rf"data: its disk is nearly full, .* {RESERVE} MiB \(keep\.reserve\): free some space", why
            )
            assert await on.figure("aftercall_ready") == 0

            on.disk.fill()  # somebody else takes the rest
            await on.lanes("resume", "far", "refusing")
            summary = await on.router.settled()
            assert await on.calls.post(on.client) == 503
            assert receiver.calls.keys() == on.calls.kept
            assert summary["deliveries"]["delivered"] == len(on.calls.kept) == summary["deliveries"]["dead"]
            assert summary["events"] == len(on.calls.kept), "of what was refused nothing is kept"
            assert await on.router.lost() == 0
            assert not list(sums(summary))
            assert await on.figure('aftercall_store_bytes{file="reserve"}') < RESERVE * MIB, "it lived from the reserve"
            assert await on.alarms() >= {"disk"}

            on.disk.hog.unlink()
            await on.reserved()
            await on.calls.until_taken(on.client)
            await eventually(on.is_ready)
            await on.router.settled()
            assert await on.router.stop() == 0
    assert receiver.calls.keys() == on.calls.kept
    assert all(len(keys) == 1 for keys in receiver.keys.values())
    assert not receiver.calls.keys() & on.calls.refused


@pytest.mark.timeout(300)
@pytest.mark.case("DUR-06")
async def test_dur_06_a_router_killed_on_a_full_disk_starts_on_it_and_a_purge_lets_calls_in_again(
    tmp_path: Path,
) -> None:
    async with Receiver().listening() as receiver, on_a_disk(tmp_path) as on:
        sink = f"  far: {receiver.sink}\n"
        on.configure(sink, "far")
        async with on.router.running():
            await on.reserved()
            await on.lanes("pause", "far")
            await on.calls.until_refused(on.client)
            on.disk.fill()
            await on.router.stop(signal.SIGKILL)

            await on.router.launch()
            await eventually(on.is_in_trouble)
            await on.lanes("resume", "far")
            await on.router.settled()
            assert receiver.calls.keys() == on.calls.kept
            assert await on.router.stop() == 0

            (on.disk.outside / "data" / "reserve").write_bytes(
                bytes(RESERVE * MIB)
            )  # else what it gave up is gone by now
            on.disk.fill()
            await on.router.launch()
            await eventually(on.is_in_trouble)  # it starts with nothing free at all
            assert await on.router.stop() == 0

            on.disk.hog.unlink()
            on.disk.fill(leave=RESERVE * MIB)  # nothing but a purge can make room
            on.configure(sink, "far", keep=", events: 1ms")
            await on.router.launch()
            await eventually(on.is_ready)
            before = set(on.calls.kept)
            for _ in range(100):  # more than there is room for besides the pages that the purge left
                await on.calls.until_taken(on.client)

            async def has_purged() -> bool:
                return int((await on.router.summary())["purged"]) >= len(before)

            await eventually(has_purged, within=100)  # what was in its way at the start, it tries again a minute later
            assert not list(sums(await on.router.settled()))
    assert receiver.calls.keys() == on.calls.kept


@pytest.mark.timeout(300)
async def test_without_any_reserve_left_what_happened_is_written_down_when_there_is_room(tmp_path: Path) -> None:
    """A hungry program takes what is given up. The log and the alarms have no room either; nothing of it costs a call."""
    async with Receiver().listening() as receiver, on_a_disk(tmp_path) as on:
        on.configure(f"  far: {receiver.sink}\n", "far")
        on.router.log = on.disk.outside / "log"
        async with on.router.running():
            await on.reserved()
            await on.lanes("pause", "far")
            for _ in range(20):  # so few that the log is not moved, and cannot be written over
                assert await on.calls.post(on.client) == 202
            file = on.disk.outside / "data" / "reserve"
            file.unlink()
            file.mkdir()  # nor is there a new one
            on.disk.fill()
            async with on.client.post(f"http://127.0.0.1:{on.router.admin}/api/v1/lanes/far/resume") as answer:
                full = answer.status == 503
            for _ in range(20):
                assert await on.calls.post(on.client) == 503
            on.disk.hog.unlink()
            await on.lanes("resume", "far")
            await on.calls.until_taken(on.client)
            await on.router.settled(within=120)  # longer than a claim lasts
            assert '"event": "log.lost"' in on.said()
            assert full, "the test has shown nothing"
            kept = on.disk.outside / "data" / "alarms.json"
            assert not kept.exists() or json.loads(kept.read_text()) is not None, "all of it or nothing"
            assert await on.router.stop() == 0
    assert receiver.calls.keys() == on.calls.kept


@pytest.mark.timeout(300)
async def test_what_sinks_said_while_nothing_could_be_written_is_not_forgotten(tmp_path: Path) -> None:
    said = asyncio.Event()
    async with Receiver(hanging=said).listening() as receiver, on_a_disk(tmp_path) as on:
        on.configure(f"  far: {receiver.sink}\n", "far")
        async with on.router.running():
            await on.reserved()
            for _ in range(3):
                assert await on.calls.post(on.client) == 202
            file = on.disk.outside / "data" / "reserve"
            file.unlink()
            file.mkdir()
            on.disk.fill()
            said.set()

            async def could_not_be_written() -> bool:
                return "lane.store_failed" in on.said()

            await eventually(could_not_be_written)
            on.disk.hog.unlink()
            await on.router.settled(within=120)  # longer than a claim lasts
            assert await on.router.lost() == 0, "what could not be written down was given up"
            assert await on.router.stop() == 0
    assert receiver.calls == dict.fromkeys(on.calls.kept, 1)


@pytest.mark.timeout(300)
async def test_an_archive_on_a_full_disk_waits_and_loses_nothing(tmp_path: Path) -> None:
    async with on_a_disk(tmp_path) as on:
        archive = on.disk.outside / "archive"
        on.configure("  archive: {kind: file, root: disk/archive, format: received}\n", "archive")
        on.disk.fill(on.disk.size - 2 * RESERVE * MIB)
        async with on.router.running():
            await on.reserved()
            await on.lanes("pause", "archive")
            await on.calls.until_refused(on.client)
            on.disk.fill()
            await on.lanes("resume", "archive")

            async def held() -> bool:
                return bool((await on.router.lanes())["archive"]["state"] == "probing")

            await eventually(held)
            assert "No space left on device" in (await on.router.lanes())["archive"]["reason"]
            on.disk.hog.unlink()
            summary = await on.router.settled(within=120)
            assert await on.router.lost() == 0
            assert await on.router.stop() == 0
        written = [json.loads(file.read_bytes())["call"]["id"] for file in archive.rglob("*") if file.is_file()]
    assert summary["deliveries"]["dead"] == 0
    assert sorted(written) == sorted(on.calls.kept), "each whole, once, and no drafts"


@pytest.mark.case("DUR-18")
async def test_dur_18_a_disk_that_turns_read_only_is_a_503_and_nothing_takes_its_place(tmp_path: Path) -> None:
    async with Receiver().listening() as receiver, failing_disk(tmp_path / "disk", 24 * MIB) as disk:
        router = RouterProcess(tmp_path, before=disk.enter)
        async with aiohttp.ClientSession() as client:
            on = OnADisk(disk, router, Calls(router.url), client)
            on.configure(f"  far: {receiver.sink}\n", "far", reserve=2)
            async with router.running():
                for _ in range(5):
                    assert await on.calls.post(client) == 202
                await router.settled()
                disk.turn_read_only()
                for _ in range(3):
                    assert await on.calls.post(client) == 503
                await eventually(on.is_in_trouble)
                await router.stop(signal.SIGKILL)
                await router.launch()
                assert router.process is not None
                assert await router.process.wait() == 1, "it does not start without its store"
                disk.mount_again()
                await router.start()
                assert (await router.settled())["deliveries"]["delivered"] == 5
                assert await on.calls.post(client) == 202
                await router.settled()
    assert receiver.calls.keys() == on.calls.kept


_MIGRATE = """
import asyncio, sqlite3, sys
from contextlib import closing
from pathlib import Path
from router.errors import StoreError
from router.store.migrations import Migration
from router.store.sqlite import open_store, schema

async def main(path):
    large = "; ".join("INSERT INTO more VALUES (randomblob(1000000))" for _ in range(8))
    new = schema.KNOWN[-1].version + 1
    schema.KNOWN += (Migration(new, "large", f"CREATE TABLE more (x); {large}; PRAGMA user_version = {new};"),)
    schema.migrate.__defaults__ = schema.refuse_newer.__defaults__ = (schema.KNOWN,)
    try:
        async with open_store(path, parse=lambda body: None, reserve=2**21) as store:
            print("events", (await store.summary()).events)
    except StoreError as error:
        print(error)
    with closing(sqlite3.connect(path)) as connection:
        print("version", connection.execute("PRAGMA user_version").fetchone()[0] - new)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.case("DUR-19")
async def test_dur_19_a_disk_that_fills_up_during_a_migration_leaves_the_old_version(tmp_path: Path) -> None:
    async with Receiver().listening() as receiver, on_a_disk(tmp_path, 24 * MIB) as on:
        on.configure(f"  far: {receiver.sink}\n", "far", reserve=2)
        async with on.router.running():
            await on.reserved(2 * MIB)
            for _ in range(5):
                assert await on.calls.post(on.client) == 202
            await on.router.settled()
            assert await on.router.stop() == 0

        async def migrate() -> list[str]:
            command = (*on.disk.enter, sys.executable, "-c", _MIGRATE, str(on.disk.inside / "data" / "aftercall.db"))
            child = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            said, _ = await child.communicate()
            return said.decode().splitlines()

        on.disk.fill(leave=MIB)
        error, version = await migrate()
        assert "the disk is full: free some space" in error
        assert version == "version -1"
        on.disk.hog.unlink()
        assert await migrate() == ["events 5", "version 0"]


_SETTLE = """
import asyncio, json, sys
from pathlib import Path
from router.delivery import Dead
from router.store.sqlite import open_store, reserve
from store_engines import accepted, arrival, at, settlement

reserve.FILL_EVERY = 0.0

async def main(folder):
    count, reason = 1200, "why not " * 40
    async with open_store(folder / "data" / "aftercall.db", parse=json.loads, reserve=2**22) as store:
        for n in range(count):
            await accepted(store, arrival(f"call-{n}", owed=("far",)))
        while store.reserve.left < 2**22:
            await store.check()
        claims = (await store.claim("far", limit=count, now=at(0), until=at(60))).claims
        with (folder / "hog").open("wb", buffering=0) as hog:
            try:
                while True:
                    hog.write(bytes(1000))
            except OSError:
                pass
        before = (await store.room()).database
        for claim in claims:
            assert await store.settle(claim, settlement(Dead(reason)))
        room = await store.room()
        dead = (await store.summary()).deliveries["dead"]
        print(json.dumps([dead, room.database > before, room.log <= 2**24, 0 < room.reserve < 2**22]))

asyncio.run(main(Path(sys.argv[1])))
"""


async def test_a_full_disk_is_no_end_to_what_can_be_settled(tmp_path: Path) -> None:
    """The log is moved into the database from the reserve, and then written over: it takes no more and more of it."""
    async with small_disk(tmp_path / "disk", 24 * MIB) as disk:
        child = await asyncio.create_subprocess_exec(
            *disk.enter, sys.executable, "-W", "error", "-c", _SETTLE, str(disk.inside), stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        )  # fmt: skip
        said, _ = await child.communicate()
    assert json.loads(said) == [1200, True, True, True]
