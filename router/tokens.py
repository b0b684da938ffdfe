"""The sources' secrets: those of routes.yaml, or one that is made at first start and kept in the data folder."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from pydantic import ValidationError

from router.config.settings import Source
from router.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from router.config import Config

#: 256 bits, 43 characters in a URL.
_BYTES = 32


def tokens(config: Config) -> dict[str, tuple[str, ...]]:
    """Every source's tokens, the one to use first. Makes missing ones, on stable storage before this returns.

    Raises `ConfigError` where the data folder cannot be written or a token's file holds no token.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, source in config.sources.items():
        written = source.tokens or ((source.token,) if source.token else ())
        found[name] = tuple(token.get_secret_value() for token in written) or (_kept(config.data, name),)
    return found


def _kept(folder: Path, source: str) -> str:
    file = folder / f"token-{source}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            token = file.read_text(encoding="ascii").strip()
        else:
            token = secrets.token_urlsafe(_BYTES)
            with os.fdopen(descriptor, "w", encoding="ascii") as opened:
                opened.write(f"{token}\n")
                opened.flush()
                os.fsync(opened.fileno())
            _sync_folder(folder)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        message = (
            f"the token of source {source!r} cannot be kept in {file}: {reason}; check `data` and who may write it"
        )
        raise ConfigError(message) from error
    try:
        Source.model_validate({"token": token})  # as strict as with those of routes.yaml
    except ValidationError:
        message = f"{file} holds no token; remove the file and a new one is made (and has to be pasted at the sender)"
        raise ConfigError(message) from None
    return token


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
