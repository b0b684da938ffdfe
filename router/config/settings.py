"""What routes.yaml may hold, apart from each sink's own keys: typed and described. See `load` for the whole."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated, Any, Literal, NamedTuple
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, SecretStr, WithJsonSchema

from router.config.alarms import Alarms
from router.config.grammar import NamedWords, NeverSetting, RouteSetting
from router.errors import Discreet
from router.formats import FORMATS
from router.formats.names import PARTS
from router.scalars import DURATION_PATTERN, OneOrSeveral, Size, parse_duration, written
from router.sink import RetrySetting, Setting
from router.targets import Networks

#: RFC 4648's base64url alphabet, 128 bits or more: what can stand in a URL and not be guessed.
_TOKEN = re.compile(r"[A-Za-z0-9_\-]{22,512}")
_SOURCE_NAME = re.compile(r"[A-Za-z0-9_\-]{1,64}")
_SINK_NAME = re.compile(r"\w[\w .\-]{0,63}")
_ROUTER_NAME = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_ADDRESS = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/\[\]]+):([0-9]{1,5})")


class Address(NamedTuple):
    """Where a listener listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def _address(value: Any) -> Any:
    if isinstance(value, str):
        matched = _ADDRESS.fullmatch(value.strip())
        if matched and int(matched[2]) < 2**16:
            return Address(matched[1].strip("[]"), int(matched[2]))
    if isinstance(value, Address):
        return value
    message = "is no address; write host:port like 127.0.0.1:8080"
    raise Discreet(message)


def _public_url(value: str) -> str:
    try:
        parts = urlsplit(value)
        odd = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "@" in parts.netloc
    except ValueError:  # of brackets and ports
        odd = True
    if odd or not value.isprintable() or set(" ?#") & set(value):
        message = "is no address of a server; write it like https://calls.example.com"
        raise Discreet(message)
    return value.rstrip("/")


def _timezone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        message = "is no time zone; write a name like Europe/Berlin"
        raise Discreet(f"{value!r} {message}", instead=message) from None
    return value


def _token(value: SecretStr, *, otherwise: str = "") -> SecretStr:
    token = value.get_secret_value()
    if not _TOKEN.fullmatch(token) or len(set(token)) < 8:  # noqa: PLR2004 - `aaaa…` and `12341234…` are guessed
        message = (
            "is too weak or cannot stand in a URL; a token has at least 22 of the characters A-Z a-z 0-9 _ - and is "
            f"random: {otherwise}take the output of `openssl rand -hex 16`"
        )
        raise Discreet(message)
    return value


def _source_token(value: SecretStr) -> SecretStr:
    return _token(value, otherwise="leave it out and one is made, or ")


def _named(pattern: re.Pattern[str], what: str) -> Any:
    def check(value: str) -> str:
        if value == "all" or not pattern.fullmatch(value):
            message = f"{value!r} is no name for a {what}; use letters, digits, - and _, and not `all`"
            raise Discreet(message)
        return value

    return AfterValidator(check)


def _router_name(value: str) -> str:
    if not _ROUTER_NAME.fullmatch(value):
        message = "is no name for a router; use up to 64 letters, digits, ., - and _"
        raise Discreet(f"{value!r} {message}", instead=message)
    return value


Token = Annotated[SecretStr, AfterValidator(_token)]
SourceToken = Annotated[SecretStr, AfterValidator(_source_token)]
Listen = Annotated[
    Address,
    BeforeValidator(_address),
    PlainSerializer(str, return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "examples": ["0.0.0.0:8080"]}),
]
SourceName = Annotated[str, _named(_SOURCE_NAME, "source")]
SinkName = Annotated[str, _named(_SINK_NAME, "sink")]
Names = Annotated[tuple[str, ...], OneOrSeveral()]


def _kept(value: Any) -> Any:
    try:
        return value if value == "forever" else parse_duration(value)
    except Discreet as error:
        message = f"{error}, or `forever`"
        raise Discreet(message) from None


