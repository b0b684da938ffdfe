"""What the event loop was found at, and for whom: values, and functions of a stack; no clock, no thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextvars import Context
from dataclasses import dataclass
from traceback import walk_tb
from types import FrameType

from router.behalf import BEHALF, Behalf

_STEP = asyncio.Handle._run.__code__  # noqa: SLF001 - every callback and every step of a task goes through it


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the loop's thread."""

    #: What the loop runs: one callback, or one step of a task up to its next `await`. None: it runs nothing.
    step: asyncio.Handle | None
    #: On whose behalf; None: the router's own.
    behalf: Behalf | None
    #: Where the sink's own code stands, as `file:line:function`; never what it holds.
    where: str
    #: Where it stands really, if that is somebody else's code: a library that it called.
    inside: str | None


@dataclass(frozen=True, slots=True)
class Stall:
    """How long the loop did not go on, and whose code kept it from that; None where that is not known."""

    seconds: float
    by: Look | None = None

    @property
    def sink(self) -> str:
        """The sink's name, or nothing."""
        return self.by.behalf.sink if self.by and self.by.behalf else ""


def look(frame: FrameType) -> Look:
    """What the stack says whose innermost frame this is."""
    frames = list(_outwards(frame))
    if frames[-1].f_code is not _STEP:
        return Look(None, None, _place(frame), None)
    step: asyncio.Handle | None = frames[-1].f_locals.get("self")
    foreign = [one for one in frames if not _is_ours(one)] or [frame]
    where = next(one for one in foreign if one.f_code.co_filename == foreign[-1].f_code.co_filename)
    inside = None if where is frame else _place(frame)
    return Look(step, _behalf(step), _place(where), inside)


def raised_for(error: BaseException) -> Behalf | None:
    """On whose behalf what came out of a step of the loop was raised."""
    steps = (frame for frame, _ in walk_tb(error.__traceback__) if frame.f_code is _STEP)
    return next((_behalf(frame.f_locals.get("self")) for frame in steps), None)


def _behalf(step: asyncio.Handle | None) -> Behalf | None:
    context: Context | None = getattr(step, "_context", None)
    return context.get(BEHALF) if context else None


def _outwards(frame: FrameType) -> Iterator[FrameType]:
    """From the innermost frame to that of the loop's step, if there is one. What is beyond is how we were started."""
    at: FrameType | None = frame
    while at is not None:
        yield at
        if at.f_code is _STEP:
            return
        at = at.f_back


def _is_ours(frame: FrameType) -> bool:
    """The router's or the event loop's, and no sink's."""
    module = str(frame.f_globals.get("__name__"))
    return module.startswith(("router.", "asyncio.")) and not module.startswith("router.plugins.")


def _place(frame: FrameType) -> str:
    return f"{frame.f_code.co_filename}:{frame.f_lineno}:{frame.f_code.co_name}"
