"""What a reader is given and what comes of it: the manner of a source, one reading with its remarks, what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from router.event import Call

_MOST_UNREAD: Final = 100


class Anchors(Protocol):
    """Who is trusted; see `router.formats.anchors`."""

    def verdict(self, sealed: Mapping[str, Any], now: datetime | None) -> str | None:
        """Why none of the signatures counts; None: one of them does."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How the bodies of one source are read."""

    #: One format only; None: the format is found by content.
    pinned: str | None = None
    #: Further names of the parts of a call, by part; see `router.formats.names`.
    aliases: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Whose signatures are believed; None: nobody's.
    anchors: Anchors | None = None
    #: What is not signed by one of them cannot be read.
    only_verified: bool = False


@dataclass(slots=True)
class Reading:
    """One reading of one body: how, when, and what was odd about it.

    Remarks are logged: they quote nothing of the call.
    """

    manner: Manner = field(default_factory=Manner)
    now: datetime | None = None
    remarks: list[str] = field(default_factory=list)
    #: Names of parts that no table here has. They are the body's own words: for `explain`, and for no log.
    unread: dict[str, None] = field(default_factory=dict)

    def leave(self, name: object) -> None:
        """A part of this name is not read; more than a hundred of them help nobody."""
        if isinstance(name, str) and name.strip() and len(self.unread) < _MOST_UNREAD:
            self.unread[name] = None

    def remark(self, text: str) -> None:
        """Once, however often it is found."""
        if text not in self.remarks:
            self.remarks.append(text)


def _as_it_is(body: dict[str, Any]) -> Any:
    return body


@dataclass(frozen=True, slots=True)
class Format:
    """One way in which bodies are written. All four functions are pure, and take any object."""

    name: str
    description: str
    #: What a body has of all that only this format has, as paths of keys.
    signs: Callable[[dict[str, Any]], tuple[str, ...]]
    #: What a body lacks to be read as one; None: nothing.
    lacks: Callable[[dict[str, Any]], str | None]
    #: The call of a body that lacks nothing. Raises `Unreadable` where nobody could read it.
    read: Callable[[dict[str, Any], Reading], Call]
    #: What of the body goes into the event's `raw`.
    raw: Callable[[dict[str, Any]], Any] = _as_it_is


@dataclass(frozen=True, slots=True)
class Found:
    """What became of a body."""

    format: str
    call: Call
    #: The event's `raw`.
    raw: Any
    #: Why this format, in words.
    why: str
    #: The other formats that could have read it, each with its reason.
    also: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()
    #: Names of parts that were not read, as the body has them.
    unread: tuple[str, ...] = ()

    def explained(self) -> dict[str, Any]:
        """For `explain`."""
        return {
            "name": self.format,
            "why": self.why,
            "also": [{"name": name, "why": why} for name, why in self.also],
            "remarks": list(self.remarks),
            "unread": list(self.unread),
        }


def present(body: Mapping[str, Any], paths: Sequence[str]) -> tuple[str, ...]:
    """Those of the paths (`call.from`) that lead to a key in the body, whatever its value."""
    return tuple(path for path in paths if _leads_somewhere(body, path.split(".")))


def _leads_somewhere(here: Any, keys: Sequence[str]) -> bool:
    for key in keys:
        if not isinstance(here, dict) or key not in here:
            return False
        here = here[key]
    return True
