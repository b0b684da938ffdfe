"""The pictures of docs/sinks/pictures/, made from what the sinks really send. `make pictures` runs it.

Each kind delivers the sample call to a far side on this machine; `viewers` shows what has arrived; a headless Chromium
makes a picture of that. A picture carries the hash of the page that it shows, so that a test finds the old ones.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, Final, Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

import viewers
from browser import NoBrowserError, browser
from png import label_of, small
from router import SinkConfig
from router.registry import load_kinds
from router.testing import Answer, FakeEndpoint, ManualClock, make_delivery, sink_context

Language = Literal["de", "en"]

PICTURES: Final = Path(__file__).parent / "sinks" / "pictures"
#: Five seconds after the sample call came in.
NOW: Final = datetime(2026, 3, 10, 8, 20, 26, tzinfo=UTC)
DELIVERY: Final = make_delivery(routes=("Rechnungen an den Vertrieb",))
#: A chat, a phone.
_WIDE, _NARROW = 640, 400


@dataclass(frozen=True, slots=True)
class Picture:
    """A page, and how it is looked at."""

    name: str
    html: str
    width: int = _WIDE
    scheme: Literal["light", "dark"] = "light"

    @property
    def digest(self) -> str:
        """What the page says, in short: two pictures of the same page have the same."""
        return hashlib.sha256(f"{self.width} {self.scheme} {self.html}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Posted:
    """A kind that posts to a URL: the options that it needs besides, and what its far side answers."""

    #: Which option names the far side.
    where: str = "url"
    path: str = "/calls"
    options: Mapping[str, Any] = field(default_factory=dict)
    answer: bytes = b""
    width: int = _WIDE


SECRET = "whsec_" + "A" * 43 + "="
POSTED: Final = {
    "webhook": Posted(options={"body": "event", "secret": SECRET, "send": ["headline", "summary", "action_items"]}),
    "slack": Posted(answer=b"ok"),
    "teams": Posted(),
    "mattermost": Posted(path="/hooks/abc", answer=b"ok"),
    "discord": Posted(path="/api/webhooks/1/token", answer=b'{"id": "1"}'),
    "telegram": Posted(
        where="api",
        path="",
        options={"token": "123456:" + "A" * 35, "chat": "-1001"},
        answer=b'{"ok": true, "result": {"message_id": 1}}',
        width=_NARROW,
    ),
    "ntfy": Posted(where="server", path="", options={"topic": "anrufe"}, answer=b'{"id": "1"}', width=_NARROW),
}


async def pictures(kinds: Mapping[str, type[SinkConfig]], language: Language = "de") -> AsyncIterator[Picture]:
    """All that docs/sinks/ shows. Raises KeyError for a kind that nobody has taught it."""
    with tempfile.TemporaryDirectory() as folder:
        for kind, config in kinds.items():
            setting = Setting(kind, config, Path(folder), language)
            match kind:
                case "console":
                    yield await _console(setting)
                case "file":
                    yield await _file(setting)
                case "email":
                    html = await _mail(setting)
                    yield Picture("email", html, 800)
                    yield Picture("email-dark", html, 800, "dark")
                    yield Picture("email-phone", html, 390)
                    yield Picture("email-phone-dark", html, 390, "dark")
                case "apprise":
                    yield await _apprise(setting)
                case _:
                    yield await _posted(setting, POSTED[kind])


@dataclass(frozen=True, slots=True)
class Setting:
    """One kind, and where it works."""

    kind: str
    config: type[SinkConfig]
    folder: Path
    language: Language

    async def deliver(self, **options: Any) -> str | None:
        """The sample call, by a sink with these options; its remote id."""
        config = self.config.model_validate({"kind": self.kind, **options})
        async with config.open(sink_context(self.folder, clock=ManualClock(NOW), language=self.language)) as sink:
            return await sink.deliver(DELIVERY)


async def _posted(setting: Setting, about: Posted) -> Picture:
    async with FakeEndpoint() as endpoint:
        endpoint.answer(Answer(body=about.answer, headers={"Content-Type": "application/json"}))
        where = {about.where: endpoint.url(about.path)}
        await setting.deliver(allow_networks=["127.0.0.0/8"], **where, **about.options)
        (request,) = endpoint.requests
    return Picture(setting.kind, viewers.VIEWERS[setting.kind](request), about.width)


async def _apprise(setting: Setting) -> Picture:
    """As one of its services that we can be ourselves."""
    async with FakeEndpoint() as endpoint:
        await setting.deliver(url=endpoint.url("/calls").replace("http://", "json://"))
        (request,) = endpoint.requests
    return Picture("apprise", viewers.apprise(request), _NARROW)


class _Mailbox:
    """Takes mail, for aiosmtpd."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - its name
        """Keep it."""
        self.mails.append(envelope.original_content or b"")
        return "250 OK"


async def _mail(setting: Setting) -> str:
    """The HTML of the mail, as a mail program finds it."""
    mailbox = _Mailbox()
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        sender = {"from": "anrufe@example.com"}
        await setting.deliver(server=f"smtp://{host}:{port}", tls="none", to="du@example.com", **sender)
    (mail,) = mailbox.mails
    html = message_from_bytes(mail, policy=policy.default).get_body(("html",))
    assert html is not None  # noqa: S101 - the sink writes one
    return str(html.get_content())


async def _console(setting: Setting) -> Picture:
    with redirect_stdout(io.StringIO()) as said:
        await setting.deliver()
    return Picture("console", viewers.console(said.getvalue()), 800)


async def _file(setting: Setting) -> Picture:
    path = await setting.deliver(root="archive", format="markdown")
    assert path is not None  # noqa: S101 - a file's remote id is its path
    return Picture("file", viewers.markdown_file(path, (setting.folder / "archive" / path).read_text(encoding="utf-8")))


def made(picture: Picture, folder: Path = PICTURES) -> bool:
    """Whether there is a picture of this very page."""
    file = folder / f"{picture.name}.png"
    return file.exists() and label_of(file.read_bytes()) == picture.digest


async def main(folder: Path, language: Language) -> None:
    """Make those that are missing or old."""
    kinds = {name: kind.config for name, kind in load_kinds(environ={}).items()}
    shown = [picture async for picture in pictures(kinds, language)]
    old = [picture for picture in shown if not made(picture, folder)]
    if not old:
        return
    async with browser() as page:
        for picture in old:
            png = small(await page.picture(picture.html, width=picture.width, scheme=picture.scheme), picture.digest)
            (folder / f"{picture.name}.png").write_bytes(png)
            sys.stdout.write(f"{picture.name}.png is new ({len(png) // 1000} kB)\n")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="Make the pictures of docs/sinks/ that are missing or old.")
    arguments.add_argument("--into", type=Path, default=PICTURES, metavar="FOLDER", help="just to look at them")
    arguments.add_argument("--language", choices=("de", "en"), default="de")
    given = arguments.parse_args()
    try:
        asyncio.run(main(given.into, given.language))
    except NoBrowserError as error:
        sys.exit(f"no pictures were made: {error}")
