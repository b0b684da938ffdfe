"""The sources' secrets: those of routes.yaml, or one that is made at first start and kept in the data folder."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from pydantic import ValidationError

from router.config.settings import Source
from router.doors import Doors
from router.errors import ConfigError
from router.store.sqlite import folder

if TYPE_CHECKING:
    from pathlib import Path

    from router.config import Config, Known

#: 256 bits, 43 characters in a URL.
_BYTES = 32


def tokens(config: Known) -> dict[str, tuple[str, ...]]:
    """Every source's tokens, the one to use first. Makes missing ones, on stable storage before this returns.

    Raises `ConfigError` where the data folder cannot be written or a token's file holds no token.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name, source in config.sources.items():
        written = source.tokens or ((source.token,) if source.token else ())
        found[name] = tuple(token.get_secret_value() for token in written) or (_kept(config.data, name),)
    return found


def doors(config: Config) -> Doors:
    """Who may come in by this configuration; nothing is remembered from an earlier one. Raises as `tokens`."""
    return Doors(
        tokens(config),
        allow_from={name: source.allow_from for name, source in config.sources.items()},
        trusted_proxies=config.server.trusted_proxies,
    )


def without_token(config: Known) -> tuple[str, ...]:
    """The sources for which `tokens` is going to make one."""
    return tuple(
        name
        for name, source in config.sources.items()
        if not (source.tokens or source.token) and not _file(config.data, name).exists()
    )


def _file(data: Path, source: str) -> Path:
    return data / f"token-{source}"


def _kept(data: Path, source: str) -> str:
    file = _file(data, source)
    try:
        folder.make(data)
        if not file.exists():
            with suppress(FileExistsError):  # another process was faster: its token counts
                folder.create(file, f"{secrets.token_urlsafe(_BYTES)}\n".encode())
        token = file.read_text(encoding="ascii").strip()
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
