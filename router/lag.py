"""How late the event loop is. What blocks it, like a plugin that computes, holds up every call that comes in."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks.
EVERY: Final = 0.5


async def watch(tell: Callable[[float], None], *, every: float = EVERY) -> NoReturn:
    """Tell again and again how many seconds later than asked for the loop came back."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + every
        await asyncio.sleep(every)
        tell(max(loop.time() - due, 0.0))
