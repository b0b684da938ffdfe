"""Sink `mattermost`: posts each call to a channel of Mattermost, by an incoming webhook."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from router import (
    Alarm,
    Delivery,
    Discreet,
    HttpAnswer,
    HttpClient,
    HttpSinkConfig,
    HttpUrl,
    Markdown,
    MessageSinkConfig,
    Notice,
    Rejected,
    Sink,
    SinkConfig,
    SinkContext,
    Unavailable,
    Written,
    check_url,
    exact_json,
    hookimpl,
    host_of,
    unconfirmed,
)

#: Of 16,383 characters, which is all that a post has room for.
TITLE: Final = 300
BODY: Final = 16_000

_NAME = Field(min_length=1, max_length=64)
_NO_CHANNEL: Final = (
    "is no name of a channel; write the one in its URL, the last part of https://chat.example.com/team/channels/town-square, "
    'or "@somebody" in quotes'
)


class MattermostConfig(MessageSinkConfig, HttpSinkConfig):
    """Posts each call to a channel of Mattermost."""

    carries_alarms: ClassVar[bool] = True

    kind: Literal["mattermost"]
    url: HttpUrl
    """The incoming webhook's URL, like https://chat.example.com/hooks/abc."""
    channel: Annotated[str, Written(r"[^\s/]{1,64}", _NO_CHANNEL)] | None = None
    """Another channel than the webhook's own: its name as in its URL (town-square), or @somebody."""
    username: Annotated[str, _NAME] | None = None
    """Who seems to write; Mattermost has to allow it (System Console > Integration Management)."""
    icon_url: HttpUrl | None = None
    """A picture of who seems to write; Mattermost has to allow it."""

    @model_validator(mode="after")
    def _fits(self) -> MattermostConfig:
        check_url(self.url, self.allow_networks)
        if not re.search(r"/hooks/\w+/?$", urlsplit(self.url.get_secret_value()).path):
            message = "`url` is no incoming webhook; it looks like https://chat.example.com/hooks/abc"
            raise Discreet(message)
        return self

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        async with self.client(context) as client:
            yield Mattermost(self, client, context)

    def recipient(self) -> str:
        """The host, and the channel where it is named here: the path is a token."""
        return f"{host_of(self.url)} {self.channel}" if self.channel else host_of(self.url)

    def named(self) -> dict[str, str]:
        """What each post says of where it goes and who writes."""
        named = {
            "channel": self.channel,
            "username": self.username,
            "icon_url": self.icon_url and self.icon_url.get_secret_value(),
        }
        return {key: value for key, value in named.items() if value}


class Mattermost:
    """One incoming webhook."""

    def __init__(self, config: MattermostConfig, client: HttpClient, context: SinkContext) -> None:
        self._config = config
        self._host = host_of(config.url)
        self._resume = f"then `aftercall resume {context.name}`"
        self._client = client
        self._writer = config.writer(context)

    async def deliver(self, delivery: Delivery) -> None:
        """Post it."""
        await self._post(self._writer.write(delivery))

    async def alarm(self, alarm: Alarm) -> None:
        """Post it."""
        await self._post(self._writer.alarm(alarm))

    async def _post(self, notice: Notice) -> None:
        body = exact_json(_posted(notice) | self._config.named())
        url = self._config.url.get_secret_value()
        await self._client.post(url, body, {"Content-Type": "application/json"}, verdict=self._verdict)

    def _verdict(self, answer: HttpAnswer) -> Unavailable | Rejected | None:
        """By the id in it: `HandleIncomingWebhook` in server/channels/app/webhook.go of mattermost/mattermost."""
        said = answer.json().get("id")
        if said == "api.post.create_post.can_not_post_to_deleted.error":
            reason = f"{self._host}: the channel is archived; unarchive it or choose another one, {self._resume}"
            return Rejected(reason, whole_lane=True)
        if isinstance(said, str) and said in _MENDABLE:
            return Unavailable(f"{self._host}: {_MENDABLE[said]}", whole_lane=True)
        # An answer that broke off is still one.
        if 200 <= answer.status <= 299 and answer.body.strip() not in (b"ok", b""):  # noqa: PLR2004 - statuses
            return unconfirmed(self._host, answer)
        return None


_MENDABLE: Final = {
    "web.incoming_webhook.disabled.app_error": "incoming webhooks are switched off; switch them on in the "
    "System Console",
    "web.incoming_webhook.invalid.app_error": "there is no such webhook; it was deleted, or its URL is not whole",
    "web.incoming_webhook.channel.app_error": "there is no such channel; write its name as it is in its URL",
    "app.channel.get.existing.app_error": "the webhook's channel is gone; give the webhook another one",
    "web.incoming_webhook.channel_locked.app_error": "the webhook is locked to its own channel; leave out channel",
    "web.incoming_webhook.permissions.app_error": "who made the webhook may not write in the channel",
    "web.incoming_webhook.user.app_error": "there is no such user, or who made the webhook is gone",
}


# --- how it is written ---


def _posted(notice: Notice) -> dict[str, Any]:
    """The title as text, which notifications show; the rest attached, because then no link is previewed.

    `getEmbedForPost` in server/channels/app/post_metadata.go: a post with attachments has no other embed.
    """
    title, body = notice.headed()
    text = MARKDOWN.write((title,), TITLE)
    return {"text": text, "attachments": [{"text": MARKDOWN.write(body, BODY)}]} if body else {"text": text}


#: The word joiner: nobody sees it, and no line breaks there. Mattermost finds mentions, hashtags, channels, emoji and
#: links after it has taken backslashes off, so that only a sign in between keeps it from that.
_JOINER = "\u2060"
_SPECIAL = re.compile(
    r"(?P<entity>&(?=#?\w{1,32};)|[<\\$]|(?<![^=])=)"
    r"|(?P<mark>[`*_\[\]|])"
    r"|(?P<channel>~)"
    r"|(?P<found>[@#]|:(?=\S)(?!(?<=\d:)\d\d\b)|\.(?=[^\W\d_]{2,4}/)|(?i:www\d{0,3})(?=\.))"
)


def _escaped(text: str) -> str:
    r"""Text that Mattermost shows as it is.

    Its Markdown (lib/marked.js of mattermost/marked) takes a backslash off before some signs only: `<`, `$` (formulas),
    `=` (below a line, a heading) and the backslash itself become entities. `<!channel>` is a mention, as in Slack.
    """
    return _SPECIAL.sub(_harmless, text)


def _harmless(match: re.Match[str]) -> str:
    sign = match[0]
    match match.lastgroup:
        case "entity":
            return f"&#{ord(sign)};"
        case "mark":
            return f"\\{sign}"
        case "channel":
            return f"\\{sign}{_JOINER}"
        case _:
            return f"{sign}{_JOINER}"


MARKDOWN: Final = Markdown(_escaped, len)


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `mattermost`."""
    return [MattermostConfig]
