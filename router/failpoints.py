"""Failpoints: named moments at which the process is killed, so that a test can show what is true after any of them.

For tests only. One is armed by the environment that `aftercall serve` or `aftercall copy-store` starts in:

    AFTERCALL_FAILPOINT=after_commit:kill      the first time that the router comes there
    AFTERCALL_FAILPOINT=after_commit:3:kill    the third time

and by nothing else: it is read once, before the configuration is. No request, no routes.yaml, no reload and no plugin that
changes the environment later arms one. A name that is not known ends the start, and one that is armed is in the log. The
process gets SIGKILL: nothing is flushed, closed or told. Where none is armed, `reached` is one comparison.
"""

from __future__ import annotations

import os
import re
import signal
import time
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING, Final

from router.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

VARIABLE: Final = "AFTERCALL_FAILPOINT"

#: Seconds before a commit in which other threads go on: a sender who was answered too early gets that answer.
_LAST_WORDS: Final = 1.0

_FORM: Final = re.compile(r"(\w+)(?::([1-9][0-9]{0,8}))?:kill")


class Failpoint(StrEnum):
    """Where a router can be killed, and what must be true after the next start."""

    BEFORE_COMMIT = "before_commit"
    """A call and its deliveries are written, and not committed: nothing of it is there, and nobody was answered."""
    AFTER_COMMIT = "after_commit"
    """A call is committed, and not answered: it is there and goes out; sent again, it is a duplicate of itself."""
    BEFORE_ATTEMPT = "before_attempt"
    """A delivery is claimed, and its sink not asked: it goes out, and the attempt counts as lost."""
    AFTER_ATTEMPT = "after_attempt"
    """A sink said what came of a delivery, and that is not written down: it goes out again, with the same key."""
    IN_SETTLE = "in_settle"
    """What came of a delivery is half written down: nothing of that is there; it goes out again, with the same key."""
    IN_RELOAD = "in_reload"
    """Half of a new configuration is in force: the next start has the whole of it, and everything that was owed."""
    IN_MIGRATION = "in_migration"
    """The database is half at the next version: it is at the one before, with everything in it, and is migrated."""
    IN_ARCHIVE_RENAME = "in_archive_rename"
    """A file has its name and still that of its draft: it is whole, stays the only one, and the draft is removed."""
    IN_COPY = "in_copy"
    """A portion of a copied store is written, and not committed: it is not there, no router opens what is, and the same
    `aftercall copy-store` goes on with it."""


@dataclass(slots=True)
class _Fuse:
    """What is armed in this process."""

    point: Failpoint | None = None
    at: int = 1
    #: Counted by whichever thread comes there; its `next` is one step for all of them.
    times: Iterator[int] = field(default_factory=lambda: count(1))

    def burn(self) -> None:
        if next(self.times) == self.at:
            if self.point is Failpoint.BEFORE_COMMIT:
                time.sleep(_LAST_WORDS)
            os.kill(os.getpid(), signal.SIGKILL)


_fuse: Final = _Fuse()


def arm(environ: Mapping[str, str]) -> Failpoint | None:
    """Arm what the environment says, or nothing; for the start of the process. Raises `ConfigError`."""
    said = environ.get(VARIABLE)
    if not said:
        _fuse.point = None
        return None
    match = _FORM.fullmatch(said)
    if match is None or match[1] not in set(Failpoint):
        message = (
            f"{VARIABLE}: {said!r} is no failpoint: it is NAME:kill or NAME:TIMES:kill, and the names are "
            f"{', '.join(Failpoint)}; unset it, unless this is a test"
        )
        raise ConfigError(message)
    _fuse.point, _fuse.at, _fuse.times = Failpoint(match[1]), int(match[2] or 1), count(1)
    return _fuse.point


def reached(point: Failpoint) -> None:
    """The process is at this point: it ends here, where that is armed."""
    if _fuse.point is point:
        _fuse.burn()
