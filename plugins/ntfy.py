"""Sink `ntfy`: a push message on phones and desktops for each call, by ntfy.sh or a server of one's own.

Messages are published as JSON: https://docs.ntfy.sh/publish/#publish-as-json. They are short, because phones are.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Annotated, Any, ClassVar, Final, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from router import (
    Alarm,
    Block,
    Delivery,
    Discreet,
    HttpAnswer,
    HttpClient,
    HttpSinkConfig,
    HttpUrl,
    MessageSinkConfig,
    Notice,
    OneOrSeveral,
    Rate,
    Rejected,
    Sink,
    SinkConfig,
    SinkContext,
    Style,
    Unavailable,
    Written,
    check_url,
    exact_json,
    fitted,
    hookimpl,
    host_of,
    plain_text,
    utf8,
)

_NTFY_SH: Final = SecretStr("https://ntfy.sh")
#: Bytes, as JSON, of title and message together. A message of 4,096 bytes becomes a file to download, a body of 8,192
#: is refused (server.go); and of more than 4,000 in all, Google brings phones the beginning only (server_firebase.go).
_MOST: Final = 3600
#: What a message takes besides its blocks: quotes and blanks.
_AROUND: Final = 10
#: On ntfy.sh, whoever guesses a topic that has no owner reads along.
_HARD_TO_GUESS: Final = 16
_NO_TAG: Final = (
    "is no tag: 50 characters at most, no blanks or commas; write several as a list, like [telephone_receiver, sales]"
)
_NO_ADDRESS: Final = (
    "is no address; write all of it, like https://crm.example.com or tel:+4921112345, with %20 for a blank and 500 "
    "characters at most"
)


def _topic(topic: SecretStr) -> SecretStr:
    if not re.fullmatch(r"[-_A-Za-z0-9]{1,64}", topic.get_secret_value()):
        message = "is no topic of ntfy: 1 to 64 letters (A to Z), digits, - and _"
        raise Discreet(message)
    return topic


def _token(secret: SecretStr) -> SecretStr:
    if not re.fullmatch(r"tk_[A-Za-z0-9]+", secret.get_secret_value()):
        message = "is no access token of ntfy, which begins with tk_; a password goes with a `user` into `password`"
        raise Discreet(message)
    return secret


class NtfyConfig(MessageSinkConfig, HttpSinkConfig):
    """A push message for each call, by ntfy.sh or an ntfy server of your own."""

    carries_alarms: ClassVar[bool] = True
    built_in: ClassVar[Literal["chat", "mail", "push"]] = "push"

    kind: Literal["ntfy"]
    topic: Annotated[SecretStr, AfterValidator(_topic)]
    """The topic. Without a login it is as good as a password: who knows it can read along."""
    server: HttpUrl | None = None
    """A server of your own; https://ntfy.sh where it is left out."""
    token: Annotated[SecretStr, AfterValidator(_token)] | None = None
    """An access token (`tk_…`), for a topic that is protected."""
    user: str | None = None
    """The name of a user, instead of a token."""
    password: SecretStr | None = None
    """The user's password."""
    priority: Annotated[int, Field(ge=1, le=5)] = 3
    """From 1 (no sound, no vibration) to 5 (does not stop before somebody looks)."""
    tags: Annotated[
        tuple[Annotated[str, Written(r"[^\s,]{1,50}", _NO_TAG)], ...],
        OneOrSeveral(),
        Field(max_length=5),
    ] = ()
    """Tags of each message; names of emoji, like `telephone_receiver`, are shown as such before the title."""
    click: Annotated[str, Written(r"[a-zA-Z][a-zA-Z0-9+.-]*:\S{1,500}", _NO_ADDRESS)] | None = None
    """The address that opens when somebody taps a message, the same for all of them."""
    rate: Rate | None = Rate(12, timedelta(minutes=1))
    """How many attempts may begin in which time; ntfy.sh takes one in 5 seconds. On a server of your own: no limit."""

    @model_validator(mode="after")
    def _fits(self) -> NtfyConfig:
        server = self.server or _NTFY_SH
        check_url(server, self.allow_networks)
        parts = urlsplit(server.get_secret_value())
        public = (parts.hostname or "").rstrip(".") == "ntfy.sh"
        problem = None
        if parts.path not in ("", "/") or parts.query or parts.fragment or parts.username is not None:
            problem = "`server` is https:// and a host; the topic belongs into `topic`, a login into `token`"
        elif self.token and (self.user or self.password):
            problem = "`token` and `user` are both there; write one of them"
        elif (self.user is None) is not (self.password is None):
            problem = "`user` and `password` go together"
        elif ":" in (self.user or ""):
            problem = "`user` has a colon in it, which no login by name and password can have"
        elif parts.scheme.lower() == "http" and (self.token or self.user) and not self.allow_networks:
            # Without `allow_networks` it goes through the internet.
            problem = "`server` has no TLS, so that everybody in between could read the login; write https://"
        elif not (self.token or self.user) and public and len(self.topic.get_secret_value()) < _HARD_TO_GUESS:
            problem = (
                f"`topic` is too easy to guess: on ntfy.sh everybody can read it; write {_HARD_TO_GUESS} characters "
                "or more, best random ones, or reserve the topic there and write a `token`"
            )
        if problem:
            raise Discreet(problem)
        if "rate" not in self.model_fields_set and not public:
            object.__setattr__(self, "rate", None)  # it is frozen from here on
        return self

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        async with self.client(context) as client:
            yield Ntfy(self, client, context)

    def recipient(self) -> str:
        """The host: the topic may be a secret."""
        return host_of(self.server or _NTFY_SH)


