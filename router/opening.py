"""Opening and closing sinks: each is held open by a task of its own, under deadlines.

What a plugin enters, the same task leaves: a sink may be opened by one request and closed by another, long after.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from router import http
from router.attempt import kind_of
from router.behalf import on_behalf_of
from router.errors import ConfigError
from router.lanes import LAST_WORD
from router.render import Renderer
from router.sink import Sink, SinkConfig, SinkContext

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

    from router.clock import Clock
    from router.config import Config

#: Seconds that a sink may take to open; it acquires local resources only.
OPEN_DEADLINE: Final = 30.0
#: Seconds that it may take to close.
CLOSE_DEADLINE: Final = 5.0


def context(config: Config, name: str, clock: Clock, log: FilteringBoundLogger) -> SinkContext:
    """What a sink is given."""
    return SinkContext(
        name=name,
        http=http.open_client,
        log=log.bind(sink=name),
        clock=clock,
        templates=Renderer(config.zone),
        language=config.sinks[name].language or config.language,
        timezone=config.zone.key,
        folder=config.folder,
    )


def alike(old: Config, new: Config, name: str) -> bool:
    """Whether a sink that is open by the old configuration is what the new one would open."""
    before, after = old.sinks.get(name), new.sinks[name]
    try:
        same = bool(before == after) and all(new.files.as_in(old.files, new.folder / file) for file in after.files())
    except BaseException:  # noqa: BLE001 - a plugin's own comparison may raise anything, also what would end the process
        same = False
    # What else it was given: see `context`.
    return same and old.zone == new.zone and (after.language is not None or old.language == new.language)


class HeldSink:
    """A sink that is open, until `close`."""

    def __init__(self, config: SinkConfig, given: SinkContext, log: FilteringBoundLogger) -> None:
        self._log = log.bind(sink=given.name)
        self._closing = asyncio.Event()
        self._opened: asyncio.Future[Sink] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._hold(config, given), name=f"sink {given.name}")

    @property
    def sink(self) -> Sink:
        """Once it is open."""
        return self._opened.result()

    async def _hold(self, config: SinkConfig, given: SinkContext) -> None:
        try:
            with on_behalf_of(given.name, kind_of(config)):
                async with config.open(given) as sink:
                    self._opened.set_result(sink)
                    await self._closing.wait()
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything, also what would end the process
            if not self._opened.done():
                self._opened.set_exception(error if isinstance(error, ConfigError) else _Bug(error))
            elif not (isinstance(error, asyncio.CancelledError) and self._closing.is_set()):
                self._log.error("sink.failed", exc_info=error)

    async def opened(self) -> None:
        """Until it is open. Raises `ConfigError` where it cannot be."""
        try:
            async with asyncio.timeout(OPEN_DEADLINE):
                await asyncio.shield(self._opened)
        except TimeoutError:
            await self.close()
            message = f"did not open within {OPEN_DEADLINE:g} seconds; look at what its kind does when it opens"
            raise ConfigError(message, instead=message) from None
        except _Bug as bug:
            self._log.error("sink.failed", exc_info=bug.cause)
            message = f"cannot be opened: a bug in its kind ({type(bug.cause).__name__}); the traceback is in the log"
            raise ConfigError(message, instead=message) from None
        except asyncio.CancelledError:
            await self.close()
            raise

    async def close(self) -> None:
        """Close it; what takes too long is cancelled, and what ignores that is left behind. May be repeated."""
        self._closing.set()
        if not self._opened.done():
            self._opened.cancel()
            self._task.cancel()
        if not self._task.done():
            await asyncio.wait([self._task], timeout=CLOSE_DEADLINE)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task], timeout=LAST_WORD)
        if not self._task.done():
            self._log.error("sink.ignores_cancellation", closing=True)


class _Bug(Exception):
    """Whatever else a kind's `open` raised; a future takes no CancelledError."""

    def __init__(self, cause: BaseException) -> None:
        super().__init__()
        self.cause = cause
