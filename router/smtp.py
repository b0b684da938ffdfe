"""Handing a mail to a server: TLS first, then a login, then recipient by recipient.

What it answers, and what goes wrong, is told by `router.smtp_answers`. It sets no timeout but those before there is a mail;
answers are bounded by aiosmtplib (32 KiB).
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from router.errors import Unavailable
from router.smtp_answers import SmtpAnswer, not_connected, not_sent
from router.smtp_url import Login, MailServer, Tls

if TYPE_CHECKING:
    import aiosmtplib

#: Seconds for connecting and the greeting, for TLS, and for each time that we say who we are: there is no mail yet, so
#: who does not answer then holds the whole lane.
CONNECT_SECONDS: Final = 15.0


@asynccontextmanager
async def mail_session(
    server: MailServer, tls: ssl.SSLContext | None, login: Login | None, hello: str
) -> AsyncIterator[MailSession]:
    """A connection on which a mail can be sent; `hello` is the domain we come from.

    Raises `Unavailable` for the whole lane: another mail would fare no better.
    """
    import aiosmtplib

    client = aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        use_tls=server.tls is Tls.IMPLICIT,
        start_tls=False,  # that would be done without a word about what went wrong
        tls_context=tls,
        local_hostname=hello,
        timeout=None,
    )
    try:
        wrong: Unavailable | None = None
        try:
            await client.connect(timeout=CONNECT_SECONDS)
            await client.ehlo(timeout=CONNECT_SECONDS)
            if server.tls is Tls.STARTTLS:
                await _start_tls(client, server)
            if login:
                await _log_in(client, server, login)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            wrong = not_connected(error, server)
        if wrong is not None:
            raise wrong  # out here, so that the library's error, which quotes the server, is not chained to ours
        yield MailSession(client, server)
        _say_goodbye(client)
    except BaseException:
        # Nothing more is to be said, and a farewell to who hangs would never end. (One that is closed already cannot be
        # aborted before Python 3.11.4.)
        if isinstance(client.transport, asyncio.WriteTransport) and not client.transport.is_closing():
            client.transport.abort()
        raise
    finally:
        client.close()


async def _start_tls(client: aiosmtplib.SMTP, server: MailServer) -> None:
    if not client.supports_extension("starttls"):
        raise Unavailable(
            f"{server} offers no TLS, so it was told nothing; write smtps:// if it has TLS from the start on",
            whole_lane=True,
        )
    await client.starttls(timeout=CONNECT_SECONDS)
    await client.ehlo(timeout=CONNECT_SECONDS)


async def _log_in(client: aiosmtplib.SMTP, server: MailServer, login: Login) -> None:
    """Once, by one way: each that fails counts towards being locked out."""
    ways = {"xoauth2": client.auth_xoauth2} if login.oauth else {"plain": client.auth_plain, "login": client.auth_login}
    for name, way in ways.items():
        if name in client.server_auth_methods:
            await way(login.user, login.secret)
            return
    wanted = " or ".join(name.upper() for name in ways)
    raise Unavailable(f"{server} offers no login by {wanted}; ask who runs it", whole_lane=True)


def _say_goodbye(client: aiosmtplib.SMTP) -> None:
    """Without waiting for an answer: the mail is handed in, and a timeout now would say that it is not."""
    if client.protocol is not None and client.transport is not None and not client.transport.is_closing():
        with suppress(Exception):
            client.protocol.write(b"QUIT\r\n")


class MailSession:
    """One connection, with its login."""

    def __init__(self, client: aiosmtplib.SMTP, server: MailServer) -> None:
        self._client = client
        self._server = server

    @property
    def most(self) -> int:
        """How many bytes a mail may have, as the server says (RFC 1870)."""
        size = self._client.esmtp_extensions.get("size", "").strip()
        return int(size) if re.fullmatch(r"0*[1-9][0-9]{0,15}", size) else sys.maxsize

    async def send(self, sender: str, recipients: Iterable[str], mail: bytes) -> Mapping[str, SmtpAnswer]:
        """Hand it in, for as many as are accepted; who is not, and why.

        Nothing is handed in where nobody is accepted. Raises `Unavailable` or `Rejected` for the mail as a whole.
        """
        import aiosmtplib

        handing_in = False
        try:
            encoding, options = self._options(sender, recipients, mail)
            await self._client.mail(sender, options=options, encoding=encoding)
            refused: dict[str, SmtpAnswer] = {}
            accepted = 0
            for recipient in recipients:
                try:
                    await self._client.rcpt(recipient, encoding=encoding)
                    accepted += 1
                except aiosmtplib.SMTPRecipientRefused as error:
                    answer = SmtpAnswer.of(error.code, error.message)
                    if answer.whole_lane:
                        raise
                    refused[recipient] = answer
            if accepted:
                handing_in = True
                await self._client.data(mail)
            return refused
        except (aiosmtplib.SMTPException, OSError) as error:
            wrong = not_sent(error, self._server, handing_in=handing_in)
        raise wrong  # see above

    def _options(self, sender: str, recipients: Iterable[str], mail: bytes) -> tuple[str, list[str]]:
        options = [f"SIZE={len(mail)}"] if self._client.supports_extension("size") else []
        if all(address.isascii() for address in (sender, *recipients)):
            return "ascii", options
        if not self._client.supports_extension("smtputf8"):
            raise Unavailable(
                f"{self._server} takes no addresses with letters beyond ASCII before the @; use another address",
                whole_lane=True,
            )
        return "utf-8", [*options, "SMTPUTF8", "BODY=8BITMIME"]
