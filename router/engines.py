"""Which engine a configuration keeps its calls in: the one place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.errors import ConfigError
from router.store import sqlite
from router.store.sqlite import folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from structlog.typing import FilteringBoundLogger

    from router.config import Config
    from router.store.base import Store


def is_new(config: Config) -> bool:
    """Whether there is no store yet, as far as that can be seen before it is opened."""
    return config.postgres is None and not config.database.exists()


def open_store(
    config: Config, *, parse: Callable[[bytes], Any], log: FilteringBoundLogger
) -> AbstractAsyncContextManager[Store]:
    """The store of this configuration. Raises `ConfigError` where the folder `data` cannot be made."""
    if config.postgres is None:
        return sqlite.open_store(config.database, parse=parse, name=config.name, reserve=config.reserve)
    try:
        folder.make(config.data)
    except OSError as error:
        message = (
            f"data: {config.data} cannot be made: {error.strerror}: name another folder, or let this user write there"
        )
        raise ConfigError(message) from None
    from router.store.postgres import engine  # its client is no part of every installation

    def waiting(taken: str) -> None:
        log.warning("router.waits_for_name", reason=taken)

    return engine.open_store(config.postgres, parse=parse, name=config.name, told=waiting)
