"""Sink `apprise`: tells any of the 180 services that the library Apprise knows.

The library has one answer, that it worked or that it did not: no wait that was asked for, nothing permanent. It goes
wherever its URL says. A sink of one's own for a service is better wherever there is one: https://github.com/caronc/apprise
"""

from __future__ import annotations

import asyncio
import html
import logging
import re
import sys
import warnings
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, SecretStr

from router import (
    Alarm,
    Block,
    ConfigError,
    Delivery,
    Discreet,
    MessageSinkConfig,
    Notice,
    Rate,
    Sink,
    SinkConfig,
    SinkContext,
    Style,
    Unavailable,
    cut,
    fitted,
    hookimpl,
    plain_text,
)

if TYPE_CHECKING:
    from apprise import Apprise, NotifyBase

#: An upgrade of aftercall itself is nobody's wish here.
_NOT_INSTALLED: Final = f"takes the package apprise; install it: {sys.executable} -m pip install 'apprise'"
_SCHEME: Final = re.compile(r"([a-z][a-z0-9+.-]{0,49})://\S+")
#: What many services read in plain text, too: mentions, Slack's and Discord's angle brackets, links with another text.
_ALIVE: Final = re.compile(r"(?:(?<!\w)@(?=\w)|<(?=[@!#&:])|\](?=\())")
#: An invisible character that holds words together: between `@` and a name, nobody is called.
_WORD_JOINER: Final = "\u2060"
_LONGEST_TITLE: Final = 200
#: Less is no message; a service that says it takes less is sent so much all the same.
_SHORTEST: Final = 60


def _checked(url: SecretStr) -> SecretStr:
    """As far as it can be known without the library."""
    if not _SCHEME.fullmatch(url.get_secret_value()):
        message = "is no URL of Apprise, like mailtos://… or pover://…; see https://appriseit.com/services/"
        raise Discreet(message)
    try:
        import apprise  # noqa: F401 - whether it is there
    except ImportError:
        return url  # `check` says it
    if _services(url) is None:
        message = (
            f"Apprise does not know {_scheme(url)}://, or misses something behind it; "
            "see https://appriseit.com/services/"
        )
        raise Discreet(message, instead="is no URL that Apprise knows; see https://appriseit.com/services/")
    return url


class AppriseConfig(MessageSinkConfig):
    """Tells one of the services that the library Apprise knows, which is a package of its own."""

    carries_alarms: ClassVar[bool] = True
    built_in: ClassVar[Literal["chat", "mail", "push"]] = "push"

    kind: Literal["apprise"]
    url: Annotated[SecretStr, AfterValidator(_checked)]
    """The service and its secrets in one, as Apprise writes them, like `pover://user@token`."""
    concurrency: Annotated[int, Field(ge=1, le=32)] = 4
    """How many attempts may run at the same time, each in a thread of its own."""
    rate: Rate | None = Rate(1, timedelta(seconds=1))
    """How many attempts may begin in which time; Apprise does not say what a service bears."""

    def check(self, folder: Path) -> datetime | None:
        """Whether the package is there. See `SinkConfig.check`."""
        if find_spec("apprise") is None:
            raise ConfigError(_NOT_INSTALLED, at=("kind",), instead=_NOT_INSTALLED)
        return super().check(folder)

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """Threads of its own: what the library does cannot be called off, and nobody else shall wait for it."""
        try:
            services = _services(self.url)
        except ImportError as error:
            raise ConfigError(_NOT_INSTALLED, at=("kind",), instead=_NOT_INSTALLED) from error
        if services is None:
            message = f"Apprise cannot use the url with {_scheme(self.url)}://"
            raise ConfigError(message, instead="Apprise cannot use the url")
        threads = ThreadPoolExecutor(self.concurrency, thread_name_prefix=f"apprise-{context.name}")
        try:
            yield AppriseSink(self, services, threads, context)
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def recipient(self) -> str:
        """The service: what follows may be a secret from its first letter on."""
        return _scheme(self.url)


class AppriseSink:
    """One service."""

    def __init__(
        self, config: AppriseConfig, services: Apprise, threads: ThreadPoolExecutor, context: SinkContext
    ) -> None:
        self._scheme = config.recipient()
        self._services = services
        self._service: NotifyBase = services[0]
        self._threads = threads
        self._writer = config.writer(context)

    async def deliver(self, delivery: Delivery) -> None:
        """Have it sent. After a timeout the thread may still succeed, and the next attempt is a second message."""
        await self._tell(self._writer.write(delivery))

    async def alarm(self, alarm: Alarm) -> None:
        """Have it sent."""
        await self._tell(self._writer.alarm(alarm))

    async def _tell(self, notice: Notice) -> None:
        title = cut(notice.title, min(_LONGEST_TITLE, self._service.title_maxlen or _LONGEST_TITLE))
        document = tuple(block for block in notice.document if block.style is not Style.TITLE)
        budget = max(self._service.body_maxlen - _size_of(title), _SHORTEST)
        text = plain_text(fitted(document, budget, _size)) or title
        loop = asyncio.get_running_loop()
        if not await loop.run_in_executor(self._threads, self._notify, _tame(title), _tame(text)):
            reason = f"{self._scheme}:// did not take it; Apprise does not say why"
            raise Unavailable(reason)

    def _notify(self, title: str, text: str) -> bool:
        from apprise import NotifyFormat

        return bool(
            self._services.notify(body=text, title=title, body_format=NotifyFormat.TEXT, interpret_escapes=False)
        )


def _services(url: SecretStr) -> Apprise | None:
    """The service, opened without the network; None where the library cannot use the URL."""
    from apprise import Apprise, AppriseAsset

    for name in ("apprise", "urllib3"):  # they quote URLs, what was sent and what came back
        logger = logging.getLogger(name)
        logger.setLevel(logging.CRITICAL)
        logger.propagate = False
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
    asset = AppriseAsset(
        app_id="aftercall",
        app_desc="aftercall",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        interpret_emojis=False,
        interpret_escapes=False,
    )
    asset.http_redirects = False
    services = Apprise(asset=asset)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the modules of all services, which this imports
        added = services.add(url.get_secret_value())
    return services if added and len(services) == 1 else None


def _scheme(url: SecretStr) -> str:
    return url.get_secret_value().partition("://")[0]


def _tame(text: str) -> str:
    """With something invisible in what a service could read as more than text."""
    return _ALIVE.sub(lambda found: found[0] + _WORD_JOINER, text)


def _size_of(text: str) -> int:
    """Characters, when it has become HTML, and with what `_tame` adds."""
    return len(html.escape(_tame(text))) + 2 * text.count("\n") + 4


def _size(block: Block) -> int:
    return _size_of(plain_text((block,)))


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `apprise`."""
    return [AppriseConfig]
