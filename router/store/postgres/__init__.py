"""The PostgreSQL engine: one database, any number of routers. See `engine` for the way of a call.

`engine` is imported by whoever opens a store: it needs a client (asyncpg) that not every installation has.
"""

from router.store.postgres.place import Place

__all__ = ["Place"]
