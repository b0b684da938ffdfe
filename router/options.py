"""What several commands share: their options, and the way from these to a configuration or a running router.

Heavy modules are imported where they are needed: a command should answer at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from router.errors import AftercallError

if TYPE_CHECKING:
    from router.config import Config
    from router.remote import Remote

config_option = click.option(
    "-c",
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("routes.yaml"),
    envvar="AFTERCALL_CONFIG",
    show_default=True,
    show_envvar=True,
    help="The configuration.",
)
url_option = click.option("--url", help="The admin listener to ask, instead of the one in the configuration.")
token_option = click.option(
    "--token", envvar="AFTERCALL_ADMIN_TOKEN", show_envvar=True, help="The admin token that goes with --url."
)
#: What an answer must have, key by key: a page of a list, and a lane.
ITEMS: Final[Mapping[str, type]] = {"items": list}
LANE: Final[Mapping[str, type]] = {"sink": str, "state": str, "pending": int}

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def load_config(file: Path) -> Config:
    """The configuration in this file. Raises `ConfigError`."""
    from router.config import load

    return load(file)


def remote_router(file: Path, url: str | None, token: str | None) -> Remote:
    """The router at `url`, or the one that runs with the configuration."""
    from router.remote import Remote

    return Remote(url, token) if url else Remote.of(load_config(file))


def known_source(config: Config, source: str | None) -> str:
    """This source, or the first one. Raises `AftercallError` where there is none of this name."""
    name = source or next(iter(config.sources))
    if name not in config.sources:
        from router.config.suggest import did_you_mean

        message = f"there is no source {name!r} {did_you_mean(name, config.sources)}"
        raise AftercallError(message)
    return name


def print_json(value: Any) -> None:
    """For programs, and for people who look at one thing."""
    from router.excerpt import exact_json

    click.echo(exact_json(value, indent=2).decode())
