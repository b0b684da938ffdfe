"""The contract of a sink, and the manual for who writes one.

A sink kind is one module: a configuration class, the sink, one hookimpl. The configuration is a pydantic model with a
`kind: Literal["…"]` of its own; it *builds* the sink: `open(context)` is an async context manager that yields it.

    class BellConfig(SinkConfig):
        "Rings a bell."
        kind: Literal["bell"]
        url: SecretStr

        @asynccontextmanager
        async def open(self, context: SinkContext) -> AsyncIterator[Sink]:
            async with context.http(allow_networks=()) as client:
                yield Bell(self, client)

`open` acquires local resources only and raises `ConfigError` only for what is wrong in the configuration, never
because a server is away; `check` finds that beforehand, where files are named. `deliver` returns None or the remote id
(the far side has it), or raises `Unavailable` (try again) or `Rejected` (never will). Anything else is a bug of the
sink: logged with its traceback and retried. The router sets the timeout and retries; a sink does neither. Cancellation
is the timeout or a stop: do not catch it.
"""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, model_validator

from router.alarm import Alarm
from router.delivery import Delivery
from router.errors import Rejected, Unavailable
from router.retry import STANDARD_WEBHOOKS, RetryPolicy
from router.scalars import Duration, OneOrSeveral, Rate, between
from router.targets import Network


class Part(StrEnum):
    """The parts of a call that a sink may send. Who, when, how long and on which channel always are."""

    HEADLINE = "headline"
    SUMMARY = "summary"
    ACTION_ITEMS = "action_items"
    NOTE = "note"
    SMART_ANSWERS = "smart_answers"
    TRANSCRIPT = "transcript"
    SMALL_TALK = "small_talk"
    PARTICIPANTS = "participants"


class Numbers(StrEnum):
    """How phone numbers leave."""

    MASKED = "masked"
    FULL = "full"


class Revisions(StrEnum):
    """What a sink gets when a call comes again with other content: nothing, a marked one, or just the next one."""

    IGNORE = "ignore"
    MARK = "mark"
    SEND = "send"


def _for_editors(schema: dict[str, Any], model: type[BaseModel]) -> None:
    """Defaults as one would write them; and a key that can be left out may also stand there without a value."""
    defaults = model.model_construct().model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, key in schema.get("properties", {}).items():
        about = {word: key.pop(word) for word in ("title", "description", "default") if word in key}
        if "default" in about and name in defaults:
            about["default"] = defaults[name]
        allowed = key.pop("anyOf", []) + ([dict(key)] if key else [])
        if name not in schema.get("required", ()) and {"type": "null"} not in allowed:
            allowed.append({"type": "null"})
        schema["properties"][name] = (allowed[0] if len(allowed) == 1 else {"anyOf": allowed}) | about


class Setting(BaseModel):
    """Base of everything that is read from routes.yaml: frozen, closed, and silent about values in errors."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
        json_schema_extra=_for_editors,
    )

    @model_validator(mode="before")
    @classmethod
    def _empty_is_left_out(cls, data: Any) -> Any:
        """A key without a value is a key that is not there."""
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return {} if data is None else data


class RetrySetting(Setting):
    """How failed attempts are repeated."""

    schedule: Literal["standard-webhooks"] | Annotated[tuple[Duration, ...], Field(min_length=1, max_length=100)] = (
        "standard-webhooks"
    )
    """`standard-webhooks` (0s, 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h), or a list with one wait before each attempt."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.2
    """How far a wait may be moved, as a share of it: 0.2 is up to 20 % earlier or later."""

    def policy(self) -> RetryPolicy:
        """As the retry decision wants it."""
        schedule = STANDARD_WEBHOOKS if self.schedule == "standard-webhooks" else tuple(self.schedule)
        return RetryPolicy(schedule, self.jitter)


#: How long an attempt may take, for a kind with a default of its own.
Timeout = Annotated[Duration, between(timedelta(milliseconds=1), timedelta(minutes=10))]


