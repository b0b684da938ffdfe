"""`aftercall copy-store`: what an operator names as a store, and the move from one to the other."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from router.config.load import database, postgres
from router.errors import AftercallError, ConfigError
from router.store.moving.copying import move
from router.store.moving.sqlite import SqliteSide
from router.store.postgres.place import NO_CLIENT, has_client

if TYPE_CHECKING:
    from router.config import Known
    from router.store.moving.copying import Moved, Told
    from router.store.moving.side import Side
    from router.store.postgres import Place


#: How a database file of SQLite begins.
_SQLITE: Final = b"SQLite format 3\0"


def refuse_no_config(file: Path, name: str) -> None:
    """Raise `ConfigError` where this file, given as `name`, is no routes.yaml, with what to write instead."""
    try:
        with file.open("rb") as opened:
            begin = opened.read(len(_SQLITE))
    except FileNotFoundError:
        message = (
            f"{name}: there is no file {file}: name a routes.yaml that is there, or a store, like sqlite:///{file} or "
            "postgresql://user@host/database"
        )
        raise ConfigError(message) from None
    except OSError:
        return  # whoever reads it says why it cannot be read
    if begin == _SQLITE:
        message = f"{name}: {file} is a database, and no routes.yaml: write sqlite:///{file}"
        raise ConfigError(message)


def of_config(config: Known) -> Side:
    """The store of a configuration. Raises `AftercallError` where its client is missing."""
    return _side(config.postgres, config.database)


def of_url(url: str, name: str) -> Side:
    """The store at a URL, whose file is looked for from where the command is run; it was given as `name`.

    Raises `AftercallError`, which quotes nothing of it: there may be a password in it.
    """
    try:
        return _side(postgres(url, None), database(url, Path(), Path()))
    except ValueError as error:
        message = (
            f"{name} {error}; or name a routes.yaml that says `store`, and `store_password` where it needs one. The password "
            "of a URL belongs in PGPASSWORD or ~/.pgpass"
        )
        raise AftercallError(message) from None


def _side(place: Place | None, file: Path) -> Side:
    if place is None:
        return SqliteSide(file)
    if not has_client():
        message = f"{place} {NO_CLIENT}"
        raise AftercallError(message)
    from router.store.moving.postgres import PostgresSide  # it has the client

    return PostgresSide(place)


def copy_store(source: Side, target: Side, told: Told) -> Moved:
    """Copy all of it. Raises `AftercallError` with what to do; see `move`."""
    folders = [side.path.parent.resolve() for side in (source, target) if isinstance(side, SqliteSide)]
    if len({*folders}) < len(folders):
        message = f"{source} and {target} are in one folder: a store has one of its own, so name another for TO"
        raise AftercallError(message)
    return asyncio.run(move(source, target, told))
