"""The far sides of the proofs: real servers and a folder that write down what came, under which key, and its digest."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path

from aiohttp import web

from invariants import Arrival
from mailserver import Mail, PostOffice


def _arrival(sink: str, key: str, content: bytes) -> Arrival:
    return Arrival(sink, key, json.loads(content)["call"]["id"], hashlib.sha256(content).hexdigest())


@dataclass
class Web:
    """An HTTP server."""

    #: Seconds that it takes to answer, at most: so that there is something in flight whenever the router is killed.
    slowness: float = 0.0
    dice: random.Random = field(default_factory=random.Random)
    arrived: list[Arrival] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Web]:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        self.port = runner.addresses[0][1]
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.Response:
        self.arrived.append(_arrival("web", request.headers["webhook-id"], await request.read()))
        await asyncio.sleep(self.dice.uniform(0, self.slowness))
        return web.Response()

    @property
    def sink(self) -> str:
        return f'{{kind: webhook, url: "http://127.0.0.1:{self.port}/", allow_networks: [127.0.0.0/8], timeout: 10s}}'


@dataclass
class MailOffice:
    """A mail server. The call as it was received is attached to each mail, and read from there."""

    office: PostOffice = field(default_factory=lambda: PostOffice(implicit=False, login=False))
    _read: list[Arrival] = field(default_factory=list)

    @property
    def arrived(self) -> list[Arrival]:
        self._read += map(_in_mail, self.office.mails[len(self._read) :])
        return self._read

    @property
    def sink(self) -> str:
        return (
            f'{{kind: email, to: [chef@example.com], from: calls@example.com, server: "{self.office.url}", tls: none, '
            "attach: received, rate: 1000/s, concurrency: 4, timeout: 10s}"
        )


def _in_mail(mail: Mail) -> Arrival:
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(mail.content)
    (attached,) = message.iter_attachments()
    key, _, _ = str(message["Message-ID"]).strip("<>").partition("@")
    content = attached.get_content()
    assert isinstance(content, bytes)
    return _arrival("mail", key, content)


@dataclass
class Archive:
    """A folder with a file for each call; its path names the call, and its key is that of the store."""

    root: Path

    @property
    def sink(self) -> str:
        return f'{{kind: file, root: "{self.root}", path: "{{{{ event.channel.name }}}}/{{{{ event.call_id }}}}.json"}}'

    def files(self) -> dict[str, bytes]:
        """Everything that is there, drafts as well, by its path below the root."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def arrived(self, keys: dict[str, str]) -> list[Arrival]:
        """A file has no key; that of its path's delivery is given. What no delivery wrote has none."""
        return [_arrival("archive", keys.get(path, path), content) for path, content in self.files().items()]

    def has(self, channel: str, call: str) -> bool:
        return (self.root / channel / f"{call}.json").is_file()
