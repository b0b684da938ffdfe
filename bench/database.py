"""The PostgreSQL that is measured: a server of its own, as tests start one, or the one that AFTERCALL_TEST_POSTGRES names."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote, unquote, urlsplit
from uuid import uuid4

import asyncpg

from measures import cpu_seconds
from router.store.postgres import Place

sys.path.append(str(Path(__file__).parents[1] / "tests"))
from postgres_binaries import NoPostgres
from postgres_server import Server, postgres_server

T = TypeVar("T")

#: What differs from what `initdb` writes, and matters for speed. The rest of it is as PostgreSQL's own defaults are:
#: above all fsync, full_page_writes and synchronous_commit, which are on.
SETTINGS: Final = {"shared_buffers": "1GB", "max_wal_size": "8GB", "maintenance_work_mem": "1GB", "io_method": "worker"}
#: Every flush of the log to the disk takes this much longer, as on a disk that is not in the same machine.
SLOW: Final = {"commit_delay": "5000", "commit_siblings": "0"}
#: For what is loaded before anything is measured: what goes into a new table is not written twice.
_LOADING: Final = {"wal_level": "minimal", "max_wal_senders": "0"}
_MEASURED: Final = {"wal_level": "replica", "max_wal_senders": "10"}


@dataclass(frozen=True, slots=True)
class Database:
    """A server, or a database on it, by the URL of somebody who may do everything there."""

    url: str
    server: Server | None

    def place(self) -> Place:
        """As a router is given it."""
        parts, password = urlsplit(self.url), self.password
        return Place.of(f"{parts.scheme}://{self._at(parts.netloc)}{parts.path}", password)

    def routes(self) -> str:
        """The lines of routes.yaml that say so."""
        return f"store: {self.place().url}\n" + (f"store_password: '{self.password}'\n" if self.password else "")

    @property
    def password(self) -> str | None:
        found = urlsplit(self.url).password
        return None if found is None else unquote(found)

    @staticmethod
    def _at(netloc: str) -> str:
        who, _, host = netloc.rpartition("@")
        return f"{quote(unquote(who.partition(':')[0]))}@{host}" if who else host

    @property
    def cpu_seconds(self) -> float:
        """How long processors have worked for the server; NaN where it is not ours."""
        if self.server is None or self.server.process is None:
            return float("nan")
        return cpu_seconds(self.server.process.pid)

    async def ask(self, query: str, *arguments: object) -> Any:
        """The first value of the first row."""
        return await self.on(lambda connection: connection.fetchval(query, *arguments))

    async def on(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Do this on a connection of its own."""
        connection = await asyncpg.connect(self.url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    @contextmanager
    def fresh(self) -> Iterator[Database]:
        """A new, empty database, gone at the end of the block."""
        name = f"aftercall_bench_{uuid4().hex}"
        asyncio.run(self.ask(f"CREATE DATABASE {name} ENCODING 'UTF8' TEMPLATE template0"))
        try:
            yield Database(urlsplit(self.url)._replace(path=f"/{name}").geturl(), self.server)
        finally:
            asyncio.run(self.ask(f"DROP DATABASE {name} WITH (FORCE)"))

    @contextmanager
    def loading(self) -> Iterator[None]:
        """While much is loaded. The server is started anew before and after: no connection outlives that."""
        self._restarted(_LOADING)
        try:
            yield
        finally:
            asyncio.run(self.ask("CHECKPOINT"))
            self._restarted(_MEASURED)

    def _restarted(self, settings: Mapping[str, str]) -> None:
        if self.server is not None:
            self.server.stop()
            self.server.settings.update(settings)
            self.server.start()

    def set(self, settings: Mapping[str, str]) -> None:
        """For connections made after it; only where the server is ours."""
        if self.server is not None:
            self.server.set(**settings)

    def unset(self, settings: Mapping[str, str]) -> None:
        """As `SETTINGS` has it again."""
        if self.server is not None:
            for name in settings:
                self.server.settings.pop(name, None)
            self.server.set()

    def described(self) -> str:
        """Which one it is, and what it keeps to."""
        shown = ("fsync", "full_page_writes", "synchronous_commit", *SETTINGS, "wal_compression")
        version = asyncio.run(self.ask("SHOW server_version"))
        said = [f"{name} = {asyncio.run(self.ask(f'SHOW {name}'))}" for name in shown if name != "io_method"]
        return f"PostgreSQL {version} ({', '.join(said)})"


@contextmanager
def running(folder: Path | None) -> Iterator[Database]:
    """The server, its data in a new folder below this one, or below the system's for temporary files."""
    if given := os.environ.get("AFTERCALL_TEST_POSTGRES"):
        yield Database(given, None)
        return
    try:
        with postgres_server(folder, **SETTINGS) as server:
            yield Database(server.url, server)
    except NoPostgres as why:
        sys.exit(f"There is no PostgreSQL to measure: {why}; or set AFTERCALL_TEST_POSTGRES to the URL of one.")
