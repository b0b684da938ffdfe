"""What answers of mail servers mean, and breaks of their connections: `Unavailable` or `Rejected`. Pure.

In codes and words of our own: never what the server wrote, because that may be our own mail coming back.

Until there is a mail to speak of (greeting, TLS, login, sender) a no is about the server or the account, and holds
the lane. From then on 4xx is another try, and 5xx is the end; but where the account has sent too much, that holds the
lane as well. Codes: RFC 5321 4.2.3, RFC 4954 6, RFC 3463.
"""

from __future__ import annotations

import os
import re
import ssl
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from router.errors import Rejected, Unavailable
from router.pem import not_accepted
from router.smtp_url import MailServer

#: Who tries a wrong password every few seconds is locked out.
_AFTER_A_REFUSED_LOGIN: Final = timedelta(minutes=5)
#: An account that has sent enough for a day is not asked again for each mail that waits.
_AFTER_A_LIMIT: Final = timedelta(hours=1)

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
class SmtpAnswer:
    """An answer that is no yes. Its `str` is what may be shown of it."""

    code: int
    #: The enhanced code, or nothing.
    enhanced: str = ""

    @classmethod
    def of(cls, code: int, text: str) -> SmtpAnswer:
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


# --- what went wrong ---

_TOO_BIG: Final = frozenset({523, 552})
_WHICH: Final = "smtps:// is TLS from the start on (port 465), smtp:// is STARTTLS (port 587)"


def not_connected(error: Exception, server: MailServer) -> Unavailable:
    """The library's errors before there is a mail, for whoever is on call."""
    import aiosmtplib

    wait = None
    match error:
        case aiosmtplib.SMTPAuthenticationError():
            answer = SmtpAnswer.of(error.code, error.message)
            advice = "; look at user and password, then `aftercall resume`" if answer.for_good else ""
            reason = f"{server} did not accept the login: {answer}{advice}"
            wait = _AFTER_A_REFUSED_LOGIN
        case aiosmtplib.SMTPResponseException():
            reason = f"{server} does not work with us: {SmtpAnswer.of(error.code, error.message)}"
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


def not_sent(error: Exception, server: MailServer, *, handing_in: bool) -> Unavailable | Rejected:
    """The library's errors about one mail."""
    import aiosmtplib

    if not isinstance(error, aiosmtplib.SMTPResponseException):
        know = "; it may have the mail" if handing_in else ""
        return Unavailable(f"{server} closed the connection before it answered{know}")
    answer = SmtpAnswer.of(error.code, error.message)
    if isinstance(error, aiosmtplib.SMTPSenderRefused) and answer.for_good and error.code not in _TOO_BIG:
        return Unavailable(
            f"{server} does not let us send: {answer}; look at `from`, user and password", whole_lane=True
        )
    if answer.for_good:
        return Rejected(f"{server} refused the mail: {answer}")
    reason = f"{server} did not take the mail: {answer}"
    return Unavailable(reason, retry_after=answer.wait, whole_lane=answer.whole_lane)
