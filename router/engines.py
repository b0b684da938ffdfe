"""Which engine a configuration keeps its calls in: the one place that knows them all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    """The store of this configuration."""
    if config.postgres is None:
        return sqlite.open_store(config.database, parse=parse, reserve=config.reserve)
    from router.store.postgres import engine  # its client is no part of every installation

    return engine.open_store(config.postgres, parse=parse)
