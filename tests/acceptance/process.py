"""A real router in a process of its own, real receivers, and a sender that remembers what it was promised."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from ports import free_port

TOKEN = "acceptance-token-0123456789"

#: A router is started very often in here: a fifth of that is spent on compiling our modules where that is not kept.
_CHILDREN = {"PYTHONWARNINGS": "error", "PYTHONDONTWRITEBYTECODE": ""}


@dataclass
class Receiver:
    """An HTTP server that writes down what it gets, and answers as it is told."""

    port: int = 0
    status: int = 200
    #: Call ids, and how often each came.
    calls: Counter[str] = field(default_factory=Counter)
    #: The keys that each call came with.
    keys: dict[str, set[str]] = field(default_factory=dict)
    hanging: asyncio.Event | None = None
    #: Whether what comes is a call as it was received.
    reads_calls: bool = True
    bodies: list[bytes] = field(default_factory=list)

    async def _handle(self, request: web.Request) -> web.Response:
        data = await request.read()
        if self.hanging is not None:
            await self.hanging.wait()
        if not self.reads_calls:
            self.bodies.append(data)
        elif self.status == 200:
            call_id = json.loads(data)["call"]["id"]
            self.calls[call_id] += 1
            self.keys.setdefault(call_id, set()).add(request.headers["webhook-id"])
        return web.Response(status=self.status)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Receiver]:
        app = web.Application()
        app.router.add_post("/", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            if self.hanging is not None:
                self.hanging.set()
            await runner.cleanup()

    @property
    def sink(self) -> str:
        """A webhook sink of routes.yaml that posts to it."""
        return f'{{kind: webhook, url: "http://127.0.0.1:{self.port}/", allow_networks: [127.0.0.0/8]}}'


@dataclass
class RouterProcess:
    """`aftercall serve` on a folder; may be killed and started again."""

    folder: Path
    ingest: int = field(default_factory=free_port)
    admin: int = field(default_factory=free_port)
    environ: dict[str, str] = field(default_factory=dict)
    #: What starts it: a command that ends with running what comes after it.
    before: tuple[str, ...] = ()
    #: Where its log goes; None: into its folder.
    log: Path | None = None
    process: asyncio.subprocess.Process | None = None

    def configure(self, text: str) -> None:
        """Write routes.yaml: listeners, one source, and this."""
        head = (
            f'server: {{listen: "127.0.0.1:{self.ingest}"}}\nadmin: {{listen: "127.0.0.1:{self.admin}"}}\n'
            f"sources: {{sipgate: {{token: {TOKEN}}}}}\n"
        )
        (self.folder / "routes.yaml").write_text(head + text, encoding="utf-8")

    async def launch(self) -> asyncio.subprocess.Process:
        """Only begun; it may end at any moment."""
        with (self.log or self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.before, sys.executable, "-m", "router", "serve", "-c", str(self.folder / "routes.yaml"), "--log", "json",
                stdout=log, stderr=log, cwd=self.folder, env={**os.environ, **_CHILDREN, **self.environ},
            )  # fmt: skip
        return self.process

    async def start(self) -> None:
        """Until it answers that it is ready."""
        process = await self.launch()
        async with asyncio.timeout(120), aiohttp.ClientSession() as client:
            while True:
                assert process.returncode is None, (self.folder / "log").read_text()
                try:
                    async with client.get(f"http://127.0.0.1:{self.ingest}/readyz") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.02)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Stop it; its exit code."""
        assert self.process is not None
        self.process.send_signal(how)
        async with asyncio.timeout(120):
            return await self.process.wait()

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    async def asked(self, what: str) -> dict[str, Any]:
        """What the admin API says to that."""
        url = f"http://127.0.0.1:{self.admin}/api/v1/{what}"
        async with aiohttp.ClientSession() as client, client.get(url) as answer:
            found: dict[str, Any] = await answer.json()
            return found

    async def all(self, what: str) -> list[dict[str, Any]]:
        """All lines of one of its lists."""
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await self.asked(f"{what}?limit=500{after}")
            found += page["items"]
            if page["next"] is None:
                return found
            after = f"&after={page['next']}"

    async def lost(self) -> int:
        """How many claims ran out: what nobody settled or released, and that without a kill."""
        return sum(line["lost"] for line in await self.all("deliveries"))

    async def summary(self) -> dict[str, Any]:
        """The sums of its store."""
        return await self.asked("summary")

    async def lanes(self) -> dict[str, dict[str, Any]]:
        """Its lanes, by sink."""
        return {lane["sink"]: lane for lane in (await self.asked("lanes"))["items"]}

    async def settled(self, *, within: float = 60) -> dict[str, Any]:
        """The sums, once nothing is pending or claimed any more."""
        async with asyncio.timeout(within):
            while True:
                summary = await self.summary()
                if not summary["deliveries"]["pending"] + summary["deliveries"]["claimed"]:
                    return summary
                await asyncio.sleep(0.05)

    async def backup(self, file: Path) -> str:
        """`aftercall backup`, in a process of its own; what it said. It verifies what it copied, by SQLite's own check."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "router", "backup", str(file), "-c", str(self.folder / "routes.yaml"),
            cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        said, trouble = await process.communicate()
        assert process.returncode == 0, trouble.decode()
        return said.decode()

    @property
    def url(self) -> str:
        """Where calls are posted."""
        return f"http://127.0.0.1:{self.ingest}/in/sipgate/{TOKEN}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator[RouterProcess]:
        """Started, and stopped at the end if it still runs."""
        await self.start()
        try:
            yield self
        finally:
            if self.process is not None and self.process.returncode is None:
                self.process.kill()
                await self.process.wait()


def bundle(call_id: str) -> bytes:
    """A call as sipgate posts it."""
    call = {"id": call_id, "caller": "+4915228817386", "callee": "+493023125014", "direction": "inbound"}
    return json.dumps({"call": call, "channel": {"name": "Support"}, "summary": "Frage zur Rechnung " * 20}).encode()


@dataclass
class Sender:
    """Posts calls without a pause, and remembers which of them were answered 2xx."""

    url: str
    promised: set[str] = field(default_factory=set)
    posted: int = 0

    async def post(self, client: aiohttp.ClientSession) -> None:
        """One call; no answer is no promise."""
        self.posted += 1
        call_id = f"call-{self.posted}"
        try:
            async with client.post(self.url, data=bundle(call_id)) as answer:
                if answer.status in (200, 202):
                    self.promised.add(call_id)
        except (aiohttp.ClientError, ConnectionError):
            await asyncio.sleep(0.005)

    @asynccontextmanager
    async def under_load(self, clients: int = 8) -> AsyncIterator[None]:
        """So many clients post while the block runs."""
        done = False

        async def keep_posting(client: aiohttp.ClientSession) -> None:
            while not done:
                await self.post(client)

        async with aiohttp.ClientSession() as client, asyncio.TaskGroup() as group:
            for _ in range(clients):
                group.create_task(keep_posting(client))
            try:
                yield
            finally:
                done = True
