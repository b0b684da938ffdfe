"""Handing a mail to a server: TLS first, then a login, then recipient by recipient; what it answers, for all to read.

What goes wrong becomes `Unavailable` or `Rejected` here, with codes and words of our own: never what the server wrote,
because that may be our own mail coming back. It sets no timeout but the one for connecting; answers are bounded by
aiosmtplib (32 KiB).

Until there is a mail to speak of (greeting, TLS, login, sender) a refusal is about the server or the account, and holds
the lane. From then on 4xx is another try, and 5xx is the end; but where the account has sent too much, that holds the
lane as well. Codes: RFC 5321 4.2.3, RFC 4954 6, RFC 3463.
"""

from __future__ import annotations

import asyncio
import os
import re
import ssl
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import TYPE_CHECKING, Final

from router.errors import Rejected, Unavailable
from router.pem import not_accepted

if TYPE_CHECKING:
    import aiosmtplib

#: Seconds for connecting, for the greeting and for TLS, each.
CONNECT_SECONDS: Final = 15.0
#: Who tries a wrong password every few seconds is locked out.
_AFTER_A_REFUSED_LOGIN: Final = timedelta(minutes=5)
#: An account that has sent enough for a day is not asked again for each mail that waits.
_AFTER_A_LIMIT: Final = timedelta(hours=1)

# --- what an answer means ---

_OF_CODES: Final = {
    421: "it is closing, or busy",
    432: "the password has to be changed",
    450: "mailbox busy, or greylisted",
    451: "an error of its own, or greylisted",
    452: "no room left, or too many recipients",
    454: "not at the moment",
    521: "it takes no mail",
    523: "the mail is too big",
    530: "it wants a login or TLS",
    534: "it wants another way of logging in",
    535: "user or password is wrong",
    538: "it wants TLS",
    541: "taken for spam",
    550: "no such mailbox, or not allowed",
    551: "the mailbox is elsewhere",
    552: "mailbox full, or the mail is too big",
    553: "the address is not allowed",
    554: "refused",
    556: "the domain takes no mail",
}
#: Subject and detail of an enhanced code; what it says is more exact.
_OF_ENHANCED_CODES: Final = {
    "1.1": "no such mailbox",
    "1.2": "no such domain",
    "1.6": "the mailbox has moved",
    "1.10": "the domain takes no mail",
    "2.1": "the mailbox is switched off",
    "2.2": "the mailbox is full",
    "2.3": "the mail is too big for the mailbox",
    "3.4": "the mail is too big",
    "4.5": "it is too much for now",
    "7.1": "not allowed, or greylisted",
    "7.8": "user or password is wrong",
    "7.9": "it wants another way of logging in, like an app password",
    "7.23": "SPF does not allow this server for the address in `from`",
    "7.26": "SPF and DKIM do not vouch for the address in `from`",
}
_CLOSING: Final = 421
_ENHANCED: Final = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})(?!\S)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is no yes. Its `str` is what may be shown of it."""

    code: int
    #: The enhanced code, or nothing.
    enhanced: str = ""

    @classmethod
    def of(cls, code: int, text: str) -> Refusal:
        """Only digits are taken from the text."""
        found = _ENHANCED.match(text)
        return cls(code, found[0] if found and found[1] == str(code)[:1] else "")

    def __str__(self) -> str:
        if not 200 <= self.code <= 599:  # noqa: PLR2004 - RFC 5321
            return "an answer that is not SMTP"
        words = _OF_ENHANCED_CODES.get(self.enhanced.partition(".")[2]) or _OF_CODES.get(self.code)
        if words and self.for_good:
            words = words.removesuffix(", or greylisted")
        codes = f"{self.code} {self.enhanced}".rstrip()
        return f"{codes} ({words})" if words else codes

    @property
    def for_good(self) -> bool:
        """Whether it will be the same next time; what is no SMTP at all may be a stroke of bad luck."""
        return 500 <= self.code <= 599 and not self._too_much  # noqa: PLR2004 - RFC 5321

    @property
    def whole_lane(self) -> bool:
        """Whether another mail would hear the same."""
        return self.code == _CLOSING or self._too_much

    @property
    def wait(self) -> timedelta | None:
        """How long to leave it alone: Gmail says 550 5.4.5 to who has sent enough for a day."""
        return _AFTER_A_LIMIT if self._too_much and self.code >= 500 else None  # noqa: PLR2004 - RFC 5321

    @property
    def _too_much(self) -> bool:
        """RFC 3463 3.5: a system that is congested, which passes."""
        return self.enhanced.partition(".")[2] == "4.5"


class Tls(Enum):
    """How a connection is made safe before anything is said on it."""

    #: From its first byte (port 465).
    IMPLICIT = "implicit"
    #: By STARTTLS, or there is no connection (port 587).
    STARTTLS = "starttls"
    #: Not at all.
    NONE = "none"


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mail is handed in."""

    host: str
    port: int
    tls: Tls

    def __str__(self) -> str:
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Login:
    """A user with a password or, as XOAUTH2 has it, with an access token."""

    user: str
    secret: str
    oauth: bool = False

    def __repr__(self) -> str:
        return "Login(…)"


