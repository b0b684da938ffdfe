"""Mail servers to test with: a real one (aiosmtpd), strict about what a mail may look like; and one that reads a script."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

USER, PASSWORD, TOKEN = "calls@example.com", "pässw0rd hunter2", "ya29.t0ken-secret"


@cache
def authority() -> trustme.CA:
    return trustme.CA()


@cache
def server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority().issue_cert("127.0.0.1", "localhost").configure_cert(context)
    return context


def ca_file(folder: Path) -> str:
    file = folder / "ca.pem"
    authority().cert_pem.write_to_path(str(file))
    return str(file)


@dataclass(frozen=True)
class Mail:
    """What was handed in."""

    sender: str
    recipients: tuple[str, ...]
    content: bytes
    encrypted: bool
    user: str | None
    options: tuple[str, ...]


@dataclass
class PostOffice:
    """Takes mail, as far as it is told to. `async with PostOffice() as office`."""

    implicit: bool = True
    starttls: bool = False
    login: bool = True
    size: int = 50_000_000
    smtputf8: bool = True
    #: What it answers to an address or a word: MAIL, DATA.
    answers: dict[str, list[str]] = field(default_factory=dict)
    #: What it answers to a mail that is there, where that is not yes.
    judge: Callable[[bytes], str | None] = lambda _: None
    mails: list[Mail] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    stalled: bool = False
    #: Its certificate, if not one for 127.0.0.1.
    tls: ssl.SSLContext | None = None
    #: Breaks the connection once it has a mail, instead of saying so.
    breaks: bool = False
    #: Does not answer a farewell.
    stays: bool = False
    port: int = 0
    _server: asyncio.Server | None = None
    _connections: set[SMTP] = field(default_factory=set)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"{'smtps' if self.implicit else 'smtp'}://{f'{USER}@' if self.login else ''}127.0.0.1:{self.port}"

    async def start(self) -> None:
        tls = (self.tls or server_tls()) if self.implicit else None
        self._server = await asyncio.get_running_loop().create_server(self._protocol, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            if isinstance(connection.transport, asyncio.WriteTransport) and not connection.transport.is_closing():
                connection.transport.abort()
        await asyncio.sleep(0)

    def answer(self, at: str, *texts: str) -> None:
        """To the next ones these, then as usual."""
        self.answers[at] = list(texts)

    def _said(self, at: str) -> str | None:
        waiting = self.answers.get(at)
        return waiting.pop(0) if waiting else None

    def _protocol(self) -> SMTP:
        office = self

        class Connection(SMTP):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                office._connections.add(self)
                super().connection_made(transport)

            def connection_lost(self, error: Exception | None) -> None:
                office._connections.discard(self)
                super().connection_lost(error)

            async def push(self, status: Any) -> None:
                if office.stalled:
                    await asyncio.Event().wait()
                await super().push(status)

        with warnings.catch_warnings(action="ignore"):  # it does not see TLS that is there from the start on
            return Connection(
                self,
                hostname="mail.example",
                ident="test",
                loop=asyncio.get_running_loop(),
                data_size_limit=self.size,
                enable_SMTPUTF8=self.smtputf8,
                tls_context=(self.tls or server_tls()) if self.starttls else None,
                require_starttls=self.starttls,
                auth_required=self.login,
                auth_require_tls=False if self.implicit else self.starttls,
                authenticator=self._authenticate,
                auth_exclude_mechanism=[] if self.login else ["PLAIN", "LOGIN", "XOAUTH2"],
            )

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, way: str, data: Any) -> AuthResult:
        self.logins.append(way)
        known = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=known, handled=False, auth_data=USER)

    # --- what aiosmtpd asks ---

    async def auth_XOAUTH2(self, server: SMTP, args: list[str]) -> AuthResult:  # noqa: N802 - aiosmtpd's name
        import base64

        self.logins.append("XOAUTH2")
        if base64.b64decode(args[1]) == f"user={USER}\x01auth=Bearer {TOKEN}\x01\x01".encode():
            return AuthResult(success=True, auth_data=USER)
        await server.push("334 eyJzdGF0dXMiOiI0MDEifQ==")
        await server._reader.readline()
        return AuthResult(success=False, handled=False)

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if answer := self._said("MAIL"):
            return answer
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.commands.append(f"RCPT {address}")
        if (answer := self._said(address)) and not answer.startswith("2"):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        content = envelope.original_content
        assert isinstance(content, bytes)
        for line in content.removesuffix(b"\r\n").split(b"\r\n"):
            assert len(line) <= 998
            assert b"\r" not in line
            assert b"\n" not in line
            assert b"\0" not in line
            assert line.isascii() or "SMTPUTF8" in envelope.mail_options
        if answer := (self._said("DATA") or self.judge(content)):
            return answer
        user = session.auth_data if session.authenticated else None
        encrypted = session.ssl is not None or self.implicit
        self.mails.append(
            Mail(
                str(envelope.mail_from),
                tuple(map(str, envelope.rcpt_tos)),
                content,
                encrypted,
                user,
                tuple(envelope.mail_options),
            )
        )
        if self.breaks:
            assert isinstance(server.transport, asyncio.WriteTransport)
            server.transport.abort()
        return "250 taken"

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        if self.stays:
            await asyncio.Event().wait()
        return "221 Bye"


class Hanging:
    """Greets over TLS, hears a line, and from then on reads bytes without doing anything about them."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard = threading.Event()

    def until_it_is_left(self, patience: float = 5) -> bool:
        """Whether the other side closes its connection, and not only TLS."""
        with self._socket:
            plain, _ = self._socket.accept()
        with server_tls().wrap_socket(plain, server_side=True) as encrypted:
            encrypted.sendall(b"220 hi\r\n")
            encrypted.recv(1024)
            below = socket.socket(fileno=encrypted.detach())
        with below:
            below.settimeout(patience)
            self.heard.set()
            try:
                while below.recv(1024):
                    pass
            except TimeoutError:
                return False
            except ConnectionError:
                pass
            return True


class Scripted:
    """Says what it is told to: first the greeting, then an answer for each line that comes; TLS once STARTTLS has its."""

    def __init__(self, *answers: bytes, forever: bytes = b"") -> None:
        self.answers = answers
        #: Said again and again once there is no other answer.
        self.forever = forever
        self.lines: list[bytes] = []
        #: How many of them came in the clear, once there is TLS.
        self.in_the_clear: int | None = None
        self.port = 0
        self._talking: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._talk, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._server.close()
        while self._talking:
            for writer in self._talking:
                writer.transport.abort()
            await asyncio.sleep(0)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._talking.add(writer)
        with suppress(OSError):
            for number, answer in enumerate(self.answers):
                if number:
                    self.lines.append(await reader.readline())
                writer.write(answer)
                if number and self.lines[-1] == b"STARTTLS\r\n" and answer.startswith(b"220"):
                    self.in_the_clear = len(self.lines)
                    await writer.start_tls(server_tls())
            while self.forever:
                writer.write(self.forever)
                await writer.drain()
            while line := await reader.readline():
                self.lines.append(line)
        writer.close()
        self._talking.remove(writer)
