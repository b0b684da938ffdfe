"""Numbered migrations in files of their own: each is one transaction, so a store is at one version or at the next."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import Final

from router.errors import StoreError

_NAME: Final = re.compile(r"(\d{4})_(\w+)\.sql")


@dataclass(frozen=True, slots=True)
class Migration:
    """The way from the version before to `version`."""

    version: int
    name: str
    text: str


def migrations(package: str) -> tuple[Migration, ...]:
    """The migrations in the folder of this engine, first one first."""
    found = (
        Migration(int(match[1]), match[2], file.read_text("utf-8"))
        for file in resources.files(package).joinpath("migrations").iterdir()
        if (match := _NAME.fullmatch(file.name))
    )
    return tuple(sorted(found, key=lambda migration: migration.version))


def refuse_older(version: int, newest: int, place: object) -> None:
    """Raise `StoreError` where a database has a version below the one that this program writes."""
    if version < newest:
        message = (
            f"{place} has version {version}, and this aftercall writes version {newest}: do this with the "
            "aftercall that wrote it, or start this one once; nothing was changed"
        )
        raise StoreError(message)


def refuse_half_copy(noted: str | None, place: object, removal: str) -> None:
    """Raise `StoreError` where this store is a half copy: begun, and not finished; `removal` is how to be rid of it."""
    if noted is not None:
        message = f"{place} is a copy that was not finished: run copy-store again, or {removal}"
        raise StoreError(message)


def refuse_newer(version: int, newest: int, place: object) -> None:
    """Raise `StoreError` where a database has a version above the newest that this program knows."""
    if version > newest:
        message = (
            f"{place} has version {version}, and this aftercall knows versions up to {newest}: it was written by "
            "a newer aftercall, so install that one again; nothing was changed"
        )
        raise StoreError(message)
