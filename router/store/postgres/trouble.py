"""PostgreSQL's errors in the words of whoever has to act on them.

No text in here holds data: the server's own words may quote a row, so they are neither passed on nor kept as a cause.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Final

import asyncpg

from router.errors import AftercallError, StoreError, StoreFull

if TYPE_CHECKING:
    from router.store.postgres.place import Place

#: What may succeed when the whole transaction is done again: another router was at the same rows at the same moment, or
#: has changed the schema.
AGAIN: Final = (
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InvalidCachedStatementError,
)
NO_UNICODE: Final = "a text is not valid Unicode and cannot be stored"

_REPLICA: Final = (
    "it is a replica, or read-only, and calls must be written: name the primary (or all of them: host1,host2)"
)


class Repeat(AftercallError):
    """Another router was at the same rows; the transaction is to be done again."""


def breaks(error: BaseException) -> bool:
    """Whether nothing more may be done on the connection that raised this."""
    if isinstance(error, asyncpg.DataError):  # raised before anything was sent
        return False
    return isinstance(
        error,
        (
            OSError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
            asyncpg.PostgresConnectionError,
            asyncpg.OperatorInterventionError,
            asyncpg.ReadOnlySQLTransactionError,
            asyncpg.InsufficientResourcesError,
            asyncpg.PostgresSystemError,
        ),
    ) and not isinstance(error, (StoreError, asyncpg.QueryCanceledError, asyncpg.DiskFullError))


def explain(error: BaseException, place: Place) -> StoreError:  # one line for each thing to do
    """The error for callers; it names the database, what failed, and what to do."""
    match error:
        case StoreError():
            return type(error)(str(error))
        case UnicodeError():
            return StoreError(NO_UNICODE)
        case asyncpg.InvalidPasswordError() | asyncpg.InvalidAuthorizationSpecificationError():
            said = (
                f"the server refuses user {place.user or '(of the system)'!r}: check the user, `store_password`, and what "
                "pg_hba.conf lets in"
            )
        case asyncpg.InvalidCatalogNameError():
            said = (
                f"there is no database {place.database!r}: make it there with CREATE DATABASE … OWNER … "
                "ENCODING 'UTF8' TEMPLATE template0"
            )
        case asyncpg.TargetServerAttributeNotMatched() | asyncpg.ReadOnlySQLTransactionError():
            said = _REPLICA
        case asyncpg.CannotConnectNowError():
            said = "the server is starting or stopping; it is asked again"
        case asyncpg.TooManyConnectionsError():
            said = "the server has no connection left: raise its max_connections, or end what holds them"
        case asyncpg.InsufficientPrivilegeError():
            said = (
                f"user {place.user or '(of the system)'!r} may not do that there: make it the owner of the database "
                "(ALTER DATABASE … OWNER TO …)"
            )
        case asyncpg.DiskFullError():
            return StoreFull(f"{place}: the server's disk is full: free some space; nothing has to be restarted")
        case asyncpg.OutOfMemoryError():
            said = "the server has no memory left"
        case asyncpg.QueryCanceledError():
            said = "it took too long, or somebody on the server has cancelled it"
        case asyncpg.LockNotAvailableError():
            said = "somebody else holds a lock for too long: look at pg_stat_activity"
        case asyncpg.DataCorruptedError() | asyncpg.IndexCorruptedError():
            said = f"the server says that its data are damaged ({error.sqlstate}): look into its log"
        case asyncpg.ClientConfigurationError():
            said = (
                "the URL of the store, or a file that it names for TLS, cannot be used: look at sslmode and the others"
            )
        case ssl.SSLError():
            said = f"no safe connection comes about ({error.reason or type(error).__name__}): look at sslmode and sslrootcert"
        case socket.gaierror():
            said = "no host has that name: check it, and the name server"
        case TimeoutError():
            said = "the server does not answer: check host, port and firewall"
        case ConnectionRefusedError():
            said = "nothing listens there: check host and port, and that PostgreSQL is running"
        case asyncpg.DataError():
            return StoreError(NO_UNICODE)
        case asyncpg.PostgresError() if not breaks(error):
            said = f"PostgreSQL refused the operation ({error.sqlstate}); this is a bug in aftercall"
        case asyncpg.PostgresError() | asyncpg.InterfaceError() | asyncpg.InternalClientError():
            said = "the connection to the server broke; it is made anew"
        case OSError():
            said = f"{error.strerror or type(error).__name__}: check host and port, and that PostgreSQL is running"
        case _:
            said = f"{type(error).__name__}; this is a bug in aftercall"
    return StoreError(f"{place}: {said}")
