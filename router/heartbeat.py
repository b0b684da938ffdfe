"""The heartbeat: a POST every minute while calls can be stored.

Who gets it notices when it ends, whatever ends it: the only alarm of a router that is dead, cut
off, or blocked for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final, NoReturn

from router import http
from router.clock import pause
from router.errors import Rejected, Unavailable

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.ways import Ways

EVERY: Final = timedelta(minutes=1)
#: Seconds that one may take.
_PATIENCE: Final = 20.0


class Heartbeat:
    """One router's heartbeat. `ready` says whether a call could be stored now; with `hold` it never beats."""

    def __init__(
        self,
        ways: Ways,
        *,
        ready: Callable[[], Awaitable[bool]],
        clock: Clock,
        log: FilteringBoundLogger,
        hold: bool = False,
    ) -> None:
        self._hold = hold
        self._ways = ways
        self._ready = ready
        self._clock = clock
        self._log = log
        self._failing: str | None = None

    async def beat_for_ever(self) -> NoReturn:
        """Beat every minute."""
        while True:
            try:
                await self.beat()
            except Exception as error:  # noqa: BLE001 - a bug in here must not cost a call
                self._log.error("heartbeat.broken", exc_info=error)
            await pause(self._clock, EVERY)

    async def beat(self) -> None:
        """Beat once, where that is asked for and the router is ready. What fails is logged where it is news."""
        rules = self._ways.now.config.alarms
        if self._hold or rules.heartbeat_url is None or not await self._ready():
            return
        failing: str | None = None
        try:
            async with asyncio.timeout(_PATIENCE), http.open_client(allow_networks=rules.allow_networks) as client:
                await client.post(rules.heartbeat_url.get_secret_value(), b"", {})
        except (Unavailable, Rejected) as error:
            failing = str(error)
        except TimeoutError:
            failing = f"no answer within {_PATIENCE:g} s"
        if failing and failing != self._failing:
            self._log.warning("heartbeat.failed", reason=failing)
        elif self._failing and not failing:
            self._log.info("heartbeat.resumed")
        self._failing = failing
