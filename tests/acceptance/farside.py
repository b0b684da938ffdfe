"""The far sides of the proofs: real servers and a folder that write down what came, under which key, and its digest."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Final

from aiohttp import web

import oracle
from extent import dice
from invariants import Arrival
from mailserver import PostOffice


def _arrival(sink: str, key: str, content: bytes) -> Arrival:
    return Arrival(sink, key, oracle.name(content), hashlib.sha256(content).hexdigest())


#: What a web server that fails says to a call of such a fate: the first time, or (`refused`) whenever it comes.
FAILS: Final = {"refused": 404, "broken": 500}
#: One that holds its lane up for a while; what goes elsewhere must not wait for that.
MOODY: Final = {"refused": 503, "broken": 503}
GREYLISTED: Final = "451 4.7.1 not now"
#: So that what failed, or what a lost router held, is tried again while the test lasts.
RETRY: Final = "retry: {schedule: [0s, 300ms, 300ms, 1s, 1s]}, timeout: 10s, revisions: send"


@dataclass
class Web:
    """An HTTP server."""

    name: str = "web"
    #: Seconds that it takes to answer, at most: so that there is something in flight whenever the router is killed.
    slowness: float = 0.0
    #: What it says to calls of such fates; and what it refused for good.
    fails: Mapping[str, int] = field(default_factory=dict)
    refused: set[tuple[str, str]] = field(default_factory=set)
    statuses: Counter[int] = field(default_factory=Counter)
    arrived: list[Arrival] = field(default_factory=list)
    _times: Counter[str] = field(default_factory=Counter)
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
        came = _arrival(self.name, request.headers["webhook-id"], await request.read())
        self.arrived.append(came)
        self._times[came.call] += 1
        times, status = self._times[came.call], self.fails.get(oracle.fate(came.call), 200)
        if status == FAILS["refused"]:
            self.refused.add((self.name, came.call))
        elif times > 1:
            status = 200
        await asyncio.sleep(dice(f"{self.name} {came.call} {times}").uniform(0, self.slowness))
        self.statuses[status] += 1
        return web.Response(status=status)

    @property
    def sink(self) -> str:
        return f'{{kind: webhook, url: "http://127.0.0.1:{self.port}/", allow_networks: [127.0.0.0/8], {RETRY}}}'


@dataclass
class MailOffice:
    """A mail server. The call as it was received is attached to each mail, and read from there."""

    #: Whether it takes no mail of some calls the first time.
    fails: bool = False
    office: PostOffice = field(default_factory=lambda: PostOffice(implicit=False, login=False))
    greylisted: set[str] = field(default_factory=set)
    _read: list[Arrival] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.office.judge = self._judge

    def _judge(self, content: bytes) -> str | None:
        call = _in_mail(content).call
        if not self.fails or not oracle.fate(call) or call in self.greylisted:
            return None
        self.greylisted.add(call)
        return GREYLISTED

    @property
    def arrived(self) -> list[Arrival]:
        self._read += (_in_mail(mail.content) for mail in self.office.mails[len(self._read) :])
        return self._read

    @property
    def sink(self) -> str:
        return (
            f'{{kind: email, to: [chef@example.com], from: calls@example.com, server: "{self.office.url}", tls: none, '
            f"attach: received, rate: 1000/s, concurrency: 4, {RETRY}}}"
        )


def _in_mail(mail: bytes) -> Arrival:
    message = BytesParser(EmailMessage, policy=policy.default).parsebytes(mail)
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
        return (
            f'{{kind: file, root: "{self.root}", revisions: send, '
            'path: "{{ event.channel.name }}/{{ event.call_id }}-{{ event.revision }}.json"}'
        )

    def files(self) -> dict[str, bytes]:
        """Everything that is there, drafts as well, by its path below the root."""
        found = (path for path in self.root.rglob("*") if path.is_file())
        return {str(path.relative_to(self.root)): path.read_bytes() for path in found}

    def arrived(self, keys: dict[str, str]) -> list[Arrival]:
        """A file has no key; that of its path's delivery is given, so that `one_key` says nothing of an archive.

        What no delivery wrote has its path for a key, and is heard of by that.
        """
        return [_arrival("archive", keys.get(path, path), content) for path, content in self.files().items()]

    def has(self, channel: str, call: str) -> bool:
        return (self.root / channel / file_name(call, 1)).is_file()


def file_name(call: str, revision: int) -> str:
    """In the archive."""
    return f"{call}-{revision}.json"
