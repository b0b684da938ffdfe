"""Sink `email`: a mail for each call, as text and as HTML, handed to a server of one's own or a provider's.

How a mail is written is left to `router.mail` and `router.html`, how it is handed in to `router.smtp`. Recipients come
from the configuration alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import AfterValidator, Field, SecretStr, model_validator

from router import (
    Alarm,
    Block,
    Delivery,
    Discreet,
    Event,
    FilePath,
    Login,
    Mailbox,
    Mailboxes,
    MailFile,
    MailHeader,
    MailProgress,
    MailServer,
    MailUrl,
    Message,
    MessageSinkConfig,
    Numbers,
    OneOrSeveral,
    PeopleSinkConfig,
    Rate,
    Rejected,
    Sink,
    SinkConfig,
    SinkContext,
    SmtpAnswer,
    Span,
    Style,
    Timeout,
    address_of,
    as_vcon,
    check_ca_file,
    check_line,
    cut,
    exact_json,
    hookimpl,
    mail_bytes,
    mail_session,
    mailbox,
    markdown_page,
    one_line,
    strip_audio,
    trusting,
)

#: Recipients of a mail, characters of a channel's name.
_MOST_RECIPIENTS: Final = 50
_LONGEST_CHANNEL: Final = 80
#: Calls that some have got and others have not.
_REMEMBERED: Final = 1000

_WORDS: Final = {
    "de": {"on": "auf", "left_out": "Ohne Anhang: Dem Mailserver ist er zu groß"},
    "en": {"on": "on", "left_out": "Without its attachment, which is too big for the mail server"},
}

# --- the configuration ---

Attachment = Literal["received", "vcon", "markdown"]
#: Keys that other programs have, and where that goes here.
_ELSEWHERE: Final = {
    "port": "`port` goes into `server`, like smtp://user@mail.example.com:587",
    "host": "`host` goes into `server`, like smtps://user@mail.example.com",
    "user": "`user` goes into `server`, like smtps://user@mail.example.com",
    "username": "`username` goes into `server`, like smtps://user@mail.example.com",
}


_SUBJECTS: Final = ("call", "headline")


def _subject(text: str) -> str:
    if text.strip().casefold() in _SUBJECTS:
        return text.strip().casefold()
    if "{{" not in text and "{%" not in text:
        raise Discreet("says the same for every call; write call, headline or a template with {{ … }}")
    check_line(text)
    return text


class EmailConfig(MessageSinkConfig):
    """Sends each call as a mail, with text and HTML."""

    carries_alarms: ClassVar[bool] = True
    built_in: ClassVar[Literal["chat", "mail", "push"]] = "mail"

    kind: Literal["email"]
    to: Annotated[Mailboxes, Field(min_length=1)]
    """Who gets it: one mailbox or several."""
    cc: Mailboxes = ()
    """Who gets a copy."""
    bcc: Mailboxes = ()
    """Who gets a copy that the others do not see."""
    from_: Annotated[Mailbox | None, Field(alias="from")] = None
    """Who it comes from; the user of `server` where that is a mailbox."""
    server: MailUrl
    """Who takes mail from us: `smtps://user@host` (TLS, port 465) or `smtp://user@host` (STARTTLS, port 587)."""
    password: SecretStr | None = None
    """The user's password, best an app password of its own."""
    token_file: FilePath | None = None
    """Instead of a password: a file with an OAuth 2 access token, which another program renews; read anew each time."""
    tls: Literal["required", "none"] = "required"
    """`none` sends in the clear (smtp://, port 25), with a password only to this machine itself."""
    ca_file: FilePath | None = None
    """A certificate authority of your own (PEM), besides those of the system."""
    subject: Annotated[str, AfterValidator(_subject)] = "call"
    """`call`: channel and time, no names; `headline`; or a template of your own, like `{{ event.channel.name }}: {{ title }}`."""
    attach: Annotated[tuple[Attachment, ...], OneOrSeveral()] = ()
    """Files to attach: `received` (all that came in), `vcon`, `markdown` (both with the parts in `send`)."""
    numbers: Numbers = Numbers.FULL
    """`masked` or `full` phone numbers."""
    timeout: Timeout = timedelta(seconds=60)
    """How long one attempt may take; servers look for viruses before they answer."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 2
    """How many attempts may run at the same time, each on a connection of its own."""
    rate: Rate | None = Rate(30, timedelta(minutes=1))
    """How many attempts may begin in which time, like `1/s`."""

    @model_validator(mode="before")
    @classmethod
    def _as_elsewhere(cls, given: Any) -> Any:
        for key, advice in _ELSEWHERE.items():
            if isinstance(given, dict) and key in given:
                raise Discreet(advice)
        return given

    @model_validator(mode="after")
    def _fits(self) -> EmailConfig:
        if self.tls == "none" and self.server.scheme == "smtps":
            raise Discreet("`tls: none` goes with smtp://; smtps:// is TLS")
        if self.password is not None and self.token_file is not None:
            raise Discreet("`password` and `token_file` are both there; write one of them")
        secret = self.password is not None or self.token_file is not None
        if secret is not bool(self.server.user):
            raise Discreet("a login takes a user in `server` (smtps://user@host) and a `password` or `token_file`")
        if self.tls == "none" and secret and not self.server.is_loopback:
            raise Discreet("`tls: none` would send the password in the clear; leave one of them out")
        if len(self.recipients()) > _MOST_RECIPIENTS:
            raise Discreet(f"`to`, `cc` and `bcc` are more than {_MOST_RECIPIENTS}; write a mailing list's address")
        if "received" in self.attach and self.numbers is Numbers.MASKED:
            raise Discreet("`attach: received` has all numbers in it; leave out `numbers: masked`, or attach `vcon`")
        self.sender()
        return self

    def sender(self) -> str:
        """Who it comes from. Raises ValueError where nobody is named."""
        try:
            return self.from_ or mailbox(self.server.user)
        except ValueError:
            raise Discreet("the user in `server` is no mailbox, so write who the mail comes from as `from`") from None

    def recipients(self) -> tuple[str, ...]:
        """Every address once, in the order in which they are written."""
        return tuple(dict.fromkeys(map(address_of, (*self.to, *self.cc, *self.bcc))))

    def mail_server(self) -> MailServer:
        """Where to connect to."""
        return self.server.connecting(in_the_clear=self.tls == "none")

    def login(self, folder: Path) -> Login | None:
        """Read anew where it is in a file."""
        if self.token_file is not None:
            return Login.of_token_file(self.server.user, folder / self.token_file)
        return Login(self.server.user, self.password.get_secret_value()) if self.password else None

    def check(self, folder: Path) -> datetime | None:
        """The authority; a token may well be written later."""
        if self.ca_file is not None:
            check_ca_file(folder / self.ca_file)
        return None

    def files(self) -> tuple[Path, ...]:
        """The authority; the token is read for each mail."""
        return (self.ca_file,) if self.ca_file is not None else ()

    @asynccontextmanager
    async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
        """Connections are made for each mail: a server closes idle ones, and there are seldom two in a row."""
        ca_file = self.ca_file and context.folder / self.ca_file
        yield Email(self, context, await asyncio.to_thread(trusting, ca_file) if self.tls == "required" else None)

    def recipient(self) -> str:
        """The addresses."""
        return ", ".join(self.recipients())

    def parts(self) -> tuple[str, ...]:
        """A received body has everything; the other files have all of `send`, and so may a subject of one's own."""
        written = super().parts() if not self.attach and self.subject in _SUBJECTS else PeopleSinkConfig.parts(self)
        return (*written, *(["received"] if "received" in self.attach else []))


