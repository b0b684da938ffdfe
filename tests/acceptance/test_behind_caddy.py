"""The Caddyfile of `deploy/`: a real Caddy in front of a real router."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from process import TOKEN, RouterProcess, bundle, free_port

CADDYFILE = Path(__file__).parents[2] / "deploy" / "Caddyfile"

CADDY = Path(sys.executable).with_name("caddy")


@asynccontextmanager
async def caddy(folder: Path, upstream: int, patience: str = "30s") -> AsyncIterator[str]:
    """Its address; what it says is in `folder`."""
    port = free_port()
    environ = {
        **os.environ,
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "caddy"),
        "XDG_CONFIG_HOME": str(folder / "caddy"),
        "CADDY_ADMIN": f"127.0.0.1:{free_port()}",
        "AFTERCALL_HOST": f"http://127.0.0.1:{port}",
        "AFTERCALL_PATIENCE": patience,
        "AFTERCALL_UPSTREAM": f"127.0.0.1:{upstream}",
    }
    with (folder / "caddy.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            str(CADDY), "run", "--config", str(CADDYFILE), "--adapter", "caddyfile", env=environ, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        async with asyncio.timeout(30), aiohttp.ClientSession() as client:
            while True:
                assert process.returncode is None, (folder / "caddy.log").read_text()
                try:
                    async with client.get(url):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
        yield url
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_a_call_waits_while_the_router_restarts_and_no_log_has_the_token(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    router.configure("sinks: {screen: {kind: console}}\nalways: screen\n")

    async def post(call_id: str) -> int:
        async with client.post(f"{url}/in/sipgate/{TOKEN}?x={TOKEN}", data=bundle(call_id)) as answer:
            return answer.status

    async with router.running(), caddy(tmp_path, router.ingest) as url, aiohttp.ClientSession() as client:
        assert await post("before") == 202
        assert await router.stop() == 0
        waiting = asyncio.create_task(post("meanwhile"))
        await router.start()
        assert await waiting == 202
        assert (await router.summary())["events"] == 2
        for path in ("/", "/healthz", "/metrics", "/api/v1/summary"):
            async with client.get(url + path) as answer:
                assert (answer.status, await answer.read()) == (404, b"")
    # Where nobody comes back, Caddy says so in a line of its own.
    async with caddy(tmp_path, free_port(), "200ms") as url, aiohttp.ClientSession() as client:
        assert await post("too late") == 502
    lines = [json.loads(line) for line in (tmp_path / "caddy.log").read_text().splitlines() if line.startswith("{")]
    shown = {(line["logger"].rpartition(".")[0], line["request"]["uri"]) for line in lines if "request" in line}
    assert {("http.log.access", "/in/sipgate/-"), ("http.log.error", "/in/sipgate/-")} <= shown
    assert TOKEN not in (tmp_path / "caddy.log").read_text()
