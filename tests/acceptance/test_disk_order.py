"""What a whole router has on its disk before it answers, and before it calls a delivery done, as strace saw it.

Nothing stands in for anything: what the router asked of its disk is read off the calls of its process, and then the power
goes: at the very moment at which each answer leaves, with nothing left but what was synced, and at any other moment.
"""

from __future__ import annotations

import asyncio
import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

import aiohttp
import pytest

from extent import SEED, dice, extent
from platter import Platter, lay
from process import RouterProcess, bundle
from router.delivery import DeliveryState
from router.store.base import Store
from router.store.sqlite import copying, open_store
from store_engines import every
from surface import Mark
from traced import command, platter

CUTS: Final = extent(10, 150)

_STORED: Final = re.compile(rb'"event": ?"([^"]+)", ?"revision"')
_KEPT: Final = re.compile(rb'"quarantined": ?"([^"]+)"')


def configure(router: RouterProcess) -> None:
    """One source, whose token is made, and an archive."""
    (router.folder / "routes.yaml").write_text(
        f'server: {{listen: "127.0.0.1:{router.ingest}"}}\nadmin: {{listen: "127.0.0.1:{router.admin}"}}\n'
        "data: new/data\nsources: {sipgate: {}}\nsinks:\n"
        '  archive: {kind: file, root: new/archive, path: "{{ event.direction }}/{{ event.call_id }}.json"}\n'
        "always: [archive]\n"
    )


async def traced_life(router: RouterProcess, number: int) -> Platter:
    """A start, calls, one that nobody can read, and a stop."""
    trace = router.folder / f"trace-{number}"
    before = contents(router.folder / "new")
    router.before = command(trace)
    async with router.running():
        token = (router.folder / "new/data/token-sipgate").read_text().strip()
        url = f"http://127.0.0.1:{router.ingest}/in/sipgate/{token}"
        async with aiohttp.ClientSession() as client:

            async def post(body: bytes) -> None:
                async with client.post(url, data=body) as answer:
                    assert answer.status == 202

            for n in range(4):
                await post(bundle(f"call-{number}-{n}"))
            await post(f"nobody can read {number}".encode())
            await asyncio.gather(*(post(bundle(f"call-{number}-{n}")) for n in range(4, 16)))
        await router.settled()
        assert await router.stop() == 0
    await ended(router, trace)
    return platter(trace, router.folder, {f"new/{path}": content for path, content in before.items()})


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


async def ended(router: RouterProcess, trace: Path) -> None:
    """Until the trace is whole; strace may end later than the router does."""
    assert router.process is not None
    last = re.compile(rf"^{router.process.pid} +\+\+\+ exited with ", re.MULTILINE)
    async with asyncio.timeout(30):
        while not last.search(trace.read_text("ascii"), max(0, trace.stat().st_size - 1000)):
            await asyncio.sleep(0.05)


def sent(step: object) -> bytes:
    """What left for somebody with this step."""
    return step.fact if isinstance(step, Mark) and isinstance(step.fact, bytes) else b""


def answers(platter: Platter) -> list[int]:
    """After how many steps an answer leaves that promises something."""
    steps = enumerate(map(sent, platter.steps), 1)
    return [number for number, text in steps if _STORED.search(text) or _KEPT.search(text)]


async def broken(folder: Path, said: bytes, token: bytes) -> list[str]:
    """Which promises what is left here does not keep, when this was said before."""
    data, found = folder / "new" / "data", []
    with suppress(FileNotFoundError):
        try:
            json.loads((data / "alarms.json").read_bytes())
        except ValueError:
            found.append("alarms.json is no JSON")
    if not said:
        return found
    with suppress(FileNotFoundError):
        if (data / "token-sipgate").read_bytes() == token:
            found += await not_kept(data, said)
            async with open_store(data / "aftercall.db", parse=json.loads) as store:
                found += await not_in_archive(store, folder / "new" / "archive")
            copying.verified(data / "aftercall.db")
            return found
    return [*found, "the token that is in the sender's URL is lost"]


