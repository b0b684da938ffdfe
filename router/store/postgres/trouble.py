"""PostgreSQL's errors in the words of whoever has to act on them.

No text in here holds data: the server's own words may quote a row, so they are neither passed on nor kept as a cause.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
from pathlib import Path
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
    "it is a replica, or read-only, and calls must be written: name the primary (or all of them: host1,host2); if it is "
    "the primary, look whether default_transaction_read_only is on for the server, the database or the user "
    "(ALTER DATABASE … RESET default_transaction_read_only)"
)
#: Who is out of connections, by the function of the server that says so: its words are in its language.
_LIMITED: Final = {"InitializeSessionUserId": "user", "CheckMyDatabase": "database"}


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
            elsewhere = "" if place.password else " (or PGPASSWORD, or ~/.pgpass, of who runs this)"
            said = (
                f"the server refuses user {place.user or '(of the system)'!r}: check the user, `store_password`{elsewhere}, "
                "and what pg_hba.conf lets in"
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
            said = _no_connection(error, place)
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
        case asyncpg.ClientConfigurationError() | ssl.SSLError() | OSError() if unreadable := _unreadable(error, place):
            said = unreadable
        case asyncpg.ClientConfigurationError() if _trusts_nobody(place):
            said = (
                f"{_setting(place, 'sslmode')} needs to know who vouches for the server: add sslrootcert=FILE, with "
                "that certificate (or lay it at ~/.postgresql/root.crt of the user that runs this)"
            )
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
        case ConnectionError() if "rejected SSL upgrade" in str(error):  # asyncpg's own words, in no other language
            said = (
                f"the server offers no TLS, and {_setting(place, 'sslmode')} asks for it: set ssl = on there, with "
                "a certificate, or leave that out if the way to it is safe"
            )
        case OSError():
            said = f"{error.strerror or type(error).__name__}: check host and port, and that PostgreSQL is running"
        case _:
            said = f"{type(error).__name__}; this is a bug in aftercall"
    return StoreError(f"{place}: {said}")


def _no_connection(error: asyncpg.TooManyConnectionsError, place: Place) -> str:
    match _LIMITED.get(getattr(error, "server_source_function", None) or ""):
        case "user":
            whose = f"user {place.user or '(of the system)'!r}"
            raised = "ALTER ROLE … CONNECTION LIMIT …"
        case "database":
            whose, raised = f"database {place.database!r}", "ALTER DATABASE … CONNECTION LIMIT …"
        case _:
            return "the server has no connection left: raise its max_connections, or end what holds them"
    return f"{whose} has as many connections as it may: raise its limit ({raised}), or end what holds them"


def _unreadable(error: BaseException, place: Place) -> str | None:
    """Which file that the URL names cannot be read, where that can be what is wrong."""
    if isinstance(error, (ConnectionError, TimeoutError, socket.gaierror)):
        return None
    for said in ("sslrootcert", "sslcert", "sslkey"):
        name, _, value = _setting(place, said).partition("=")
        if not value:
            continue
        file = Path(value).absolute()
        why = errno.EISDIR if file.is_dir() else errno.EACCES if file.exists() else errno.ENOENT
        if why == errno.EISDIR or not os.access(file, os.R_OK):
            return f"{name} names {file}, which cannot be read ({os.strerror(why)}): name a file that the user of the router may read"
    return None


def _trusts_nobody(place: Place) -> bool:
    mode, root = (_setting(place, name).partition("=")[2] for name in ("sslmode", "sslrootcert"))
    return mode.startswith("verify-") and not root


def _setting(place: Place, name: str) -> str:
    """As it was said, in the URL or else in the environment: `name=value`."""
    options, variable = place.options, f"PG{name.upper()}"
    return f"{name}={options[name]}" if name in options else f"{variable}={os.environ.get(variable, '')}"
