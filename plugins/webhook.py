"""Sink `webhook`: posts each call to a URL, signed as Standard Webhooks has it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from router import (
    Alarm,
    Delivery,
    Discreet,
    Event,
    HttpClient,
    HttpSinkConfig,
    HttpUrl,
    Numbers,
    OneOrSeveral,
    Part,
    Signer,
    SigningSecret,
    Sink,
    SinkConfig,
    SinkContext,
    VconSigning,
    as_json,
    as_vcon,
    check_url,
    exact_json,
    hookimpl,
    host_of,
    outgoing,
    sign,
    strip_audio,
    without_audio,
)

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")
#: They belong to the connection, to the body or to the signature.
_NOT_YOURS = re.compile(
    r"(?i)connection|keep-alive|proxy-.*|te|trailer|transfer-encoding|upgrade|content-length|host|expect|webhook-.*"
)
#: Bytes that are too many to look through while everybody else waits.
_LARGE = 64 * 1024


def _headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            message = f"{name!r} is no name of a header"
        elif _NOT_YOURS.fullmatch(name):
            message = f"{name!r} is written by the router itself; leave it out"
        elif not _HEADER_VALUE.fullmatch(value.get_secret_value()):
            message = f"the value of {name!r} is empty, or has line breaks, control characters or other than ASCII"
        elif [other.lower() for other in headers].count(name.lower()) > 1:
            message = f"{name!r} is there twice; case does not count in names of headers"
        else:
            continue
        raise Discreet(message)
    return headers


class WebhookConfig(HttpSinkConfig):
    """Posts each call to a URL: the body as it was received, or the event as JSON or as a vCon."""

    carries_alarms: ClassVar[bool] = True
    kind: Literal["webhook"]
    url: HttpUrl
    """Where calls are posted. A user and password in it are sent as basic authorization."""
    body: Literal["received", "event", "vcon"] = "received"
    """`received`: the very bytes that came in; `event`: the normalised call as JSON; `vcon`: the call as a vCon."""
    strip_audio: bool = True
    """Takes inline audio out of a received vCon, which is then written anew; other bodies keep their very bytes."""
    sign: VconSigning | None = None
    """Signs what `body: vcon` makes, with `key` and `certificates`."""
    secret: SigningSecret | None = None
    """Signs each attempt (Standard Webhooks): whsec_ and 24 to 64 bytes in base64."""
    secrets: Annotated[tuple[SigningSecret, ...], OneOrSeveral(), Field(min_length=1)] | None = None
    """Several secrets, while one replaces the other; each of them signs."""
    headers: Annotated[dict[str, SecretStr], AfterValidator(_headers)] = {}
    """Headers to send besides, like Authorization."""
    send: Annotated[tuple[Part, ...], OneOrSeveral()] | None = None
    """Which parts of a call stay in the `event` or the `vcon`; all where it is left out."""

    @model_validator(mode="after")
    def _fits(self) -> WebhookConfig:
        check_url(self.url, self.allow_networks)
        if self.body == "received" and self.send is not None:
            message = "`send` goes with `body: event` or `vcon`; a received body is sent whole, or not at all"
            raise Discreet(message)
        if self.body == "received" and self.numbers is Numbers.MASKED:
            message = "`numbers: masked` goes with `body: event` or `vcon`; a received body keeps its numbers"
            raise Discreet(message)
        if self.body != "vcon" and self.sign is not None:
            message = "`sign` goes with `body: vcon`; what signs each request is `secret`"
            raise Discreet(message)
        if self.secret is not None and self.secrets is not None:
            message = "`secret` and `secrets` are both there; write one of them"
            raise Discreet(message)
        return self

    def check(self, folder: Path) -> datetime | None:
        """The authority, and what signs."""
        super().check(folder)
        return self.sign.signer(folder).expires if self.sign else None

    def files(self) -> tuple[Path, ...]:
        """The authority, and what signs."""
        return (*super().files(), *(self.sign.files() if self.sign else ()))

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """A client of its own."""
        signer = self.sign.open(context) if self.sign else None
        async with self.client(context) as client:
            yield Webhook(self, client, context, signer)

    def recipient(self) -> str:
        """The host: paths hold tokens."""
        return host_of(self.url)

    def parts(self) -> tuple[str, ...]:
        """An event without anything left out has the received body in it."""
        if self.body == "received" or (self.body == "event" and self.send is None and self.numbers is Numbers.FULL):
            return ("received",)
        return tuple(part.value for part in (Part if self.send is None else self.send))

    def signing_secrets(self) -> Iterable[SecretStr]:
        """However they were written."""
        return self.secrets or ([self.secret] if self.secret else [])


class Webhook:
    """One URL."""

    def __init__(self, config: WebhookConfig, client: HttpClient, context: SinkContext, signer: Signer | None) -> None:
        self._config = config
        self._client = client
        self._clock = context.clock
        self._signer = signer

    async def deliver(self, delivery: Delivery) -> None:
        """Post it. `webhook-id` is the same for every attempt; time and signature are those of this one."""
        content_type = (delivery.content_type or "") if self._config.body == "received" else "application/json"
        if not _HEADER_VALUE.fullmatch(content_type):
            content_type = "application/json"
        await self._post(delivery.id, await self._body(delivery), content_type)

    async def alarm(self, alarm: Alarm) -> None:
        """Post it as JSON, as a receiver of Standard Webhooks tells one type from another."""
        said = {"type": f"alarm.{alarm.kind}", "timestamp": alarm.cleared or alarm.since, "data": alarm}
        await self._post(alarm.key, exact_json(said), "application/json")

    async def _post(self, key: str, body: bytes, content_type: str) -> None:
        config = self._config
        headers = {name: value.get_secret_value() for name, value in config.headers.items()}
        if "content-type" not in map(str.lower, headers):
            headers["Content-Type"] = content_type
        headers |= sign(config.signing_secrets(), key, self._clock.now(), body)
        await self._client.post(config.url.get_secret_value(), body, headers)

    async def _body(self, delivery: Delivery) -> bytes:
        """What is posted. What takes its time is made beside the loop."""
        config = self._config
        match config.body:
            case "received":
                if not config.strip_audio:
                    return delivery.body
                if len(delivery.body) > _LARGE:
                    return await asyncio.to_thread(strip_audio, delivery.body)
                return strip_audio(delivery.body)
            case "event":
                event = outgoing(delivery.event, config.send, config.numbers)
                return as_json(replace(event, raw=without_audio(event.raw)) if config.strip_audio else event)
            case "vcon":
                return await asyncio.to_thread(self._vcon, delivery.event)

    def _vcon(self, event: Event) -> bytes:
        document = as_vcon(event, self._config.send, self._config.numbers)
        return exact_json(self._signer.sign(document) if self._signer else document)


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `webhook`."""
    return [WebhookConfig]