# --- a connection ---


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
            await client.ehlo()
            if server.tls is Tls.STARTTLS:
                await _start_tls(client, server)
            if login:
                await _log_in(client, server, login)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            wrong = _not_connected(error, server)
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
    await client.ehlo()


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

    async def send(self, sender: str, recipients: Iterable[str], mail: bytes) -> Mapping[str, Refusal]:
        """Hand it in, for as many as are accepted; who is not, and why.

        Nothing is handed in where nobody is accepted. Raises `Unavailable` or `Rejected` for the mail as a whole.
        """
        import aiosmtplib

        handing_in = False
        try:
            encoding, options = self._options(sender, recipients, mail)
            await self._client.mail(sender, options=options, encoding=encoding)
            refused: dict[str, Refusal] = {}
            accepted = 0
            for recipient in recipients:
                try:
                    await self._client.rcpt(recipient, encoding=encoding)
                    accepted += 1
                except aiosmtplib.SMTPRecipientRefused as error:
                    refusal = Refusal.of(error.code, error.message)
                    if refusal.whole_lane:
                        raise
                    refused[recipient] = refusal
            if accepted:
                handing_in = True
                await self._client.data(mail)
            return refused
        except (aiosmtplib.SMTPException, OSError) as error:
            wrong = _not_sent(error, self._server, handing_in=handing_in)
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


# --- what went wrong ---

_WHICH: Final = "smtps:// is TLS from the start on (port 465), smtp:// is STARTTLS (port 587)"


def _not_connected(error: Exception, server: MailServer) -> Unavailable:
    """The library's errors before there is a mail, for whoever is on call."""
    import aiosmtplib

    wait = None
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            refusal = Refusal.of(error.code, error.message)
            advice = "; look at user and password, then `aftercall resume`" if refusal.for_good else ""
            reason = f"{server} did not accept the login: {refusal}{advice}"
            wait = _AFTER_A_REFUSED_LOGIN
        case aiosmtplib.SMTPResponseException():
            reason = f"{server} does not work with us: {Refusal.of(error.code, error.message)}"
        case aiosmtplib.SMTPTimeoutError():
            reason = f"{server} cannot be connected to: no answer in time; {_WHICH}"
        case aiosmtplib.SMTPServerDisconnected():
            reason = f"{server} closed the connection before it took a mail"
        case OSError():
            reason = _no_connection(_cause(error), server)
        case _:
            reason = f"{server} answers something that is not SMTP"
    return Unavailable(reason, retry_after=wait, whole_lane=True)


def _cause(error: BaseException) -> BaseException:
    """Below what the library wraps around it."""
    return error.__cause__ if isinstance(error.__cause__, OSError) else error


def _no_connection(error: BaseException, server: MailServer) -> str:
    import socket

    match error:
        case ssl.SSLCertVerificationError():
            return not_accepted(str(server), error)
        case ssl.SSLError():
            return f"no TLS with {server}: {error.reason}; {_WHICH}"
        case socket.gaierror():
            return f"{server.host} cannot be looked up"
        case OSError(errno=int(number)):
            return f"{server} cannot be connected to: {os.strerror(number)}"
        case _:
            return f"{server} closed the connection before it took a mail"


def _not_sent(error: Exception, server: MailServer, *, handing_in: bool) -> Unavailable | Rejected:
    """The library's errors about one mail."""
    import aiosmtplib

    if not isinstance(error, aiosmtplib.SMTPResponseException):
        know = "; it may have the mail" if handing_in else ""
        return Unavailable(f"{server} closed the connection before it answered{know}")
    refusal = Refusal.of(error.code, error.message)
    if isinstance(error, aiosmtplib.SMTPSenderRefused) and refusal.for_good and error.code not in _TOO_BIG:
        return Unavailable(
            f"{server} does not let us send: {refusal}; look at `from`, user and password", whole_lane=True
        )
    if refusal.for_good:
        return Rejected(f"{server} refused the mail: {refusal}")
    reason = f"{server} did not take the mail: {refusal}"
    return Unavailable(reason, retry_after=refusal.wait, whole_lane=refusal.whole_lane)


_TOO_BIG: Final = frozenset({523, 552})