Kept = Annotated[
    Literal["forever"] | timedelta,
    BeforeValidator(_kept),
    PlainSerializer(lambda kept: kept if kept == "forever" else written(kept), return_type=str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": f"^(forever|{DURATION_PATTERN})$", "examples": ["90d", "forever"]}),
]


class Keep(Setting):
    """How long things are kept. `forever` must be written out."""

    events: Kept = timedelta(days=90)
    """Calls with everything that belongs to them, once nothing of them is owed any more."""
    quarantine: Kept = timedelta(days=90)
    """Bodies that no format could read."""
    quarantine_size: Size = 2**30
    """How much of these a source may have; more is not taken in (503), so that it cannot fill the disk."""
    seen: Kept = timedelta(days=400)
    """How long a call is recognised when it comes again (keyed hashes only); at least as long as `events`."""
    reserve: Size = 32 * 2**20
    """Room on the store's disk that no call is taken into (503), and as much again in a file: what was taken in is
    delivered and removed from it when the disk is full."""


class Server(Setting):
    """The listener that takes calls in."""

    listen: Listen = Address("127.0.0.1", 8080)
    """Where to listen, like 0.0.0.0:8080."""
    public_url: Annotated[str, AfterValidator(_public_url)] | None = None
    """How the phone company reaches it, like https://calls.example.com; `aftercall url` needs it."""
    max_body: Size = 10 * 2**20
    """The largest body, after decompression."""
    trusted_proxies: Networks = ()
    """Whose word counts on where a request comes from (X-Forwarded-For, Forwarded), like 127.0.0.1."""


class Admin(Setting):
    """The listener for people and scripts who look after the router."""

    listen: Listen = Address("127.0.0.1", 8081)
    """Where to listen. Beyond this machine only with `tokens`."""
    tokens: dict[str, Token] = {}
    """Who may ask, by name; sent as `Authorization: Bearer …`."""
    hosts: Names = ()
    """Further names under which the listener may be asked (the Host header), like router.example.com."""


class Trusting(Setting):
    """Whose signatures a source believes."""

    anchors: Annotated[tuple[str, ...], Field(min_length=1), OneOrSeveral()]
    """PEM files with certificates, or their content: of senders, or of authorities that issue to nobody else."""
    required: bool = False
    """What is not signed by one of them goes to quarantine."""


class Source(Setting):
    """Where calls come in."""

    token: SourceToken | None = None
    """The secret in the URL; left out: one is made at first start and kept in `data`."""
    tokens: Annotated[tuple[SourceToken, ...], Field(min_length=1)] | None = None
    """Several secrets, while one replaces the other."""
    format: Literal[tuple(FORMATS)] | None = None  # type: ignore[valid-type] # the installed ones
    """Read every body as this format; left out: found by content."""
    aliases: dict[Literal[PARTS], Names] = {}  # type: ignore[valid-type] # the parts that have names
    """Further names under which parts of a call come (of a vCon's analyses and attachments, or in sipgate's `assist`),
    like summary: [gist, abstract]."""
    trust: Trusting | None = None
    """Whose signatures are believed; left out: nobody's."""
    allow_from: Annotated[Networks, Field(min_length=1)] = ()
    """Networks from which calls are taken, like 203.0.113.0/24; left out: from anywhere."""


Sinks = Annotated[
    dict[SinkName, Any],
    # Each kind has its own model; `load` reads them, once the plugins are known.
    BeforeValidator(lambda value: {} if value is None else value),
]


class Settings(Setting):
    """routes.yaml."""

    name: Annotated[str, AfterValidator(_router_name)] | None = None
    """What this router is called, unlike any other on the same store; left out: as its machine is."""
    data: str = "data"
    """Folder for the store, the generated tokens and the archive."""
    timezone: Annotated[str, AfterValidator(_timezone)] = "Europe/Berlin"
    """For paths, messages and time conditions: a name like Europe/Berlin."""
    language: Literal["de", "en"] = "de"
    """Of built-in messages."""
    store: str | None = None
    """Where calls are kept: sqlite:///data/aftercall.db (the default, in `data`) or postgresql://user@host/database."""
    store_password: SecretStr | None = None
    """The password of the user in `store`, for PostgreSQL."""
    keep: Keep = Keep()
    """How long things are kept."""
    server: Server = Server()
    """The listener that takes calls in."""
    admin: Admin = Admin()
    """The listener for those who look after the router."""
    sources: Annotated[dict[SourceName, Source], Field(min_length=1)]
    """Where calls come in, by name."""
    sinks: Sinks = {}
    """Where calls go, by name; each of a `kind`."""
    words: dict[str, NamedWords] = {}
    """Keywords under a name, for use as $name in text conditions."""
    always: Names = ()
    """Sinks that get every call; does not count as a route."""
    never: tuple[NeverSetting, ...] = ()
    """Rules that beat all others, replays too."""
    routes: tuple[RouteSetting, ...] = ()
    """The rules, in order."""
    otherwise: Names = ()
    """Sinks for calls that no route took."""
    retry: RetrySetting = RetrySetting()
    """How failed attempts are repeated, where a sink says nothing else."""
    include: Names = ()
    """Further files with sources, sinks, words and rules, like rules.d/*.yaml."""
    alarms: Alarms = Alarms()
    """Who is told when something is wrong with the router itself."""
    plugins: Names = ()
    """Local plugin files."""
