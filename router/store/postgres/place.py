"""Where a PostgreSQL store is, as an operator writes it: `postgresql://user@host/database`. Pure."""

from __future__ import annotations

import importlib.util
import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote

from router.errors import Discreet

#: What is said of a place where the client for it is missing.
NO_CLIENT: Final = (
    "needs a client that is not installed: `.venv/bin/pip install --require-hashes -r requirements-postgres.lock` in the "
    "clone, or `pip install 'aftercall[postgres]'` where aftercall is installed as a package"
)
SCHEMES: Final = ("postgresql", "postgres")
_FORM: Final = re.compile(
    r"(?:postgresql|postgres)://(?:([^@/]*)@)?([A-Za-z0-9._:,\[\]-]*)/([^/?#]+)(?:\?([^#]*))?", re.ASCII
)
#: What may stand after the question mark: how the way to the server is made safe.
_OPTIONS: Final = ("sslmode", "sslrootcert", "sslcert", "sslkey")
_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def has_client() -> bool:
    """Whether the client is installed: it is no part of every installation."""
    return importlib.util.find_spec("asyncpg") is not None


@dataclass(frozen=True, slots=True)
class Place:
    """A database on a server, or on one of several of which one may be written."""

    url: str
    user: str | None
    host: str
    database: str
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"postgresql://{f'{self.user}@' if self.user else ''}{self.host}/{self.database}"

    @property
    def each(self) -> tuple[str, ...]:
        """The URL of each of its hosts, as if that were the only one."""
        scheme, _, authority, rest = self.url.split("/", 3)
        who, at, hosts = authority.rpartition("@")
        return tuple(f"{scheme}//{who}{at}{host}/{rest}" for host in hosts.split(","))

    @property
    def options(self) -> dict[str, str]:
        """What stands after the question mark."""
        return dict(parse_qsl(self.url.partition("?")[2], keep_blank_values=True))

    @classmethod
    def of(cls, url: str, password: str | None = None) -> Place:
        """Raises `ValueError` with what to write; nothing of the URL is in it, which may have a password."""
        match = _FORM.fullmatch(url)
        if match is None:
            raise Discreet("is no PostgreSQL URL; write postgresql://user@host/database")
        user, host, database, query = match.groups()
        if user is not None and ":" in user:
            raise Discreet("has a password in it; write it as `store_password`, and a colon of the user as %3A")
        if not host:
            raise Discreet("names no host; write postgresql://user@host/database")
        options = parse_qsl(query or "", keep_blank_values=True)
        for name, value in options:
            if name not in _OPTIONS:
                raise Discreet(f"may say {', '.join(_OPTIONS)} after the question mark, and nothing else")
            if name == "sslmode" and value not in _MODES:
                raise Discreet(f"has an unknown sslmode; write one of {', '.join(_MODES)}")
        return cls(url, unquote(user) if user else None, host, unquote(database), password)
