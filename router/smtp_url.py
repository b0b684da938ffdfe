"""Where mail is handed in, as an operator writes it: `smtps://user@mail.example.com`. Pure, but for the file of a token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, Self
from urllib.parse import unquote

from pydantic_core import core_schema

from router.errors import Discreet, Unavailable

_URL: Final = re.compile(r"(smtps?)://(?:(.*)@)?([\w.-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?/?", re.ASCII)
#: Ports that are for one of the two only (RFC 8314), and what belongs there.
_PORTS: Final = {
    ("smtp", 465): "is TLS from the start on: write smtps://",
    ("smtps", 587): "is STARTTLS: write smtp://",
}
#: Bytes of a file with a token.
_LARGEST_TOKEN: Final = 64 * 1024
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


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

    @classmethod
    def of_token_file(cls, user: str, file: Path) -> Self:
        """With the access token that another program keeps fresh. Raises `Unavailable` where there is none now."""
        try:
            with file.open("rb") as opened:
                token = opened.read(_LARGEST_TOKEN).decode("ascii").strip()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no text"
            message = f"token_file cannot be read: {why}"
            raise Unavailable(message, whole_lane=True) from None
        if not re.fullmatch(r"[\x21-\x7e]+", token):
            message = "token_file does not hold one access token; look at the program that renews it"
            raise Unavailable(message, whole_lane=True)
        return cls(user, token, oauth=True)


@dataclass(frozen=True, slots=True)
class MailUrl:
    """A server and its user: `smtps://` is TLS from the first byte, `smtp://` is STARTTLS, or none where that is said."""

    text: str
    scheme: Literal["smtp", "smtps"]
    #: Empty where there is no login.
    user: str
    host: str
    port: int | None

    def __str__(self) -> str:
        return self.text

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine itself, by its name."""
        return self.host in _LOOPBACK

    def connecting(self, *, in_the_clear: bool = False) -> MailServer:
        """Where to connect to; `in_the_clear` is about `smtp://`."""
        if self.scheme == "smtps":
            return MailServer(self.host, self.port or 465, Tls.IMPLICIT)
        if in_the_clear:
            return MailServer(self.host, self.port or 25, Tls.NONE)
        return MailServer(self.host, self.port or 587, Tls.STARTTLS)

    @classmethod
    def parse(cls, value: Any) -> MailUrl:
        """Raises ValueError with what to write, and without a password."""
        if isinstance(value, MailUrl):
            return value
        found = _URL.fullmatch(value) if isinstance(value, str) else None
        if found is None or int(found[4] or 25) not in range(1, 65536):
            raise Discreet("is no server like smtps://user@mail.example.com or smtp://user@mail.example.com:587")
        if ":" in (found[2] or ""):
            raise Discreet("has a password in it; write it as `password`, and a colon of the user as %3A")
        port = int(found[4]) if found[4] else None
        scheme: Literal["smtp", "smtps"] = "smtps" if found[1] == "smtps" else "smtp"
        if wrong := _PORTS.get((scheme, port or 0)):
            raise Discreet(f"has a port of the other kind: port {port} {wrong}")
        return cls(found[0], scheme, unquote(found[2] or ""), found[3].strip("[]"), port)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> core_schema.CoreSchema:
        """Read from text, written as text."""
        as_text = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_plain_validator_function(cls.parse, serialization=as_text)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: core_schema.CoreSchema, handler: object) -> dict[str, Any]:
        """A text."""
        return {"type": "string", "examples": ["smtps://user@example.com"]}
