"""What can go wrong, by who has to act on it.

One base. The class docstring is the default message. No text in here, and none that is passed in, may hold a secret
or a word of a call.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta


class AftercallError(Exception):
    """Something went wrong."""

    #: How a command ends that ends with it: it could not be done.
    exit_code = 1

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class ConfigError(AftercallError, ValueError):
    """The configuration is wrong; the message says where and what to do.

    `at` is the key of the sink that it is about, and those below that: ("sign", "key"). `instead` says it without a
    word of the configuration: see `Discreet`.
    """

    def __init__(self, message: str | None = None, *, at: Sequence[str] = (), instead: str | None = None) -> None:
        super().__init__(f"{'.'.join(at)}: {message}" if at else message)
        self.message = message or str(self)
        self.at = tuple(at)
        self.instead = instead

    def discreetly(self) -> str:
        """Where it is, and what is wrong as far as that can be said without a word of the configuration."""
        said = self.instead or "is wrong; why is not said, since it could show what `${…}` was filled with"
        return f"{'.'.join(self.at)}: {said}" if self.at else said


class Discreet(ValueError):
    """What is wrong with a setting, in words that quote nothing of it.

    What `${…}` fills in is a secret more often than not. So where it had a part in a value, the text of a validator's
    error is shown only where it is this one. `instead` is what is said then, where the text itself quotes something.
    """

    def __init__(self, message: str, *, instead: str | None = None) -> None:
        super().__init__(message)
        self.instead = message if instead is None else instead


class PluginError(AftercallError, ImportError):
    """A plugin could not be loaded."""


class Unreadable(AftercallError, ValueError):
    """No format could read this body."""


class StoreError(AftercallError, OSError):
    """The store could not do it, and nothing of it was done as far as is known."""


class StoreBusy(StoreError):
    """Too many writes are waiting; try again in a moment."""


class StoreFull(StoreError):
    """The disk has too little room; what is stored can be looked at, and goes on."""


class QuarantineFull(StoreError):
    """The source has as much in quarantine as it may have."""


class StoreInUse(StoreError):
    """Another process has this data folder open."""


class Conflict(AftercallError):
    """The thing is not in a state in which this can be done."""


class Unknown(AftercallError, LookupError):
    """There is no such thing."""


class Unavailable(AftercallError):
    """The far side cannot take it now; try again later.

    Raised by sinks. `retry_after` is the wait that the far side asked for. `whole_lane` says that nothing else for
    this sink would get through either (it cannot be connected to, or says that it is overloaded): the lane then
    stops and probes instead of spending every delivery's attempts.
    """

    def __init__(
        self, reason: str | None = None, *, retry_after: timedelta | None = None, whole_lane: bool = False
    ) -> None:
        super().__init__(reason)
        self.retry_after = retry_after
        self.whole_lane = whole_lane


class Rejected(AftercallError):
    """The far side will never take this.

    Raised by sinks. `whole_lane` says that it will never take anything again (HTTP 410): the lane is then disabled
    until an operator resumes it.
    """

    def __init__(self, reason: str | None = None, *, whole_lane: bool = False) -> None:
        super().__init__(reason)
        self.whole_lane = whole_lane
