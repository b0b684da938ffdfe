"""Sink `telegram`: a bot writes each call into a chat, a group, a topic of one, or a channel of Telegram.

Messages are sent as text and a list of what is bold and what is a link, counted by us, so there is nothing to escape:
https://core.telegram.org/bots/api#sendmessage and #messageentity.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import groupby
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

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
    utf16,
)

_TELEGRAM: Final = SecretStr("https://api.telegram.org")
#: UTF-16 units of a message's text.
_LONGEST: Final = 4096
#: The server forgets what more there is, and would find names and links again that we had covered.
_MOST_ENTITIES: Final = 100
_LONGEST_LINK: Final = 2048
_NO_CHAT: Final = (
    'is no chat; write its number, which begins with a minus for a group (-1001234567890), or "@name" of a public group '
    "or channel, in quotes"
)


def _token(token: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[0-9]{1,20}:[A-Za-z0-9_-]{20,100}", token.get_secret_value()):
        message = "is no token of a bot, which looks like 123456789:AAF…; @BotFather shows it"
        raise Discreet(message)
    return token


class TelegramConfig(MessageSinkConfig, HttpSinkConfig):
    """A bot writes each call into a chat, a group or a channel of Telegram."""

    carries_alarms: ClassVar[bool] = True

    kind: Literal["telegram"]
    token: Annotated[SecretStr, AfterValidator(_token)]
    """The bot's token, as @BotFather shows it."""
    chat: Annotated[str, Written("-?[0-9]{1,19}|@[A-Za-z][A-Za-z0-9_]{3,31}", _NO_CHAT)]
    """The number of the chat (that of a group begins with a minus), or `@name` of a public group or channel."""
    thread: Annotated[int, Field(ge=1)] | None = None
    """The number of a topic in a group that has topics."""
    silent: bool = False
    """Messages arrive without a sound."""
    api: HttpUrl | None = None
    """A Bot API server of your own; https://api.telegram.org where it is left out."""
    rate: Rate | None = Rate(20, timedelta(minutes=1))
    """How many attempts may begin in which time; Telegram bears 20 a minute in a group. In a chat with one person: `1/s`."""

    @model_validator(mode="after")
    def _fits(self) -> TelegramConfig:
        if "rate" not in self.model_fields_set and self.chat.isdecimal():
            object.__setattr__(self, "rate", Rate(1, timedelta(seconds=1)))  # it is frozen from here on
        check_url(self.api or _TELEGRAM, self.allow_networks)
        return self

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        async with self.client(context) as client:
            yield Telegram(self, client, context)

    def recipient(self) -> str:
        """The server and the chat."""
        return f"{host_of(self.api or _TELEGRAM)} {self.chat}"


class Telegram:
    """One chat."""

    def __init__(self, config: TelegramConfig, client: HttpClient, context: SinkContext) -> None:
        self._config = config
        self._client = client
        self._writer = config.writer(context)
        api = config.api or _TELEGRAM
        self._host = host_of(api)
        # The token is part of the path, which no error shows.
        self._url = f"{api.get_secret_value().rstrip('/')}/bot{config.token.get_secret_value()}/sendMessage"

    async def deliver(self, delivery: Delivery) -> str | None:
        """Write it; the remote id is `chat/message`, and an update answers the message that it belongs to."""
        chat, _, first = (delivery.follows or "").rpartition("/")
        ours = chat == self._config.chat and first.isdecimal()
        return await self._send(self._writer.write(delivery), int(first) if ours else None)

    async def alarm(self, alarm: Alarm) -> None:
        """Write it."""
        await self._send(self._writer.alarm(alarm))

    async def _send(self, notice: Notice, answered: int | None = None) -> str | None:
        config = self._config
        document = notice.document or (Block(Style.TEXT, ((Span(notice.title),),)),)
        text, entities = _written(fitted(document, _LONGEST, _size))
        body: dict[str, Any] = {
            "chat_id": int(config.chat) if config.chat[0] != "@" else config.chat,
            "text": text,
            "entities": entities,
            "link_preview_options": {"is_disabled": True},
            "disable_notification": config.silent,
        }
        if config.thread is not None:
            body["message_thread_id"] = config.thread
        if answered is not None:
            body["reply_parameters"] = {"message_id": answered, "allow_sending_without_reply": True}
        headers = {"Content-Type": "application/json"}
        answer = await self._client.post(self._url, exact_json(body), headers, verdict=self._verdict)
        result = answer.json().get("result")
        number = result.get("message_id") if isinstance(result, dict) else None
        return f"{config.chat}/{number}" if isinstance(number, int) else None

    def _verdict(self, answer: HttpAnswer) -> Unavailable | Rejected | None:
        """What is wrong, as the Bot API server says it: https://github.com/tdlib/telegram-bot-api, Client.cpp."""
        said = answer.json()
        said_so = f"{self._host} answered {answer.status}"
        if answer.status == 200:  # noqa: PLR2004 - a status
            # An answer that broke off is still one; a page of some other server is none.
            if said.get("ok") is True or answer.body[:1] in (b"", b"{"):
                return None
            return Unavailable(f"{said_so}, but not as the Bot API does: check `api`", whole_lane=True)
        if answer.status in (401, 404):
            reason = f"{said_so}: it does not know the bot; write the `token` that @BotFather shows now"
            return Unavailable(reason, whole_lane=True)
        more = said.get("parameters")
        more = more if isinstance(more, dict) else {}
        if answer.status == 429:  # noqa: PLR2004 - a status
            wait = more.get("retry_after")
            seconds = min(wait, 86_400) if isinstance(wait, int) and wait > 0 else None
            return Unavailable(
                f"{said_so}: too many messages at a time",
                retry_after=None if seconds is None else timedelta(seconds=seconds),
                whole_lane=True,
            )
        if isinstance(new := more.get("migrate_to_chat_id"), int):
            return Unavailable(f'{said_so}: the group has become a supergroup; write chat: "{new}"', whole_lane=True)
        description = str(said.get("description", "")).casefold()
        for words, advice in _GONE.items():
            if words in description:
                return Rejected(f"{said_so}: {words}; {advice}", whole_lane=True)
        for words, advice in _TO_MEND.items():
            if words in description:
                return Unavailable(f"{said_so}: {words}; {advice}", whole_lane=True)
        if answer.status == 403:  # noqa: PLR2004 - a status
            return Unavailable(f"{said_so}: the bot may not write into the chat", whole_lane=True)
        for words in _WRONG:
            if words in description:
                return Rejected(f"{said_so}: {words}")
        if answer.status == 400:  # noqa: PLR2004 - a status
            # More is wrong with chats than with messages, there is no list of it, and what waits is not lost.
            reason = f"{said_so}, with a reason that this version of aftercall does not know; check `chat` and `thread`"
            return Unavailable(reason, whole_lane=True)
        return None


