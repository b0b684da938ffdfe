"""Starting and stopping a whole router: what is in the way gets a message that helps."""

from __future__ import annotations

import asyncio
import os
import socket
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
