"""The PostgreSQL engine: one database, any number of routers. See `engine` for the way of a call."""

from router.store.postgres.engine import PostgresStore, open_store
from router.store.postgres.place import Place

__all__ = ["Place", "PostgresStore", "open_store"]
