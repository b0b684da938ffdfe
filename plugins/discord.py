"""Sink `discord`: posts each call to a channel of Discord, by a webhook."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import model_validator

from router import (
    Alarm,
    Block,
    Delivery,
    Discreet,
    Document,
    HttpAnswer,
    HttpClient,
    HttpSinkConfig,
    HttpUrl,
    Markdown,
    MessageSinkConfig,
    Notice,
    Rate,
    Rejected,
    Sink,
    SinkConfig,
    SinkContext,
    Span,
    Style,
    Unavailable,
    Written,
    check_url,
    exact_json,
    fitted,
    hookimpl,
    host_of,
    plain_text,
    unconfirmed,
    utf16,
)

#: Of 2,000: what notifications show.
TITLE: Final = 300
#: Of 4,096, 2,048, and 6,000 in all: https://discord.com/developers/docs/resources/message#embed-object-embed-limits.
DESCRIPTION: Final = 4000
FOOTER: Final = 1024

_ADDRESS = re.compile(r"/api(/v\d+)?/webhooks/\d+/[\w-]+/?")

_NO_THREAD: Final = (
    "is no ID of a thread, which is a number like 1234567890123456789: with Developer Mode on (User Settings > Advanced), "
    "right-click the thread, then Copy Thread ID"
)


class DiscordConfig(MessageSinkConfig, HttpSinkConfig):
    """Posts each call to a channel of Discord."""

    carries_alarms: ClassVar[bool] = True

    kind: Literal["discord"]
    url: HttpUrl
    """The webhook's URL, from the settings of its channel."""
    thread_id: Annotated[str, Written("[0-9]{1,20}", _NO_THREAD)] | None = None
    """A thread of that channel, or a post of a forum, by its ID."""
    rate: Rate | None = Rate(30, timedelta(minutes=1))
    """How many attempts may begin in which time, like `30/m`; Discord takes 30 a minute for a channel."""

    @model_validator(mode="after")
    def _fits(self) -> DiscordConfig:
        check_url(self.url, self.allow_networks)
        if not _ADDRESS.fullmatch(urlsplit(self.url.get_secret_value()).path):
            message = "`url` is no webhook of Discord; it looks like https://discord.com/api/webhooks/123/token"
            raise Discreet(message)
        return self

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        async with self.client(context) as client:
            yield Discord(self, client, context)

    def recipient(self) -> str:
        """The host: the path holds a token."""
        return host_of(self.url)

    def address(self) -> str:
        """Where to post, so that the answer is the message."""
        url = urlsplit(self.url.get_secret_value())
        query = dict(parse_qsl(url.query)) | {"wait": "true"}
        if self.thread_id:
            query["thread_id"] = self.thread_id
        return url._replace(query=urlencode(query), fragment="").geturl()


class Discord:
    """One webhook."""

    def __init__(self, config: DiscordConfig, client: HttpClient, context: SinkContext) -> None:
        self._url = config.address()
        self._host = config.recipient()
        self._resume = f"then `aftercall resume {context.name}`"
        self._client = client
        self._writer = config.writer(context)

    async def deliver(self, delivery: Delivery) -> str | None:
        """Post it; the id of the message."""
        return await self._post(self._writer.write(delivery))

    async def alarm(self, alarm: Alarm) -> None:
        """Post it."""
        await self._post(self._writer.alarm(alarm))

    async def _post(self, notice: Notice) -> str | None:
        body = exact_json(_posted(notice))
        answer = await self._client.post(self._url, body, {"Content-Type": "application/json"}, verdict=self._verdict)
        message_id = answer.json().get("id")
        return message_id if isinstance(message_id, str) and message_id.isdecimal() else None

    def _verdict(self, answer: HttpAnswer) -> Unavailable | Rejected | None:
        """By the code in it: https://discord.com/developers/docs/topics/opcodes-and-status-codes#json."""
        said = answer.json()
        code, wait = said.get("code"), said.get("retry_after")
        if isinstance(wait, int | float) and 0 <= wait < _LONGEST:
            reason = f"{self._host} takes no more messages at the moment"
            return Unavailable(reason, retry_after=timedelta(seconds=wait), whole_lane=True)
        if 200 <= answer.status <= 299:  # noqa: PLR2004 - statuses
            # An answer that broke off is still one; a page of some other server is none.
            broke_off = not said and answer.body[:1] in (b"", b"{")
            return None if "id" in said or broke_off else unconfirmed(self._host, answer)
        if not isinstance(code, int):
            return None
        if code == _UNKNOWN_WEBHOOK:
            reason = f"{self._host}: the webhook was deleted; make a new one, write its URL, {self._resume}"
            return Rejected(reason, whole_lane=True)
        if code in _MENDABLE:
            return Unavailable(f"{self._host}: {_MENDABLE[code]}", whole_lane=True)
        if code in _REFUSED:
            return Rejected(f"{self._host}: {_REFUSED[code]}")
        if code > 0 and answer.status == 400:  # noqa: PLR2004 - a status
            # It may be about the channel; then nothing is lost, and if it is not, nobody else has to wait.
            return Unavailable(f"{self._host} answered {code}, a code that this version of aftercall does not know")
        return None