#: By the configuration's folder, the sink and the event: here, and not in the sink, because to mend an address is to open
#: the sink anew.
_PROGRESS: Final[dict[tuple[Path, str, str], MailProgress]] = {}


class Email:
    """One list of recipients, by one server."""

    def __init__(self, config: EmailConfig, context: SinkContext, tls: SSLContext | None) -> None:
        self._config = config
        self._context = context
        self._tls = tls
        self._writer = config.writer(context)
        self._subject = context.templates.compile(config.subject)

    async def deliver(self, delivery: Delivery) -> str:
        """Send it to who does not have it yet; the Message-ID, which is the same for every attempt.

        Done when everybody has it. Where some were refused for good it is `Rejected`, and says who: a dead letter is seen,
        and replayed once the address is mended. Who has the call is remembered until then, while this process runs:
        after a restart in between all get it again.
        """
        message = self._writer.write(delivery)
        header = self._header(delivery, message)
        make = partial(self._mail, header, message)
        await self._hand_in(delivery.event.id, header, partial(make, delivery), make)
        return header.message_id

    async def alarm(self, alarm: Alarm) -> None:
        """Send it as `deliver` does; what it says is the subject, too."""
        notice = self._writer.alarm(alarm)
        header = self._headed(notice.title, alarm.key)
        make = partial(mail_bytes, header, notice.document)
        await self._hand_in(alarm.key, header, make, make)

    async def _hand_in(
        self, about: str, header: MailHeader, make: Callable[[], bytes], smaller: Callable[[], bytes]
    ) -> None:
        """To who lacks the mail about this; `smaller` makes it for a server that takes no attachments of that size."""
        everyone, call = self._config.recipients(), (self._context.folder, self._context.name, about)
        progress = _PROGRESS.get(call, MailProgress())
        if missing := progress.missing(everyone):
            progress = progress.after(missing, await self._send(header, make, smaller, missing))
        problem = progress.problem(self._config.mail_server(), everyone)
        self._remember(call, progress.kept(problem))
        if problem is not None:
            raise problem

    async def _send(
        self, header: MailHeader, make: Callable[[], bytes], smaller: Callable[[], bytes], recipients: Sequence[str]
    ) -> Mapping[str, SmtpAnswer]:
        """On a connection of its own; who does not take it, and why."""
        config, sender = self._config, address_of(header.sender)
        mail = await asyncio.to_thread(make)
        login = await asyncio.to_thread(config.login, self._context.folder)
        async with mail_session(config.mail_server(), self._tls, login, sender.rpartition("@")[2]) as session:
            if config.attach and len(mail) > session.most:
                mail = await asyncio.to_thread(smaller)
            if len(mail) > session.most:
                raise Rejected(
                    f"the mail has {len(mail)} bytes, and {config.mail_server()} takes {session.most}; "
                    "leave parts out of `send`"
                )
            return await session.send(sender, recipients, mail)

    def _remember(self, call: tuple[Path, str, str], progress: MailProgress) -> None:
        _PROGRESS.pop(call, None)
        if progress != MailProgress():
            _PROGRESS[call] = progress
        while len(_PROGRESS) > _REMEMBERED:
            del _PROGRESS[next(iter(_PROGRESS))]

    def _header(self, delivery: Delivery, message: Message) -> MailHeader:
        # Programs show what belongs together only where it is called the same, but for this.
        answer = "Re: " if delivery.follows else ""
        subject = answer + (self._said(message, delivery) or self._neutral(message.event))
        return self._headed(subject, delivery.id, delivery.follows)

    def _headed(self, subject: str, key: str, follows: str | None = None) -> MailHeader:
        config, wording = self._config, self._writer.wording
        return MailHeader(
            sender=config.sender(),
            to=config.to,
            cc=config.cc,
            subject=subject,
            key=key,
            follows=follows,
            date=format_datetime(wording.local(self._context.clock.now())),
            language=wording.language,
        )

    def _said(self, message: Message, delivery: Delivery) -> str:
        """The subject that is asked for; empty where that comes to nothing."""
        match self._config.subject:
            case "call":
                return ""
            case "headline":
                return message.title
            case _:
                return self._writer.line(self._subject, message, delivery)

    def _neutral(self, event: Event) -> str:
        """`Anruf auf Support · 10.03.2026, 09:15`: what may stand on a locked screen."""
        wording = self._writer.wording
        channel = cut(one_line(event.channel.name or event.channel.id or ""), _LONGEST_CHANNEL)
        on = f" {_WORDS[wording.language]['on']} {channel}" if channel else ""
        return f"{wording.label('call')}{on} · {wording.date(event.started_at or event.received_at)}"

    def _mail(self, header: MailHeader, message: Message, delivery: Delivery | None = None) -> bytes:
        """All of it. Without the delivery its attachments are left out, and it says so."""
        if delivery is None:
            left_out = Block(Style.FINE_PRINT, ((Span(_WORDS[self._writer.wording.language]["left_out"]),),))
            return mail_bytes(header, (*message.document, left_out))
        kinds = dict.fromkeys(self._config.attach)
        return mail_bytes(header, message.document, [self._file(kind, message, delivery) for kind in kinds])

    def _file(self, kind: Attachment, message: Message, delivery: Delivery) -> MailFile:
        match kind:
            case "received":
                body = strip_audio(delivery.body)
                if body.lstrip()[:1] in (b"{", b"["):
                    return MailFile("call.json", "application/json", body)
                return MailFile("call.bin", "application/octet-stream", body)
            case "vcon":
                document = as_vcon(delivery.event, self._config.send, self._config.numbers)
                return MailFile("call.vcon", "application/vcon", exact_json(document))
            case "markdown":
                page = markdown_page(message.event, self._writer.wording)
                return MailFile("call.md", "text/markdown", page.encode(errors="replace"))


@hookimpl
def register_sinks() -> list[type[SinkConfig]]:
    """The kind `email`."""
    return [EmailConfig]
