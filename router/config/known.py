"""What commands need of a configuration, and how much of that a file with mistakes still says.

A mistake in the rules is no reason not to ask the router that runs: then least of all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError, create_model

from router.config.document import Document, Invalid, Problem, read
from router.config.files import Files
from router.config.include import including
from router.config.load import database, postgres, text_of
from router.config.problems import translated
from router.config.settings import Admin, Server, Settings, Source
from router.errors import ConfigError
from router.sink import Setting
from router.store.postgres import Place

T = TypeVar("T")


class Known(Protocol):
    """Where a router is and what it keeps where; a `Config` is that, too."""

    @property
    def data(self) -> Path:
        """Its folder."""

    @property
    def database(self) -> Path:
        """The file of its store."""

    @property
    def postgres(self) -> Place | None:
        """Where its store is, if that is in PostgreSQL."""

    @property
    def server(self) -> Server:
        """The listener that takes calls in."""

    @property
    def admin(self) -> Admin:
        """The listener that commands ask."""

    @property
    def sources(self) -> Mapping[str, Source]:
        """Where calls come in."""


class Rest:
    """A file with mistakes, key by key: each raises `ConfigError` where it is wrong itself, and only then."""

    def __init__(self, document: Document, problems: tuple[Problem, ...], folder: Path) -> None:
        self._document = document
        self._problems = problems
        self._folder = folder

    @property
    def data(self) -> Path:
        """Its folder."""
        name: str = self._key("data")
        return self._folder / name

    @property
    def database(self) -> Path:
        """The file of its store."""
        return self._of_store(lambda: database(self._key("store"), self.data, self._folder))

    @property
    def postgres(self) -> Place | None:
        """Where its store is, if that is in PostgreSQL."""
        return self._of_store(lambda: postgres(self._key("store"), self._key("store_password")))

    def _of_store(self, what: Callable[[], T]) -> T:
        try:
            return what()
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(str(self._document.problem(("store",), str(error)))) from None

    @property
    def server(self) -> Server:
        """The listener that takes calls in."""
        server: Server = self._key("server")
        return server

    @property
    def admin(self) -> Admin:
        """The listener that commands ask."""
        admin: Admin = self._key("admin")
        return admin

    @property
    def sources(self) -> Mapping[str, Source]:
        """Where calls come in."""
        sources: Mapping[str, Source] = self._key("sources")
        return sources

    def _key(self, name: str) -> Any:
        """What `Settings` would have there."""
        field, data = Settings.model_fields[name], self._document.data
        part = create_model("Part", __base__=Setting, **{name: (field.annotation, field)})  # type: ignore[call-overload] # its stub knows no computed names
        given = {name: data[name]} if isinstance(data, dict) and name in data else {}
        wrong = [problem for problem in self._problems if problem.path[:1] == (name,)]
        try:
            found = part.model_validate(given)
        except ValidationError as error:
            wrong += translated(error, self._document, Settings)
        if wrong:
            raise ConfigError("\n".join(map(str, wrong)))
        return getattr(found, name)


def rest(file: Path, environ: Mapping[str, str] = os.environ) -> Rest:
    """What a file that cannot be loaded still says. Raises `ConfigError` where that is nothing at all."""
    file, files = file.absolute(), Files()
    problems: tuple[Problem, ...] = ()
    try:
        document = read(text_of(file, files), file.name, file.parent, environ, files)
    except Invalid as error:
        if error.rest is None:
            raise ConfigError(str(error)) from None
        document, problems = error.rest, error.problems
    try:
        document = including(document, file.parent, environ, files)
    except Invalid as error:
        document, problems = error.rest or document, problems + error.problems
    if not document.root.node.is_map:
        raise ConfigError(str(document.problem((), "is no map; write keys with values, like `key: value`")))
    return Rest(document, problems, file.parent)
