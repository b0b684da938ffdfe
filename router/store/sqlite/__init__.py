"""The SQLite engine: one folder, one process, one connection that writes. See `engine` for the way of a call."""

from router.store.sqlite.engine import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
