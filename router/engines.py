"""Which engine a configuration keeps its calls in: the one place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from router.errors import ConfigError
from router.store import sqlite

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from router.config import Config
    from router.store.base import Store


def is_new(config: Config) -> bool:
    """Whether there is no store yet, as far as that can be seen before it is opened."""
    return config.postgres is None and not config.database.exists()


def open_store(config: Config, *, parse: Callable[[bytes], Any]) -> AbstractAsyncContextManager[Store]:
    """The store of this configuration. Raises `ConfigError` where its engine is not installed."""
    if config.postgres is None:
        return sqlite.open_store(config.database, parse=parse, reserve=config.reserve)
    try:
        from router.store.postgres import engine
    except ImportError as error:
        message = f"{config.file.name}: store: needs a client for PostgreSQL: pip install 'aftercall[postgres]'"
        raise ConfigError(message) from error
    return engine.open_store(config.postgres, parse=parse)