class SinkConfig(Setting):
    """One sink of routes.yaml: what every kind has. Defaults are those for machines; see `PeopleSinkConfig`."""

    #: Whether its sink can carry alarms: see `AlarmSink`.
    carries_alarms: ClassVar[bool] = False

    revisions: Revisions = Revisions.SEND
    """When a call comes again with other content: `ignore` it, `mark` the message as an update, or `send` it."""
    timeout: Timeout = timedelta(seconds=20)
    """How long one attempt may take."""
    concurrency: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many attempts may run at the same time."""
    rate: Rate | None = None
    """How many attempts may begin in which time, like `1/s`."""
    retry: RetrySetting | None = None
    """A schedule of this sink's own."""
    give_up: Duration = timedelta(hours=96)
    """A delivery that fails this long after its call was accepted is a dead letter."""
    language: Literal["de", "en"] | None = None
    """Language of built-in texts; the file's `language` where it is left out."""
    numbers: Numbers = Numbers.FULL
    """`masked` or `full` phone numbers, wherever the sink writes them itself (`received` bodies are never touched)."""

    @abstractmethod
    def open(self, context: SinkContext) -> AbstractAsyncContextManager[Sink]:
        """The sink, for as long as the context lasts."""
        raise NotImplementedError

    def check(self, folder: Path) -> datetime | None:
        """Look at the files that the configuration names, with relative paths from `folder`; nothing is kept open.

        Called whenever the configuration is loaded, so that `aftercall check` finds all that `open` would fail on.
        Returns when the first of the certificates ends, for a warning. Raises `ConfigError`, `at` the key.
        """
        return None

    def files(self) -> tuple[Path, ...]:
        """The files that `open` reads, by paths that may start at the folder of routes.yaml.

        They are watched: where one changes, the sink is opened anew. What is read again for each delivery is none.
        """
        return ()

    def recipient(self) -> str | None:
        """Where deliveries go (host, mailbox, path), kept with each of them; never a secret."""
        return None

    def parts(self) -> tuple[str, ...]:
        """What of a call is sent, kept with each delivery: names of `Part`, or `received` for the whole body."""
        return ()


class PeopleSinkConfig(SinkConfig):
    """A sink whose messages people read: it sends less, says it once, and gives up before it is old news."""

    send: Annotated[tuple[Part, ...], OneOrSeveral()] = (
        Part.HEADLINE,
        Part.SUMMARY,
        Part.ACTION_ITEMS,
        Part.NOTE,
    )
    """Which parts of a call are sent."""
    numbers: Numbers = Numbers.MASKED
    """`masked` or `full` phone numbers."""
    revisions: Revisions = Revisions.IGNORE
    """When a call comes again with other content: `ignore` it, `mark` the message as an update, or `send` it."""
    give_up: Duration = timedelta(hours=12)
    """A delivery that fails this long after its call was accepted is a dead letter."""

    def parts(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(part.value for part in self.send)


@runtime_checkable
class Sink(Protocol):
    """One open destination."""

    async def deliver(self, delivery: Delivery) -> str | None:
        """Hand one delivery to the far side. See the module's docstring for what may come back."""


@runtime_checkable
class AlarmSink(Sink, Protocol):
    """One open destination that can carry alarms; its configuration says so with `carries_alarms = True`."""

    async def alarm(self, alarm: Alarm) -> None:
        """Tell it. Raises as `deliver` does; the router sets the timeout and tries again. `alarm.key` stays the same."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back: the status, and the first 64 KiB of the body."""

    status: int
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; an empty one where it is none."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return {}
        return value if isinstance(value, dict) else {}


#: What a vendor's answer means, where that is more than its status says; None leaves it to the status.
Verdict = Callable[[HttpAnswer], Unavailable | Rejected | None]


class HttpClient(Protocol):
    """Posts, and turns every answer but a 2xx into `Unavailable` or `Rejected`: sinks do not read statuses."""

    async def post(
        self, url: str, body: bytes, headers: dict[str, str], *, verdict: Verdict | None = None
    ) -> HttpAnswer:
        """The answer, once it is a 2xx.

        `verdict` is asked first, about a 2xx as well; a `Retry-After` of the answer is added to what it says.
        """


class HttpFactory(Protocol):
    """Opens HTTP clients."""

    def __call__(
        self, *, allow_networks: tuple[Network, ...] = (), ca_file: Path | None = None, connections: int = 10
    ) -> AbstractAsyncContextManager[HttpClient]:
        """A client that reaches public addresses and `allow_networks` only, checked at the socket.

        `ca_file` adds a certificate authority; `connections` bounds what is open at once.
        """


class Template(Protocol):
    """A compiled template."""

    #: What it asks for, as far as that can be seen: `title`, `event.summary`, or `event` where it takes all of it.
    names: frozenset[str]

    def render(self, **values: Any) -> str:
        """The text, from plain dicts, lists and scalars. Raises `Rejected` where the template cannot be filled."""


class Templates(Protocol):
    """Compiles templates."""

    def compile(self, source: str) -> Template:
        """A template of text. Raises ValueError with the line and what is wrong."""

    def compile_message(self, source: str) -> Template:
        """A template of a message (`router.markup`), to be parsed once it is filled. Raises as `compile` does."""


class Logger(Protocol):
    """Writes one line for one fact: the event in the past tense, dotted, then fields. Never text of a call."""

    def info(self, event: str, **fields: Any) -> None:
        """Something happened."""

    def warning(self, event: str, **fields: Any) -> None:
        """Something happened that a person should look at."""


class Now(Protocol):
    """The clock, as sinks know it."""

    def now(self) -> datetime:
        """Aware UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkContext:
    """What a sink is given when it is opened."""

    #: The sink's name in routes.yaml.
    name: str
    http: HttpFactory
    log: Logger
    clock: Now
    templates: Templates
    #: Of built-in texts: the sink's own, or the file's.
    language: Literal["de", "en"]
    #: The name of an IANA time zone, for times that people read.
    timezone: str
    #: The folder of routes.yaml: relative paths start here.
    folder: Path
