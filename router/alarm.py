"""The alarm: news about the router itself, never about what a call says. Values only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from typing import Final


class Cause(StrEnum):
    """What an alarm is about. Behind each: who is its subject, where it is not the router as a whole."""

    STORE = "store"
    """Nothing can be stored."""
    DISK = "disk"
    """The store's disk is nearly full."""
    QUARANTINE_FULL = "quarantine_full"
    """No more bodies that nobody can read can be kept, or soon: their source."""
    BLOCKED = "blocked"
    """Something kept the whole process waiting: its sink, where that is known."""
    RELOAD = "reload"
    """A configuration was refused: its file."""
    DOWN = "down"
    """A lane gets nothing out, or is disabled: its sink."""
    HANGS = "hangs"
    """Attempts do not end when they are called off: their sink."""
    DEAD = "dead"
    """Dead letters: their sink."""
    OLDEST = "oldest"
    """A delivery has waited for too long: its sink."""
    QUARANTINE = "quarantine"
    """Bodies that no format could read."""
    SILENT = "silent"
    """No call comes: from a source, or on a channel."""


class Whose(Enum):
    """Who looks at it and tells it, where several routers share a store."""

    ROUTER = "router"
    """It is wrong with one router: that one does, whoever keeps house."""
    STORE = "store"
    """It is wrong for all: whoever keeps house does."""


#: Whose each is; operators have the same table in docs/operations.md.
WHOSE: Final = {
    Cause.STORE: Whose.ROUTER,  # one may reach it where another cannot
    Cause.DISK: Whose.ROUTER,
    Cause.QUARANTINE_FULL: Whose.STORE,
    Cause.BLOCKED: Whose.ROUTER,
    Cause.RELOAD: Whose.ROUTER,
    Cause.DOWN: Whose.STORE,  # a lane is one row, whichever router found it down
    Cause.HANGS: Whose.ROUTER,
    Cause.DEAD: Whose.STORE,
    Cause.OLDEST: Whose.STORE,
    Cause.QUARANTINE: Whose.STORE,
    Cause.SILENT: Whose.STORE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """One alarm, as it is told: raised, grown, or cleared."""

    cause: Cause
    #: A sink, a source, a channel or a file, as the configuration names it; empty for the router as a whole.
    subject: str
    since: datetime
    #: How many there are, of what can be counted.
    count: int = 1
    #: Since when all is well again, or nobody looks any more.
    cleared: datetime | None = None
    #: It ended because what it is about is not looked at any more: nobody knows whether it is well.
    unwatched: bool = False
    #: The router that says so: with which it is wrong, or which keeps house.
    router: str = ""

    @property
    def whose(self) -> Whose:
        """Who looks at it and tells it."""
        return WHOSE[self.cause]

    @property
    def kind(self) -> str:
        """Whether it is raised, cleared, or ended without anybody knowing that all is well."""
        return "raised" if self.cleared is None else "ended" if self.unwatched else "cleared"

    @property
    def key(self) -> str:
        """The same over all attempts to tell this, also by another router that keeps house then: receivers that honour it see it once."""
        said = (self.cause, self.subject, self.since.isoformat(), self.count, self.cleared and self.cleared.isoformat())
        by = (self.router,) if self.whose is Whose.ROUTER else ()
        return f"alarm-{hashlib.sha256(repr(tuple(map(str, said + by))).encode(errors='replace')).hexdigest()[:32]}"
