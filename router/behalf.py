"""On whose behalf code runs: of which sink. What it starts beside itself, tasks and callbacks, inherits that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Behalf:
    """A sink, by its name, and its kind as routes.yaml has it."""

    sink: str
    kind: str | None = None


#: None: the router's own.
BEHALF: Final[ContextVar[Behalf | None]] = ContextVar("BEHALF", default=None)


@contextmanager
def on_behalf_of(sink: str, kind: str | None) -> Iterator[None]:
    """What runs in here does."""
    before = BEHALF.set(Behalf(sink, kind))
    try:
        yield
    finally:
        BEHALF.reset(before)