#: Seconds that are still a wait.
_LONGEST = 1e8
_UNKNOWN_WEBHOOK = 10015
_MENDABLE: Final = {
    10003: "there is no such thread or channel; look at thread_id",
    40333: "Cloudflare blocks this machine; Discord will have to lift that",
    50001: "the webhook has no access to its channel",
    50013: "the webhook may not write in its channel",
    50024: "nothing can be posted in a channel of this kind; make a webhook in another one",
    50027: "the token in the URL is not valid; copy the webhook's URL again",
    50083: "the thread is archived; open it again, or write another thread_id",
    160005: "the thread is locked; unlock it, or write another thread_id",
    220001: "the channel is a forum; write the ID of one of its posts as thread_id",
}
_REFUSED: Final = {
    40005: "the message is too large",
    50006: "the message is empty",
    50035: "the message has a form that Discord does not take",
    200000: "AutoMod of the server blocked the message",
    200001: "AutoMod of the server blocked the title",
    240000: "Discord's filter of harmful links blocked the message",
}


# --- how it is written ---


def _posted(notice: Notice) -> dict[str, Any]:
    """The title as content, which notifications show; the rest as an embed, which has room and unfurls no link."""
    title, body = notice.headed()
    end = len(body)
    while end and body[end - 1].style is Style.FINE_PRINT:
        end -= 1
    embed: dict[str, Any] = {}
    if end:
        embed["description"] = MARKDOWN.write(_linkable(body[:end]), DESCRIPTION)
    if body[end:]:
        embed["footer"] = {"text": plain_text(fitted(body[end:], FOOTER, _plain_size))}
    content = MARKDOWN.write(_linkable((title,)), TITLE)
    return {"content": content, "embeds": [embed] if embed else [], "allowed_mentions": {"parse": []}}


def _linkable(document: Document) -> Document:
    """Discord shows other links as they are written (`[Anruf](tel:+49…)`): their address stands behind the label."""
    return tuple(replace(block, lines=tuple(tuple(map(_told, line)) for line in block.lines)) for block in document)


def _told(span: Span) -> Span:
    if span.link is None or span.link.startswith("http"):
        return span
    return replace(span, text=f"{span.text} ({span.link})", link=None)


def _plain_size(block: Block) -> int:
    return utf16(plain_text((block,))) + len("\n\n")


#: Marks, mentions, emoji (`<:name:1>`, `:name:`), times, links; invitations are found without `https://`, too.
_SPECIAL = re.compile(r"[\\*_~`|<\[\]@]|:(?=//|[\w+-]+:)|\.(?=\w+/)")


def _escaped(text: str) -> str:
    """https://discord.com/developers/docs/reference#message-formatting: a backslash makes a sign stand for itself."""
    return _SPECIAL.sub(r"\\\g<0>", text)


MARKDOWN: Final = Markdown(_escaped, utf16)


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `discord`."""
    return [DiscordConfig]