async def not_kept(data: Path, said: bytes) -> list[str]:
    """What was promised, and is not there."""
    async with open_store(data / "aftercall.db", parse=json.loads) as store:
        events = {id_: await store.event(id_.decode()) for id_ in _STORED.findall(said)}
        bodies = {id_: await store.quarantined_body(id_.decode()) for id_ in _KEPT.findall(said)}
    return [f"{id_!r} is lost" for id_, kept in (events | bodies).items() if kept is None]


async def not_in_archive(store: Store, archive: Path) -> list[str]:
    """What counts as delivered, and is not there."""
    lines = await every(lambda after: store.deliveries(state=DeliveryState.DELIVERED, after=after))
    missing = []
    for line in lines:
        event = await store.event(line.event_id)
        assert event is not None
        file = archive / str(event.event.direction) / f"{event.event.call_id}.json"
        if not file.exists() or file.read_bytes() != event.body:
            missing.append(f"{file} counts as delivered and is not there")
    return missing


@pytest.mark.timeout(600)
@pytest.mark.case("DUR-04")
async def test_what_an_answer_promises_is_on_the_disk_when_the_answer_leaves(tmp_path: Path) -> None:
    chance = dice("order")
    (tmp_path / "router").mkdir()
    router = RouterProcess(tmp_path / "router")
    configure(router)
    told: dict[str, list[str]] = {}
    hasty: list[str] = []
    cuts = 0
    for life in range(2):
        disk = await traced_life(router, life)
        token = (router.folder / "new/data/token-sipgate").read_bytes()
        leaving = answers(disk)
        hasty += disk.hasty_names()
        assert len(leaving) == 17
        moments: list[tuple[int, str | None]] = [(number, "nothing") for number in leaving]
        moments += [(chance.randint(0, len(disk.steps)), None) for _ in range(CUTS)]
        for cut, mood in moments:
            folder = tmp_path / f"cut-{life}-{cuts}"
            lay(disk.after(cut, chance, mood), folder)
            if found := await broken(folder, b"".join(map(sent, disk.steps[:cut])), token):
                told[folder.name] = found
            cuts += 1
    assert hasty == []
    assert told == {}, f"AFTERCALL_SEED={SEED}, and what was left is in {tmp_path}"


@pytest.mark.timeout(600)
@pytest.mark.case("DUR-07")
async def test_an_fsync_that_fails_is_a_503_and_never_tried_again_on_the_same_descriptor(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    configure(router)
    trace = tmp_path / "trace"
    # Every third after the start, which takes about eight of its own.
    router.before = command(trace, "-e", "inject=fdatasync:error=EIO:when=20+3")
    answered: dict[str, tuple[int, str | None]] = {}
    async with router.running(), aiohttp.ClientSession() as client:
        token = (tmp_path / "new/data/token-sipgate").read_text().strip()
        url = f"http://127.0.0.1:{router.ingest}/in/sipgate/{token}"
        for n in range(40):
            async with client.post(url, data=bundle(f"call-{n}")) as answer:
                answered[f"call-{n}"] = answer.status, answer.headers.get("Retry-After")
        await router.stop()
    await ended(router, trace)
    disk = platter(trace, tmp_path, {})
    router.before = ()
    async with router.running(), aiohttp.ClientSession() as client:
        for name, (status, _) in answered.items():
            if status == 503:  # the sender's second try, of which there is only one event in the end
                async with client.post(url, data=bundle(name)) as answer:
                    assert answer.status in (200, 202)
        summary = await router.settled()
        assert await router.stop() == 0
    told = {(status, retry is not None) for status, retry in answered.values()}
    assert told == {(202, False), (503, True)}
    # The database is another matter: SQLite keeps its descriptor for the next connection, because closing it would drop
    # the locks of the others; but then the log is moved again, from its beginning, before that is synced.
    assert [path for path in disk.synced_again() if path.endswith("-wal")] == []
    assert summary["events"] == summary["deliveries"]["delivered"] == len(answered)
    async with open_store(tmp_path / "new/data/aftercall.db", parse=json.loads) as store:
        assert await not_in_archive(store, tmp_path / "new" / "archive") == []
    copying.verified(tmp_path / "new/data/aftercall.db")
