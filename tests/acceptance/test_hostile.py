"""A whole router among hostile senders, receivers and plugins."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import aiohttp
import pytest

from ports import free_port
from process import TOKEN, Receiver, RouterProcess

#: What no log, no figure and no error may hold: of the call, and of the configuration.
CANARIES = (
    TOKEN, "Kanarienvogel", "+4915228817386", "015228817386", "Bückling", "B\\u00fcckling", "geheim@example.com",
    "hunter2-password", "hunter2-path", "hunter2path", "hunter2-secret", "call-of-the-wild", "Sales-Kanal",
)  # fmt: skip

CALL = {
    "callHeadline": "Kanarienvogel entflogen",
    "summary": "Frau Bückling sucht ihren Kanarienvogel, geheim@example.com.",
    "call": {"id": "call-of-the-wild", "caller": "+4915228817386", "callee": "+493023125014", "direction": "inbound"},
    "channel": {"id": "c1", "name": "Sales-Kanal"},
}

PLUGIN = '''
"""A sink that quotes the call in whatever it does wrong."""
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal
from router import SinkConfig, hookimpl

class Loud(SinkConfig):
    """Quotes the call."""
    kind: Literal["loud"]
    how: str

    @asynccontextmanager
    async def open(self, context):
        yield Quoting(self.how, context)

class Quoting:
    def __init__(self, how, context):
        self.how, self.context = how, context

    async def deliver(self, delivery):
        said = f"{delivery.event.summary} {delivery.event.caller} {delivery.body!r}"
        logging.getLogger("some.library").error("failed for %s", said)
        if self.how == "raise":
            raise RuntimeError(said)
        return {"said": said}

@hookimpl
def register_sinks():
    return [Loud]
'''


@pytest.mark.case("LOG-01")
async def test_no_word_of_a_call_and_no_secret_is_in_the_log_or_the_figures(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(PLUGIN, encoding="utf-8")
    router = RouterProcess(tmp_path, environ={"PYTHONASYNCIODEBUG": "1"})
    nobody = free_port()
    inside = "allow_networks: [127.0.0.0/8], retry: {schedule: [0s, 0s]}"
    async with Receiver(status=500).listening() as failing, aiohttp.ClientSession() as client:
        router.configure(
            "plugins: [loud.py]\nsinks:\n"
            f'  a: {{kind: webhook, url: "http://127.0.0.1:{failing.port}/hunter2-path?x=hunter2-path", {inside}}}\n'
            f'  b: {{kind: webhook, url: "http://u:hunter2-password@127.0.0.1:{nobody}/hunter2-path", {inside}}}\n'
            f'  c: {{kind: mattermost, url: "http://127.0.0.1:{failing.port}/hooks/hunter2path", {inside}}}\n'
            f"  d: {{kind: email, to: [geheim@example.com], server: 'smtp://u@127.0.0.1:{nobody}', from: router@example.com, "
            "password: hunter2-password}\n"
            "  e: {kind: file, root: archive, path: '{{ event.channel.name }}/{{ event.summary }}'}\n"
            "  f: {kind: loud, how: raise, retry: {schedule: [0s, 0s]}}\n"
            "  g: {kind: loud, how: return, retry: {schedule: [0s, 0s]}}\n"
            "always: [a, b, c, d, e, f, g]\n"
        )
        async with router.running():
            whole = json.dumps(CALL, ensure_ascii=False).encode()
            for data in (whole, json.dumps(CALL).encode(), whole[:-9], b"\xff" + whole, whole * 2):
                async with client.post(router.url, data=data) as answer:
                    assert answer.status in (200, 202)
            async with client.post(f"{router.url}x", data=whole) as answer:
                assert answer.status == 404
            async with client.post(router.url, data=whole, headers={"Content-Encoding": "gzip"}) as answer:
                assert answer.status == 400
            _, writer = await asyncio.open_connection("127.0.0.1", router.ingest)
            writer.write(f"POST /in/sipgate/{TOKEN} NONSENSE\r\nX: Kanarienvogel\r\n\r\n".encode())
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            while len(await router.lanes()) < 7 or (await router.summary())["deliveries"]["dead"] < 4:
                await asyncio.sleep(0.05)
            said = []
            for path in ("metrics", "readyz", "api/v1/lanes"):
                async with client.get(f"http://127.0.0.1:{router.admin}/{path}") as answer:
                    said.append(await answer.text())
    said.append((tmp_path / "log").read_text(encoding="utf-8"))
    assert "delivery.attempted" in said[-1]
    assert "some.library" in said[-1]
    for canary in CANARIES:
        for text in said:
            found = text.find(canary)
            assert found < 0, text[max(0, found - 300) : found + 50]
