"""The statements of `queries.sql`, by name, and how they are given a row or many.

A statement names its parameters as rows name their columns (`:sink`); PostgreSQL knows numbers only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from router.store.postgres.codecs import value_in
from router.store.statements import named

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asyncpg import Connection, Record

_PARAMETER: Final = re.compile(r"(?<![:\w]):([a-z_][a-z_0-9]*)")
_NOTHING: Final[Mapping[str, Any]] = {}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement."""

    text: str
    #: What its parameters are called, in the order of their numbers.
    names: tuple[str, ...]

    @classmethod
    def of(cls, text: str) -> Statement:
        """With the names in it replaced by numbers."""
        names = tuple(dict.fromkeys(_PARAMETER.findall(text)))
        return cls(_PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", text), names)

    def given(self, row: Mapping[str, Any]) -> list[Any]:
        """Its parameters, of one row."""
        return [value_in(row[name]) for name in self.names]

    def given_all(self, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        """Its parameters, a list of each column."""
        return [[value_in(row[name]) for row in rows] for name in self.names]


#: Read once, at import.
SQL: Final = {
    name: Statement.of(text)
    for name, text in named(resources.files(__package__).joinpath("queries.sql").read_text("utf-8")).items()
}


async def fetch(connection: Connection, name: str, row: Mapping[str, Any] = _NOTHING) -> list[Record]:
    """What this statement finds."""
    statement = SQL[name]
    return await connection.fetch(statement.text, *statement.given(row))


async def first(connection: Connection, name: str, row: Mapping[str, Any] = _NOTHING) -> Record | None:
    """The first row that this statement finds."""
    statement = SQL[name]
    return await connection.fetchrow(statement.text, *statement.given(row))


async def only(connection: Connection, name: str, row: Mapping[str, Any] = _NOTHING) -> Record:
    """The one row that this statement always finds."""
    (found,) = await fetch(connection, name, row)
    return found


async def fetch_all(connection: Connection, name: str, rows: Sequence[Mapping[str, Any]]) -> list[Record]:
    """What this statement finds when it is given many rows; nothing where there are none."""
    if not rows:
        return []
    statement = SQL[name]
    return await connection.fetch(statement.text, *statement.given_all(rows))


async def execute(connection: Connection, name: str) -> str:
    """Do what this statement says, which takes nothing; how it ended."""
    return await connection.execute(SQL[name].text)
