"""Starting and stopping a whole router: what is in the way gets a message that helps."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from router.app import running
from router.config import load
from router.errors import ConfigError, StoreError, StoreInUse
from support import body

HEAD = 'sources: {s: {}}\nserver: {listen: "127.0.0.1:0"}\nadmin: {listen: "127.0.0.1:0"}\n'


def configured(folder: Path, text: str = "") -> Path:
    file = folder / "routes.yaml"
    file.write_text(HEAD + text, encoding="utf-8")
    return file


async def test_a_taken_port_is_named_with_its_key(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = configured(tmp_path)
        file.write_text(
            file.read_text().replace('server: {listen: "127.0.0.1:0"}', f'server: {{listen: "127.0.0.1:{port}"}}')
        )
        with pytest.raises(ConfigError, match=rf"server.listen: cannot listen on 127.0.0.1:{port}: .*another port"):
            async with running(load(file, {})):
                pass


async def test_a_second_router_on_the_same_folder_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    config = load(configured(tmp_path), {})
    async with running(config) as router:
        with pytest.raises(StoreInUse, match=str(os.getpid())):
            async with running(config):
                pass
        await router.inbox.accept("s", body())


async def test_an_unwritable_data_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises((ConfigError, StoreError), match="data"):
        async with running(load(configured(tmp_path), {})):
            pass


async def test_a_sink_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(ConfigError, match=r"routes.yaml: sinks.a: .*taken"):
        async with running(load(configured(tmp_path, "sinks: {a: {kind: file, root: taken}}\n"), {})):
            pass


async def test_everything_is_closed_at_the_end(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with running(load(configured(tmp_path, "sinks: {a: {kind: console}}\nalways: a\n"), {})) as router:
        await router.inbox.accept("s", body())
    assert asyncio.all_tasks() == before
    async with running(load(tmp_path / "routes.yaml", {})) as router:
        assert (await router.store.summary()).events == 1


_ON_A_SMALL_DISK = """
import asyncio, sys, pathlib
sys.path.insert(0, {tests!r})
from router.app import running
from router.config import load
import aiohttp
from support import body

async def main():
    folder = pathlib.Path({folder!r})
    ballast = folder / "data" / "ballast"
    async with running(load(folder / "routes.yaml", {{}})) as router, aiohttp.ClientSession() as client:
        token = (folder / "data" / "token-s").read_text().strip()
        url = f"http://{{router.ingest}}/in/s/{{token}}"
        kept = []
        for number in range(2000):
            async with client.post(url, data=body(f"c-{{number}}", pad="x" * 20_000)) as answer:
                if answer.status != 202:
                    break
                kept.append((await answer.json())["event"])
        assert answer.status == 503, answer.status
        assert answer.headers["Retry-After"] == "5"
        async with client.get(f"http://{{router.ingest}}/healthz") as healthy:
            assert healthy.status == 200
        ballast.unlink()
        for _ in range(100):
            async with client.post(url, data=body("after", pad="x" * 20_000)) as answer:
                if answer.status == 202:
                    kept.append((await answer.json())["event"])
                    break
            await asyncio.sleep(0.05)
        assert answer.status == 202, "it takes calls again when there is room"
        for event in kept:
            assert await router.store.event(event) is not None
        print("kept", len(kept))

asyncio.run(main())
"""


def test_a_full_disk_is_a_503_and_everything_promised_is_there(tmp_path: Path) -> None:
    """On a real file system of a few megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    configured(tmp_path)
    script = _ON_A_SMALL_DISK.format(tests=str(Path(__file__).parent), folder=str(disk))
    command = (
        f"mount -t tmpfs -o size=8m tmpfs {disk} && cp {tmp_path}/routes.yaml {disk}/ && mkdir -m 700 {disk}/data && "
        f'dd if=/dev/zero of={disk}/data/ballast bs=1M count=3 2>/dev/null && exec {sys.executable} -W error -c "$SCRIPT"'
    )
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", command],
        env={**os.environ, "SCRIPT": script}, capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "\nkept " in done.stdout


@pytest.mark.case("DUR-18")
async def test_a_data_folder_that_vanishes_is_a_503_and_no_new_empty_store(tmp_path: Path) -> None:
    """DUR-18."""
    config = load(configured(tmp_path), {})
    async with running(config) as router, aiohttp.ClientSession() as client:
        token = (tmp_path / "data" / "token-s").read_text().strip()
        (tmp_path / "data").rename(tmp_path / "gone")
        async with client.post(f"http://{router.ingest}/in/s/{token}", data=body()) as answer:
            assert answer.status == 503
        async with client.get(f"http://{router.ingest}/readyz") as answer:
            assert answer.status == 503
        assert not (tmp_path / "data").exists()
        (tmp_path / "gone").rename(tmp_path / "data")