class Ntfy:
    """One topic."""

    def __init__(self, config: NtfyConfig, client: HttpClient, context: SinkContext) -> None:
        self._config = config
        self._client = client
        self._writer = config.writer(context)
        self._url = (config.server or _NTFY_SH).get_secret_value()
        self._host = config.recipient()

    async def deliver(self, delivery: Delivery) -> str | None:
        """Publish it; the remote id is the message's."""
        return await self._publish(self._writer.write(delivery))

    async def alarm(self, alarm: Alarm) -> None:
        """Publish it."""
        await self._publish(self._writer.alarm(alarm))

    async def _publish(self, notice: Notice) -> str | None:
        config = self._config
        # The server reads the title as a header of a mail, encoded words (=?utf-8?…?=) and all.
        title = notice.title.replace("=?", "= ?")
        document = tuple(block for block in notice.document if block.style is not Style.TITLE)
        document = fitted(document, _MOST - _AROUND - _json_size(title), _size)
        body: dict[str, Any] = {
            "topic": config.topic.get_secret_value(),
            "title": title,
            "message": plain_text(document) or title,
            "priority": config.priority,
            "markdown": False,
        }
        if config.tags:
            body["tags"] = config.tags
        if config.click:
            body["click"] = config.click
        headers = {"Content-Type": "application/json"} | self._login()
        answer = await self._client.post(self._url, exact_json(body), headers, verdict=self._verdict)
        number = answer.json().get("id")
        return number if isinstance(number, str) and re.fullmatch(r"[\w-]{1,64}", number, re.ASCII) else None

    def _login(self) -> dict[str, str]:
        config = self._config
        if config.token:
            return {"Authorization": f"Bearer {config.token.get_secret_value()}"}
        if config.user is not None and config.password is not None:
            login = f"{config.user}:{config.password.get_secret_value()}".encode()
            return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}
        return {}

    def _verdict(self, answer: HttpAnswer) -> Unavailable | Rejected | None:
        """What is wrong, by the server's own codes: https://github.com/binwiederhier/ntfy, server/errors.go."""
        said = answer.json()
        said_so = f"{self._host} answered {answer.status}"
        if answer.status == 200:  # noqa: PLR2004 - a status
            # An answer that broke off is still one; a page of some other server is none.
            if answer.body[:1] in (b"", b"{"):
                return None
            return Unavailable(f"{said_so}, but not as ntfy does: check `server`", whole_lane=True)
        code = said.get("code")
        if isinstance(code, int) and (known := _CODES.get(code)):
            what, wait = known
            return Unavailable(f"{said_so} ({code}): {what}", retry_after=wait, whole_lane=True)
        if answer.status in (401, 403):
            return Unavailable(f"{said_so}: check `token`, or `user` and `password`", whole_lane=True)
        if answer.status in (404, 405):
            return Unavailable(f"{said_so}: that is no ntfy server; check `server`", whole_lane=True)
        return None


#: What can be mended, by whom, and how long to wait where asking again would count, too.
_CODES: Final[dict[int, tuple[str, timedelta | None]]] = {
    40009: ("it does not take this name of a topic; write another `topic`", None),
    40010: ("it does not take this name of a topic; write another `topic`", None),
    40101: ("the login is wrong; check `token`, or `user` and `password`", None),
    40301: ("who logs in may not write to the topic; allow it, or write a `token`", None),
    42908: ("the messages of this day are used up; there are new ones at 00:00 UTC", timedelta(hours=1)),
    42909: ("too many wrong logins; check `token`, or `user` and `password`", timedelta(minutes=5)),
}


def _json_size(text: str) -> int:
    """Bytes in the body: never less than in the message, whatever has to be escaped."""
    return utf8(text) + text.count("\n") + text.count('"') + text.count("\\")


def _size(block: Block) -> int:
    return _json_size(plain_text((block,))) + 4  # the blank line before it


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `ntfy`."""
    return [NtfyConfig]