# --- what an answer means: words of its description, and what to do ---

_GONE: Final = {
    "user is deactivated": "write another `chat`, then resume the sink",
    "group chat was deleted": "write another `chat`, then resume the sink",
}
_RIGHTS: Final = "an administrator of the chat has to allow the bot to write there"
_TOPIC: Final = "open the topic again, or write another `thread`"
_TO_MEND: Final = {
    "bot was blocked": "who blocked the bot has to unblock it",
    "bot was kicked": "add the bot to the chat again",
    "bot is not a member": "add the bot to the chat",
    "bot can't initiate conversation": "send the bot a message first, then it may answer",
    "bots can't send messages to bots": "write the number of a person or a group as `chat`",
    "chat not found": "check `chat`, and that the bot has been added to it or was sent a message",
    "peer_id_invalid": "check `chat`, and that the bot has been added to it or was sent a message",
    "not enough rights": _RIGHTS,
    "have no rights": _RIGHTS,
    "need administrator rights": _RIGHTS,
    "chat_write_forbidden": _RIGHTS,
    "chat_admin_required": _RIGHTS,
    "chat_restricted": _RIGHTS,
    "message thread not found": _TOPIC,
    "topic_closed": _TOPIC,
    "topic_deleted": _TOPIC,
    "logged out": "the bot has moved to another Bot API server; check `api`",
}
_WRONG: Final = (
    "message is too long",
    "text is too long",
    "message text is empty",
    "text must be non-empty",
    "can't parse entities",
    "can't parse messageentity",
    "entity url",
)


# --- writing ---

#: A piece of text, and what it is: an entity's type, a link's URL, or nothing.
_Piece = tuple[str, str]
#: Where clients and servers find mentions, commands, tags and links, and some more (tdlib/td, MessageEntity.cpp).
_ALIVE: Final = re.compile(r"[@#$][^\s@#$]|(?<!\w)/\w|://|[^\s.]\.[^\W\d_][^\s.,;:!?)]|[0-9]{1,3}(?:\.[0-9]{1,3}){3}")


def _pieces(block: Block) -> Iterator[_Piece]:
    """The block as it is written, and the blank line behind it."""
    plain = {Style.TITLE: "bold", Style.HEADING: "bold", Style.FINE_PRINT: "italic"}.get(block.style, "")
    for at, line in enumerate(block.lines):
        yield ("\n" if at else "") + ("• " if block.style is Style.ITEMS else ""), ""
        for span in line:
            link = span.link
            if link is None or not _can_be_linked(link):
                yield span.text, "bold" if span.bold else plain
                if link and not link.startswith("http"):
                    yield f" ({link})", ""
            else:
                yield span.text, link
    yield "\n" if block.style is Style.HEADING else "\n\n", ""


def _can_be_linked(link: str) -> bool:
    """Whether the server takes it; one link that it does not take fails the message (td, `check_link`)."""
    return len(link) <= _LONGEST_LINK and re.match(r"https?://[^/?#]*\.", link) is not None


def _size(block: Block) -> int:
    return sum(utf16(text) for text, _ in _pieces(block))


def _written(document: Document) -> tuple[str, list[dict[str, Any]]]:
    """The text, and its entities: none overlaps another, and all are counted in UTF-16 units.

    Where Telegram would see a mention, a command, a tag or an address by itself, the word becomes code: that is shown
    letter by letter, calls nobody and leads nowhere. Only links of the template stay links.
    """
    pieces = [piece for block in document for piece in _pieces(block)]
    text = "".join(piece for piece, _ in pieces).rstrip()
    styles = [style for piece, style in pieces for _ in piece][: len(text)]
    for word in re.finditer(r"\S+", text):
        if _ALIVE.search(word[0]):
            for at in range(word.start(), word.start() + len(word[0].rstrip(".,;:!?)\"'“”»«…"))):
                if not styles[at].startswith("http"):
                    styles[at] = "code"
    entities: list[dict[str, Any]] = []
    offset = 0
    for style, run in groupby(zip(styles, text, strict=True), key=lambda styled: styled[0]):
        covered = "".join(char for _, char in run)
        entity: dict[str, Any] = {"type": style, "offset": offset, "length": utf16(covered)}
        if style.startswith("http"):
            entity |= {"type": "text_link", "url": style}
        if style and covered.strip():
            entities.append(entity)
        offset += utf16(covered)
    if len(entities) > _MOST_ENTITIES:
        entities = [{"type": "pre", "offset": 0, "length": offset}]
    return text, entities


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `telegram`."""
    return [TelegramConfig]
