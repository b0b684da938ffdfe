"""The Caddyfile of `deploy/`: a real Caddy in front of a real router."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from yarl import URL

from ports import free_port
from process import TOKEN, RouterProcess, bundle

CADDYFILE = Path(__file__).parents[2] / "deploy" / "Caddyfile"

CADDY = Path(sys.executable).with_name("caddy")


@asynccontextmanager
async def caddy(folder: Path, *upstreams: int, patience: str = "30s", health: str = "/healthz") -> AsyncIterator[str]:
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
        "AFTERCALL_UPSTREAM": " ".join(f"127.0.0.1:{port}" for port in upstreams),
        "AFTERCALL_HEALTH": health,
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
    async with caddy(tmp_path, free_port(), patience="200ms") as url, aiohttp.ClientSession() as client:
        refused = await post("too late")
        assert refused in (502, 503)  # where Caddy's own look came first
    shown = {(line["logger"].rpartition(".")[0], line["status"]) for line in lines(tmp_path) if "request" in line}
    assert {("http.log.access", 202), ("http.log.access", refused), ("http.log.error", refused)} <= shown
    assert {line["to"] for line in lines(tmp_path) if line.get("status") == 202} == {"router"}
    assert TOKEN not in (tmp_path / "caddy.log").read_text()


async def test_calls_go_to_the_router_that_can_store_them(tmp_path: Path) -> None:
    """One hangs, and one is killed: Caddy has the other, and nobody is answered that there is none."""
    routers = [RouterProcess(tmp_path / name) for name in ("one", "two")]
    for router in routers:
        router.folder.mkdir()
        router.configure("sinks: {screen: {kind: console}}\nalways: screen\n")
    one, two = routers

    async def post(call_id: str) -> int:
        async with client.post(f"{url}/in/sipgate/{TOKEN}", data=bundle(call_id)) as answer:
            return answer.status

    async def events(router: RouterProcess) -> int:
        return int((await router.summary())["events"])

    async with (
        one.running(),
        two.running(),
        caddy(tmp_path, one.ingest, two.ingest, health="/readyz") as url,
        aiohttp.ClientSession() as client,
    ):
        for number in range(20):
            assert await post(f"both-{number}") == 202
        shared = (await events(one), await events(two))
        assert sum(shared) == 20
        assert min(shared) > 0
        assert one.process is not None
        one.process.send_signal(signal.SIGSTOP)
        failed = {"msg": "HTTP request failed", "host": f"127.0.0.1:{one.ingest}"}.items()
        async with asyncio.timeout(60):  # Caddy looks twice before it believes it
            while sum(failed <= line.items() for line in lines(tmp_path) if "request" not in line) < 3:
                await asyncio.sleep(0.1)
        for number in range(20):
            assert await post(f"hanging-{number}") == 202
        assert await events(two) == shared[1] + 20
        one.process.send_signal(signal.SIGCONT)
        one.process.kill()
        await one.process.wait()
        for number in range(20):
            assert await post(f"killed-{number}") == 202
        assert await events(two) == shared[1] + 40


#: How a URL is pasted wrongly, or asked for by somebody who found half of it.
SHAPES = (
    f"/in/{TOKEN}",
    f"/in/{TOKEN}/",
    f"/in/{TOKEN}/sipgate",
    f"/in/sipgate/{TOKEN}/",
    f"/in/sipgate/{TOKEN}/?x",
    f"/in/sipgate?{TOKEN}",
    f"/in/sipgate//{TOKEN}",
    f"//in/sipgate/{TOKEN}",
    f"/in//sipgate/{TOKEN}",
    f"/./in/sipgate/{TOKEN}",
    f"/x/../in/sipgate/{TOKEN}",
    f"/In/sipgate/{TOKEN}",
    f"/IN/SIPGATE/{TOKEN}",
    f"/sipgate/{TOKEN}",
    f"/{TOKEN}",
    f"/?{TOKEN}",
    f"/in%2Fsipgate/{TOKEN}",
    f"/in%2Fsipgate%2F{TOKEN}",
    f"/in/sipgate%2f{TOKEN}",
    f"/in/%73ipgate/{TOKEN}",
    f"/in?{TOKEN}",
    f"/in;x/sipgate/{TOKEN}",
    f"/in/sipgate\\{TOKEN}",
    f"/https://calls.example.com/in/sipgate/{TOKEN}",
    f"/healthz/{TOKEN}",
)


async def test_no_log_has_the_token_however_its_url_is_written(tmp_path: Path) -> None:
    router = RouterProcess(tmp_path)
    router.configure("sinks: {screen: {kind: console}}\nalways: screen\n")
    repeated = {
        "Referer": f"https://calls.example.com/in/sipgate/{TOKEN}",
        "Authorization": f"Bearer {TOKEN}",
        "X-Original-URL": f"/in/sipgate/{TOKEN}",
        "Cookie": TOKEN,
        "User-Agent": TOKEN,
    }

    async def ask(client: aiohttp.ClientSession, at: str) -> None:
        for method in ("GET", "POST"):
            for shape in SHAPES:
                async with client.request(method, URL(at + shape, encoded=True), headers=repeated) as answer:
                    await answer.read()

    async with router.running(), caddy(tmp_path, router.ingest) as url, aiohttp.ClientSession() as client:
        await ask(client, url)
    # And in what Caddy says where there is no router.
    async with caddy(tmp_path, free_port(), patience="0s") as url, aiohttp.ClientSession() as client:
        await ask(client, url)
    said = lines(tmp_path)
    assert sum(line.get("logger", "").startswith("http.log.access") for line in said) >= 4 * len(SHAPES)
    assert sum(line.get("logger", "").startswith("http.log.error") for line in said) >= len(SHAPES)
    for text in ((tmp_path / "caddy.log").read_text(), (tmp_path / "log").read_text()):
        assert TOKEN.lower() not in text.lower()


def lines(folder: Path) -> list[dict[str, Any]]:
    """What Caddy said, but for what is no JSON."""
    text = (folder / "caddy.log").read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
